"""Networks that do harm: a resolver that never answers, and a neighbour who found a way in."""

import asyncio
import signal
import sys
import time
from contextlib import contextmanager

import pytest

from tests.support import BIN, need, room
from tests.system.daemon import DEMO, SERVE, DaemonProcess, asking, heard
from tests.system.machine import eventually, need_root
from tests.system.settings import AUDIENCE, role, settings

# Writes a line for each question that it leaves without an answer.
SILENT_RESOLVER = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
    listener.bind(("127.0.0.1", 53))
    print("up", flush=True)
    while listener.recv(65536):
        print("asked", flush=True)
"""
RESOLVER_SETTINGS = "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n"
WITH_RESOLVER = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'

STOP_SECONDS = 5.0
NOISE_SECONDS = 3.0


@contextmanager
def running(house, daemons, argv, *, prefix=()):
    """A daemon inside a namespace, where its ports are its own affair."""
    place = daemons.place()
    log = place / "stderr"
    log.touch()
    environ = daemons.environ()
    with house.running(
        *prefix, *argv, environ=environ, stdout=place / "stdout", stderr=log
    ) as process:
        yield DaemonProcess(process, place, log)


async def ask(house, daemons, method, url, **headers):
    """Return status and body as a client in a namespace sees them."""
    done = await asyncio.to_thread(
        house.run, *asking(method, url, **headers), environ=daemons.environ()
    )
    return heard(done.stdout)


async def test_a_resolver_that_never_answers_holds_up_nobody(daemons, sandbox):
    need_root()  # for a mount of its own over /etc/resolv.conf
    place = daemons.place()
    (place / "token").write_text(sandbox.issuer.issue(AUDIENCE).reveal())
    (place / "resolv.conf").write_text(RESOLVER_SETTINGS)
    one = role(sandbox, sts="https://sts.example.test", token={"file": str(place / "token")})
    argv = [*SERVE, "--config", daemons.configure(settings(sandbox, one))]
    prefix = (need("unshare"), "--mount", "sh", "-c", WITH_RESOLVER, place / "resolv.conf")
    questions = place / "questions"
    with (
        room() as house,
        house.running(sys.executable, "-c", SILENT_RESOLVER, environ={}, stdout=questions),
        running(house, daemons, argv, prefix=prefix) as daemon,
    ):
        await eventually(lambda: "asked" in questions.read_text(), what="the name is looked up")
        await daemon.listening()
        base = f"http://127.0.0.1:{daemon.port}"
        assert (await ask(house, daemons, "GET", f"{base}/healthz"))[0] == 200
        await daemon.until(lambda: daemon.events("refresh_failed"), what="the deadline holds")
        assert (await ask(house, daemons, "GET", f"{base}/healthz"))[0] == 200
        (failed,) = daemon.events("refresh_failed")
        assert (failed["stage"], failed["state"]) == ("exchange", "starting")

        began = time.monotonic()
        daemon.send(signal.SIGTERM)
        assert await daemon.ended() == 0
        assert time.monotonic() - began < STOP_SECONDS + NOISE_SECONDS


@pytest.mark.parametrize("words", [("login",), ("doctor", "--bundle", "BUNDLE")])
async def test_a_verb_ends_by_its_own_deadline_though_a_look_up_never_does(daemons, sandbox, words):
    need_root()
    place = daemons.place()
    (place / "token").write_text(sandbox.issuer.issue(AUDIENCE).reveal())
    (place / "resolv.conf").write_text(RESOLVER_SETTINGS)
    one = role(sandbox, sts="https://sts.example.test", token={"file": str(place / "token")})
    config = daemons.configure(settings(sandbox, one))
    # Past a proxy that speaks TLS, the doctor has the exchange itself look names up.
    environ = daemons.environ(HTTPS_PROXY="https://proxy.example.test:3128")
    prefix = (need("unshare"), "--mount", "sh", "-c", WITH_RESOLVER, place / "resolv.conf")
    words = [str(place / each) if each == "BUNDLE" else each for each in words]
    with (
        room() as house,
        house.running(
            sys.executable, "-c", SILENT_RESOLVER, environ={}, stdout=place / "questions"
        ),
    ):
        await eventually(lambda: "up" in (place / "questions").read_text(), what="it listens")
        argv = [BIN / "imdsd", *words, "--config", config]
        # `try_run` waits for less than the resolver does.
        done = await asyncio.to_thread(house.try_run, *prefix, *argv, environ=environ)
    assert done.returncode == (4 if words == ["login"] else 1), done.stderr
    assert "STS gave no answer within 10 s" in done.stdout + done.stderr
    assert "asked" in (place / "questions").read_text()


@contextmanager
def neighbours():
    """Two machines on one wire; the second one has a route to the first one's link-local."""
    with (
        room("169.254.170.2/32") as ours,
        room() as theirs,
        theirs.running("sleep", "600", environ={}) as resident,
    ):
        words = {"environ": {}}
        ours.run("ip", "link", "add", "wire", "type", "veth", "peer", "name", "eriw", **words)
        ours.run("ip", "link", "set", "eriw", "netns", str(resident.pid), **words)
        for house, end, address in ((ours, "wire", "10.200.0.1"), (theirs, "eriw", "10.200.0.2")):
            house.run("ip", "address", "add", f"{address}/24", "dev", end, **words)
            house.run("ip", "link", "set", end, "up", **words)
        theirs.run("ip", "route", "add", "169.254.170.2", "via", "10.200.0.1", **words)
        yield ours, theirs


async def test_a_neighbour_with_a_route_finds_nobody_at_the_link_local_address(daemons):
    need_root()
    listen = """listen = [
        "127.0.0.1:9254",
        "169.254.170.2:80",
        {address = "10.200.0.1:81", imds = "off"},
        {address = "10.200.0.1:82", imds = "open"},
    ]
    hide_ec2_services = true"""
    argv = [*DEMO, "--config", daemons.configure(listen)]
    ttl = {"X_aws_ec2_metadata_token_ttl_seconds": "60"}
    with neighbours() as (ours, theirs), running(ours, daemons, argv) as daemon:
        await daemon.listening()
        # At home all is well, and the wire carries what is meant to be reached.
        local, away = "http://169.254.170.2:80", "http://10.200.0.1"
        assert (await ask(ours, daemons, "GET", f"{local}/v1/credentials"))[0] == 401
        assert (await ask(ours, daemons, "PUT", f"{local}/latest/api/token", **ttl))[0] == 200
        assert (await ask(theirs, daemons, "GET", f"{away}:81/v1/credentials"))[0] == 401
        assert (await ask(theirs, daemons, "PUT", f"{away}:82/latest/api/token", **ttl))[0] == 200

        assert await ask(theirs, daemons, "GET", f"{local}/healthz") == (0, "connection refused")
        assert await ask(theirs, daemons, "PUT", f"{away}:81/latest/api/token", **ttl) == (403, "")
