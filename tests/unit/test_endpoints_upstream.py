"""Pass-through as a whole: fetched ahead, kept fresh, stale while upstream is away, then gone."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from imdsd.endpoints.upstream.crawl import MOST_READS
from imdsd.endpoints.upstream.errors import UpstreamUnavailableError
from imdsd.endpoints.upstream.holdings import MOST_BYTES, MOST_LEAVES, STALE_SECONDS
from imdsd.endpoints.upstream.misses import MOST_FLIGHTS, MOST_REMEMBERED
from imdsd.endpoints.upstream.passthrough import Upstream
from imdsd.endpoints.upstream.wire import ANSWER_CAP_BYTES
from imdsd.telemetry.metrics import Metrics
from tests.fakes.clock import ManualClock
from tests.fakes.upstream import upstream_imds

SECRET = b"secret-of-the-real-instance"
AMI, ZONE, MAC = "meta-data/ami-id", "meta-data/placement/availability-zone", "meta-data/mac"
SPOT = "meta-data/spot/instance-action"
CREDENTIALS = {
    "meta-data/iam/info": SECRET,
    "meta-data/iam/security-credentials/role": SECRET,
    "meta-data/identity-credentials/ec2/security-credentials/ec2-instance": SECRET,
}
OPEN = {
    AMI: b"ami-0abc",
    ZONE: b"eu-west-1b",
    MAC: b"02:00:00:00:00:01",
    "meta-data/tags/instance/Name": b"box",
    "user-data": b"#!/bin/sh\n",
    "dynamic/instance-identity/document": b"{}",
}
EVERYTHING = ("meta-data/", "dynamic/", "user-data")
PATIENT = 60.0
"""A deadline that no test waits for."""
AT_ONCE = 0.05
"""For those where nothing but the deadline can come."""
SHORT = 1.0
"""For those where the deadline comes, and answers must come before it."""


async def until(condition):
    """Let sockets and tasks run until something holds; the clock stands still."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)  # noqa: TID251  # a turn of the loop, no time


class Bench:
    def __init__(self, fake, prefixes, **options):
        self.fake = fake
        self.clock = ManualClock()
        self.metrics = Metrics("0")
        usual = {"miss_seconds": PATIENT, "background_seconds": PATIENT}
        self.deadlines = SimpleNamespace(**{**usual, **options})
        self.upstream = Upstream(
            fake.url,
            prefixes,
            clock=self.clock,
            metrics=self.metrics,
            draw=lambda: 0.5,
            deadlines=self.deadlines,
        )

    async def rests(self, crawls=1):
        """Wait until so many crawls have ended, counted by the pauses after them."""
        await until(lambda: self.clock.naps == crawls)

    async def pass_time(self, seconds, *, crawls):
        await self.clock.advance(seconds)
        await self.rests(crawls)

    async def refused(self, path):
        with pytest.raises(UpstreamUnavailableError) as caught:
            await self.upstream.fetch(path)
        return caught.value

    def metric(self, line):
        return line in self.metrics.render().decode().splitlines()


@asynccontextmanager
async def passing(fake, *prefixes, **options):
    """An upstream that runs, its first crawl done."""
    bench = Bench(fake, prefixes, **options)
    running = asyncio.create_task(bench.upstream.run())
    try:
        await bench.rests()
        yield bench
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()


def events(logs):
    return [entry["event"] for entry in logs]


# Fetched ahead


async def test_everything_below_the_prefixes_is_fetched_ahead_but_credentials():
    async with upstream_imds({**OPEN, **CREDENTIALS}) as fake, passing(fake, *EVERYTHING) as bench:
        assert bench.upstream.leaves() == OPEN
        assert not any("iam" in path or "security-credentials" in path for path in fake.reads)
        assert fake.minted == 1
        assert fake.connections == 1


