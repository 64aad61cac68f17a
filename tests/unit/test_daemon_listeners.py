"""The listening sockets of a daemon: patience with a port in use, and nothing left open."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from imdsd.config import ListenConfig, load
from imdsd.daemon.listeners import (
    BUSY_SECONDS,
    bind_all,
    wanted_listeners,
    without_hiding,
)
from imdsd.errors import ConfigurationError, ListenError
from imdsd.host.listening.opening import AddressBusyError
from imdsd.host.listening.passed import PassedSocket
from tests.fakes.clock import ManualClock, settle

# TEST-NET-1 (RFC 5737): no machine has this address.
ELSEWHERE = ListenConfig("192.0.2.1", 9254)
ELSEWHERE_OPTIONAL = ListenConfig("192.0.2.1", 9254, optional=True)
ANY_PORT = ListenConfig("127.0.0.1", 0)


@pytest.fixture
def clock():
    return ManualClock()


@contextmanager
def taken():
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other, ListenConfig("127.0.0.1", other.getsockname()[1])


@contextmanager
def closed_after(bound):
    with ExitStack() as stack:
        for each in bound:
            stack.enter_context(closing(each.opened))
        yield bound


def is_free(wanted):
    try:
        socket.create_server((wanted.host, wanted.port)).close()
    except OSError:
        return False
    return True


def free():
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        return ListenConfig("127.0.0.1", other.getsockname()[1])


async def soon(binding):
    """Await what is due by now: nobody turns the hands of the clock any more."""
    async with asyncio.timeout(30):
        return await binding


async def test_every_listener_is_opened_in_the_order_of_the_configuration(clock):
    wanted = (ListenConfig("127.0.0.1", 0, imds="open"), ListenConfig("127.0.0.1", 0, imds="off"))
    with closed_after(await bind_all(wanted, clock=clock)) as bound:
        assert [each.imds for each in bound] == ["open", "off"]
        for each in bound:
            with socket.create_connection(each.address):
                pass


async def test_a_listener_is_named_by_the_port_that_the_kernel_chose(clock):
    wanted = (ANY_PORT, ListenConfig("::1", 0))
    with closed_after(await bind_all(wanted, clock=clock)) as bound:
        one, other = bound
        assert one.address == one.opened.getsockname()
        assert one.name == f"127.0.0.1:{one.address[1]}"
        assert other.name == f"[::1]:{other.address[1]}"
        assert one.address[1] != 0


async def test_a_port_in_use_is_waited_for(clock):
    with taken() as (other, wanted):
        binding = asyncio.create_task(bind_all([wanted], clock=clock))
        await clock.advance(BUSY_SECONDS - 1)
        assert not binding.done()
        other.close()
        await clock.advance(1)
        with closed_after(await soon(binding)) as bound:
            assert bound[0].address[1] == wanted.port


async def test_a_port_that_stays_in_use_is_given_up_with_a_word_on_who_may_hold_it(clock):
    with taken() as (_, wanted):
        binding = asyncio.create_task(bind_all([wanted], clock=clock))
        with capture_logs() as logs:
            await clock.advance(BUSY_SECONDS + 1)
        with pytest.raises(AddressBusyError, match=f"127.0.0.1:{wanted.port} is in use.*ss -ltnp"):
            await soon(binding)
    assert [event["event"] for event in logs] == ["address_busy"]


async def test_what_time_does_not_heal_is_not_waited_for(clock):
    with pytest.raises(ListenError, match="not an address of this machine"):
        await bind_all([ELSEWHERE], clock=clock)


async def test_the_others_serve_when_an_optional_listener_cannot_be_opened(clock):
    with capture_logs() as logs:
        bound = await bind_all([ELSEWHERE_OPTIONAL, ANY_PORT], clock=clock)
    with closed_after(bound):
        assert [each.address[0] for each in bound] == ["127.0.0.1"]
    (event,) = logs
    assert (event["event"], event["log_level"]) == ("listener_skipped", "warning")
    assert "192.0.2.1:9254" in event["reason"]


async def test_no_daemon_starts_when_every_listener_is_optional_and_none_opens(clock):
    with capture_logs(), pytest.raises(ListenError, match="every one of them is optional"):
        await bind_all([ELSEWHERE_OPTIONAL, ELSEWHERE_OPTIONAL], clock=clock)


async def test_a_start_that_fails_leaves_nothing_open(clock):
    first = free()
    with pytest.raises(ListenError):
        await bind_all([first, ELSEWHERE], clock=clock)
    assert is_free(first)


async def test_a_start_that_is_cancelled_leaves_nothing_open(clock):
    first = free()
    with taken() as (_, busy):
        binding = asyncio.create_task(bind_all([first, busy], clock=clock))
        await settle()
        assert not is_free(first)
        binding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await binding
    assert is_free(first)


async def test_every_listener_has_the_hop_limit_of_the_configuration(clock):
    wanted = (ListenConfig("127.0.0.1", 0, hop_limit=2), ListenConfig("127.0.0.1", 0))
    with closed_after(await bind_all(wanted, clock=clock)) as bound:
        hops = [each.opened.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) for each in bound]
    assert hops == [2, 64]


@contextmanager
def passed(host="127.0.0.1"):
    """A socket that a service manager holds, and our copy of it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as held, held.dup() as ours:
        ours.settimeout(0)
        yield PassedSocket(ours, "imdsd.socket")


