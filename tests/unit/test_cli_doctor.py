from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.fakes.daemon import running_daemon
from tests.fakes.verb import run_verb


def doctor(tmp_path, *words, **environ):
    told = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environ}
    return run_verb("doctor", "--config", "/dev/null", *words, environ=told, home=tmp_path)


def run(tmp_path, *words, **environ):
    return subprocess.run(
        [sys.executable, "-m", "imdsd", "doctor", "--config", "/dev/null", *words],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environ},
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_it_tells_every_step_and_ends_with_1_where_something_fails(tmp_path, capsys):
    assert doctor(tmp_path, "--offline") == 1
    out, err = capsys.readouterr()
    assert "daemon" in out
    assert out.splitlines()[-1].startswith("1 failure, ")
    assert err == ""


def test_the_document_alone_is_printed_with_json(tmp_path, capsys):
    assert doctor(tmp_path, "--offline", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "failure"
    assert "daemon.none" in [each["code"] for each in document["findings"]]


@pytest.mark.parametrize(("words", "status"), [((), 0), (("--strict",), 5)])
def test_warnings_count_when_they_are_asked_to(tmp_path, words, status):
    with running_daemon(tmp_path / "run") as daemon:
        assert doctor(tmp_path, "--offline", *words, **daemon.environ) == status


def test_a_pipe_gets_plain_lines_in_whatever_encoding(tmp_path):
    done = run(tmp_path, "--offline", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 1, done.stderr
    assert done.stdout.isascii()
    assert b"\x1b" not in done.stdout
    assert b"x failure daemon" in done.stdout


def test_it_starts_in_a_folder_that_is_gone(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone}; rmdir {gone}; exec {sys.executable} -m imdsd doctor --offline"
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": os.getcwd()}  # noqa: PTH109
    done = subprocess.run(
        ["sh", "-c", script], env=environ, capture_output=True, timeout=60, check=False
    )
    assert b"Traceback" not in done.stderr
    assert b"daemon" in done.stdout


def test_a_bundle_is_written_beside_the_report(tmp_path, capsys):
    assert doctor(tmp_path, "--offline", "--bundle", str(tmp_path / "bundle.json")) == 1
    out, err = capsys.readouterr()
    assert "daemon" in out
    assert f"the report is in {tmp_path}/bundle.json" in err
    report = json.loads((tmp_path / "bundle.json").read_text())
    assert report["doctor"]["verdict"] == "failure"
