"""A service manager's part, played by a test: it holds sockets, and hears what it is told."""

import asyncio
import contextlib
import socket
import sys

from tests.system.machine import PATIENCE_SECONDS

# Each is `ADDRESS PORT DEVICE`, as a socket unit's ListenStream= and BindToDevice=, or the number
# of a descriptor. Then this process becomes the daemon, which keeps its id (sd_listen_fds(3)).
_HAND_OVER = """
import fcntl, os, socket, sys
count = int(sys.argv[1])
wanted, argv = sys.argv[2 : 2 + count], sys.argv[2 + count :]
opened = []
for each in wanted:
    if each.isdecimal():
        opened.append(socket.socket(fileno=int(each)))
        continue
    address, port, device = each.split(" ")
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if device:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    one.bind((address, int(port)))
    one.listen()
    opened.append(one)
# First out of the way: a descriptor may stand where another shall go.
apart = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 100) for one in opened]
for index, number in enumerate(apart):
    os.dup2(number, 3 + index)
names = ":".join(f"test-{index}.socket" for index in range(count))
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=names)
os.execvp(argv[0], argv)
"""


def handing_over(*wanted):
    """Return the words before a command that is to find these sockets, or descriptors, passed."""
    return [sys.executable, "-I", "-c", _HAND_OVER, str(len(wanted)), *map(str, wanted)]


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path):
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.setblocking(False)

    async def hears(self, start="", *, within=PATIENCE_SECONDS):
        """Wait for the next message that begins so, and pass over others; None if it is late."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(within):
                while True:
                    text = (await loop.sock_recv(self._socket, 4096)).decode()
                    if text.startswith(start):
                        return text
        except TimeoutError:
            return None

    def forget(self):
        """Pass over all that was said so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(4096)

    def close(self):
        self._socket.close()
