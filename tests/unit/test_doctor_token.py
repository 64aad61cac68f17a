from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from imdsd.clock import SystemClock
from imdsd.config import TokenConfig
from imdsd.doctor.chain.token import judge_claims, mint
from imdsd.secret import Secret
from imdsd.tokens.claims import read_claims
from tests.fakes.examined import codes, only
from tests.fakes.waiting_clock import NOW, FakeWaitingClock
from tests.fakes.web_identity import make_token

AT = int(NOW.timestamp())
AUDIENCE = "sts.amazonaws.com"
FIT = {"iat": AT, "exp": AT + 3600}


class Source:
    description = "command make-one"
    renewable = True

    def __init__(self, *, minted_on_demand=True):
        self.minted_on_demand = minted_on_demand


class SlowClock(FakeWaitingClock):
    """Six seconds go by between two looks at it."""

    def monotonic(self):
        self.passed_seconds += 6
        return self.passed_seconds


def minted(config, environ=None, clock=None):
    return mint(config, environ or {}, ca_bundle=None, clock=clock or FakeWaitingClock())


def from_file(tmp_path, text):
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    return TokenConfig(source="file", file=path)


def judged(**claims):
    told = read_claims(Secret(make_token(**{**FIT, **claims})))
    return list(judge_claims(told, AUDIENCE, source=Source(), clock=FakeWaitingClock()))


def test_a_token_is_minted_and_its_claims_are_told(tmp_path):
    result = minted(from_file(tmp_path, make_token(**FIT)))
    assert codes(result.findings) == ["token.minted", "claims.fit"]
    assert str(tmp_path) in result.findings[0].found
    fit = only(result.findings, "claims.fit")
    for said in ("iss https://issuer.example", "sub organization_id:o1:", f"aud {AUDIENCE}"):
        assert said in fit.found
    assert fit.facts["seconds_left"] == 3600
    assert result.claims.subject == "organization_id:o1:project_id:p1"


def test_a_source_that_takes_most_of_its_time_is_slow(tmp_path):
    result = minted(from_file(tmp_path, make_token(**FIT)), clock=SlowClock())
    assert "raise timeout_seconds" in only(result.findings, "token.slow").remedy


def test_an_environment_without_a_source_is_told_how_to_choose_one(tmp_path):
    result = minted(TokenConfig(), environ={"PATH": str(tmp_path)})
    (found,) = result.findings
    assert found.code == "token.no-source"
    assert "--token-command" in found.remedy
    assert (result.token, result.claims) == (None, None)


def test_a_source_that_is_there_but_broken_is_no_absence(tmp_path):
    environ = {"PATH": str(tmp_path), "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "gone")}
    (found,) = minted(TokenConfig(), environ=environ).findings
    assert found.code == "token.mint-failed"
    assert "gone" in found.found


@pytest.mark.parametrize(
    ("command", "told", "remedy"),
    [
        (("/no/such/program",), "is not found", "install it"),
        (("sh", "-c", "echo log in first >&2; exit 3"), "log in first", "by hand"),
        (("sh", "-c", "echo no token"), "expected a web identity token", "by hand"),
    ],
)
def test_a_command_that_fails_is_told_with_what_to_do(command, told, remedy):
    config = TokenConfig(source="command", command=command)
    (found,) = minted(config, environ={"PATH": "/usr/bin:/bin"}).findings
    assert found.code == "token.mint-failed"
    assert told in found.found
    assert remedy in found.remedy


def test_a_command_that_hangs_ends_at_its_deadline():
    config = TokenConfig(
        source="command",
        command=(sys.executable, "-c", "import time; time.sleep(600)"),
        timeout_seconds=0.2,
    )
    (found,) = minted(config, clock=SystemClock()).findings
    assert found.code == "token.mint-failed"
    assert found.remedy


def test_a_url_that_may_not_be_asked_is_told():
    config = TokenConfig(source="http", url="http://issuer.example/token")
    (found,) = minted(config).findings
    assert found.code == "token.mint-failed"
    assert "expected https" in found.found


@pytest.mark.parametrize("gone", ["sub", "iss", "exp"])
def test_a_token_without_a_claim_is_unreadable(tmp_path, gone):
    result = minted(from_file(tmp_path, make_token(**{**FIT, gone: None})))
    found = only(result.findings, "claims.unreadable")
    assert gone in found.found
    assert "imdsd token --decode" in found.remedy
    assert result.claims is None


def test_another_audience_is_told_with_the_one_that_is_wanted():
    found = only(judged(aud="somebody-else"), "claims.audience")
    assert "'somebody-else'" in found.found
    assert f"'{AUDIENCE}'" in found.remedy


def test_a_token_that_has_expired_is_told(tmp_path):
    assert "set this machine's clock" in only(judged(exp=AT - 5), "claims.life").remedy
    config = from_file(tmp_path, make_token(**{**FIT, "exp": AT + 30}))
    result = minted(config)
    assert codes(result.findings) == ["token.minted", "claims.life"]
    assert result.claims is None, "nothing that STS refuses is exchanged"


def test_a_clock_that_differs_from_the_issuer_s_is_a_warning():
    found = judged(iat=AT + 600)
    assert codes(found) == ["claims.fit", "claims.clock-skew"]
    assert "time synchronization" in found[1].remedy
    assert codes(judged(iat=AT + 30)) == ["claims.fit"]


@pytest.mark.parametrize("issuer", ["http://issuer.example", "https://issuer.example:8443"])
def test_an_issuer_that_iam_does_not_take_is_a_warning(issuer):
    assert "by https" in only(judged(iss=issuer), "claims.issuer").remedy


def test_a_demo_s_own_issuer_is_no_warning():
    assert codes(judged(iss="http://127.0.0.1:4567")) == ["claims.fit"]


def test_what_is_found_holds_no_token(tmp_path):
    token = make_token(**FIT)
    for text in (token, token + "x", make_token(**{**FIT, "sub": None})):
        told = str(minted(replace(from_file(tmp_path, text))).findings)
        assert not any(part in told for part in token.split("."))