async def test_only_what_is_configured_is_asked_for():
    async with (
        upstream_imds(OPEN) as fake,
        passing(fake, "meta-data/placement/", AMI, "meta-data/nothing") as bench,
    ):
        assert bench.upstream.leaves() == {AMI: b"ami-0abc", ZONE: b"eu-west-1b"}
        assert fake.reads == ["meta-data/placement/", AMI, "meta-data/nothing", ZONE]


async def test_public_keys_are_found_behind_their_numbers_and_keep_their_labels():
    key = "meta-data/public-keys/0/openssh-key"
    async with upstream_imds({key: b"ssh-ed25519 A"}) as fake:
        fake.listings["meta-data/public-keys"] = b"0=my key"
        async with passing(fake, "meta-data/") as bench:
            assert bench.upstream.leaves() == {key: b"ssh-ed25519 A"}
            assert bench.upstream.labels() == {"meta-data/public-keys": b"0=my key"}


async def test_credentials_that_are_configured_are_not_asked_for():
    prefixes = ("meta-data/iam/", "meta-data/iam/info", "meta-data/IAM/", "api/", "api/token")
    async with upstream_imds(CREDENTIALS) as fake, passing(fake, *prefixes) as bench:
        for path in (*CREDENTIALS, "meta-data/iam/", "meta-data//iam/info", "meta-data/%69am/info",
                     "meta-data/IAM/info", "meta-data/x/../iam/info", "api/token"):  # fmt: skip
            assert not bench.upstream.covers(path)
            bench.upstream.touch(path)
            assert await bench.upstream.fetch(path) is None
        assert fake.seen == []
        assert bench.upstream.leaves() == {}


async def test_a_listing_cannot_lead_to_credentials():
    async with upstream_imds({**OPEN, **CREDENTIALS}) as fake:
        fake.listings["meta-data"] = (
            b"mac\niam/info\niam/\nIAM/\n../latest/meta-data/iam/info\nx/../iam/info\n%69am/info\n"
            b"identity-credentials/ec2/security-credentials/ec2-instance\n/iam/info\niam?x\n"
            b"http://127.0.0.1/latest/meta-data/iam/info"
        )
        async with passing(fake, "meta-data/") as bench:
            assert bench.upstream.leaves() == {MAC: OPEN[MAC]}
            assert fake.reads == ["meta-data/", MAC]


# Kept fresh


async def test_a_crawl_every_minute_keeps_the_connection_and_the_token():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/placement/") as bench:
        fake.values[ZONE] = b"eu-west-1c"
        generation = bench.upstream.generation()
        await bench.pass_time(60, crawls=2)
        assert bench.upstream.leaves() == {ZONE: b"eu-west-1c"}
        assert bench.upstream.generation() != generation
        assert (fake.connections, fake.minted) == (1, 1)


async def test_a_crawl_that_finds_the_same_is_no_new_generation():
    async with upstream_imds(OPEN) as fake, passing(fake, *EVERYTHING) as bench:
        generation, leaves = bench.upstream.generation(), bench.upstream.leaves()
        await bench.pass_time(60, crawls=2)
        assert bench.upstream.generation() == generation
        assert bench.upstream.leaves() is leaves


@pytest.mark.parametrize(("draw", "seconds"), [(0.0, 54), (1.0, 66)])
async def test_crawls_are_a_minute_apart_by_and_large(draw, seconds):
    async with upstream_imds(OPEN) as fake:
        bench = Bench(fake, (AMI,))
        bench.upstream = Upstream(fake.url, (AMI,), clock=bench.clock, draw=lambda: draw)
        running = asyncio.create_task(bench.upstream.run())
        await bench.rests()
        await bench.clock.advance(seconds - 0.5)
        assert fake.reads == [AMI]
        await bench.pass_time(1, crawls=2)
        assert fake.reads == [AMI, AMI]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_vanished_upstream_vanishes_here():
    async with upstream_imds({**OPEN, SPOT: b"{}"}) as fake, passing(fake, *EVERYTHING) as bench:
        assert SPOT in bench.upstream.leaves()
        for path in (SPOT, "user-data", "dynamic/instance-identity/document"):
            del fake.values[path]
        await bench.pass_time(60, crawls=2)
        assert set(bench.upstream.leaves()) == {AMI, ZONE, MAC, "meta-data/tags/instance/Name"}


