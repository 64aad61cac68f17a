"""A network between the daemon and STS that does harm: delays, resets, stalls, half-closes, trickles.

Roles stand side by side, one for each harm, since most of them only wait for a deadline.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from tests.fakes.certificate import write_certificate
from tests.system.relay import (
    Proxy,
    Relay,
    delaying,
    half_closing,
    passing,
    refusing,
    resetting,
    stalling,
    trickling,
)
from tests.system.settings import role, settings

IN_THE_BODY = 600
RECOVERY_SECONDS = 35.0
NOISE_SECONDS = 10.0

HARMS = {
    "delays": delaying(60),
    "resets": resetting(),
    "resets-in-the-head": resetting(after_bytes=30),
    "resets-in-the-body": resetting(after_bytes=IN_THE_BODY),
    "stalls": stalling(),
    "stalls-in-the-body": stalling(after_bytes=IN_THE_BODY),
    "half-closes": half_closing(),
    "half-closes-in-the-body": half_closing(after_bytes=IN_THE_BODY),
    "trickles": trickling(),
}
# TLS has no half-closed state that a server could stay in.
THROUGH_A_PROXY = {name: harm for name, harm in HARMS.items() if "half" not in name}
NO_TUNNEL = {
    "refuses": refusing(),
    "asks-for-a-login": refusing("407 Proxy Authentication Required"),
    "stalls-before": stalling(),
    "resets-before": resetting(),
    "half-closes-before": half_closing(),
}


class Harmed(NamedTuple):
    """Ways to STS, each for roles that are named after its harm; spoiled and mended together."""

    ways: dict[str, str]
    spoil: Callable[[], None]
    mend: Callable[[], None]
    settings: dict[str, str]
    variables: dict[str, str]


@asynccontextmanager
async def directly(sandbox, _place):
    async with AsyncExitStack() as stack:
        relays = {}
        for name in HARMS:
            relays[name] = await stack.enter_async_context(Relay(sandbox.sts_url))

        def spoil():
            for name, harm in HARMS.items():
                relays[name].manner = harm

        def mend():
            for relay in relays.values():
                relay.manner = passing

        yield Harmed({name: relay.url for name, relay in relays.items()}, spoil, mend, {}, {})


@asynccontextmanager
async def through_a_proxy(sandbox, place):
    tls = write_certificate(place / "sts.pem", "*.example.test")
    async with Relay(sandbox.sts_url, tls=tls) as sts, Proxy(sts.url) as proxy:

        def spoil():
            proxy.manners.update(by_host(THROUGH_A_PROXY))
            proxy.refusals.update(by_host(NO_TUNNEL))

        def mend():
            proxy.manners.clear()
            proxy.refusals.clear()

        urls = {name: f"https://{host(name)}" for name in (*THROUGH_A_PROXY, *NO_TUNNEL)}
        bundle = {"ca_bundle": str(place / "sts.pem")}
        yield Harmed(urls, spoil, mend, bundle, {"HTTPS_PROXY": proxy.url})


def host(name):
    return f"{name}.example.test"


def by_host(harms):
    return {host(name): harm for name, harm in harms.items()}


async def test_a_network_that_does_harm_takes_nothing_away_and_is_recovered_from(daemons, sandbox):
    """Directly and through a proxy, with credentials held and without, at the same time."""
    await asyncio.gather(
        *(
            suffer(way, daemons, sandbox, name=f"{way.__name__}-{'held' if held else 'cold'}")
            for way in (directly, through_a_proxy)
            for held in (True, False)
        )
    )


async def suffer(way, daemons, sandbox, *, name):
    held = name.endswith("held")
    async with way(sandbox, daemons.place(name)) as harmed:
        if not held:
            harmed.spoil()
        first = next(iter(harmed.ways))
        roles = [
            role(sandbox, name=each, sts=url, default=each == first)
            for each, url in harmed.ways.items()
        ]
        text = settings(sandbox, *roles, **harmed.settings)
        daemon = await daemons.serve(text, name=name, **harmed.variables).listening()
        if held:
            await daemon.until_within(60, lambda: every(daemon, "served"), what="all are served")
            harmed.spoil()
            assert (await daemon.refresh()).status == 503
        await daemon.until_within(60, lambda: every(daemon, "last_error"), what="all are harmed")

        for told in (await daemon.status())["roles"]:
            assert told["state"] == ("degraded" if held else "starting"), told
            assert told["last_error"]["stage"] == "exchange", told
            reply = await daemon.credentials(f"/v1/credentials/{told['name']}")
            assert reply.status == (200 if held else 503), told
        assert_no_repetition(daemon)

        harmed.mend()
        within = RECOVERY_SECONDS + NOISE_SECONDS
        if held:
            # By themselves they take their time, up to 120 s: there is something to serve.
            await daemon.until_within(within, lambda: refreshes(daemon), what="all are fresh again")
        await daemon.until_within(within, lambda: all_are_ok(daemon), what="all are fresh again")
        assert_no_repetition(daemon)


async def refreshes(daemon):
    return (await daemon.refresh()).status == 200


async def every(daemon, key):
    return all(told[key] for told in (await daemon.status())["roles"])


async def all_are_ok(daemon):
    return all(told["state"] == "ok" for told in (await daemon.status())["roles"])


def assert_no_repetition(daemon):
    """Check that a line was logged for a change, not for a try."""
    told = Counter(
        (event["role"], event["state"], event["code"]) for event in daemon.events("refresh_failed")
    )
    assert set(told.values()) == {1}, told
