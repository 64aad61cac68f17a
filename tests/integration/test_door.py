"""What a connection goes through, over real sockets, on asyncio and on uvloop."""

import asyncio
import contextlib
import socket
import struct
import subprocess
from dataclasses import replace

import pytest
import uvloop
from structlog.testing import capture_logs

from imdsd.clock import SystemClock
from imdsd.endpoints.door import Door
from imdsd.endpoints.door.limits import Limits
from imdsd.endpoints.guards import Listener, host_names
from imdsd.endpoints.message import Answer
from imdsd.host.peer import Peer
from imdsd.telemetry.metrics import Metrics
from tests.fakes.served import in_place

LONG = 30.0
PATIENT = Limits(
    connections=4,
    spare_connections=2,
    head_seconds=LONG,
    request_seconds=LONG,
    write_seconds=LONG,
    idle_seconds=LONG,
    farewell_seconds=LONG,
)
SOON = 0.2
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Endpoint:
    """Answers with the path, and holds `/hold` until it is released."""

    def __init__(self):
        self.released = asyncio.Event()
        self.working = 0
        self.body = b"served"

    def answer_now(self, request):
        return None if request.path.endswith("/hold") else Answer(200, self.body)

    async def answer(self, request):
        if request.path.endswith("/hold"):
            self.working += 1
            await self.released.wait()
        return Answer(200, self.body)


class Peers:
    """Knows every client by the address it comes from: 127.0.0.N is the user N."""

    def find_peer(self, local, remote):
        return Peer(int(remote[0].rpartition(".")[2]), 1)


