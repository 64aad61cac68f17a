"""A reader: does what a document says, block by block, in one shell, on a machine of the test's.

The machine is a network namespace with an AWS of our own behind the usual variables, a home, and a
root file system that cannot be written to. Its environment is one of Ona's.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.documents.blocks import ROOT, Block
from tests.support import BIN, Room, scrubbed_environ
from tests.system.settings import table

ROLE = "arn:aws:iam::123456789012:role/dev"

_BEGIN = r"""
set -e -o pipefail -m
mount --bind "$HOME" "$HOME"
for name in passwd group; do mount --bind "$HOME/etc/$name" "/etc/$name"; done
mount -o remount,bind,ro /
cd "$HOME/work"
git init --quiet
curl -fsS -X POST "$AWS_ENDPOINT_URL/moto-api/reset" > "$OUT/reset"

serve() {
    if [ -n "$daemon" ]; then kill "$daemon"; wait "$daemon"; fi
    imdsd serve >> "$OUT/daemon" 2>&1 & daemon=$!
    imdsd wait
}
fails_with() { echo "exited with $2, expected $1"; exit 1; }
"""
# The one thing that is in the account already, where a document asks for it.
_SECRET = """
AWS_PROFILE=administrator aws secretsmanager create-secret --name dev/database \\
    --secret-string postgres://dev@db.example.com/dev > "$OUT/secret"
