import asyncio
import errno
import socket
import threading

import pytest

from imdsd.tokens.route import Lookup, proxy_for
from tests.fakes.clock import settle

URL = "https://tokens.example:8443/path"


class StuckResolver:
    """Hangs until it is told to go on, like a name server that does not answer."""

    def __init__(self):
        self.asked = []
        self.go_on = threading.Event()

    def __call__(self, host, port, *, family):
        self.asked.append(host)
        self.go_on.wait(10)
        return [(socket.AF_INET, "127.0.0.1")]


@pytest.fixture
def stuck():
    resolver = StuckResolver()
    yield resolver
    resolver.go_on.set()


async def test_a_name_is_looked_up():
    found = await Lookup()("localhost", 80, family=socket.AF_INET)
    assert found == [(socket.AF_INET, "127.0.0.1")]


async def test_a_failed_look_up_is_raised_where_it_was_asked():
    def fail(host, port, *, family):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    with pytest.raises(socket.gaierror, match="no such name"):
        await Lookup(fail)("nowhere.invalid", 80)


async def test_callers_that_ask_for_one_name_share_one_thread(stuck):
    lookup = Lookup(stuck)
    both = [asyncio.create_task(lookup("slow.example", 80)) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(stuck.go_on.wait, 0.01))
    stuck.go_on.set()
    first, second = await asyncio.gather(*both)
    assert first == second
    assert stuck.asked == ["slow.example"]


async def test_a_caller_who_goes_away_cancels_nothing_for_the_others(stuck):
    lookup = Lookup(stuck)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await lookup("slow.example", 80)
    waiting = asyncio.create_task(lookup("slow.example", 80))
    await settle()
    stuck.go_on.set()
    assert await waiting == [(socket.AF_INET, "127.0.0.1")]
    assert stuck.asked == ["slow.example"]


async def test_stuck_look_ups_stay_bounded(stuck):
    lookup = Lookup(stuck)
    for name in ("a.example", "b.example"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await lookup(name, 80)
    with pytest.raises(OSError, match="stuck") as caught:
        await lookup("c.example", 80)
    assert caught.value.errno == errno.EAGAIN
    assert stuck.asked == ["a.example", "b.example"]


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ({"https_proxy": "p:3128"}, "http://p:3128"),
        ({"https_proxy": "http://low", "HTTPS_PROXY": "http://high"}, "http://low"),
        ({"HTTP_PROXY": "http://p"}, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "localhost, .example"}, None),
        ({"HTTPS_PROXY": "http://p", "no_proxy": "tokens.example:8443"}, None),
        ({"HTTPS_PROXY": "http://p", "no_proxy": "Tokens.Example"}, None),
        ({"HTTPS_PROXY": "http://p", "no_proxy": "ens.example,,"}, "http://p"),
    ],
)
def test_the_proxy_of_the_environment_is_found(environ, proxy):
    assert proxy_for(URL, environ) == proxy


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://localhost/", "https://[::1]/"])
def test_loopback_is_never_reached_through_a_proxy(url):
    assert proxy_for(url, {"HTTPS_PROXY": "http://p", "https_proxy": "http://p"}) is None


def test_a_proxy_of_another_protocol_is_refused_without_its_password():
    with pytest.raises(ValueError, match="HTTPS_PROXY") as caught:
        proxy_for(URL, {"HTTPS_PROXY": "socks5://user:hunter2@p"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:hunter2/x@p:3128",
        "http://user:hunter2#x@p:3128",
        "user:hunter2?@p",
        "http://user:hunter2@p:99999",
        "http://user:hunter2@[::1",
        "http://user:hunter2@",
        "http://",
    ],
)
def test_a_proxy_that_is_no_url_is_refused_without_its_password(proxy):
    with pytest.raises(ValueError, match="expected http://HOST:PORT") as caught:
        proxy_for(URL, {"HTTPS_PROXY": proxy})
    assert "hunter2" not in str(caught.value)
