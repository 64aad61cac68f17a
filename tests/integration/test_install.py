"""The line for users in the README: install from the repository with uv."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(tmp_path):
    """Install from a clone of what is committed, as a user does from its URL."""
    environ = {
        **os.environ,
        "UV_TOOL_DIR": str(tmp_path / "tools"),
        "UV_TOOL_BIN_DIR": str(tmp_path / "bin"),
        "UV_PYTHON": sys.executable,
        # Trust what the machine trusts: its network may inspect TLS.
        "UV_SYSTEM_CERTS": "true",
    }
    uv = [sys.executable, "-m", "uv", "tool", "install", "--quiet"]
    subprocess.run([*uv, f"git+file://{ROOT}"], env=environ, check=True, timeout=300)
    return tmp_path / "bin/imdsd"


def test_the_installed_command_runs_and_says_what_a_plain_install_lacks(installed, tmp_path):
    environ = {"IMDSD_RUNTIME_DIR": str(tmp_path / "run"), "HOME": str(tmp_path)}
    version = subprocess.run([installed, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("imdsd ")
    arn = "arn:aws:iam::123456789012:role/dev"
    checked = subprocess.run(
        [installed, "check-config", "--role-arn", arn],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert arn in checked.stdout
    demo = subprocess.run(
        [installed, "demo"], check=False, env=environ, capture_output=True, text=True
    )
    assert demo.returncode == 1
    assert "'imdsd[sandbox] @ git+URL'" in demo.stderr