"""
# On a terminal, whose Ctrl-C comes when something is on the screen.
_UNTIL = """
mkfifo "$OUT/keys"
script -qefc {command} "$OUT/screen" < "$OUT/keys" & shown=$!
exec 4> "$OUT/keys"
until [ -s "$OUT/screen" ]; do sleep 0.1; done
printf '\\003' >&4
wait $shown || [ $? = 130 ]
"""
_ONA = """#!/bin/sh
# What prints a web identity token in an Ona environment.
exec curl -fsS "$TOKEN_URL?audience=$4" -o /dev/stdout | sed 's/.*: "//; s/".*//'
"""


@dataclass(slots=True)
class Reader:
    """One who reads one document, with a home of their own."""

    room: Room
    cloud: dict[str, Any]
    home: Path
    at: Block | None = None
    _steps: list[str] = field(default_factory=list)

    def read(self, blocks: Sequence[Block]) -> list[str]:
        """Do what the blocks say and return what each printed; the first that fails ends it."""
        self._settle()
        script = self.home / "script"
        script.write_text("".join(self._steps_of(blocks)))
        enter = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        # What does not end by itself is ended, and tells of itself by its status.
        enter = ("timeout", "--signal=KILL", "120", *enter)
        done = self.room.try_run(*enter, "bash", script, environ=self._environ(), seconds=240)
        if done.returncode:
            last = int((self._out / "at").read_text() or 0)
            self.at = blocks[last]
            raise AssertionError(
                f"exit {done.returncode}: {done.stderr}\n{self._printed(last)}\n"
                f"the daemon's log:\n{self._printed('daemon')}"
            )
        return [self._printed(number) for number in range(len(blocks))]

    @property
    def _out(self) -> Path:
        return self.home / "out"

    def _printed(self, name: object) -> str:
        path = self._out / str(name)
        return path.read_text() if path.exists() else ""

    def _settle(self) -> None:
        for name in ("out", "work", "tmp", "bin", "etc", ".aws", ".config/imdsd", "run"):
            (self.home / name).mkdir(parents=True, mode=0o700)
        (self.home / "bin/ona").write_text(_ONA)
        (self.home / "bin/ona").chmod(0o755)
        # The users and groups that documents name.
        users = "alice:x:2001:2001::/:/bin/sh\nci:x:2002:2002::/:/bin/sh\n"
        groups = "developers:x:2001:alice\nci:x:2002:\n"
        (self.home / "etc/passwd").write_text(Path("/etc/passwd").read_text() + users)
        (self.home / "etc/group").write_text(Path("/etc/group").read_text() + groups)
        credentials = "\n".join(f"{key} = {value}" for key, value in self.cloud["administrator"].items())  # fmt: skip
        (self.home / ".aws/config").write_text("[profile administrator]\nregion = eu-central-1\n")
        (self.home / ".aws/credentials").write_text(f"[administrator]\n{credentials}\n")

    def _environ(self) -> dict[str, str]:
        environ = scrubbed_environ(
            self.home,
            OUT=str(self._out),
            TMPDIR=str(self.home / "tmp"),
            IMDSD_RUNTIME_DIR=str(self.home / "run/imdsd"),
            GITPOD_ENVIRONMENT_ID="here",
            EMAIL="reader@example.com",
            TOKEN_URL=self.cloud["token_url"],
            AWS_ENDPOINT_URL=self.cloud["aws_url"],
            AWS_ENDPOINT_URL_STS=self.cloud["sts_url"],
            PYTHONPATH=str(ROOT),
            COLUMNS="100",
        )
        return {**environ, "PATH": f"{self.home}/bin:{environ['PATH']}"}

    def _steps_of(self, blocks: Sequence[Block]) -> Iterator[str]:
        yield _BEGIN
        yield _SECRET if "secretsmanager" in str(blocks) else ""
        started = set(re.findall(r"imdsd (serve|demo)", str(shell_blocks(blocks))))
        if started != {"demo"}:
            config = self.home / ".config/imdsd/config.toml"
            config.write_text(in_sandbox("", self.cloud["sts_url"]))
        stale = not started
        for number, block in enumerate(blocks):
            yield f'echo {number} > "$OUT/at"\n'
            if block.language == "sh" and not block.needs:
                yield "serve\n" if stale else ""
                stale = False
                yield f'exec > "$OUT/{number}" 2>&1\n{as_run(block.text)}\n'
            elif block.language == "toml" and not block.file.startswith("/"):
                yield self._write(number, block, in_sandbox(block.text, self.cloud["sts_url"]))
                stale = not started
            elif block.language not in ("sh", "text") and block.file:
                yield self._write(number, block, block.text)

    def _write(self, number: int, block: Block, text: str) -> str:
        usual = "$HOME/.config/imdsd/config.toml"
        name = block.file.replace("~/", "$HOME/") if is_own(block) else usual
        kept = self._out / f"file-{number}"
        kept.write_text(text)
        return f'mkdir -p "$(dirname "{name}")"\ncp "{kept}" "{name}"\n'


def is_own(block: Block) -> bool:
    return bool(block.file) and not (block.language == "toml" and "/" in block.file)


def shell_blocks(blocks: Sequence[Block]) -> list[Block]:
    """Return what a reader is to run."""
    return [block for block in blocks if block.language == "sh" and not block.needs]


def as_run(text: str) -> str:
    """Give the two things that a comment says of a line to the shell: how and when it ends."""
    text = re.sub(
        r"(?m)^(.*?) +# exits (\d+).*$",
        r"if \1; then fails_with \2 0; else status=$?; [ $status = \2 ] || fails_with \2 $status; fi",
        text,
    )
    return re.sub(
        r"(?m)^(.*?) +# until Ctrl-C$",
        lambda line: _UNTIL.format(command=shlex.quote(line[1])),
        text,
    )


def in_sandbox(text: str, sts_url: str) -> str:
    """Return a configuration with each role's STS in the sandbox, and a role where it has none."""
    document = {"region": "eu-central-1", **tomllib.loads(text)}
    roles = document.get("role") or [{"arn": ROLE}]
    document["role"] = [{**role, "sts_endpoint_url": sts_url} for role in roles]
    return "\n".join(table(document)) + "\n"


def missing(expected: str, printed: str) -> str:
    """Return the first line that a document shows and that was not printed after those before it.

    `…` stands for anything, a number for any number; white space and rules may be of any length.
    """
    lines = iter([_evened(line) for line in printed.splitlines()])
    for line in filter(None, expected.splitlines()):
        pattern = re.escape(_evened(line)).replace("…", ".*")
        if not any(re.fullmatch(pattern, each) for each in lines):
            return line
    return ""


def _evened(line: str) -> str:
    return re.sub("─+", "─", re.sub(r"\s+", " ", re.sub(r"\d+", "0", line))).strip()


@contextmanager
def cloud(where: Room, directory: Path, arns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Run the AWS of our own in a room."""
    log = directory / "aws.log"
    environ = scrubbed_environ(directory, PYTHONPATH=str(ROOT))
    words = (BIN / "python", "-m", "tests.documents.aws", *arns)
    with where.running(*words, environ=environ, stderr=log) as process:
        line = process.stdout.readline()
        assert line, log.read_text()
        yield json.loads(line)
