from __future__ import annotations

import pytest

from imdsd.errors import NoCredentialsError, UsageError
from tests.fakes.daemon import LAST_ERROR, error_document, role_entry, running_daemon
from tests.fakes.verb import run_verb


@pytest.fixture
def daemon(tmp_path):
    with running_daemon(tmp_path / "run") as daemon:
        yield daemon


@pytest.fixture
def refresh(daemon, tmp_path):
    def refresh(*words):
        return run_verb("refresh", *words, environ=daemon.environ, home=tmp_path)

    return refresh


def test_every_role_has_a_line_that_says_until_when(refresh, daemon, capsys):
    roles = [role_entry(refreshed=True), role_entry("ops", refreshed=True)]
    daemon.routes["POST", "/refresh"] = (200, {"roles": roles})
    assert refresh() == 0
    assert capsys.readouterr().out == (
        "dev: refreshed; expires in 60 min, next refresh in 28 min\n"
        "ops: refreshed; expires in 60 min, next refresh in 28 min\n"
    )


def test_a_failure_says_why_and_what_is_still_held(refresh, daemon, capsys):
    failed = role_entry("ops", refreshed=False, state="degraded", last_error=LAST_ERROR)
    document = {"roles": [role_entry(refreshed=True), failed], **error_document("MintFailed", "x")}
    daemon.routes["POST", "/refresh"] = (503, document)
    assert refresh() == 4
    assert capsys.readouterr().out.splitlines()[1] == (
        "ops: not refreshed: mint: the token command exited with 1; run `ona login`"
        " (what is held expires in 60 min)"
    )


def test_a_failure_with_nothing_held_says_that(refresh, daemon, capsys):
    failed = role_entry(refreshed=False, state="starting", served=False, expires_at=None)
    daemon.routes["POST", "/refresh/dev"] = (503, {"roles": [failed]})
    assert refresh("dev") == 4
    assert capsys.readouterr().out == (
        "dev: not refreshed: no reason given (nothing is held that can be served)\n"
    )


def test_an_unknown_role_names_the_nearest(refresh):
    with pytest.raises(UsageError, match="did you mean 'dev'"):
        refresh("deve")


def test_an_answer_without_roles_is_told_as_it_is(refresh, daemon):
    daemon.routes["POST", "/refresh"] = (503, error_document("Stopping", "the daemon stops"))
    with pytest.raises(NoCredentialsError, match="the daemon stops"):
        refresh()