async def test_a_value_that_is_asked_for_is_fetched_again_once_it_is_five_seconds_old():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/placement/") as bench:
        fake.values[ZONE] = b"eu-west-1c"
        before = len(fake.reads)
        await bench.clock.advance(4.9)
        bench.upstream.touch(ZONE)
        await bench.clock.advance(0.2)
        for _ in range(10):
            bench.upstream.touch(ZONE)
        await until(lambda: bench.upstream.leaves() == {ZONE: b"eu-west-1c"})
        bench.upstream.touch(ZONE)
        await bench.clock.advance(1)
        assert fake.reads[before:] == [ZONE]


async def test_a_value_that_is_asked_for_and_has_vanished_is_dropped():
    async with upstream_imds({SPOT: b"{}"}) as fake, passing(fake, "meta-data/spot/") as bench:
        del fake.values[SPOT]
        await bench.clock.advance(5)
        bench.upstream.touch(SPOT)
        await until(lambda: bench.upstream.leaves() == {})


async def test_a_directory_that_is_asked_for_is_listed_again_and_what_is_new_in_it_is_fetched():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        fake.values[SPOT] = b"{}"
        del fake.values[MAC]
        before = len(fake.reads)
        await bench.clock.advance(5)
        bench.upstream.touch("meta-data")
        await until(lambda: SPOT in bench.upstream.leaves())
        assert MAC not in bench.upstream.leaves()
        assert fake.reads[before:] == ["meta-data/", "meta-data/spot/", SPOT]


async def test_what_nobody_holds_is_not_touched():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/placement/") as bench:
        before = len(fake.reads)
        bench.upstream.touch("meta-data/placement/nothing")
        bench.upstream.touch(AMI)
        await bench.clock.advance(1)
        assert len(fake.reads) == before


# A miss


async def test_a_miss_asks_upstream_and_then_the_crawl_need_not_be_waited_for():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        fake.values[SPOT] = b"{}"
        assert await bench.upstream.fetch(SPOT) == b"{}"
        await until(lambda: SPOT in bench.upstream.leaves())
        assert bench.clock.naps == 1


async def test_a_leaf_that_is_configured_by_itself_is_held_after_a_miss():
    async with upstream_imds() as fake, passing(fake, "user-data") as bench:
        fake.values["user-data"] = b"late"
        assert await bench.upstream.fetch("user-data") == b"late"
        assert bench.upstream.leaves() == {"user-data": b"late"}


async def test_a_miss_of_a_directory_gives_its_listing_and_is_held_as_no_value():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        fake.values["meta-data/events/a"] = b"1"
        await bench.clock.advance(5)
        assert await bench.upstream.fetch("meta-data/events") == b"a"
        await until(lambda: "meta-data/events/a" in bench.upstream.leaves())
        assert "meta-data/events" not in bench.upstream.leaves()


async def test_a_miss_may_come_before_the_first_crawl():
    async with upstream_imds(OPEN) as fake:
        bench = Bench(fake, EVERYTHING)
        assert await bench.upstream.fetch(AMI) == b"ami-0abc"
        running = asyncio.create_task(bench.upstream.run())
        await bench.rests()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_those_who_miss_the_same_path_share_one_request():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        fake.values[SPOT] = b"{}"
        before = len(fake.reads)
        got = await asyncio.gather(*(bench.upstream.fetch(SPOT) for _ in range(30)))
        assert set(got) == {b"{}"}
        assert fake.reads[before:].count(SPOT) == 1


async def test_one_who_leaves_early_takes_the_answer_from_nobody():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        fake.values[SPOT] = b"{}"
        leaving = asyncio.create_task(bench.upstream.fetch(SPOT))
        staying = asyncio.create_task(bench.upstream.fetch(SPOT))
        await asyncio.wait((staying,), timeout=0)
        leaving.cancel()
        assert await staying == b"{}"
        assert leaving.cancelled()


