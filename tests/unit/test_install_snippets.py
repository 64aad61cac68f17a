from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from imdsd.host.runtime_directory import search_path
from imdsd.install.texts import snippets
from tests.support import need

WRITE = {"dash": snippets.for_sh, "bash": snippets.for_sh, "zsh": snippets.for_sh, "fish": snippets.for_fish}  # fmt: skip
SHELLS = [*WRITE]
# As strict as people make theirs.
STRICT = {"dash": "set -eu\n", "bash": "set -euo pipefail\nshopt -s nullglob failglob\n", "zsh": "set -eu\nsetopt nomatch ksharrays shwordsplit warncreateglobal\n", "fish": ""}  # fmt: skip


@pytest.fixture(params=["plain", "odd 'name\\ of $a folder"])
def place(tmp_path, request):
    """A run-time directory with a daemon's record in it, and an interpreter that tells of itself."""
    folder = tmp_path / request.param
    folder.mkdir()
    (folder / "daemon.json").touch()
    interpreter(folder, "echo 'export FOUND=yes;'")
    return folder


def interpreter(folder: Path, does: str) -> Path:
    program = folder / "python"
    program.write_text(f'#!/bin/sh\necho "$@" >>"{folder.parent}/started"\n{does}\n')
    program.chmod(0o755)
    return program


def start(shell, place, *, at=None, **environ):
    """Start a shell with the snippet; return its exit status, what it printed, how often we ran."""
    text = WRITE[shell](place / "python", places=("{IMDSD_RUNTIME_DIR}", "/nowhere"))
    script = STRICT[shell].encode() + text + b'\necho "FOUND=$FOUND$LEFT"\n'
    done = subprocess.run(
        [need(shell)],
        input=script,
        env={"PATH": os.environ["PATH"], "HOME": str(place), "FOUND": "", "LEFT": "",
             "IMDSD_RUNTIME_DIR": str(at or place), **environ},
        capture_output=True,
        check=False,
    )  # fmt: skip
    started = place.parent / "started"
    runs = started.read_text().splitlines() if started.exists() else []
    return done.returncode, done.stdout.decode(), done.stderr.decode(), runs


@pytest.mark.parametrize("shell", SHELLS)
def test_what_the_daemon_says_is_evaluated(shell, place):
    status, out, err, runs = start(shell, place)
    assert (status, out, err) == (0, "FOUND=yes\n", "")
    assert [line.split()[:4] for line in runs] == [["-P", "-m", "imdsd", "env"]]


@pytest.mark.parametrize("shell", SHELLS)
def test_without_a_daemon_no_interpreter_is_started(shell, place):
    (place / "daemon.json").unlink()
    assert start(shell, place) == (0, "FOUND=\n", "", [])


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_that_has_a_bearer_asks_nobody(shell, place):
    told = {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "x"}
    assert start(shell, place, **told) == (0, "FOUND=\n", "", [])


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("does", ["echo noise >&2; exit 3", "kill -9 $$", ""])
def test_an_interpreter_that_fails_breaks_no_shell(shell, place, does):
    interpreter(place, does)
    status, out, err, runs = start(shell, place)
    assert (status, out, err) == (0, "FOUND=\n", "")
    assert len(runs) == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_an_interpreter_that_is_gone_breaks_no_shell(shell, place):
    (place / "python").unlink()
    assert start(shell, place) == (0, "FOUND=\n", "", [])


@pytest.mark.parametrize("shell", SHELLS)
def test_no_variable_is_needed_and_none_is_left(shell, tmp_path):
    text = WRITE[shell](tmp_path / "python", places=snippets.of_user(os.getuid(), "alice"))
    script = STRICT[shell].encode() + text + b"set\n"
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run([need(shell)], input=script, env=environ, capture_output=True, check=True)
    names = {line.partition(b"=")[0].partition(b" ")[0] for line in done.stdout.splitlines()}
    assert not [name for name in names if b"imdsd" in name]


def test_a_shell_looks_where_a_client_looks(tmp_path):
    uid, name = os.getuid(), "alice"
    environ = {"XDG_RUNTIME_DIR": "/xdg", "TMPDIR": "/temporary"}
    looked = [
        re.sub(r"\{(\w+)\}", lambda found: environ.get(found[1], ""), place)
        for place in snippets.of_user(uid, name)
    ]
    clients = {str(path) for path in search_path(environ, uid=uid)}
    # The name of the user who runs this is not alice.
    clients = {re.sub(r"/run/imdsd-user/.*", "/run/imdsd-user/alice", path) for path in clients}
    assert {place for place in looked if place} == clients
    assert "{IMDSD_RUNTIME_DIR}" in snippets.of_user(uid, name)


@pytest.mark.parametrize("name", ["$(id)", "`id`", 'a"b', "DOM\\alice", "{HOME}", "a b\n"])
def test_a_name_that_a_shell_could_run_is_not_written(name):
    assert not any("imdsd-user" in place for place in snippets.of_user(1000, name))
    assert "/run/imdsd-user/zoë.b@example.com" in snippets.of_user(1000, "zoë.b@example.com")
