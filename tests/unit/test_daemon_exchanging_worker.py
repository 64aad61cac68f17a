"""What the exchange process makes of errors that nobody foresaw."""

from __future__ import annotations

import asyncio
import socket

import imdsd.sts.exchange
from imdsd.daemon.exchanging.messages import Refused, line, result_of
from imdsd.daemon.exchanging.worker import serve
from tests.unit.test_daemon_exchanging_messages import CANARY, job


async def test_a_defect_is_told_by_its_kind_alone(monkeypatch):
    def defective():
        raise KeyError(CANARY)

    monkeypatch.setattr(imdsd.sts.exchange, "shared_session", defective)
    monkeypatch.setattr("signal.alarm", lambda _seconds: None)
    ours, theirs = socket.socketpair()
    serving = asyncio.create_task(serve(theirs))
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    writer.write(line(5, job()))
    number, refused = result_of(await reader.readline())
    assert number == 5
    assert isinstance(refused, Refused)
    assert refused.reason == "the exchange failed with KeyError"
    assert refused.code == "ExchangeFailed"
    writer.close()
    await writer.wait_closed()
    await serving
