"""Hop limits on real networks: who sits behind a router gets no connection."""

import asyncio
import json
import sys
from contextlib import contextmanager

import pytest

from tests.support import room
from tests.system.daemon import DEMO, DaemonProcess
from tests.system.machine import need_root

# Ports by the hop limit of their listener.
PORTS = {1: 81, 2: 82, 64: 83}
NEAR, FAR = {4: "10.201.1.1", 6: "fd00:201:1::1"}, {4: "10.201.2.1", 6: "fd00:201:2::1"}
HERE, THERE = {4: "10.201.1.2", 6: "fd00:201:1::2"}, {4: "10.201.2.2", 6: "fd00:201:2::2"}

# All at once, since who is not answered is told nothing: a connection is given two seconds.
CONNECT = """
import json, select, socket, sys
host, *ports = sys.argv[1:]
sockets = {}
for port in ports:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    connection = socket.socket(family)
    connection.setblocking(False)
    connection.connect_ex((host, int(port)))
    sockets[connection] = port
reached, waiting = [], list(sockets)
while waiting:
    _, ready, _ = select.select([], waiting, [], 2)
    if not ready:
        break
    waiting = [each for each in waiting if each not in ready]
    reached += [int(sockets[each]) for each in ready
                if each.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0]
print(json.dumps(sorted(reached)))
"""
# A link-local address would be of use only a second later (RFC 4862, 5.4).
AT_ONCE = "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad"
FORWARD = "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding"


@contextmanager
def three_machines():
    """A server, a router, and a client behind it."""
    with (
        room() as server,
        room() as router,
        room() as client,
        server.running("sleep", "600", environ={}) as near,
        client.running("sleep", "600", environ={}) as far,
    ):
        router.run("sh", "-c", FORWARD, environ={})
        for house in (server, router, client):
            house.run("sh", "-c", AT_ONCE, environ={})
        _wire(router, "near", NEAR, to=(server, near.pid, HERE))
        _wire(router, "far", FAR, to=(client, far.pid, THERE))
        yield server, router, client


def _wire(router, name, ours, *, to):
    house, resident, theirs = to

    def run(where, *words):
        where.run("ip", *words, environ={})

    run(router, "link", "add", name, "type", "veth", "peer", "name", "wire")
    run(router, "link", "set", "wire", "netns", str(resident))
    for where, end, own in ((router, name, ours), (house, "wire", theirs)):
        run(where, "address", "add", f"{own[4]}/24", "dev", end)
        run(where, "address", "add", f"{own[6]}/64", "dev", end, "nodad")
        run(where, "link", "set", end, "up")
    run(house, "route", "add", "default", "via", ours[4])
    run(house, "-6", "route", "add", "default", "via", ours[6])


async def reached(house, host):
    """Return the hop limits of the listeners to which a connection comes about."""
    command = (sys.executable, "-I", "-c", CONNECT, host, *map(str, PORTS.values()))
    done = await asyncio.to_thread(house.run, *command, environ={})
    ports = json.loads(done.stdout)
    return [hops for hops, port in PORTS.items() if port in ports]


def listeners():
    for hops, port in PORTS.items():
        # 64 is the default.
        limit = f", hop_limit = {hops}" if hops != 64 else ""
        for address in (HERE[4], f"[{HERE[6]}]"):
            yield f'{{address = "{address}:{port}", imds = "open"{limit}}}'


@pytest.mark.parametrize("version", [4, 6])
async def test_a_client_behind_a_router_needs_a_hop_limit_of_two(daemons, version):
    need_root()
    listen = f'listen = ["127.0.0.1:9254", {", ".join(listeners())}]'
    argv = [*DEMO, "--config", daemons.configure(listen)]
    place = daemons.place()
    log = place / "stderr"
    log.touch()
    with (
        three_machines() as (server, router, client),
        server.running(
            *argv, environ=daemons.environ(), stdout=place / "stdout", stderr=log
        ) as process,
    ):
        await DaemonProcess(process, place, log).listening()
        assert await reached(client, HERE[version]) == [2, 64]
        assert await reached(router, HERE[version]) == [1, 2, 64]
        assert await reached(server, HERE[version]) == [1, 2, 64]
