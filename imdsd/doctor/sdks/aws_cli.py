"""Whether the AWS CLI of this shell is one that cannot read the bearer from a file."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from imdsd.doctor.finding import Diagnosis, Level, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imdsd.doctor.finding import Finding, Surroundings

ASK_SECONDS = 5.0
_BEARER = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
_VERSION = re.compile(rb"aws-cli/(\d+)\.(\d+)\.\d+")
# The first that know the variable with the file (EKS User Guide, "Use Pod Identity with the AWS
# SDK"), by their first number.
_FIRST_MINOR = {1: 30, 2: 15}
_PASSED_ON = ("PATH", "HOME", "LANG")

OLD_CLI = Diagnosis(
    Step.SDKS,
    Level.WARNING,
    "old-cli",
    "the AWS CLI of this shell is from before 2024 and cannot read the bearer from a file: its "
    "answer will be 401",
    'take AWS CLI 2.15.0 or later; or `eval "$(imdsd env)"` in this shell, which `imdsd install '
    "--shell bash` writes for every shell",
)


def judge_cli(around: Surroundings) -> Iterator[Finding]:
    """Ask the AWS CLI for its version where the bearer is in a file alone."""
    if around.environ.get(_BEARER) or not around.environ.get(f"{_BEARER}_FILE"):
        return
    program = shutil.which("aws", path=around.environ.get("PATH", ""))
    found = _VERSION.search(_version(program, around.environ)) if program else None
    if found is None:
        return
    major, minor = int(found[1]), int(found[2])
    if minor < _FIRST_MINOR.get(major, 0):
        told = found[0].decode()
        yield OLD_CLI(f"{program} is {told}, which does not know {_BEARER}_FILE", program=program)


def _version(program: str, environ: Mapping[str, str]) -> bytes:
    try:
        done = subprocess.run(
            (program, "--version"),
            env={name: environ[name] for name in _PASSED_ON if name in environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=ASK_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return b""
    return done.stdout + done.stderr