async def test_misses_after_the_token_expired_mint_one_for_all():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        paths = [f"meta-data/new/{number}" for number in range(20)]
        fake.values.update(dict.fromkeys(paths, b"1"))
        fake.expire_tokens()
        assert set(await asyncio.gather(*map(bench.upstream.fetch, paths))) == {b"1"}
        assert fake.minted == 2
        assert fake.connections <= 4


async def test_nothing_is_remembered_as_nothing_for_five_seconds():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        assert await bench.upstream.fetch(SPOT) is None
        fake.values[SPOT] = b"{}"
        await bench.clock.advance(4.9)
        assert await bench.upstream.fetch(SPOT) is None
        assert fake.reads.count(SPOT) == 1
        await bench.clock.advance(0.1)
        assert await bench.upstream.fetch(SPOT) == b"{}"


async def test_a_miss_that_hangs_ends_at_its_deadline_and_leaves_others_alone():
    async with (
        upstream_imds(OPEN) as fake,
        passing(fake, "meta-data/", miss_seconds=AT_ONCE) as bench,
    ):
        fake.values[SPOT] = b"{}"
        fake.behaviour["meta-data/hangs"] = "hang"
        error = await bench.refused("meta-data/hangs")
        bench.deadlines.miss_seconds = PATIENT
        assert "gave no answer within 0.05 s" in str(error)
        assert error.remedy
        assert await bench.upstream.fetch("meta-data/nothing") is None
        assert bench.upstream.leaves()[AMI] == b"ami-0abc"
        assert bench.metric(f'imdsd_upstream_up{{upstream="{fake.url}"}} 1.0')


async def test_a_path_that_hangs_for_ever_is_not_taken_for_the_whole():
    async with (
        upstream_imds(OPEN) as fake,
        passing(fake, "meta-data/", miss_seconds=AT_ONCE) as bench,
    ):
        fake.behaviour["meta-data/hangs"] = "hang"
        with capture_logs() as logs:
            for _ in range(5):
                await bench.refused("meta-data/hangs")
                await bench.clock.advance(1)
        assert logs == []


async def test_a_failed_miss_is_not_asked_again_for_a_second():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        fake.behaviour[SPOT] = 500
        await bench.refused(SPOT)
        await bench.refused(SPOT)
        assert fake.reads.count(SPOT) == 1
        del fake.behaviour[SPOT]
        fake.values[SPOT] = b"{}"
        await bench.clock.advance(1)
        assert await bench.upstream.fetch(SPOT) == b"{}"


async def test_misses_are_so_many_at_once_at_most():
    async with (
        upstream_imds(OPEN) as fake,
        passing(fake, "meta-data/", miss_seconds=AT_ONCE) as bench,
    ):
        paths = [f"meta-data/hangs/{number}" for number in range(MOST_FLIGHTS)]
        fake.behaviour = dict.fromkeys(paths, "hang")
        flights = [asyncio.create_task(bench.upstream.fetch(path)) for path in paths]
        await asyncio.wait(flights, timeout=0)
        assert f"{MOST_FLIGHTS} paths are being fetched" in str(await bench.refused(SPOT))
        await asyncio.gather(*flights, return_exceptions=True)


async def test_a_scan_of_names_is_remembered_within_bounds():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        for number in range(MOST_REMEMBERED + 1):
            assert await bench.upstream.fetch(f"meta-data/scan/{number}") is None
        before = len(fake.reads)
        assert await bench.upstream.fetch(f"meta-data/scan/{MOST_REMEMBERED}") is None
        assert await bench.upstream.fetch("meta-data/scan/0") is None
        assert fake.reads[before:] == ["meta-data/scan/0"]


# Away


