"""How a real metadata service is asked: tokens, deadlines, caps, one pool of connections."""

import asyncio

import pytest

from imdsd.endpoints.upstream.errors import Fault, UpstreamUnavailableError
from imdsd.endpoints.upstream.service import Service
from tests.fakes.clock import ManualClock
from tests.fakes.upstream import upstream_imds

AMI = "meta-data/ami-id"
VALUES = {AMI: b"ami-0abc", "meta-data/mac": b"02:00:00:00:00:01", "user-data": b"\x1f\x8b\x00gz"}

PATIENT = 60.0
"""A deadline that no test waits for."""
AT_ONCE = 0.05


class Bench:
    def __init__(self, fake, *, mint_seconds=PATIENT):
        self.clock = ManualClock()
        self.service = Service(fake.url, clock=self.clock, mint_seconds=mint_seconds)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.service.aclose()

    async def read(self, path=AMI, *, seconds=PATIENT):
        return await self.service.read(path, seconds=seconds)

    async def fault(self, path=AMI, *, seconds=PATIENT):
        with pytest.raises(UpstreamUnavailableError) as caught:
            await self.read(path, seconds=seconds)
        assert "token-" not in str(caught.value)
        assert caught.value.remedy
        return caught.value


async def test_a_value_is_read_with_a_token_as_it_is():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        assert await bench.read() == b"ami-0abc"
        assert await bench.read("user-data") == b"\x1f\x8b\x00gz"
        assert await bench.read("meta-data/nothing") is None
        assert fake.minted == 1
        assert fake.reads == [AMI, "user-data", "meta-data/nothing"]


async def test_a_listing_is_asked_for_with_its_slash():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        assert await bench.read("meta-data/") == b"ami-id\nmac"
        assert fake.reads == ["meta-data/"]


async def test_every_character_that_may_pass_reaches_upstream_as_it_is():
    path = "meta-data/Az09-._~!$&'()*+,=:@"
    async with upstream_imds({path: b"1"}) as fake, Bench(fake) as bench:
        assert await bench.read(path) == b"1"
        assert fake.reads == [path]


async def test_reads_one_after_the_other_keep_one_connection():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        for _ in range(20):
            await bench.read()
            await bench.read("meta-data/nothing")
        assert fake.connections == 1


async def test_many_reads_at_once_share_four_connections_and_one_token():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        assert set(await asyncio.gather(*(bench.read() for _ in range(50)))) == {b"ami-0abc"}
        assert fake.connections <= 4
        assert fake.minted == 1


async def test_a_token_is_renewed_with_five_minutes_left_and_nobody_waits_for_it():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        await bench.read()
        await bench.clock.advance(21600 - 301)
        await bench.read()
        assert fake.minted == 1
        await bench.clock.advance(1)
        fake.put = "hang"
        assert await bench.read() == b"ami-0abc"


async def test_a_token_in_its_last_minutes_is_replaced_once():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        await bench.read()
        await bench.clock.advance(21600 - 300)
        await asyncio.gather(*(bench.read() for _ in range(20)))
        async with asyncio.timeout(PATIENT):
            while fake.minted < 2:
                await bench.read("meta-data/nothing")
        # The one it replaces is refused from here on.
        fake.valid.discard("token-1-of-upstream==")
        assert await bench.read() == b"ami-0abc"
        assert fake.minted == 2


async def test_a_token_past_its_end_is_not_sent():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        await bench.read()
        await bench.clock.advance(21600)
        await bench.read()
        sent = [each.all("X-aws-ec2-metadata-token") for each in fake.seen if each.method == "GET"]
        assert sent == [["token-1-of-upstream=="], ["token-2-of-upstream=="]]


async def test_the_life_that_upstream_tells_is_believed_when_it_is_shorter():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        fake.ttl_told = "60"
        await bench.read()
        await bench.clock.advance(60)
        await bench.read()
        assert fake.minted == 2


@pytest.mark.parametrize("told", ["", "0", "-1", "x", "999999999999", "\u0663"])
async def test_a_life_that_is_none_counts_as_what_was_asked(told):
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        fake.ttl_told = told.encode("ascii", "ignore").decode()
        await bench.read()
        await bench.clock.advance(21600 - 301)
        await bench.read()
        assert fake.minted == 1


async def test_tokens_that_expired_early_are_minted_anew_once_for_all_who_read():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        await bench.read()
        fake.expire_tokens()
        values = await asyncio.gather(*(bench.read() for _ in range(30)))
        assert set(values) == {b"ami-0abc"}
        assert fake.minted == 2


async def test_a_refusal_of_a_new_token_is_final_for_the_read():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        fake.refuses_every_token = True
        fault = await bench.fault()
        assert fault.fault is Fault.GONE
        assert "answered 401 to a new IMDS token of its own" in str(fault)
        assert (fake.minted, len(fake.reads)) == (2, 2)


