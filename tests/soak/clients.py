"""Clients of every kind, good and bad, that come and go; what they are told goes to the judge."""

import asyncio
import contextlib
import json
import socket
import struct

from tests.fakes.served import parse

ANSWER_SECONDS = 30.0
_TTL = "X-aws-ec2-metadata-token-ttl-seconds"
# Longer than the daemon is stopped, or the machine, between this request and the next.
_TTL_SECONDS = "21600"
_TOKEN = "X-aws-ec2-metadata-token"
_ROLE_DOCUMENTS = "/latest/meta-data/iam/security-credentials/"
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Clients:
    """Ask one daemon in every way, until cancelled; pause while `calm` is set."""

    def __init__(self, daemon, daemons, judge, rng, roles) -> None:
        self._port = daemon.port
        self._bearer = daemon.bearer
        self._daemons = daemons
        self._judge = judge
        self._random = rng
        self._roles = roles
        self.busy = asyncio.Event()
        self.busy.set()

    def all(self):
        """Every kind, those of the everyday several times."""
        usual = [self._by_new_connection, self._by_kept_connection, self._by_imds] * 4
        rare = [self._by_credential_process, self._ops, self._vanish, self._vanish]
        return [self._again(kind) for kind in usual + rare + [self._trickle] * 6]

    async def _again(self, kind):
        while True:
            await self.busy.wait()
            try:
                await kind()
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self._judge.breaks(f"{kind.__name__}: {error!r}")
            await asyncio.sleep(self._random.expovariate(5))

    # Those who want credentials

    async def _by_new_connection(self):
        role = self._role()
        reply = await self._ask("GET", f"/v1/credentials/{role}", Authorization=self._bearer)
        self._judged("container, new connection", role, reply)

    async def _by_kept_connection(self):
        """Ask several times over one connection, with pauses shorter than it is kept for."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            for _ in range(self._random.randint(2, 12)):
                role = self._role()
                path = f"/v1/credentials/{role}"
                writer.write(self._head("GET", path, Authorization=self._bearer))
                self._judged("container, kept connection", role, await _read_one(reader))
                await asyncio.sleep(self._random.choice((0, 0.1, 0.5, 2)))
        finally:
            writer.close()

    async def _by_imds(self):
        put = await self._ask("PUT", "/latest/api/token", **{_TTL: _TTL_SECONDS})
        if put.status != 200:
            self._judge.unserved("IMDS token", self._roles[0], put.status, put.body)
            return
        token = put.body.decode()
        role = (await self._ask("GET", _ROLE_DOCUMENTS, **{_TOKEN: token})).body.decode()
        reply = await self._ask("GET", f"{_ROLE_DOCUMENTS}{role}", **{_TOKEN: token})
        if reply.status == 200 and reply.json["Code"] == "Success":
            self._judge.served("IMDS", self._roles[0], reply.json)
        else:
            self._judge.unserved("IMDS", self._roles[0], reply.status, reply.body)

    async def _by_credential_process(self):
        role = self._role()
        done = await self._daemons.cli("credential-process", "--role", role)
        if done.returncode == 0:
            document = json.loads(done.stdout)
            document["Token"] = document.pop("SessionToken")
            self._judge.served("credential-process", role, document)
        else:
            status = 503 if done.returncode == 4 else done.returncode
            self._judge.unserved("credential-process", role, status, done.stderr.encode())
        await asyncio.sleep(self._random.uniform(2, 6))

    async def _ops(self):
        """Look at what a monitor looks at, and have one of the first roles refreshed."""
        for path in ("/healthz", "/metrics", "/status"):
            reply = await self._ask("GET", path)
            if reply.status != 200:
                self._judge.breaks(f"{path}: {reply.status}")
            self._judge.did("ops")
        restless = self._random.choice(self._roles[:2])
        # Whether it can be refreshed just now is not promised.
        await self._ask("POST", f"/refresh/{restless}", Authorization=self._bearer)
        self._judge.did("refresh")
        await asyncio.sleep(1)

    # Those who do not

    async def _vanish(self):
        """Go away in the middle: of the request, before the answer, with a reset or without."""
        head = self._head("GET", "/v1/credentials", Authorization=self._bearer)
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(head[: self._random.choice((0, 1, 40, len(head)))])
        await asyncio.sleep(self._random.choice((0, 0, 0.05, 1)))
        if self._random.random() < 0.5:
            linger = (socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            writer.get_extra_info("socket").setsockopt(*linger)
        writer.close()
        self._judge.did("vanished")

    async def _trickle(self):
        """Send a byte now and then, until it is closed or long enough."""
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        with contextlib.suppress(ConnectionError):
            for byte in self._head("GET", "/v1/credentials")[:20]:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0.4)
        writer.close()
        self._judge.did("trickled")

    # How

    def _role(self):
        return self._random.choice(self._roles)

    def _judged(self, kind, role, reply):
        if reply.status == 200:
            self._judge.served(kind, role, reply.json)
        else:
            self._judge.unserved(kind, role, reply.status, reply.body)

    def _head(self, method, path, **headers):
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    async def _ask(self, method, path, **headers):
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(self._head(method, path, Connection="close", **headers))
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await reader.read()
        finally:
            writer.close()
        if not answer:
            raise EOFError(f"{method} {path}: closed without an answer")
        return parse(answer)


async def _read_one(reader):
    """Read one answer of a connection that stays open."""
    async with asyncio.timeout(ANSWER_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        reply = parse(head)
        reply.body = await reader.readexactly(int(reply.headers["content-length"]))
    return reply