@pytest.mark.parametrize("how", ["stopped", "no token", "500", "401", "503", "hangs"])
async def test_what_is_held_is_served_while_upstream_is_away_and_told_once(how):
    patience = AT_ONCE if how == "hangs" else PATIENT
    async with (
        upstream_imds(OPEN) as fake,
        passing(fake, "meta-data/") as bench,
    ):
        held = dict(bench.upstream.leaves())
        bench.deadlines.background_seconds = patience
        await break_down(fake, how)
        with capture_logs() as logs:
            await bench.pass_time(60, crawls=2)
            await bench.pass_time(1, crawls=3)
            await bench.pass_time(2, crawls=4)
        assert events(logs) == ["upstream_lost"]
        (told,) = logs
        assert told["log_level"] == "warning"
        assert told["upstream"] == fake.url
        assert told["reason"].startswith(f"the metadata service at {fake.url} ")
        assert (told["stale_until"] - bench.clock.now()).total_seconds() == 3600 - 63
        assert bench.upstream.leaves() == held
        assert bench.metric(f'imdsd_upstream_up{{upstream="{fake.url}"}} 0.0')


async def break_down(fake, how):
    match how:
        case "stopped":
            await fake.stop()
        case "no token":
            fake.put = 500
            fake.expire_tokens()
        case "401":
            fake.refuses_every_token = True
            fake.expire_tokens()
        case "hangs":
            fake.behaviour = dict.fromkeys(("meta-data", *OPEN), "hang")
        case status:
            fake.behaviour = dict.fromkeys(("meta-data", *OPEN), int(status))


async def test_after_an_hour_away_nothing_is_left_and_misses_say_why():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        await fake.stop()
        await bench.pass_time(60, crawls=2)
        generation = bench.upstream.generation()
        bench.clock._move(STALE_SECONDS - 61)
        assert bench.upstream.leaves()[AMI] == b"ami-0abc"
        bench.clock._move(1)
        assert bench.upstream.generation() != generation
        assert bench.upstream.leaves() == {}
        assert "cannot be reached" in str(await bench.refused(AMI))


async def test_the_pauses_grow_while_upstream_is_away():
    async with upstream_imds(OPEN) as fake, passing(fake, AMI) as bench:
        await fake.stop()
        await bench.pass_time(60, crawls=2)
        for crawls, pause in enumerate((1, 2, 4, 8, 16, 32, 60, 60), start=3):
            await bench.clock.advance(pause - 0.5)
            assert bench.clock.naps == crawls - 1
            await bench.pass_time(0.5, crawls=crawls)


async def test_its_return_is_noticed_told_and_everything_read_anew():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        await fake.stop()
        await bench.pass_time(60, crawls=2)
        fake.values[AMI] = b"ami-new"
        fake.expire_tokens()
        with capture_logs() as logs:
            await fake.start()
            await bench.pass_time(1, crawls=3)
        assert logs == [{"event": "upstream_reached", "log_level": "info", "upstream": fake.url}]
        assert bench.upstream.leaves()[AMI] == b"ami-new"
        assert bench.metric(f'imdsd_upstream_up{{upstream="{fake.url}"}} 1.0')


async def test_upstream_may_be_away_at_the_start():
    async with upstream_imds(OPEN) as fake:
        await fake.stop()
        with capture_logs() as logs:
            async with passing(fake, "meta-data/") as bench:
                assert bench.upstream.leaves() == {}
                assert "cannot be reached" in str(await bench.refused(AMI))
                await fake.start()
                await bench.pass_time(1, crawls=2)
                assert bench.upstream.leaves()[AMI] == b"ami-0abc"
        assert events(logs) == ["upstream_lost", "upstream_reached"]


async def test_while_upstream_is_away_nothing_is_asked_again_for_clients_that_are_served():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/placement/") as bench:
        fake.put = 500
        fake.expire_tokens()
        await bench.pass_time(60, crawls=2)
        for crawls, pause in enumerate((1, 2, 4), start=3):
            await bench.pass_time(pause, crawls=crawls)
        await bench.clock.advance(6)  # of the eight of this pause
        before = len(fake.seen)
        bench.upstream.touch(ZONE)
        await bench.refused("meta-data/placement/nothing")
        await bench.refused("meta-data/placement/neither")
        assert [each.method for each in fake.seen[before:]] == ["PUT", "PUT"]


