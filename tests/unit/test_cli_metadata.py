"""`imdsd metadata`: what a client would see, to the byte or at a glance."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from imdsd.client.metadata import request_path
from imdsd.errors import ImdsdError, NoCredentialsError, NoDaemonError
from tests.fakes.daemon import running_daemon
from tests.fakes.verb import run_verb

CREDENTIALS = "/latest/meta-data/iam/security-credentials"
TREE = {
    "/latest/": b"dynamic\nmeta-data\nuser-data",
    "/latest/dynamic/": b"instance-identity/",
    "/latest/dynamic/instance-identity/": b"document",
    "/latest/dynamic/instance-identity/document": b'{\n  "accountId" : "1"\n}',
    "/latest/meta-data/": b"hostname\niam/\nplacement/\npublic-keys/\nuntold",
    "/latest/meta-data/hostname": b"box",
    "/latest/meta-data/iam/": b"info\nsecurity-credentials/",
    "/latest/meta-data/iam/info": (503, b"role 'dev' is starting"),
    f"{CREDENTIALS}/": b"dev",
    f"{CREDENTIALS}/dev": b"canary",
    "/latest/meta-data/placement/": b"region",
    "/latest/meta-data/placement/region": b"eu-west-1",
    "/latest/meta-data/public-keys/": b"0=laptop",
    "/latest/meta-data/public-keys/0/": b"openssh-key",
    "/latest/meta-data/public-keys/0/openssh-key": b"ssh-ed25519 AAAA" + 100 * b"A",
    "/latest/user-data": b"#!/bin/sh\nsecret",
}


@pytest.fixture
def daemon(tmp_path):
    with running_daemon(tmp_path / "run") as daemon:
        daemon.imds.update(TREE)
        yield daemon


@pytest.fixture
def metadata(daemon, tmp_path):
    def metadata(*words):
        return run_verb("metadata", *words, environ=daemon.environ, home=tmp_path)

    return metadata


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("/latest/meta-data/placement/region", "/latest/meta-data/placement/region"),
        ("2021-03-23/meta-data/hostname", "/2021-03-23/meta-data/hostname"),
        ("meta-data/placement/region", "/latest/meta-data/placement/region"),
        ("dynamic/instance-identity/document", "/latest/dynamic/instance-identity/document"),
        ("user-data", "/latest/user-data"),
        ("placement/region", "/latest/meta-data/placement/region"),
        ("/placement/", "/latest/meta-data/placement/"),
        ("latest", "/latest"),
        ("/", "/"),
        ("", "/"),
        ("tags/instance/a=b:c@d", "/latest/meta-data/tags/instance/a=b:c@d"),
        ("a b\r\nX: y?é", "/latest/meta-data/a%20b%0D%0AX:%20y%3F%C3%A9"),
    ],
)
def test_a_path_is_taken_short_or_whole(typed, path):
    assert request_path(typed) == path


def test_get_prints_a_value_to_the_byte(metadata, daemon, capfdbinary):
    daemon.imds["/latest/user-data"] = b"\x00\xff\r\n"
    assert metadata("get", "user-data") == 0
    assert capfdbinary.readouterr().out == b"\x00\xff\r\n"


def test_get_needs_one_token_and_no_bearer(metadata, daemon, capfdbinary):
    metadata("get", "placement/region")
    assert capfdbinary.readouterr().out == b"eu-west-1"
    assert daemon.requests == [
        ("PUT", "/latest/api/token"),
        ("GET", "/latest/meta-data/placement/region"),
    ]


def test_on_a_terminal_a_prompt_begins_on_a_line_of_its_own(daemon, tmp_path):
    ours, theirs = os.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "imdsd", "metadata", "get", "hostname"],
            env={**os.environ, **daemon.environ},
            stdout=theirs,
            check=True,
            timeout=60,
        )
        assert os.read(ours, 100) == b"box\r\n"
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("placement/regoin", "did you mean meta-data/placement/region?"),
        ("region", "did you mean meta-data/placement/region?"),
        ("2021-03-23/meta-data/hostnam", "did you mean meta-data/hostname?"),
        ("public-keys/0/openssh", "did you mean meta-data/public-keys/0/openssh-key?"),
        ("plcement/", "did you mean meta-data/placement?"),
        ("xyzzy", "`imdsd metadata tree` shows what there is"),
    ],
)
def test_a_path_that_is_not_there_names_the_nearest_that_is(metadata, typed, hint, capfdbinary):
    with pytest.raises(ImdsdError) as caught:
        metadata("get", typed)
    assert type(caught.value) is ImdsdError
    assert str(caught.value) == f"nothing is at {request_path(typed)}; {hint}"
    assert capfdbinary.readouterr().out == b""


def test_a_path_that_is_listed_without_a_value_says_where_it_is_set(metadata, daemon):
    del daemon.imds["/latest/user-data"]
    with pytest.raises(ImdsdError, match=r"though it is listed: configure it in \[metadata\]"):
        metadata("get", "user-data")


def test_a_value_that_is_to_come_is_an_error_of_credentials(metadata):
    with pytest.raises(NoCredentialsError, match=r"iam/info .*: role 'dev' is starting; see"):
        metadata("get", "iam/info")


@pytest.mark.parametrize("word", [("get", "hostname"), ("tree",)])
def test_whom_the_service_refuses_is_told_who_may_be_served(metadata, daemon, word):
    daemon.imds["/latest/api/token"] = (403, b"")
    with pytest.raises(ImdsdError, match="add this user to allow_users") as caught:
        metadata(*word)
    assert type(caught.value) is ImdsdError


def test_a_token_that_is_not_taken_is_told_with_the_path(metadata, daemon):
    daemon.imds["/latest/meta-data/hostname"] = (401, b"")
    with pytest.raises(ImdsdError, match=r"meta-data/hostname with 401: .*try again"):
        metadata("get", "hostname")


def test_another_status_is_told(metadata, daemon):
    daemon.imds["/latest/meta-data/hostname"] = (405, b"")
    with pytest.raises(ImdsdError, match="hostname was answered with 405"):
        metadata("get", "hostname")


def test_no_daemon_is_told_as_everywhere(tmp_path):
    environ = {"IMDSD_RUNTIME_DIR": str(tmp_path / "nowhere")}
    with pytest.raises(NoDaemonError):
        run_verb("metadata", "tree", environ=environ, home=tmp_path)


def test_without_a_word_the_tree_is_printed(metadata, capsys):
    assert metadata("tree") == 0
    tree = capsys.readouterr().out
    assert metadata() == 0
    assert capsys.readouterr().out == tree


def test_tree_prints_every_value_once(metadata, capsys):
    assert metadata("tree") == 0
    assert capsys.readouterr().out.splitlines() == [
        "dynamic/instance-identity/document  (23 bytes)",
        "meta-data/hostname  box",
        "meta-data/iam/info  (503: role 'dev' is starting)",
        "meta-data/iam/security-credentials/dev  (credentials, not shown)",
        "meta-data/placement/region  eu-west-1",
        "meta-data/public-keys/0/openssh-key  ssh-ed25519 AAAA" + 56 * "A" + "…",
        "user-data  (16 bytes)",
    ]


def test_tree_never_asks_for_credentials(metadata, daemon, capsys):
    metadata("tree")
    assert ("GET", f"{CREDENTIALS}/") in daemon.requests
    assert ("GET", f"{CREDENTIALS}/dev") not in daemon.requests
    assert "canary" not in capsys.readouterr().out


def test_a_value_of_several_lines_is_shown_by_its_first(metadata, daemon, capsys):
    daemon.imds["/latest/meta-data/hostname"] = b"one\ntwo"
    metadata("tree")
    assert "meta-data/hostname  one…\n" in capsys.readouterr().out


def test_nothing_that_moves_a_cursor_reaches_the_terminal(metadata, daemon, capsys):
    daemon.imds["/latest/meta-data/"] = b"\x1b[2Jname"
    daemon.imds["/latest/meta-data/%1B%5B2Jname"] = b"never asked for so"
    daemon.imds["/latest/meta-data/%1B[2Jname"] = b"\x1b[31mred\xff"
    metadata("tree")
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "meta-data/�[2Jname  �[31mred�\n" in out


def test_a_tree_without_an_end_ends(metadata, daemon, capsys):
    path = "/latest/meta-data/"
    for _ in range(40):
        daemon.imds[path] = b"again/"
        path += "again/"
    assert metadata("tree") == 0
    assert len(daemon.requests) < 40