def configured(*listen, is_set=True):
    config = load(flags={}, environ={}, usual=(), require_role=False)
    return replace(config, listen=listen or config.listen, listen_is_set=is_set)


def test_the_default_address_gives_way_to_passed_sockets():
    assert [each.port for each in wanted_listeners(configured(is_set=False), ())] == [9254]
    with passed() as given:
        wanted = wanted_listeners(configured(is_set=False), [given])
        assert [(each.host, each.port) for each in wanted] == [given.address]


def test_an_address_that_was_configured_is_served_beside_what_was_passed():
    with passed() as given:
        wanted = wanted_listeners(configured(ANY_PORT), [given])
        assert [each.port for each in wanted] == [0, given.address[1]]


def test_a_passed_socket_has_the_settings_of_its_address():
    with passed() as given:
        own = ListenConfig(*given.address, imds="off", hop_limit=5)
        assert wanted_listeners(configured(own), [given]) == (own,)


def test_a_scope_does_not_make_another_address():
    with passed("::1") as given:
        own = ListenConfig("::1%lo", given.address[1])
        assert wanted_listeners(configured(own), [given]) == (own,)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_passed_socket_on_every_address_is_refused(host):
    with (
        passed(host) as given,
        pytest.raises(ConfigurationError, match=r"imdsd\.socket: ListenStream: .* one interface"),
    ):
        wanted_listeners(configured(), [given])


async def test_a_passed_socket_is_not_opened_again_and_gets_its_settings(clock):
    with passed() as given:
        own = ListenConfig(*given.address, imds="open", hop_limit=3)
        (bound,) = await bind_all([own], clock=clock, passed=[given])
        assert (bound.opened, bound.imds) == (given.opened, "open")
        assert given.opened.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 3


IMDS = ListenConfig("169.254.169.254", 80)
TASKS = ListenConfig("169.254.170.2", 80, optional=True)


def test_on_an_ec2_instance_its_own_services_are_not_hidden():
    with pytest.raises(ConfigurationError) as caught:
        without_hiding([ANY_PORT, IMDS], ec2_evidence="it is", source="the file")
    assert str(caught.value) == (
        "the file: listen: found 169.254.169.254:80 on an EC2 instance (it is), expected an address"
        " that would not hide the metadata service of the instance; take it out, here or in the"
        " socket unit, or allow it with hide_ec2_services = true"
    )


def test_on_an_ec2_instance_an_optional_listener_is_left_out_with_a_warning():
    with capture_logs() as logs:
        kept = without_hiding([ANY_PORT, TASKS], ec2_evidence="it is", source="the file")
    assert kept == (ANY_PORT,)
    (event,) = logs
    assert (event["event"], event["log_level"]) == ("listener_skipped", "warning")
    assert "169.254.170.2:80 on an EC2 instance (it is)" in event["reason"]
    assert "hide_ec2_services = true" in event["reason"]


def test_elsewhere_every_address_is_free_to_take():
    wanted = (ANY_PORT, IMDS, TASKS)
    assert without_hiding(wanted, ec2_evidence="", source="the file") == wanted