async def test_what_clients_asked_for_before_upstream_went_away_is_not_asked_for_after():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        await bench.clock.advance(6)
        fake.put = 500
        fake.expire_tokens()
        for path in (AMI, MAC, ZONE):
            bench.upstream.touch(path)
        await until(lambda: bench.metric(f'imdsd_upstream_up{{upstream="{fake.url}"}} 0.0'))
        await bench.refused(SPOT)
        await bench.refused("meta-data/another")
        # One touched path found out, the two others were not tried.
        assert bench.metric('imdsd_upstream_requests_total{result="failed"} 3.0')


async def test_three_paths_without_an_answer_between_them_are_taken_for_the_whole():
    async with (
        upstream_imds(OPEN) as fake,
        passing(fake, "meta-data/", miss_seconds=AT_ONCE) as bench,
    ):
        fake.behaviour = dict.fromkeys(("meta-data/a", "meta-data/b", "meta-data/c"), "hang")
        with capture_logs() as logs:
            await bench.refused("meta-data/a")
            await bench.refused("meta-data/b")
            assert logs == []
            await bench.refused("meta-data/c")
        assert events(logs) == ["upstream_lost"]


async def test_a_crawl_ends_at_the_third_path_that_hangs():
    values = {f"meta-data/{name}": b"1" for name in "abcdef"}
    async with upstream_imds(values) as fake:
        fake.behaviour = dict.fromkeys(values, "hang")
        async with passing(fake, "meta-data/", background_seconds=SHORT):
            assert fake.reads == ["meta-data/", "meta-data/a", "meta-data/b", "meta-data/c"]


async def test_each_crawl_gives_every_prefix_its_turn():
    async with upstream_imds(OPEN) as fake:
        await fake.stop()
        async with passing(fake, "dynamic/", "user-data") as bench:
            fake.behaviour["dynamic"] = 500
            await fake.start()
            await bench.pass_time(1, crawls=2)
            assert bench.upstream.leaves() == {"user-data": OPEN["user-data"]}


async def test_a_client_that_finds_upstream_gone_has_the_crawl_look_again_soon():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        await fake.stop()
        assert "cannot be reached" in str(await bench.refused(SPOT))
        await fake.start()
        await bench.pass_time(1, crawls=2)
        assert bench.metric(f'imdsd_upstream_up{{upstream="{fake.url}"}} 1.0')


async def test_a_client_that_finds_upstream_back_has_everything_read_anew():
    async with upstream_imds(OPEN) as fake:
        await fake.stop()
        async with passing(fake, "meta-data/") as bench:
            await fake.start()
            assert await bench.upstream.fetch(AMI) == b"ami-0abc"
            await bench.rests(2)
            assert bench.upstream.leaves()[ZONE] == b"eu-west-1b"


@pytest.mark.parametrize("how", [500, "hang", "reset", "cut", 301])
async def test_one_path_that_breaks_keeps_its_value_and_costs_no_other(how):
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        bench.deadlines.background_seconds = SHORT if how == "hang" else PATIENT
        fake.behaviour[AMI] = how
        fake.values |= {MAC: b"02:00:00:00:00:02", ZONE: b"eu-west-1c"}
        with capture_logs() as logs:
            await bench.pass_time(60, crawls=2)
        assert logs == []
        leaves = bench.upstream.leaves()
        assert (leaves[AMI], leaves[MAC]) == (b"ami-0abc", b"02:00:00:00:00:02")
        assert leaves[ZONE] == b"eu-west-1c"


async def test_a_directory_that_breaks_keeps_everything_below():
    async with upstream_imds(OPEN) as fake, passing(fake, "meta-data/") as bench:
        fake.behaviour["meta-data/placement"] = 500
        await bench.pass_time(60, crawls=2)
        assert bench.upstream.leaves()[ZONE] == b"eu-west-1b"


