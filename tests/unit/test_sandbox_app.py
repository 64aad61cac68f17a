"""The sandbox as a whole: where it listens, what it refuses, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import aiohttp
import pytest

from imdsd.clock import SystemClock
from imdsd.errors import UsageError
from imdsd.sandbox.app import Sandbox, SandboxRole
from imdsd.sandbox.sessions import Sessions, open_session, parse_role_arn


async def status_of(url):
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return response.status


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_both_servers_listen_on_their_own_loopback_port(host):
    async with Sandbox(clock=SystemClock(), host=host) as sandbox:
        assert urlsplit(sandbox.issuer_url).hostname == host
        assert urlsplit(sandbox.sts_url).hostname == host
        assert sandbox.issuer_url != sandbox.sts_url
        assert await status_of(sandbox.token_url) == 200
        assert await status_of(sandbox.sts_url) == 400


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "localhost", ""])
def test_a_host_beyond_loopback_is_refused(host):
    with pytest.raises(UsageError, match="expected a loopback address"):
        Sandbox(clock=SystemClock(), host=host)


@pytest.mark.parametrize(
    "arn", ["", "dev", "arn:aws:iam::1:role/dev", "arn:aws:iam::123456789012:user/dev"]
)
def test_what_is_no_role_arn_is_refused(arn):
    with pytest.raises(UsageError, match="expected arn:aws:iam::123456789012:role/NAME"):
        SandboxRole(arn)


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:iam::123456789012:role/dev", "dev"),
        ("arn:aws:iam::123456789012:role/a/b/dev", "dev"),
        ("arn:aws-iso-b:iam::123456789012:role/dev@x,y=z.1+-_", "dev@x,y=z.1+-_"),
    ],
)
def test_a_role_is_known_by_the_last_element_of_its_path(arn, name):
    assert parse_role_arn(arn).name == name


def test_a_role_keeps_its_unique_id():
    one, same = (parse_role_arn("arn:aws:iam::123456789012:role/dev") for _ in range(2))
    other = parse_role_arn("arn:aws:iam::123456789012:role/other")
    assert one.unique_id == same.unique_id != other.unique_id
    assert len(one.unique_id) == 21
    assert one.unique_id.startswith("AROA")


def test_the_sessions_do_not_grow_for_ever():
    role = parse_role_arn("arn:aws:iam::123456789012:role/dev")
    sessions, now = Sessions(most=2), SystemClock().now()
    opened = [open_session(role, "s", now=now, duration_seconds=900) for _ in range(3)]
    for session in opened:
        sessions.remember(session)
    found = [sessions.find(session.access_key_id) for session in opened]
    assert found == [None, opened[1], opened[2]]


def test_a_sandbox_that_was_not_started_says_so():
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = Sandbox(clock=SystemClock()).issuer_url


async def test_two_sandboxes_stand_side_by_side():
    async with Sandbox(clock=SystemClock()) as one, Sandbox(clock=SystemClock()) as two:
        assert one.sts_url != two.sts_url
        assert await status_of(one.token_url) == await status_of(two.token_url) == 200


async def test_the_ports_are_closed_at_the_end():
    async with Sandbox(clock=SystemClock()) as sandbox:
        urls = sandbox.issuer_url, sandbox.sts_url
    for url in urls:
        parts = urlsplit(url)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(parts.hostname, parts.port)


async def test_an_idle_connection_does_not_hold_up_the_end():
    async with asyncio.timeout(5):
        async with Sandbox(clock=SystemClock()) as sandbox:
            parts = urlsplit(sandbox.sts_url)
            idle = socket.create_connection((parts.hostname, parts.port))
        idle.close()


def test_without_cryptography_the_import_says_what_to_install():
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from imdsd.errors import ImdsdError\n"
        "try:\n"
        "    import imdsd.sandbox\n"
        "except ImdsdError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert "'imdsd[sandbox] @ git+URL'" in run.stdout
