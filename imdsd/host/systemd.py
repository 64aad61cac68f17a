"""What systemd is told of the daemon: one datagram each (sd_notify(3))."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE_SECONDS = 1.0
"""How long a service manager that reads nothing is waited for."""


def notify(environ: Mapping[str, str], message: str) -> None:
    """Send `message` to the service manager; do nothing where there is none."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
    ):
        channel.settimeout(PATIENCE_SECONDS)
        channel.connect("\0" + address[1:] if address[0] == "@" else address)
        channel.sendall(message.encode())
