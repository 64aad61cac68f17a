"""`imdsd token`: the web identity token alone, or what it says."""

import json
import os
import pty
import subprocess
import sys

import jwt
import pytest

from imdsd.cli import main
from imdsd.cli.token import decoded
from imdsd.errors import ClaimsError
from imdsd.secret import Secret

CLAIMS = {"iss": "https://app.gitpod.io", "sub": "é", "aud": "sts.amazonaws.com", "exp": 1}
TOKEN = jwt.encode(CLAIMS, "k" * 32, headers={"kid": "1"})
ROLE = '[[role]]\narn = "arn:aws:iam::123456789012:role/dev"\n'


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return path


def test_a_pipe_gets_the_token_without_a_newline(token_file, capsys):
    assert main(["token", "--config", "/dev/null", "--token-file", str(token_file)]) == 0
    assert capsys.readouterr() == (TOKEN, "")


def test_a_terminal_gets_a_newline_after_it(token_file):
    reader, terminal = pty.openpty()
    words = ["token", "--config", "/dev/null", "--token-file", str(token_file)]
    done = subprocess.run(
        [sys.executable, "-m", "imdsd", *words], stdout=terminal, timeout=30, check=False
    )
    os.close(terminal)
    with os.fdopen(reader, "rb", buffering=0) as screen:
        assert (done.returncode, screen.read(4096)) == (0, TOKEN.encode() + b"\r\n")


def test_decode_prints_header_and_claims(token_file, capsys):
    words = ["token", "--decode", "--config", "/dev/null", "--token-file", str(token_file)]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == {
        "Header": {"alg": "HS256", "typ": "JWT", "kid": "1"},
        "Claims": CLAIMS,
    }
    assert '\n    "sub": "é"' in out


def test_it_mints_as_the_default_role_would(token_file, tmp_path, capsys):
    config = tmp_path / "config.toml"
    config.write_text(f'[token]\nfile = "/none"\n{ROLE}[role.token]\nfile = "{token_file}"')
    assert main(["token", "--config", str(config)]) == 0
    assert capsys.readouterr().out == TOKEN


def test_the_audience_reaches_the_command(tmp_path, token_file, capsys):
    seen = tmp_path / "seen"
    script = f'printf %s "$1" > {seen}; cat {token_file}'
    command = f"sh -c '{script}' sh {{audience}}"
    words = ["token", "--config", "/dev/null", "--audience", "me", "--token-command", command]
    assert main(words) == 0
    assert (seen.read_text(), capsys.readouterr().out) == ("me", TOKEN)


def test_a_source_that_fails_is_told_on_stderr_and_exits_1(tmp_path, capsys):
    missing = str(tmp_path / "none")
    assert main(["token", "--config", "/dev/null", "--token-file", missing]) == 1
    out, err = capsys.readouterr()
    assert (out, missing in err) == ("", True)


@pytest.mark.parametrize("text", ["", "canary", "canary.canary.canary", f"{TOKEN}.canary"])
def test_what_is_no_jwt_is_refused_without_being_shown(text):
    with pytest.raises(ClaimsError) as caught:
        decoded(Secret(text))
    assert "canary" not in str(caught.value)
    assert TOKEN not in str(caught.value)
