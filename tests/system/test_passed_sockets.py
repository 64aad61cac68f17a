"""Sockets that a service manager holds: who is served on them, and that a restart refuses nobody."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.fakes.served import parse
from tests.support import room
from tests.system.daemon import DEMO, DaemonProcess, asking, heard
from tests.system.machine import NOBODY, as_user, need_root
from tests.system.manager import Manager, handing_over
from tests.system.settings import role, settings
from tests.system.stream import STREAM

SOMEBODY = 54321
TTL = {"X_aws_ec2_metadata_token_ttl_seconds": "60"}


@pytest.fixture(params=["127.0.0.1", "::1"])
def held(request):
    """A listening socket that outlives daemons."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family, backlog=64) as opened:
        yield opened


def unsaid(sandbox, *roles, **top):
    """A configuration that says nothing of listeners."""
    first, _, rest = settings(sandbox, *roles, **top).partition("\n")
    assert first.startswith("listen")
    return rest


def serve(daemons, held, text, **options):
    prefix = [*options.pop("prefix", ()), *handing_over(held.fileno())]
    return daemons.serve(text, prefix=prefix, pass_fds=[held.fileno()], **options)


def shown(held):
    host, port = held.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def get(held, path, **headers):
    """Ask over a connection of its own."""
    reader, writer = await asyncio.open_connection(*held.getsockname()[:2])
    return await answer_to(reader, writer, held, path, **headers)


