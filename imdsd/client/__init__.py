"""How a verb finds the running daemon and asks it."""

from imdsd.client.finding import GET_SECONDS, Daemon, find_daemon
from imdsd.client.http import Reply
from imdsd.client.status import DaemonStatus, LastError, RoleStatus
from imdsd.client.waiting import Deadline, WaitingClock

__all__ = [
    "GET_SECONDS",
    "Daemon",
    "DaemonStatus",
    "Deadline",
    "LastError",
    "Reply",
    "RoleStatus",
    "WaitingClock",
    "find_daemon",
]
