from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.errors import ClaimsError, Stage
from imdsd.secret import Secret
from imdsd.tokens.claims import check_claims, read_claims
from tests.fakes.web_identity import CLAIMS, SIGNATURE, make_token, part

AUDIENCE = "sts.amazonaws.com"
ISSUED = datetime.fromtimestamp(CLAIMS["iat"], UTC)
EXPIRES = datetime.fromtimestamp(CLAIMS["exp"], UTC)


def read(**claims):
    return read_claims(Secret(make_token(**claims)))


def test_claims_are_read():
    claims = read(extra=1)
    assert (claims.issuer, claims.subject) == (CLAIMS["iss"], CLAIMS["sub"])
    assert (claims.issued_at, claims.expires_at) == (ISSUED, EXPIRES)
    assert claims.audience == (AUDIENCE,)
    assert claims.values["extra"] == 1


def test_a_list_of_audiences_is_read():
    assert read(aud=["a", "b"]).audience == ("a", "b")


def test_a_token_issued_in_the_future_can_be_read():
    future = ISSUED + timedelta(days=36500)
    assert read(iat=future.timestamp()).issued_at == future


def test_an_expired_token_can_be_read():
    assert read(exp=1).expires_at == datetime.fromtimestamp(1, UTC)


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "exp"])
def test_a_missing_claim_is_named(claim):
    with pytest.raises(ClaimsError, match=f"^{claim} is missing, expected") as caught:
        read(**{claim: None})
    assert caught.value.stage is Stage.CHECK


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("iss", 7), ("iss", ""), ("sub", []), ("aud", 7), ("aud", []), ("aud", ["a", 7]),
        ("aud", {"a": "b"}), ("exp", "soon"), ("exp", True), ("exp", 1e40), ("exp", float("nan")),
        ("iat", "now"),
    ],
)  # fmt: skip
def test_a_claim_of_a_wrong_type_is_named(claim, value):
    with pytest.raises(ClaimsError, match=f"^{claim} is ") as caught:
        read(**{claim: value})
    assert caught.value.claim == claim


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": None}, "iss is missing, expected a text"),
        ({"iss": ""}, "iss is out of range or empty (of type str), expected a text"),
        ({"sub": 7}, "sub is out of range or empty (of type int), expected a text"),
        ({"sub": {}}, "sub is of type dict, expected a text"),
        ({"aud": []}, "aud is out of range or empty (of type list), expected a text or a list of texts"),
        ({"aud": True}, "aud is of type bool, expected a text or a list of texts"),
        ({"exp": 1e40}, "exp is out of range or empty (of type float), expected seconds since 1970 (RFC 7519, section 2)"),
        ({"iat": True}, "iat is of type bool, expected seconds since 1970 (RFC 7519, section 2)"),
    ],
)  # fmt: skip
def test_a_claim_that_cannot_be_used_is_told_with_what_it_is_and_what_it_should_be(claims, reason):
    with pytest.raises(ClaimsError) as caught:
        read(**claims)
    assert caught.value.reason == reason
    assert caught.value.remedy == "see what the issuer puts into its tokens"


def test_what_cannot_be_read_is_told_as_a_token():
    with pytest.raises(ClaimsError) as caught:
        read_claims(Secret("a.b.c"))
    error = caught.value
    assert error.reason == "token is not readable as a JWT, expected a signed JWT with a JSON body"
    assert error.claim == "token"


def test_fractions_of_a_second_are_read():
    assert read(exp=1.5).expires_at == datetime.fromtimestamp(1.5, UTC)


def test_other_letters_than_ascii_are_read():
    assert read(sub="zoë").subject == "zoë"


def test_the_claims_do_not_print():
    assert "extra" not in repr(read(extra=1))


@pytest.mark.parametrize(
    "text", ["", "a.b.c", f"{part({})}.{part([])}.{SIGNATURE}", f"{part({})}.{part({})}", "ä.b.c"]
)
def test_what_is_not_readable_is_refused_without_being_quoted(text):
    with pytest.raises(ClaimsError) as caught:
        read_claims(Secret(text))
    assert "not readable" in caught.value.reason
    assert caught.value.__suppress_context__
    assert len(text) < 8 or text not in str(caught.value)


def test_the_environment_is_named_by_its_id_where_the_token_has_one():
    assert read(environment_id="e1").environment == "https://issuer.example e1"


def test_the_environment_is_named_by_the_subject_otherwise():
    assert read(sub="org:o/env:e").environment == "https://issuer.example org:o/env:e"


@pytest.mark.parametrize("audience", [AUDIENCE, ["other", AUDIENCE]])
def test_a_fitting_token_passes_without_a_warning(audience):
    assert check_claims(read(aud=audience), audience=AUDIENCE, now=ISSUED) == ()