class Service:
    """A door and a port, with limits of the test's."""

    def __init__(self, limits, *, per_user):
        self.endpoint = Endpoint()
        self.metrics = Metrics("0")
        loop = asyncio.get_running_loop()
        self.door = Door(
            credentials=self.endpoint,
            imds=self.endpoint,
            ops=self.endpoint,
            events=self.endpoint,
            clock=SystemClock(),
            metrics=self.metrics,
            loop=loop,
            limits=limits,
            per_user=per_user,
        )
        self._clients = []

    async def open(self, *, loads=True):
        if loads:
            await self.door.load(in_place)
        listener = Listener(frozenset(), imds="open", peers=Peers(), allowed_uids=frozenset())
        opened = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = opened.getsockname()[1]
        listener.hosts = host_names([("127.0.0.1", self.port)])
        self._listening = opened
        self._acceptor = self.door.listen(opened, listener)

    async def close(self):
        for client in self._clients:
            client.close()
        self._acceptor.close()
        self._listening.close()
        await self.door.close(grace_seconds=1)

    async def client(self, said=b"", *, user=1, **options):
        """Return a client that is connected and has said something."""
        client = Client(self.port, user, **options)
        self._clients.append(client)
        await client.connect()
        if said:
            await client.say(said)
        return client

    def request(self, path="/v1/credentials", *more):
        return "\r\n".join(
            [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *more, "", ""]
        ).encode()

    def metric(self, name, **labels):
        wanted = name + (f'{{reason="{labels["reason"]}"}}' if labels else "")
        for line in self.metrics.render().decode().splitlines():
            if line.startswith(wanted + " "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def closed(self, reason):
        return self.metric("imdsd_connections_closed_total", reason=reason)

    async def until(self, check):
        async with asyncio.timeout(LONG):
            while not check():
                await asyncio.sleep(0.005)

    async def until_open(self, count):
        await self.until(lambda: self.metric("imdsd_connections") == count)

    async def busy(self, count, **options):
        """Return clients for each of whom the daemon is at work."""
        hold = self.request("/v1/credentials/hold")
        clients = [await self.client(hold, **options) for _ in range(count)]
        await self.until(lambda: self.endpoint.working == count)
        return clients


class Client:
    """A raw socket."""

    def __init__(self, port, user, *, receives=0):
        self.socket = socket.socket()
        if receives:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        self.socket.setblocking(False)
        self.socket.bind((f"127.0.0.{user}", 0))
        self._port = port

    async def connect(self):
        await asyncio.get_running_loop().sock_connect(self.socket, ("127.0.0.1", self._port))

    async def say(self, said):
        await asyncio.get_running_loop().sock_sendall(self.socket, said)

    async def hear(self, ending=None):
        """Return what comes until the end of the connection, or until `ending`."""
        heard = bytearray()
        async with asyncio.timeout(LONG):
            while ending is None or ending not in heard[-200:]:
                chunk = await asyncio.get_running_loop().sock_recv(self.socket, 1 << 16)
                if not chunk:
                    assert ending is None, f"closed after {heard[-200:]!r}"
                    break
                heard += chunk
        return bytes(heard)

    async def gone(self):
        """Wait for the end, be it orderly or not; nothing was said before."""
        with contextlib.suppress(ConnectionResetError):
            assert await self.hear() == b""

    def close(self):
        self.socket.close()


@pytest.fixture(params=LOOPS.keys())
def door(request):
    """Return what runs a test's scenario behind a door with these limits."""

    def run(scenario, limits=PATIENT, *, per_user=False, loads=True):
        async def main():
            service = Service(limits, per_user=per_user)
            await service.open(loads=loads)
            try:
                await scenario(service)
            finally:
                await service.close()
            assert len(service.door._table) == 0

        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(main())

    return run


def test_a_silent_client_is_closed_without_a_word(door):
    async def scenario(service):
        client = await service.client()
        await client.gone()
        assert service.closed("silent") == 1

    door(scenario, replace(PATIENT, head_seconds=SOON))


@pytest.mark.parametrize("said", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
def test_a_head_that_stays_away_is_answered_408(door, said):
    async def scenario(service):
        client = await service.client(said)
        heard = await client.hear()
        assert heard.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert b"\r\nConnection: close\r\n" in heard
        assert service.closed("slow_head") == 1

    door(scenario, replace(PATIENT, head_seconds=SOON))


def test_more_slow_heads_than_may_stay_are_told_too(door):
    async def scenario(service):
        slow = [await service.client(b"GET / HT") for _ in range(PATIENT.connections)]
        for client in slow:
            assert (await client.hear()).startswith(b"HTTP/1.1 408 ")
        assert service.closed("slow_head") == len(slow)
        assert len(service.door._table.farewell.members) == PATIENT.spare_connections

    door(scenario, replace(PATIENT, head_seconds=SOON))


def test_a_client_that_left_in_the_middle_of_a_head_saves_no_other_from_its_deadline(door):
    async def scenario(service):
        gone = await service.client(b"GET / HT")
        slow = await service.client(b"GET / HT")
        gone.close()
        assert (await slow.hear()).startswith(b"HTTP/1.1 408 ")
        assert service.closed("slow_head") == 2

    door(scenario, replace(PATIENT, head_seconds=SOON))


def test_a_head_that_trickles_gains_no_time_by_it(door):
    async def scenario(service):
        client = await service.client()
        began = asyncio.get_running_loop().time()
        with contextlib.suppress(ConnectionError):
            for byte in service.request() * 3:
                await client.say(bytes([byte]))
                await asyncio.sleep(0.02)
                if service.closed("slow_head"):
                    break
        assert service.closed("slow_head") == 1
        assert asyncio.get_running_loop().time() - began < 60 * SOON

    door(scenario, replace(PATIENT, head_seconds=SOON))


@pytest.mark.parametrize("before", [0, 1])
def test_a_head_without_end_is_refused_long_before_its_deadline(door, before):
    async def scenario(service):
        client = await service.client(service.request() * before + b"GET / HTTP/1.1\r\n")
        if before:
            await client.hear(b"served")
        fields = b"".join(b"X-%d: %s\r\n" % (each, b"x" * 8000) for each in range(60))
        with contextlib.suppress(ConnectionError):
            await client.say(fields)
        heard = await client.hear()
        assert heard.startswith(b"HTTP/1.1 431 ")
        assert heard.count(b"HTTP/1.1") == 1
        assert service.closed("large_head") == 1

    door(scenario)


def test_a_body_that_nobody_reads_is_no_head_without_end(door):
    async def scenario(service):
        head = service.request("/v1/credentials", "Content-Length: 1000000")
        client = await service.client(head + b"x" * 1000000)
        heard = await client.hear()
        assert heard.startswith(b"HTTP/1.1 413 ")
        assert heard.count(b"HTTP/1.1") == 1
        assert service.closed("large_head") == 0

    door(scenario, replace(PATIENT, farewell_seconds=1))


def test_a_head_that_comes_in_pieces_in_time_is_served(door):
    async def scenario(service):
        client = await service.client()
        for byte in service.request():
            await client.say(bytes([byte]))
        assert b"served" in await client.hear(b"served")

    door(scenario)


@pytest.mark.parametrize("before", [0, 10])
def test_a_request_that_came_while_the_loop_stood_still_is_answered(door, before):
    """As where the process was stopped, or the machine slept: nobody was too slow but we."""

    async def scenario(service):
        request = service.request("/v1/credentials", "Connection: close")
        client = await service.client(request[:before])
        await service.until_open(1)
        client.socket.send(request[before:])
        subprocess.run(["sleep", "3"], check=True)  # in the loop's own thread
        assert (await client.hear()).startswith(b"HTTP/1.1 200 ")
        assert service.closed("slow_head") == service.closed("silent") == 0

    door(scenario, replace(PATIENT, head_seconds=2.0))


def test_on_a_kept_connection_the_next_head_has_its_own_time(door):
    async def scenario(service):
        client = await service.client(service.request())
        await client.hear(b"served")
        await client.say(b"GET ")
        heard = await client.hear()
        assert heard.startswith(b"HTTP/1.1 408 ")
        assert service.closed("slow_head") == 1

    door(scenario, replace(PATIENT, head_seconds=SOON))


def test_a_head_that_began_behind_a_request_has_no_more_time_than_another(door):
    async def scenario(service):
        client = await service.client(service.request() * 2 + b"GET ")
        heard = await client.hear()
        assert heard.count(b"served") == 2
        assert b"HTTP/1.1 408 " in heard
        assert service.closed("slow_head") == 1

    door(scenario, replace(PATIENT, head_seconds=SOON))


def test_a_body_that_came_while_the_loop_stood_still_is_read(door):
    async def scenario(service):
        head = service.request("/v1/credentials", "Content-Length: 9", "Connection: close")
        client = await service.client(head)
        await service.until(lambda: service.door._table.body.members)
        client.socket.send(b"123456789")
        subprocess.run(["sleep", "3"], check=True)  # in the loop's own thread
        assert (await client.hear()).startswith(b"HTTP/1.1 200 ")

    door(scenario, replace(PATIENT, request_seconds=2.0))


def test_a_body_that_stays_away_is_answered_408(door):
    async def scenario(service):
        client = await service.client(service.request("/v1/credentials", "Content-Length: 9"))
        assert (await client.hear()).startswith(b"HTTP/1.1 408 ")

    door(scenario, replace(PATIENT, request_seconds=SOON, farewell_seconds=SOON))


def test_an_idle_connection_is_closed_in_its_time(door):
    async def scenario(service):
        client = await service.client(service.request())
        await client.hear(b"served")
        await client.gone()
        assert service.closed("idle") == 1

    door(scenario, replace(PATIENT, idle_seconds=SOON))


def test_a_client_that_does_not_read_is_let_go(door):
    async def scenario(service):
        service.endpoint.body = b"x" * (16 << 20)  # more than the kernel takes off us
        client = await service.client(service.request(), receives=4096)
        await service.until(lambda: service.closed("slow_reader") == 1)
        await service.until_open(0)
        assert len(await client.hear()) < len(service.endpoint.body)

    door(scenario, replace(PATIENT, write_seconds=SOON))


def test_a_client_that_reads_late_gets_the_whole_answer_and_is_heard_again(door):
    async def scenario(service):
        service.endpoint.body = b"x" * (16 << 20) + b"end"
        client = await service.client(service.request(), receives=4096)
        await asyncio.sleep(0.1)
        assert len(await client.hear(b"xend")) > len(service.endpoint.body)
        service.endpoint.body = b"served"
        await client.say(service.request())
        await client.hear(b"served")

    door(scenario)


def test_one_more_than_there_are_places_takes_the_place_of_an_idle_one(door):
    async def scenario(service):
        idle = await service.client(service.request())
        await idle.hear(b"served")
        silent = [await service.client() for _ in range(PATIENT.connections - 1)]
        await service.until_open(PATIENT.connections)
        newcomer = await service.client(service.request())
        await newcomer.hear(b"served")
        await idle.gone()
        assert service.closed("displaced") == 1
        await service.client()  # now the newcomer is the idle one
        await newcomer.gone()
        await service.client()
        await silent[0].gone()

    door(scenario)


def test_where_the_daemon_is_at_work_for_all_one_more_is_told_to_come_again(door):
    async def scenario(service):
        busy = await service.busy(PATIENT.connections)
        refused = await service.client(service.request())
        heard = await refused.hear()
        assert heard.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"\r\nRetry-After: 1\r\n" in heard
        assert b"served" not in heard
        assert service.closed("full") == 1
        service.endpoint.released.set()
        for client in busy:
            await client.hear(b"served")

    door(scenario)


def test_who_is_refused_and_says_nothing_does_not_stay(door):
    async def scenario(service):
        await service.busy(PATIENT.connections)
        refused = await service.client()
        await refused.gone()
        service.endpoint.released.set()

    door(scenario, replace(PATIENT, farewell_seconds=SOON))


def test_more_than_can_be_told_are_cut_off(door):
    async def scenario(service):
        await service.busy(PATIENT.connections)
        waiting = [await service.client() for _ in range(PATIENT.spare_connections)]
        await service.until(lambda: service.closed("full") == len(waiting))
        await (await service.client()).gone()
        await waiting[0].say(service.request())
        assert (await waiting[0].hear()).startswith(b"HTTP/1.1 503 ")
        service.endpoint.released.set()

    door(scenario)


def test_with_a_cap_for_users_the_others_keep_their_half(door):
    async def scenario(service):
        mine = await service.client(service.request(), user=7)
        await mine.hear(b"served")
        greedy = [await service.client(user=8) for _ in range(3 * PATIENT.connections)]
        await service.until(lambda: service.closed("displaced") == len(greedy) - 2)
        await mine.say(service.request())
        await mine.hear(b"served")

    door(scenario, per_user=True)


def test_a_flood_is_logged_once_not_by_connection(door):
    async def scenario(service):
        for _ in range(50):
            await service.client()
        await service.until(lambda: service.closed("displaced") >= 40)

    with capture_logs() as logged:
        door(scenario)
    assert [(each["event"], each["limit"]) for each in logged] == [
        ("connections_exhausted", PATIENT.connections)
    ]


def test_a_client_that_closes_its_half_still_gets_its_answer(door):
    async def scenario(service):
        client = await service.client(service.request("/v1/credentials/hold"))
        client.socket.shutdown(socket.SHUT_WR)
        await service.until(lambda: service.endpoint.working == 1)
        await asyncio.sleep(0.05)
        service.endpoint.released.set()
        heard = await client.hear()
        assert heard.endswith(b"served")
        assert b"\r\nConnection: close\r\n" in heard

    door(scenario)


@pytest.mark.parametrize("said", [b"", b"GET / HT"])
def test_a_client_that_closes_its_half_too_early_is_let_go(door, said):
    async def scenario(service):
        client = await service.client(said)
        client.socket.shutdown(socket.SHUT_WR)
        heard = await client.hear()
        assert heard[:13] == (b"HTTP/1.1 408 " if said else b"")

    door(scenario, replace(PATIENT, head_seconds=SOON))


# uvloop tells no reader of a reset: there the place is back with the deadline.
@pytest.mark.parametrize("door", ["asyncio"], indirect=True)
@pytest.mark.parametrize("said", [b"", b"GET / HT", b"whole", b"hold"])
def test_a_client_that_resets_gives_its_place_back(door, said):
    async def scenario(service):
        requests = {b"whole": service.request(), b"hold": service.request("/v1/credentials/hold")}
        client = await service.client(requests.get(said, said))
        await service.until_open(1)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await service.until_open(0)
        service.endpoint.released.set()
        other = await service.client(service.request())
        await other.hear(b"served")

    door(scenario)


async def loaded(service):
    """Load what is not plain, once a client's request has come too early for it."""
    loading = asyncio.Event()
    task = asyncio.create_task(service.door.load(lambda load: loading.wait()))
    await service.until(lambda: service.door._waiting)
    loading.set()
    await task


@pytest.mark.parametrize("pieces", [1, 2])
def test_who_asks_what_is_not_loaded_yet_is_answered_once_it_is(door, pieces):
    async def scenario(service):
        request = service.request("/v1/credentials", "Accept-Charset: *")
        client = await service.client(request[: len(request) // pieces])
        await service.until(lambda: service.door._waiting)
        plain = await service.client(service.request())
        await plain.hear(b"served")
        await client.say(request[len(request) // pieces :] + service.request())
        await loaded(service)
        heard = await client.hear(b"served")
        while heard.count(b"served") < 2:
            heard += await client.hear(b"served")
        assert heard.count(b"HTTP/1.1 200") == 2
        await service.until(lambda: len(service.door._table.idle.members) == 2)

    door(scenario, loads=False)


@pytest.mark.parametrize("ends", ["close", "reset", "half-close"])
def test_who_asks_what_is_not_loaded_yet_may_leave(door, ends):
    async def scenario(service):
        client = await service.client(service.request("/v1/credentials", "Accept-Charset: *"))
        await service.until(lambda: service.door._waiting)
        if ends == "half-close":
            client.socket.shutdown(socket.SHUT_WR)
        elif ends == "reset":
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        else:
            client.close()
        await loaded(service)
        if ends == "half-close":
            assert b"served" in await client.hear()
        await service.until_open(0)

    door(scenario, loads=False)


def test_a_door_that_closes_before_all_is_loaded_answers_who_has_asked(door):
    async def scenario(service):
        client = await service.client(service.request("/v1/credentials", "Accept-Charset: *"))
        await service.until(lambda: service.door._waiting)
        await service.door.close(grace_seconds=LONG)
        assert b"served" in await client.hear()

    door(scenario, loads=False)


def test_a_bug_that_one_who_waited_meets_costs_no_other(door):
    async def scenario(service):
        told = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        request = service.request("/v1/credentials", "Accept-Charset: *")
        clients = [await service.client(request) for _ in range(2)]
        await service.until(lambda: len(service.door._waiting) == 2)
        del service.door._waiting[0]._table
        await loaded(service)
        await clients[1].hear(b"served")
        assert [type(error) for error in told] == [AttributeError]
        service.door._table.empty()
        loop.set_exception_handler(None)

    door(scenario, loads=False)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"\r\n\r\n"],
        [b"POST /v1/credentials HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\n\r\n", b"\r\n\r\n"],
        [
            b"POST /v1/credentials HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
            b"0\r\n\r\n",
        ],
    ],
    ids=["empty-lines", "body", "chunks"],
)
def test_a_blank_line_that_ends_no_head_allows_no_head_without_end(door, pieces):
    async def scenario(service):
        client = await service.client()
        host = f"127.0.0.1:{service.port}".encode()
        for number, piece in enumerate(pieces, 1):
            await client.say(piece.replace(b"HOST", host))
            if number < len(pieces):
                await service.until(lambda: service.door._table.body.members)
        if len(pieces) > 1:
            await client.hear(b"served")
        fields = b"".join(b"X-%d: %s\r\n" % (each, b"x" * 8000) for each in range(60))
        with contextlib.suppress(ConnectionError):
            await client.say(b"GET / HTTP/1.1\r\n" + fields)
        assert (await client.hear()).startswith(b"HTTP/1.1 431 ")
        assert service.closed("large_head") == 1

    door(scenario)


def test_pipelined_requests_are_answered_in_order(door):
    async def scenario(service):
        paths = [f"/v1/credentials/{number}" for number in range(200)]
        client = await service.client(b"".join(map(service.request, paths)))
        heard = b""
        while heard.count(b"served") < len(paths):
            heard += await client.hear(b"served")
        assert heard.count(b"HTTP/1.1 200 OK") == len(paths)

    door(scenario)


def test_what_is_no_http_is_answered_and_counted_once(door):
    async def scenario(service):
        client = await service.client(b"\x16\x03\x01 hello\r\n\r\n")
        heard = await client.hear()
        assert heard.startswith(b"HTTP/1.1 400 ")
        assert heard.count(b"HTTP/1.1") == 1
        assert service.closed("malformed") == 1

    door(scenario, replace(PATIENT, head_seconds=SOON))


def test_a_door_that_closes_waits_a_moment_for_who_was_accepted_last(door):
    async def scenario(service):
        newcomer = await service.client()
        await service.until_open(1)
        closing = asyncio.create_task(service.door.close(grace_seconds=1))
        await asyncio.sleep(0.02)
        await newcomer.say(service.request())
        assert b"served" in await newcomer.hear()
        await closing

    door(scenario, replace(PATIENT, newcomer_seconds=LONG))


def test_a_door_that_closes_does_not_wait_long_for_the_silent(door):
    async def scenario(service):
        newcomer = await service.client()
        await service.until_open(1)
        await service.door.close(grace_seconds=1)
        await newcomer.gone()

    door(scenario, replace(PATIENT, newcomer_seconds=SOON))


def test_many_clients_at_once_with_large_answers_are_all_served(door):
    async def scenario(service):
        service.endpoint.body = b"x" * 200_000 + b"end"

        async def ask():
            client = await service.client(service.request("/v1/credentials", "Connection: close"))
            return len(await client.hear())

        sizes = await asyncio.gather(*(ask() for _ in range(200)))
        assert min(sizes) > 200_000
        await service.until_open(0)

    door(scenario, replace(PATIENT, connections=256))
