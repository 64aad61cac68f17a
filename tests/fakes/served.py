"""The endpoints behind a real socket, over a bench of fake source and exchange."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

from imdsd.credentials.attempt import Workshop
from imdsd.credentials.roles import RoleDefinition, Roles
from imdsd.endpoints.container import ContainerEndpoint
from imdsd.endpoints.documents import DocumentRenderer, Documents
from imdsd.endpoints.door import Door
from imdsd.endpoints.events import EventsEndpoint
from imdsd.endpoints.guards import Listener, host_names
from imdsd.endpoints.imds import ImdsEndpoint
from imdsd.endpoints.imds_tokens import ImdsTokens
from imdsd.endpoints.ops import DaemonFacts, OpsEndpoint
from imdsd.host.peer import PeerLookup
from imdsd.metadata.composition import Metadata, Upstream
from imdsd.metadata.event_board import EventBoard
from imdsd.metadata.machine import Machine
from imdsd.metadata.settings import MetadataSettings
from imdsd.secret import Secret
from tests.fakes.refresh import Bench

BEARER = Secret("the-bearer-of-these-tests-0123456789")
MACHINE = Machine("box", "x86_64", None)


@dataclass(slots=True)
class Reply:
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes
    header_names: list[str] = field(default_factory=list)

    @property
    def json(self) -> dict[str, object]:
        document: dict[str, object] = json.loads(self.body)
        return document


class Served:
    """A bench, its roles, its metadata and events, and a port that answers for them."""

    def __init__(
        self,
        bench: Bench,
        roles: Roles[Documents],
        metadata: Metadata,
        events: EventBoard,
        *,
        door: Door,
        port: int,
    ) -> None:
        self.bench = bench
        self.roles = roles
        self.metadata = metadata
        self.events = events
        self.door = door
        self.port = port

    async def ask(self, method: str, path: str, *, host: str = "", **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{self.port}'}"]
        lines += [f"{name}: {value}" for name, value in named.items()]
        return await self.send("\r\n".join([*lines, "Connection: close", "", ""]).encode())

    async def send(self, raw: bytes) -> Reply:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(raw)
            await writer.drain()
            async with asyncio.timeout(10):
                return parse(await reader.read())
        finally:
            writer.close()
            await writer.wait_closed()

    async def credentials(self, path: str = "/v1/credentials", **headers: str) -> Reply:
        return await self.ask("GET", path, Authorization=BEARER.reveal(), **headers)

    async def imds_token(self) -> str:
        put = await self.ask(
            "PUT", "/latest/api/token", X_aws_ec2_metadata_token_ttl_seconds="21600"
        )
        assert put.status == 200
        return put.body.decode()

    async def imds(self, path: str, *, method: str = "GET") -> Reply:
        return await self.ask(method, path, X_aws_ec2_metadata_token=await self.imds_token())


def parse(raw: bytes) -> Reply:
    head, _, body = raw.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    _, status, reason = status_line.split(" ", 2)
    pairs = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    return Reply(int(status), reason, headers, body, [name for name, _ in pairs])


async def in_place(load):
    """Load what a door can do without at first, and hold up the loop: nobody waits yet."""
    load()


@asynccontextmanager
async def serving(
    *definitions: RoleDefinition,
    bench: Bench,
    default: str = "dev",
    imds: str = "attested",
    allow_imdsv1: bool = False,
    allowed_uids: frozenset[int] | None = None,
    settings: MetadataSettings | None = None,
    machine: Machine = MACHINE,
    upstream: Upstream | None = None,
    peers: PeerLookup | None = None,
    user_names: Mapping[int, str] = MappingProxyType({}),
) -> AsyncIterator[Served]:
    workshop = Workshop(
        publisher=DocumentRenderer(),
        clock=bench.clock,
        metrics=bench.metrics,
        draw=lambda: 0.0,
        host="box",
    )
    roles = Roles(definitions or (bench.definition(),), workshop, default=default)
    container = ContainerEndpoint(roles, BEARER)
    facts = DaemonFacts("0", 1, bench.clock.now(), demo=False, listeners=("127.0.0.1:1",))
    ops = OpsEndpoint(roles, bench.metrics, facts=facts, authorized=container.authorized)
    events = EventBoard(bench.clock)
    metadata = Metadata(
        settings or MetadataSettings(),
        read_machine=lambda: machine,
        events=events,
        upstream=upstream,
    )
    imds_endpoint = ImdsEndpoint(
        roles,
        ImdsTokens(BEARER),
        metadata,
        clock=bench.clock,
        metrics=bench.metrics,
        allow_imdsv1=allow_imdsv1,
    )
    loop = asyncio.get_running_loop()
    door = Door(
        credentials=container,
        imds=imds_endpoint,
        ops=ops,
        events=EventsEndpoint(events, authorized=container.authorized),
        clock=bench.clock,
        metrics=bench.metrics,
        loop=loop,
    )
    await door.load(in_place)
    peers = peers or PeerLookup()
    listener = Listener(
        frozenset(),
        imds=imds,
        peers=peers,
        allowed_uids=allowed_uids or frozenset({os.geteuid()}),
        user_names=user_names,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    acceptor = door.listen(listening, listener)
    port = listening.getsockname()[1]
    listener.hosts = host_names([("127.0.0.1", port)])
    try:
        yield Served(bench, roles, metadata, events, door=door, port=port)
    finally:
        acceptor.close()
        listening.close()
        await door.close(grace_seconds=1)
        peers.close()
        for _, refresher in roles:
            await refresher.aclose()