def test_another_audience_is_refused_with_found_and_expected():
    with pytest.raises(ClaimsError) as caught:
        check_claims(read(aud=["x", "y"]), audience=AUDIENCE, now=ISSUED)
    assert caught.value.reason == "aud is 'x' and 'y', expected 'sts.amazonaws.com'"
    assert caught.value.claim == "aud"
    assert caught.value.remedy == ("ask the token source for this audience, or set `audience`")


@pytest.mark.parametrize(
    ("seconds", "age"), [(59, "59 s ahead"), (0, "0 s ago"), (-3600, "3600 s ago")]
)
def test_a_token_with_too_little_life_is_refused(seconds, age):
    with pytest.raises(ClaimsError) as caught:
        check_claims(read(), audience=AUDIENCE, now=EXPIRES - timedelta(seconds=seconds))
    assert caught.value.claim == "exp"
    now = EXPIRES - timedelta(seconds=seconds)
    assert caught.value.reason == (
        f"exp is 2026-01-01T01:00:00Z ({age}), expected at least 60 s after now, {now:%FT%TZ}"
    )
    assert caught.value.remedy == "mint a new token; if this one is new, set this machine's clock"


def test_sixty_seconds_of_life_are_enough():
    now = EXPIRES - timedelta(seconds=60)
    assert check_claims(read(), audience=AUDIENCE, now=now, minted_on_demand=False) == ()


@pytest.mark.parametrize("seconds", [-61, 61])
def test_a_skewed_clock_is_a_warning_that_says_both_instants(seconds):
    now = ISSUED + timedelta(seconds=seconds)
    (warning,) = check_claims(read(), audience=AUDIENCE, now=now)
    assert "clock skew" in warning
    assert "2026-01-01T00:00:00Z" in warning
    assert now.strftime("%H:%M:%SZ") in warning


@pytest.mark.parametrize("seconds", [-60, 0, 60])
def test_a_minute_of_skew_is_nothing_to_speak_of(seconds):
    now = ISSUED + timedelta(seconds=seconds)
    assert check_claims(read(), audience=AUDIENCE, now=now) == ()


def test_a_skewed_clock_is_told_in_one_sentence():
    now = ISSUED - timedelta(hours=1)
    (warning,) = check_claims(read(), audience=AUDIENCE, now=now)
    assert warning == (
        "clock skew: the token was issued at 2026-01-01T00:00:00Z, "
        "this machine's clock says 2025-12-31T23:00:00Z"
    )


def test_an_old_token_out_of_a_file_is_no_sign_of_a_skewed_clock():
    now = ISSUED + timedelta(minutes=45)
    assert check_claims(read(), audience=AUDIENCE, now=now, minted_on_demand=False) == ()


def test_a_token_from_the_future_out_of_a_file_is_one():
    now = ISSUED - timedelta(minutes=45)
    assert check_claims(read(), audience=AUDIENCE, now=now, minted_on_demand=False)


def test_a_token_without_iat_says_nothing_about_the_clock():
    assert check_claims(read(iat=None), audience=AUDIENCE, now=ISSUED) == ()


@given(st.integers(-7200, 7200))
def test_a_token_passes_exactly_when_it_has_sixty_seconds_left(offset):
    claims = read()
    try:
        check_claims(claims, audience=AUDIENCE, now=EXPIRES + timedelta(seconds=offset))
        passed = True
    except ClaimsError:
        passed = False
    assert passed == (offset <= -60)


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none()))
def test_any_body_is_read_or_refused(body):
    token = f"{part({'alg': 'RS256'})}.{part(body)}.{SIGNATURE}"
    with pytest.raises(ClaimsError):
        read_claims(Secret(token))


def test_half_a_surrogate_pair_is_refused_before_anything_tries_to_write_it():
    with pytest.raises(ClaimsError, match="not readable"):
        read_claims(Secret(make_token(environment_id="\ud800")))


# What each issuer documents, and what is another environment's in the same place.
POD = {"pod": {"name": "web-0", "uid": "9f1c"}, "node": {"uid": "n1"}, "namespace": "default"}
GITHUB = {
    "repository_id": "74", "run_id": "9", "run_attempt": "1", "check_run_id": "55",
    "job_workflow_ref": "o/r/.github/workflows/w.yml@refs/heads/main", "environment": "prod",
}  # fmt: skip
GITLAB = {"project_id": "28", "pipeline_id": "455", "job_id": "1123"}
CIRCLECI = {"oidc.circleci.com/project-id": "p", "oidc.circleci.com/job-id": "1f2e"}
BUILDKITE = {"organization_slug": "acme", "pipeline_slug": "app", "job_id": "0184990a"}
BITBUCKET = {"repositoryUuid": "{r}", "stepUuid": "{s1}", "workspaceUuid": "{w}"}
TERRAFORM = {"terraform_run_id": "run-1", "terraform_run_phase": "plan"}
DOCUMENTED = [
    ({"environment_id": "e1"}, {"environment_id": "e2"}),
    ({"kubernetes.io": POD}, {"kubernetes.io": {**POD, "pod": {"name": "web-0", "uid": "77aa"}}}),
    (GITHUB, {**GITHUB, "check_run_id": "56"}),
    ({**GITHUB, "check_run_id": None}, {**GITHUB, "check_run_id": None, "run_attempt": "2"}),
    ({**GITHUB, "check_run_id": None}, {**GITHUB, "check_run_id": None, "sub": "other"}),
    (GITLAB, {**GITLAB, "job_id": "1124"}),
    ({**GITLAB, "job_id": 1123}, {**GITLAB, "job_id": 1124}),
    (CIRCLECI, {**CIRCLECI, "oidc.circleci.com/job-id": "9a9a"}),
    (BUILDKITE, {**BUILDKITE, "job_id": "0184990b"}),
    (BITBUCKET, {**BITBUCKET, "stepUuid": "{s2}"}),
    (TERRAFORM, {**TERRAFORM, "terraform_run_id": "run-2"}),
    (TERRAFORM, {**TERRAFORM, "terraform_run_phase": "apply"}),
    ({"sub": "a"}, {"sub": "b"}),
]