@pytest.mark.parametrize("status", [400, 403, 404, 500])
async def test_without_a_token_nothing_is_read(status):
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        fake.put = status
        fault = await bench.fault()
        assert f"answered {status} when asked for an IMDS token" in str(fault)
        assert fault.fault is Fault.GONE
        assert fake.reads == []


@pytest.mark.parametrize(
    "token", [b"", b"two words", b"a\r\nb", b"\xff", b"x" * 1025, b"x" * 70_000]
)
async def test_a_token_that_is_none_is_not_sent(token):
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(token)}\r\n\r\n"
        fake.put = head.encode() + token
        assert "gave no IMDS token" in str(await bench.fault())
        assert fake.reads == []


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
async def test_a_read_ends_at_its_deadline(behaviour):
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        await bench.read("meta-data/mac")
        fake.behaviour[AMI] = behaviour
        fault = await bench.fault(seconds=AT_ONCE)
        assert fault.fault is Fault.SILENT
        assert "gave no answer within 0.05 s" in str(fault)
        assert "hop limit" in fault.remedy
        assert await bench.read("meta-data/mac") == b"02:00:00:00:00:01"


async def test_a_token_counts_into_the_deadline_of_a_read():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        fake.put = "hang"
        assert "within 0.05 s" in str(await bench.fault(seconds=AT_ONCE))


async def test_a_token_that_does_not_come_is_a_service_that_is_gone():
    async with upstream_imds(VALUES) as fake, Bench(fake, mint_seconds=AT_ONCE) as bench:
        fake.put = "hang"
        fault = await bench.fault()
        assert fault.fault is Fault.GONE
        assert "hop limit" in fault.remedy


@pytest.mark.parametrize("behaviour", ["reset", "cut", b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"\x16\x03\x01" * 99, b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000])  # fmt: skip
async def test_what_is_no_whole_answer_is_a_fault_and_the_next_read_is_not(behaviour):
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        fake.behaviour[AMI] = behaviour
        assert (await bench.fault()).fault is Fault.SILENT
        assert await bench.read("meta-data/mac") == b"02:00:00:00:00:01"


@pytest.mark.parametrize(
    ("status", "fault"),
    [(500, Fault.ODD), (502, Fault.ODD), (403, Fault.ODD), (206, Fault.ODD), (301, Fault.ODD),
     (429, Fault.GONE), (503, Fault.GONE)],
)  # fmt: skip
async def test_another_status_is_a_fault_and_a_redirect_is_not_followed(status, fault):
    async with upstream_imds({**VALUES, "elsewhere": b"x"}) as fake, Bench(fake) as bench:
        fake.behaviour[AMI] = status
        found = await bench.fault()
        assert (found.fault, f"answered {status}, expected 200 or 404" in str(found)) == (
            fault,
            True,
        )
        assert fake.reads == [AMI]


async def test_an_answer_may_be_chunked():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        fake.behaviour[AMI] = "chunked"
        assert await bench.read() == b"ami-0abc"


@pytest.mark.parametrize("behaviour", [200, "chunked"])
async def test_an_answer_may_be_64_kib_and_no_more(behaviour):
    async with upstream_imds({AMI: bytes(65536), "user-data": bytes(65537)}) as fake:
        fake.behaviour = {AMI: behaviour, "user-data": behaviour}
        async with Bench(fake) as bench:
            assert await bench.read() == bytes(65536)
            fault = await bench.fault("user-data")
            assert "more than 65536 bytes" in str(fault)
            assert fault.fault is Fault.ODD


async def test_no_endless_answer_is_read_to_its_end():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        fake.behaviour[AMI] = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n" + bytes(
            200_000
        )
        assert "more than 65536 bytes" in str(await bench.fault())


async def test_nobody_listening_is_said_with_the_address():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        await fake.stop()
        fault = await bench.fault()
        assert fault.fault is Fault.GONE
        assert f"the metadata service at {fake.url} cannot be reached" in str(fault)
        assert "[metadata] upstream" in fault.remedy


async def test_proxies_of_the_environment_are_not_used(monkeypatch):
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        assert await bench.read() == b"ami-0abc"


async def test_cookies_are_not_kept():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        await bench.read()
        await bench.read()
        assert not any(each.all("Cookie") for each in fake.seen)


async def test_one_who_leaves_early_does_not_take_the_token_from_the_others():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        leaving = asyncio.create_task(bench.read())
        staying = asyncio.create_task(bench.read())
        await asyncio.wait((staying,), timeout=0)
        leaving.cancel()
        assert await staying == b"ami-0abc"
        assert fake.minted == 1
        assert leaving.cancelled()


async def test_after_the_end_nothing_is_asked():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        await bench.read()
        await bench.service.aclose()
        assert "the daemon stops" in str(await bench.fault("user-data"))
        assert fake.reads == [AMI]


async def test_the_token_does_not_print():
    async with upstream_imds(VALUES) as fake, Bench(fake) as bench:
        await bench.read()
        assert "token-1" not in repr(bench.service._token)
