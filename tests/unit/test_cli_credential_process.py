from __future__ import annotations

import json

import pytest

from imdsd.errors import NoCredentialsError, NoDaemonError, UsageError
from tests.fakes.daemon import CREDENTIALS, error_document, role_entry, running_daemon
from tests.fakes.verb import run_verb


@pytest.fixture
def daemon(tmp_path):
    with running_daemon(tmp_path / "run") as daemon:
        yield daemon


@pytest.fixture
def credential_process(daemon, tmp_path):
    def credential_process(*words):
        return run_verb("credential-process", *words, environ=daemon.environ, home=tmp_path)

    return credential_process


def test_it_prints_what_sdks_expect_of_a_credential_process(credential_process, capsys):
    assert credential_process() == 0
    assert json.loads(capsys.readouterr().out) == {
        "Version": 1,
        "AccessKeyId": "ASIAEXAMPLE",
        "SecretAccessKey": "fake-secret-key",
        "SessionToken": "fake-session-token",
        "Expiration": "2030-01-01T01:00:00Z",
        "AccountId": "123456789012",
    }


def test_a_role_is_asked_for_by_name(credential_process, daemon, capsys):
    daemon.routes["GET", "/v1/credentials/ops"] = (200, {**CREDENTIALS, "AccountId": None})
    assert credential_process("--role", "ops") == 0
    assert "AccountId" not in json.loads(capsys.readouterr().out)


def test_one_request_is_all_it_makes(credential_process, daemon):
    credential_process()
    assert daemon.requests == [("GET", "/v1/credentials")]


def test_an_unknown_role_names_the_nearest(credential_process, daemon, capsys):
    daemon.says(role_entry(), role_entry("operations"))
    with pytest.raises(UsageError, match="did you mean 'operations'"):
        credential_process("--role", "operation")
    assert capsys.readouterr().out == ""


def test_no_credentials_are_told_with_the_daemons_reason(credential_process, daemon, capsys):
    message = "the token command exited with 1 (stage: mint)"
    daemon.routes["GET", "/v1/credentials"] = (503, error_document("MintFailed", message))
    with pytest.raises(NoCredentialsError, match=r"exited with 1 \(stage: mint\)"):
        credential_process()
    assert capsys.readouterr().out == ""


def test_half_an_answer_is_no_credentials(credential_process, daemon, capsys):
    daemon.routes["GET", "/v1/credentials"] = (200, {"AccessKeyId": "ASIA", "AccountId": "1"})
    with pytest.raises(NoCredentialsError) as caught:
        credential_process()
    assert (
        str(caught.value) == "the daemon's answer lacks SecretAccessKey, SessionToken, Expiration"
    )
    assert capsys.readouterr().out == ""


def test_a_role_name_cannot_leave_its_place_in_the_path(credential_process, daemon):
    with pytest.raises(UsageError):
        credential_process("--role", "../status HTTP/1.1\r\nX: y")
    assert daemon.requests[0] == ("GET", "/v1/credentials/..%2Fstatus%20HTTP%2F1.1%0D%0AX%3A%20y")


def test_without_a_daemon_it_says_so(tmp_path):
    environ = {"IMDSD_RUNTIME_DIR": str(tmp_path / "absent")}
    with pytest.raises(NoDaemonError):
        run_verb("credential-process", environ=environ, home=tmp_path)
