"""What systemd is told of the daemon, one datagram each, and how often (sd_notify(3))."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE_SECONDS = 1.0
"""How long a service manager that reads nothing is waited for, where nobody waits for us."""

_MOST_DIGITS = 20  # of 64 bits


def has_manager(environ: Mapping[str, str]) -> bool:
    """Whether a service manager wants to be told."""
    return environ.get("NOTIFY_SOCKET", "").startswith(("/", "@"))


def notify(
    environ: Mapping[str, str], *lines: str, patience_seconds: float = PATIENCE_SECONDS
) -> bool:
    """Send `lines`, each `NAME=value`, to the service manager; do nothing where there is none.

    Returns whether that is settled: False where its queue was full for `patience_seconds`, so that
    another try may succeed.
    """
    if not has_manager(environ):
        return True
    address = environ["NOTIFY_SOCKET"]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
    ):
        channel.settimeout(patience_seconds)
        try:
            channel.connect("\0" + address[1:] if address[0] == "@" else address)
            channel.sendall("\n".join(lines).encode())
        except (TimeoutError, BlockingIOError):
            return False
    return True


def watchdog_seconds(environ: Mapping[str, str], *, pid: int) -> float | None:
    """Return after how much silence the service manager ends this process; None for never.

    As sd_watchdog_enabled(3) reads it: what is meant for another process is no business of ours.
    """
    text = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > _MOST_DIGITS or not int(text):
        return None
    return int(text) / 1e6
