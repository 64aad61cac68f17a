from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from imdsd.clock import SystemClock
from imdsd.doctor import examination
from imdsd.doctor.examination import Examination, Order, crashed
from imdsd.doctor.finding import Finding, Level, Step, Surroundings
from imdsd.doctor.rendering import Style, as_document, exit_status
from imdsd.errors import UsageError
from tests.fakes.daemon import running_daemon
from tests.fakes.examined import codes

ARN = "arn:aws:iam::123456789012:role/dev"


def examine(tmp_path, *, environ=None, uid=None, role_name=None, offline=True, **flags):
    around = Surroundings(
        environ or {},
        os.geteuid() if uid is None else uid,
        tmp_path,
        SystemClock(),
        root=tmp_path / "no-such-root",
        folder=tmp_path,
    )
    told = {"config": "/dev/null", **flags}
    return list(Examination(Order(told, role_name, offline=offline), around).walk())


def by_step(findings):
    steps = {}
    for each in findings:
        steps.setdefault(each.step, []).append(each.code)
    return steps


def test_every_step_is_told_of_in_order_whatever_is_missing(tmp_path):
    findings = examine(tmp_path, log_level="loud", environ={"PATH": ""})
    seen = list(dict.fromkeys(each.step for each in findings))
    assert seen == list(Step)
    assert by_step(findings)[Step.CONFIGURATION] == ["configuration.problem"]


def test_what_needs_a_configuration_says_so(tmp_path):
    findings = examine(tmp_path, log_level="loud")
    for step in (Step.TOKEN, Step.SIGNATURE, Step.STS):
        (found,) = [each for each in findings if each.step is step]
        assert (found.level, found.found) == (Level.SKIPPED, "the configuration cannot be used")


def test_a_daemon_with_a_role_of_its_own_needs_none_in_this_shell(tmp_path):
    with running_daemon(tmp_path / "run") as daemon:
        findings = examine(tmp_path, environ=daemon.environ, offline=False)
    assert not [each for each in findings if each.code == "configuration.no-role"]
    (token,) = [each for each in findings if each.step is Step.TOKEN]
    assert (token.level, "with a role that this shell does not know" in token.found) == (
        Level.SKIPPED,
        True,
    )


def test_a_demo_is_no_reason_to_walk_the_way_of_the_configuration(tmp_path):
    with running_daemon(tmp_path / "run") as daemon:
        path = tmp_path / "run/daemon.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "demo": True}))
        findings = examine(
            tmp_path, environ={**daemon.environ, "IMDSD_ROLE_ARN": ARN}, offline=False
        )
    (token,) = [each for each in findings if each.step is Step.TOKEN]
    assert token.found == "the daemon is a demo, with an issuer and an STS of its own"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a daemon of root, met by another user")
@pytest.mark.parametrize(
    ("flags", "code"),
    [({}, "token.skipped"), ({"role_arn": ARN, "token_command": "false"}, "token.mint-failed")],
)
def test_the_way_of_another_user_s_daemon_is_walked_when_asked_for_alone(tmp_path, flags, code):
    with running_daemon(tmp_path / "run") as daemon:
        findings = examine(
            tmp_path, environ=daemon.environ, uid=65534, offline=False, region="eu-west-1", **flags
        )
    tokens = [each for each in findings if each.step is Step.TOKEN]
    assert codes(tokens) == [code]
    if not flags:
        assert "the daemon of root does it by itself" in tokens[0].found


def test_offline_mints_nothing_and_asks_nobody(tmp_path):
    command = f"touch {tmp_path}/ran"
    findings = examine(tmp_path, role_arn=ARN, region="eu-west-1", token_command=command)
    assert not (tmp_path / "ran").exists()
    assert by_step(findings)[Step.TOKEN] == ["token.skipped"]
    assert by_step(findings)[Step.STS] == ["sts.skipped"]


def test_without_a_token_nothing_is_exchanged(tmp_path):
    findings = examine(tmp_path, offline=False, environ={"PATH": ""})
    assert by_step(findings)[Step.TOKEN] == ["token.no-source"]
    assert by_step(findings)[Step.CLAIMS] == ["claims.skipped"]
    assert by_step(findings)[Step.STS] == ["sts.skipped"]


def test_a_role_that_is_not_there_is_an_error_of_usage(tmp_path):
    with pytest.raises(UsageError):
        examine(tmp_path, role_name="none")


class Broken:
    """Variables that break whoever looks at them."""

    def __getattr__(self, name):
        raise RuntimeError("secret-words")


def test_a_check_that_crashes_is_a_finding_and_ends_no_other(tmp_path):
    around = Surroundings(Broken(), os.geteuid(), tmp_path, SystemClock(), root=tmp_path)
    findings = list(Examination(Order(), around).walk())
    assert "configuration.crashed" in codes(findings)
    assert "sdks.crashed" in codes(findings)
    assert "secret-words" not in str(findings)
    assert "--bundle" in findings[0].remedy


def test_the_module_names_its_crash():
    assert crashed(Step.STS, KeyError("x")).found == f"{examination.CRASHED} (KeyError)"


