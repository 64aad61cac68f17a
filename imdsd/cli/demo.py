"""`imdsd demo`: the real daemon against an issuer and an STS of its own, all on loopback."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from imdsd.clock import Clock, SystemClock
from imdsd.config import Config, TokenConfig, add_flags, load
from imdsd.errors import UsageError
from imdsd.host.memory import close_memory, leave_no_core
from imdsd.host.runtime_directory import RuntimeDirectory
from imdsd.telemetry.log import configure_logging

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from imdsd.daemon.boot import Boot
    from imdsd.daemon.service import Daemon
    from imdsd.sandbox.app import Sandbox

ROLE_ARN = "arn:aws:iam::123456789012:role/imdsd-demo"
_LEAST_SESSION_SECONDS = 60
_LONGEST_SECONDS = 43200

_GUIDE = """\
imdsd demo: the real daemon, with an issuer and an STS of its own; nothing leaves this machine.

  daemon  http://{listener}   credentials of {role_arn}
  issuer  {issuer}   mints web identity tokens
  STS     {sts}   verifies them, issues credentials, checks signatures

Try, in another shell{hint}:

  eval "$(imdsd env)"               point every SDK here
  aws sts get-caller-identity       whom the STS takes you for
  imdsd status                      until when, and what comes next
  imdsd refresh                     new credentials, now
  curl -fsS http://{listener}/readyz

Ctrl-C stops everything.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Take what `serve` takes, but for the token source: the demo has its own."""
    parser.add_argument(
        "--session-seconds",
        type=int,
        metavar="N",
        help="have the STS give sessions of N seconds, at least 60, to watch refreshes happen",
    )
    parser.add_argument(
        "command",
        nargs="*",
        metavar="-- COMMAND…",
        help="run this with the daemon's variables, and exit with its status",
    )
    add_flags(parser, exclude=("token_command", "token_file"))


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped, or until the command ends."""
    session_seconds = arguments.session_seconds
    if session_seconds is not None and session_seconds < _LEAST_SESSION_SECONDS:
        raise UsageError(f"--session-seconds is {session_seconds}, expected 60 or more")
    # A command would inherit the limit, which would be none of our business.
    if not arguments.command:
        leave_no_core()
    open_memory = close_memory()
    environ = dict(os.environ)
    read_config = partial(_read_config, vars(arguments), environ)
    config = read_config()
    level = config.log_level if not arguments.command or arguments.log_level else "warning"
    configure_logging(level=level, log_format=config.log_format)
    with RuntimeDirectory.acquire(environ, uid=os.geteuid()) as directory:
        from imdsd.daemon import process

        demo = _Demo(directory, environ, SystemClock(), read_config, open_memory, session_seconds)
        return process.run(lambda: demo.run(config, tuple(arguments.command)))


@dataclass(frozen=True, slots=True)
class _Demo:
    directory: RuntimeDirectory
    environ: Mapping[str, str]
    clock: Clock
    read_config: Callable[[], Config]
    open_memory: str
    session_seconds: int | None

    async def run(self, config: Config, command: Sequence[str]) -> int:
        """Serve until stopped, or until `command` ends; return its exit status, or 0."""
        from imdsd.daemon.service import Daemon
        from imdsd.sandbox.app import Sandbox

        audience = config.token.audience
        async with Sandbox(
            clock=self.clock, session_seconds=self.session_seconds, audience=audience
        ) as sandbox:
            daemon = Daemon(self._boot(config, sandbox))
            if command:
                return await self._run_beside(daemon, command)
            await daemon.run(ready=lambda listeners: self._explain(listeners[0], config, sandbox))
        return 0

    def _boot(self, config: Config, sandbox: Sandbox) -> Boot:
        from imdsd.credentials.schedule import LEAST_INTERVAL_SECONDS
        from imdsd.daemon.boot import Boot

        least = min(LEAST_INTERVAL_SECONDS, (self.session_seconds or _LONGEST_SECONDS) / 4)
        return Boot(
            _in_sandbox(config, sandbox),
            self.directory,
            self.environ,
            clock=self.clock,
            read_config=lambda: _in_sandbox(self.read_config(), sandbox),
            demo_sts_url=sandbox.sts_url,
            least_interval_seconds=least,
            open_memory=self.open_memory,
        )

    async def _run_beside(self, daemon: Daemon, command: Sequence[str]) -> int:
        listening = asyncio.Event()
        serving = asyncio.create_task(
            daemon.run(ready=lambda _listeners: listening.set()), name="daemon"
        )
        starting = asyncio.create_task(listening.wait(), name="await the daemon")
        await asyncio.wait((serving, starting), return_when=asyncio.FIRST_COMPLETED)
        starting.cancel()
        if not listening.is_set():
            await serving
            return 1
        child = await self._start(command)
        ending = asyncio.create_task(child.wait(), name="await the command")
        await asyncio.wait((serving, ending), return_when=asyncio.FIRST_COMPLETED)
        if child.returncode is None:
            child.terminate()
        status = await ending
        daemon.stop()
        await serving
        return status if status >= 0 else 128 - status

    async def _start(self, command: Sequence[str]) -> asyncio.subprocess.Process:
        """Start `imdsd exec`, which waits for the first credentials and becomes the command."""
        environ = {**self.environ, "IMDSD_RUNTIME_DIR": str(self.directory.path)}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "imdsd", "exec", "--", *command, env=environ
        )

    def _explain(self, listener: str, config: Config, sandbox: Sandbox) -> None:
        chosen = self.environ.get("IMDSD_RUNTIME_DIR")
        role = next(role for role in config.roles if role.name == config.default_role)
        guide = _GUIDE.format(
            listener=listener,
            role_arn=role.chain[-1] if role.chain else role.arn,
            issuer=sandbox.issuer_url,
            sts=sandbox.sts_url,
            hint=f" with IMDSD_RUNTIME_DIR={chosen}" if chosen else "",
        )
        sys.stdout.write(guide)
        sys.stdout.flush()


def _read_config(flags: Mapping[str, object], environ: Mapping[str, str]) -> Config:
    """Read the configuration; without a role, take the demo's own."""
    config = load(flags=flags, environ=environ, require_role=False)
    return config if config.roles else load(flags={**flags, "role_arn": ROLE_ARN}, environ=environ)


def _in_sandbox(config: Config, sandbox: Sandbox) -> Config:
    """Have every role exist in the sandbox, minted and exchanged there."""
    from imdsd.sandbox.app import SandboxRole

    for role in config.roles:
        for arn in (role.arn, *role.chain):
            sandbox.add_role(SandboxRole(arn, max_session_seconds=_LONGEST_SECONDS))
    roles = tuple(
        replace(
            role,
            sts_endpoint_url=sandbox.sts_url,
            token=TokenConfig(
                source="http",
                audience=config.token.audience,
                url=f"{sandbox.token_url}?audience={{audience}}",
            ),
            # Credentials of the sandbox would take the place of real ones.
            files=None,
        )
        for role in config.roles
    )
    # What the configuration warns of, a region by default above all, has no meaning here.
    return replace(config, roles=roles, warnings=())