async def test_a_first_prefix_that_hangs_does_not_starve_the_others():
    async with upstream_imds(OPEN) as fake:
        fake.behaviour["dynamic"] = "hang"
        async with passing(fake, "dynamic/", "user-data", background_seconds=SHORT) as bench:
            assert bench.upstream.leaves() == {"user-data": OPEN["user-data"]}


# Bounds


async def test_an_oversize_value_is_not_held_and_the_rest_is():
    async with (
        upstream_imds({**OPEN, AMI: bytes(65537)}) as fake,
        passing(fake, "meta-data/") as bench,
    ):
        assert AMI not in bench.upstream.leaves()
        assert MAC in bench.upstream.leaves()


async def test_directories_that_contain_themselves_end():
    async with upstream_imds() as fake:
        fake._listing = lambda directory: b"deeper/\nalso/\nleaf"
        async with passing(fake, "meta-data/") as bench:
            assert len(fake.reads) <= MOST_READS
            assert sum(path.endswith("/") for path in fake.reads) <= MOST_READS
            assert max(path.count("/") for path in fake.reads) <= 16
            assert len(bench.upstream.leaves()) <= MOST_LEAVES


async def test_a_listing_of_more_names_than_are_read_is_cut():
    names = [f"{number:05}" for number in range(MOST_READS + 10)]
    async with upstream_imds() as fake:
        fake.listings["meta-data"] = "\n".join(names).encode()
        with capture_logs() as logs:
            async with passing(fake, "meta-data/"):
                assert len(fake.reads) == MOST_READS
        assert events(logs) == ["upstream_reached", "upstream_truncated"]


async def test_a_directory_that_contains_itself_once_is_followed_sixteen_deep():
    async with upstream_imds() as fake:
        fake._listing = lambda directory: b"deeper/"
        async with passing(fake, "meta-data/"):
            assert fake.reads[-1] == "meta-data/" + "deeper/" * 15


async def test_more_values_than_fit_are_left_out_and_told_once():
    fit = MOST_BYTES // ANSWER_CAP_BYTES
    many = {f"meta-data/{number:05}": bytes(ANSWER_CAP_BYTES) for number in range(fit + 1)}
    async with upstream_imds(many) as fake:
        with capture_logs() as logs:
            async with passing(fake, "meta-data/") as bench:
                assert len(bench.upstream.leaves()) == fit
                await bench.pass_time(60, crawls=2)
        assert events(logs) == ["upstream_reached", "upstream_truncated"]
        assert logs[1]["held"] == fit


# Told and ended


async def test_reads_are_counted_by_what_came_of_them():
    async with upstream_imds({AMI: b"1", MAC: b"1"}) as fake:
        fake.behaviour[MAC] = 500
        async with passing(fake, AMI, MAC, "user-data") as bench:
            for result in ("ok", "absent", "failed"):
                assert bench.metric(f'imdsd_upstream_requests_total{{result="{result}"}} 1.0')


async def test_no_value_of_upstream_is_logged():
    async with upstream_imds({AMI: SECRET, MAC: SECRET}) as fake:
        with capture_logs() as logs:
            async with passing(fake, "meta-data/") as bench:
                fake.behaviour[AMI] = "cut"
                fake.behaviour["meta-data"] = 500
                await bench.pass_time(60, crawls=2)
                await fake.stop()
                await bench.pass_time(1, crawls=3)
        assert "upstream_lost" in events(logs)
        assert "secret-of" not in str(logs)
        assert "token-" not in str(logs)


async def test_at_its_end_every_connection_is_closed_and_clients_that_wait_are_told():
    async with upstream_imds(OPEN) as fake:
        async with passing(fake, "meta-data/") as bench:
            fake.behaviour[SPOT] = "hang"
            waiting = asyncio.create_task(bench.upstream.fetch(SPOT))
            await until(lambda: SPOT in fake.reads)
        with pytest.raises(UpstreamUnavailableError, match="the daemon stops"):
            await waiting
        assert "the daemon stops" in str(await bench.refused("meta-data/another"))