@pytest.mark.parametrize(("claims", "others"), DOCUMENTED)
def test_an_environment_keeps_its_name_when_a_token_is_minted_again(claims, others):
    again = {"iat": CLAIMS["iat"] + 3000, "exp": CLAIMS["exp"] + 3000, "jti": "another"}
    assert read(**claims).environment == read(**claims, **again).environment
    assert read(**claims).environment != read(**others).environment


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"environment_id": "e1"}, "e1"),
        ({"environment_id": 7}, "7"),
        ({"kubernetes.io": POD}, "9f1c"),
        (GITHUB, "74 9 55"),
        (
            {**GITHUB, "check_run_id": None},
            f"74 9 1 o/r/.github/workflows/w.yml@refs/heads/main {CLAIMS['sub']}",
        ),
        (GITLAB, "28 455 1123"),
        ({**GITLAB, "job_id": 0}, "28 455 0"),
        (CIRCLECI, "p 1f2e"),
        (BUILDKITE, "acme app 0184990a"),
        (BITBUCKET, "{r} {s1}"),
        (TERRAFORM, "run-1 plan"),
        ({}, CLAIMS["sub"]),
    ],
)
def test_an_environment_has_the_same_name_in_every_version(claims, name):
    assert read(**claims).environment == f"{CLAIMS['iss']} {name}"


@pytest.mark.parametrize(
    "lacking",
    [
        *({**GITHUB, name: None} for name in ("repository_id", "run_id")),
        *(
            {**GITHUB, "check_run_id": None, name: None}
            for name in ("repository_id", "run_id", "run_attempt", "job_workflow_ref")
        ),
        *({**GITLAB, name: None} for name in GITLAB),
        *({**CIRCLECI, name: None} for name in CIRCLECI),
        *({**BUILDKITE, name: None} for name in BUILDKITE),
        *({**BITBUCKET, name: None} for name in ("repositoryUuid", "stepUuid")),
        *({**TERRAFORM, name: None} for name in TERRAFORM),
        {"kubernetes.io": {"pod": {"name": "web-0"}}},
    ],
)
def test_half_of_what_names_an_environment_names_none(lacking):
    assert read(**lacking).environment == f"{CLAIMS['iss']} {CLAIMS['sub']}"


@pytest.mark.parametrize("claims", [claims for claims, _ in DOCUMENTED])
def test_two_issuers_never_name_the_same_environment(claims):
    assert read(**claims).environment != read(**claims, iss="https://other.example").environment


def test_what_names_an_environment_of_ona_is_its_id():
    assert read(environment_id="e1").environment == "https://issuer.example e1"
    assert read(environment_id="e1", **GITLAB).environment == "https://issuer.example e1"


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"environment_id": ""},
        {"environment_id": ["e1"]},
        {"kubernetes.io": {"namespace": "default", "serviceaccount": {"uid": "s"}}},
        {"kubernetes.io": {"pod": "web-0"}},
        {"kubernetes.io": "pod"},
        {"job_id": "7"},
        {**GITLAB, "job_id": True},
        {"run_id": "7", "check_run_id": "8"},
        {"stepUuid": "{s}"},
    ],
)
def test_claims_of_no_known_issuer_leave_the_subject(claims):
    assert read(**claims).environment == f"{CLAIMS['iss']} {CLAIMS['sub']}"


@given(
    st.dictionaries(
        st.sampled_from(["environment_id", "kubernetes.io", *GITHUB, *GITLAB, *BITBUCKET]),
        st.none() | st.booleans() | st.floats() | st.text() | st.dictionaries(st.text(), st.text()),
    )
)
def test_whatever_stands_in_a_claim_the_environment_has_a_name(claims):
    found = read(**{name: value for name, value in claims.items() if value is not None})
    assert found.environment.startswith(CLAIMS["iss"] + " ")