async def answer_to(reader, writer, held, path, **headers):
    lines = [f"GET {path} HTTP/1.1", f"Host: {shown(held)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(60):
            return parse(await reader.read())
    finally:
        writer.close()


async def ready(daemon, held):
    """Wait for the daemon at the held socket, which may not be on IPv4 at all."""
    await daemon.listening()

    async def is_ready():
        return (await get(held, "/readyz")).status == 200

    await daemon.until(is_ready, what="the daemon is ready")
    assert daemon.record["listeners"] == [shown(held)]
    return daemon


async def test_a_daemon_serves_what_was_passed_and_binds_nothing_else(daemons, sandbox, held):
    daemon = await ready(serve(daemons, held, unsaid(sandbox)), held)
    reply = await get(held, "/v1/credentials", Authorization=daemon.bearer)
    assert reply.status == 200


async def test_what_is_configured_is_served_beside_it(daemons, sandbox, held):
    daemon = await serve(daemons, held, settings(sandbox)).listening()
    own, passed = daemon.record["listeners"]
    assert passed == shown(held)
    assert own.startswith("127.0.0.1:")
    assert (await get(held, "/healthz")).status == 200


async def test_a_listener_of_the_same_address_gives_a_passed_socket_its_settings(
    daemons, sandbox, held
):
    listen = [{"address": shown(held), "imds": "off", "hop_limit": 7}]
    text = settings(sandbox, listen=listen)
    daemon = await ready(serve(daemons, held, text), held)
    assert (await get(held, "/latest/meta-data/")).status == 403
    assert (await get(held, "/v1/credentials", Authorization=daemon.bearer)).status == 200
    # The limit stands on the queue itself, which the manager holds too.
    level, option = socket.IPPROTO_IP, socket.IP_TTL
    if held.family == socket.AF_INET6:
        level, option = socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS
    assert held.getsockopt(level, option) == 7


async def test_requests_that_come_between_two_daemons_are_answered_by_the_next(
    daemons, sandbox, held
):
    text = unsaid(sandbox)
    daemon = await ready(serve(daemons, held, text), held)
    bearer = daemon.bearer
    for number, code in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        daemon.send(number)
        assert await daemon.ended() == code
        waiting = [await asyncio.open_connection(*held.getsockname()[:2]) for _ in range(20)]
        asked = [
            asyncio.create_task(answer_to(*each, held, "/v1/credentials", Authorization=bearer))
            for each in waiting
        ]
        daemon = await ready(serve(daemons, held, text), held)
        # Answered, though the first credentials may not have been there yet.
        assert {reply.status for reply in await asyncio.gather(*asked)} <= {200, 503}


async def test_a_restart_neither_refuses_nor_drops_a_request(daemons, sandbox):
    text = unsaid(sandbox)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as held:
        daemon = await ready(serve(daemons, held, text), held)
        command = [sys.executable, "-I", "-c", STREAM, str(daemon.port)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes) as stream:
            assert stream.stdout.readline() == "asking\n"
            for _ in range(5):
                daemon.send(signal.SIGTERM)
                assert await daemon.ended() == 0
                daemon = await ready(serve(daemons, held, text), held)
            counts, _ = await asyncio.to_thread(stream.communicate, timeout=60)
    assert set(json.loads(counts)) == {"200"}


async def test_a_reload_keeps_what_was_passed(daemons, sandbox, held):
    daemon = await ready(serve(daemons, held, unsaid(sandbox)), held)
    daemons.configure(unsaid(sandbox, role(sandbox, name="prod", aliases=["dev"])))
    daemon.send(signal.SIGHUP)
    await daemon.until(lambda: daemon.events("configuration_reloaded"), what="the reload")
    reply = await get(held, "/v1/credentials/prod", Authorization=daemon.bearer)
    assert reply.status == 200


async def test_a_socket_that_is_no_tcp_socket_ends_the_start_as_bad_configuration(daemons, sandbox):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        daemon = serve(daemons, opened, unsaid(sandbox))
        assert await daemon.ended() == 78
    assert "test-0.socket: ListenDatagram: found a UDP socket" in daemon.log
    assert "Traceback" not in daemon.log


async def test_root_opens_the_socket_and_another_user_serves_on_it(daemons):
    need_root()
    os.chown(daemons.place("theirs"), NOBODY, NOBODY)
    with socket.create_server(("127.0.0.1", 0)) as held:
        # The manager hands over, then the daemon's user is put on.
        prefix = [*handing_over(held.fileno()), *as_user(NOBODY, [])]
        daemon = daemons.start([*DEMO], name="theirs", prefix=prefix, pass_fds=[held.fileno()])
        await daemon.ready()
        assert daemon.record["uid"] == NOBODY
        assert daemon.record["listeners"] == [shown(held)]
        for uid in (NOBODY, 0):
            await all_verbs_serve(daemons, daemon, uid)
            assert await imds_as(daemons, daemon, uid) == 200
        assert await imds_as(daemons, daemon, SOMEBODY) == 403
        # A listener that is root's is believed; the files of a stranger are not.
        done = await verb_as(daemons, SOMEBODY, "env")
        assert (done.returncode, done.stdout) == (3, "")


async def verb_as(daemons, uid, *words):
    return await daemons.cli(*words, name="theirs", prefix=as_user(uid, []))


async def all_verbs_serve(daemons, daemon, uid):
    if uid == 0:
        # Another user's daemon is nobody root would believe; nor do its files.
        return
    env = await verb_as(daemons, uid, "env")
    assert env.returncode == 0, env.stderr
    assert f"http://127.0.0.1:{daemon.port}/v1/credentials" in env.stdout
    for words in (["status"], ["refresh"], ["wait", "--timeout=5"], ["credential-process"]):
        done = await verb_as(daemons, uid, *words)
        assert done.returncode == 0, (words, done.stderr)


async def imds_as(daemons, daemon, uid):
    argv = as_user(uid, asking("PUT", f"http://127.0.0.1:{daemon.port}/latest/api/token", **TTL))
    process = await asyncio.create_subprocess_exec(*argv, env={}, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return heard(output)[0]


@contextmanager
def in_a_house(daemons, house, *sockets):
    """A demo in a namespace, handed sockets that were opened in there."""
    place = daemons.place()
    log = place / "stderr"
    log.touch()
    # In there is nobody's service, though the machine be an EC2 instance.
    config = daemons.configure("hide_ec2_services = true")
    argv = [*handing_over(*sockets), *DEMO, "--config", config]
    environ = daemons.environ()
    with house.running(*argv, environ=environ, stdout=place / "stdout", stderr=log) as process:
        yield DaemonProcess(process, place, log)


async def test_a_link_local_socket_that_is_bound_to_loopback_serves(daemons):
    with (
        room("169.254.170.2/32") as house,
        in_a_house(daemons, house, "127.0.0.1 9254 ", "169.254.170.2 80 lo") as daemon,
    ):
        await daemon.listening()
        assert daemon.record["listeners"] == ["127.0.0.1:9254", "169.254.170.2:80"]
        ask = asking("PUT", "http://169.254.170.2/latest/api/token", **TTL)
        done = await asyncio.to_thread(house.run, *ask, environ=daemons.environ())
        assert heard(done.stdout)[0] == 200


async def test_a_link_local_socket_that_a_neighbour_could_reach_is_refused(daemons):
    with (
        room("169.254.170.2/32") as house,
        in_a_house(daemons, house, "127.0.0.1 9254 ", "169.254.170.2 80 ") as daemon,
    ):
        assert await daemon.ended() == 78
        assert "test-1.socket: BindToDevice: found nothing, expected lo" in daemon.log


async def test_sockets_that_are_said_to_be_passed_and_are_not_are_told(daemons, sandbox):
    """Their numbers stand for files that the daemon opened itself."""
    manager = Manager(daemons.place() / "notify")
    said = 'LISTEN_PID=$$ LISTEN_FDS=12 exec "$@"'
    daemon = daemons.serve(
        unsaid(sandbox), prefix=["/bin/sh", "-c", said, "-"], NOTIFY_SOCKET=manager.address
    )
    try:
        assert await daemon.ended() == 78
        assert "descriptor 3: ListenStream: found " in daemon.log
        assert "Traceback" not in daemon.log
        assert "descriptor 3: ListenStream: found " in await manager.hears("STATUS=")
    finally:
        manager.close()