# How it is told

OK = Finding(Step.TOKEN, Level.OK, "token.minted", "it gave a token")
BAD = Finding(Step.STS, Level.FAILURE, "sts.name", "no such name", "set a region", {"port": 443})
ODD = Finding(Step.CLAIMS, Level.WARNING, "claims.clock-skew", "a minute off", "set the clock")
NOT = Finding(Step.SIGNATURE, Level.SKIPPED, "signature.skipped", "not asked for")
PLAIN = Style(width=None, colour=False, unicode=True)


def test_a_line_says_how_bad_it_is_in_words_and_what_to_do_below():
    assert list(PLAIN.lines(BAD)) == ["✗ failure sts           no such name", "    → set a region"]
    assert list(PLAIN.lines(OK)) == ["✓ ok      token         it gave a token"]


def test_what_to_do_is_said_once_for_findings_in_a_row():
    style = Style(width=None, colour=False, unicode=True)
    told = [line for each in (BAD, BAD, OK, BAD) for line in style.lines(each)]
    assert told.count("    → set a region") == 2


def test_a_terminal_without_unicode_gets_ascii():
    style = Style(width=None, colour=False, unicode=False)
    assert "\n".join([*style.lines(BAD), *style.lines(OK), *style.lines(ODD)]).isascii()


def test_a_narrow_terminal_folds_and_loses_nothing():
    long = Finding(Step.STS, Level.FAILURE, "sts.name", "word " * 40, "remedy " * 30)
    lines = list(Style(width=50, colour=False, unicode=True).lines(long))
    assert max(map(len, lines)) <= 50
    assert " ".join(lines).count("word") == 40
    assert " ".join(lines).count("remedy") == 30


def test_colour_is_around_the_mark_alone():
    (line, _) = Style(width=80, colour=True, unicode=True).lines(BAD)
    assert line.startswith("\x1b[31m✗ failure \x1b[0m")


def test_the_last_line_counts():
    assert PLAIN.summary([BAD, BAD, ODD, NOT, OK]) == "2 failures, 1 warning, 1 skipped, 1 ok"
    assert PLAIN.summary([OK]) == "1 ok"


def test_the_document_is_stable_and_json():
    document = as_document([BAD, OK])
    assert json.loads(json.dumps(document)) == document
    assert document["format"] == 1
    assert document["verdict"] == "failure"
    assert document["counts"] == {"ok": 1, "warning": 0, "failure": 1, "skipped": 0}
    assert document["findings"][0] == {
        "step": "sts",
        "level": "failure",
        "code": "sts.name",
        "found": "no such name",
        "remedy": "set a region",
        "facts": {"port": 443},
    }


@pytest.mark.parametrize(
    ("findings", "lenient", "strict"),
    [([OK, NOT], 0, 0), ([OK, ODD], 0, 5), ([ODD, BAD], 1, 1), ([], 0, 0)],
)
def test_the_exit_status_counts_warnings_only_when_asked_to(findings, lenient, strict):
    assert exit_status(findings, strict=False) == lenient
    assert exit_status(findings, strict=True) == strict


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user who is not root")
def test_places_that_may_not_be_looked_into_break_no_check(tmp_path):
    """As after `su`, which leaves XDG_RUNTIME_DIR and the folder of the user before."""
    script = (
        "import json, os, pathlib, sys\n"
        "from imdsd.clock import SystemClock\n"
        "from imdsd.doctor.examination import Examination, Order\n"
        "from imdsd.doctor.finding import Surroundings\n"
        "locked = pathlib.Path(sys.argv[1])\n"
        "os.setgroups([]); os.setuid(12345)\n"
        "environ = {'XDG_RUNTIME_DIR': str(locked / 'run'), 'CODESPACES': 'true'}\n"
        "around = Surroundings(environ, 12345, locked / 'home', SystemClock(), pathlib.Path('/'),"
        " locked / 'folder')\n"
        "order = Order({'config': '/dev/null'}, offline=True)\n"
        "print(json.dumps([each.code for each in Examination(order, around).walk()]))\n"
    )
    (tmp_path / "locked").mkdir(mode=0o700)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "locked")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not [code for code in json.loads(done.stdout) if code.endswith("crashed")]


def test_the_steps_look_at_this_daemon_and_this_configuration(tmp_path):
    config, token = tmp_path / "config.toml", tmp_path / "token"
    config.write_text(f'[token]\nfile = "{token}"\n')
    token.touch(0o600)
    with running_daemon(tmp_path / "run") as daemon:
        port = daemon.address[1]
        environ = {
            **daemon.environ,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{port}/v1/credentials/gone",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": daemon.bearer.reveal(),
            "CODESPACES": "true",
        }
        findings = examine(tmp_path, environ=environ, config=str(config))
    assert "sdks.not-served" in by_step(findings)[Step.SDKS]
    (files,) = [each for each in findings if each.step is Step.FILES]
    assert files.found == f"{tmp_path / 'run'}, {config}, {token}"
    (editor,) = [each for each in findings if each.step is Step.EDITORS]
    assert editor.facts["port"] == port
