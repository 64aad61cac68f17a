"""One daemon, from its first bind to its last answer."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog

from imdsd import __version__
from imdsd.clock import format_instant
from imdsd.config import unreloadable_changes
from imdsd.daemon.boot import Boot, build_roles, build_upstream, define_roles
from imdsd.daemon.descriptors import raise_limit
from imdsd.daemon.exchanging import ExchangeProcess
from imdsd.daemon.files import CredentialFiles, held_by
from imdsd.daemon.listeners import (
    Bound,
    bind_all,
    wanted_listeners,
    without_hiding,
)
from imdsd.daemon.loop_errors import LoopErrors
from imdsd.daemon.process import aside
from imdsd.daemon.shortcomings import Announcement, tell_shortcomings
from imdsd.daemon.telling import Telling
from imdsd.endpoints.container import ContainerEndpoint
from imdsd.endpoints.documents import DocumentRenderer
from imdsd.endpoints.door import Door
from imdsd.endpoints.events import EventsEndpoint
from imdsd.endpoints.guards import Listener, host_names
from imdsd.endpoints.imds import ImdsEndpoint
from imdsd.endpoints.imds_tokens import ImdsTokens
from imdsd.endpoints.ops import DaemonFacts, OpsEndpoint
from imdsd.errors import ImdsdError
from imdsd.host.accounts import gid_of, names_of, uids_of
from imdsd.host.daemon_record import DaemonRecord
from imdsd.host.listening.ec2 import ec2_evidence
from imdsd.host.listening.passed import take_passed
from imdsd.host.peer import PeerLookup
from imdsd.metadata.composition import Metadata
from imdsd.metadata.event_board import EventBoard
from imdsd.metadata.machine import read_machine
from imdsd.telemetry.metrics import Metrics
from imdsd.tokens import claims

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imdsd.config import Config

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 2.0
"""How long requests in flight may take once the daemon stops."""


class Daemon:
    """Serve a configuration's roles until told to stop."""

    def __init__(self, boot: Boot) -> None:
        config = boot.config
        self._boot = boot
        self._config = config
        self._clock = boot.clock
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._bearer = boot.directory.bearer(group=gid_of(config.bearer_group))
        self._allowed_uids = uids_of(config.allow_users, config.allow_groups) | {0, os.geteuid()}
        self._user_names = names_of(self._allowed_uids)
        self._peers = PeerLookup()
        self._metrics = Metrics(__version__)
        self._upstream = build_upstream(config.upstream, self._clock, self._metrics)
        self._events = EventBoard(self._clock)
        self._metadata = Metadata(
            config.metadata.settings,
            read_machine=read_machine,
            events=self._events,
            upstream=self._upstream,
        )
        self._files = CredentialFiles(config.roles, clock=self._clock, metrics=self._metrics)
        self._exchanges = boot.exchanges or ExchangeProcess(boot.environ)
        self._roles = build_roles(
            boot,
            DocumentRenderer(),
            self._metrics,
            published=self._files.published,
            process=self._exchanges,
        )
        self._announcement = Announcement(boot.directory, clock=self._clock)
        self._telling = Telling(boot.environ, self._roles, clock=self._clock)

    async def run(
        self, *, ready: Callable[[tuple[str, ...]], None] = lambda _listeners: None
    ) -> None:
        """Serve until told to stop; `ready` is told the listeners once they are open.

        Raises `ListenError` when a listener cannot be opened, and `ConfigurationError` for a
        socket that a service manager should not have handed over, or too few descriptors.
        """
        asyncio.get_running_loop().set_exception_handler(LoopErrors(self._clock))
        self._warn()
        self._handle_signals()
        async with AsyncExitStack() as stack:
            stack.callback(self._peers.close)
            stack.push_async_callback(self._exchanges.close)
            await self._exchanges.adopt()
            bound = await self._bind(stack)
            door = self._door(bound)
            stack.push_async_callback(door.close, grace_seconds=DRAIN_SECONDS)
            for each in bound:
                self._open(door, each, stack)
            self._announce(bound)
            self._events.replace_configured(self._config.metadata.events)
            ready(tuple(each.name for each in bound))
            # Clients are answered meanwhile; there is no token yet that could be read.
            await aside(claims.load)
            await self._live(door)

    def stop(self) -> None:
        """Have `run` return once requests in flight are answered."""
        self._stop.set()

    async def _live(self, door: Door) -> None:
        async with asyncio.TaskGroup() as tasks:
            owned = [
                tasks.create_task(self._roles.run(), name="keep roles fresh"),
                tasks.create_task(self._reload_when_told(), name="reload when told"),
                tasks.create_task(
                    self._telling.say_when_ready(grace_seconds=self._config.startup_grace_seconds),
                    name="say when ready",
                ),
                tasks.create_task(self._telling.keep_status(), name="keep the status"),
                tasks.create_task(self._telling.feed_watchdog(), name="feed the watchdog"),
                tasks.create_task(self._files.run(), name="keep files fresh"),
                tasks.create_task(self._announcement.insist(), name="announce when there is room"),
                tasks.create_task(_load_the_rest(door), name="load the rest"),
            ]
            if self._upstream is not None:
                owned.append(tasks.create_task(self._upstream.run(), name="follow upstream"))
            await self._stop.wait()
            log.info("daemon_stopping")
            self._telling.stopping()
            for task in owned:
                task.cancel()

    async def _bind(self, stack: AsyncExitStack) -> tuple[Bound, ...]:
        try:
            raise_limit()
            passed = take_passed(self._boot.environ, pid=os.getpid())
            for given in passed:
                stack.callback(given.opened.close)
            wanted = without_hiding(
                wanted_listeners(self._config, passed),
                ec2_evidence="" if self._config.hide_ec2_services else ec2_evidence(),
                source=self._config.source,
            )
            return await bind_all(wanted, clock=self._clock, passed=passed)
        except ImdsdError as error:
            self._telling.failed(error)
            raise

    def _door(self, bound: Sequence[Bound]) -> Door:
        container = ContainerEndpoint(self._roles, self._bearer)
        imds = ImdsEndpoint(
            self._roles,
            ImdsTokens(self._bearer),
            self._metadata,
            clock=self._clock,
            metrics=self._metrics,
            allow_imdsv1=self._config.allow_imdsv1,
        )
        self._ops = OpsEndpoint(
            self._roles,
            self._metrics,
            facts=self._facts(bound),
            authorized=container.authorized,
        )
        self._ops.warnings = self._config.warnings
        self._ops.passing_warnings = lambda: (
            *self._shortcomings,
            *self._announcement.warnings,
            *self._files.warnings,
        )
        loop = asyncio.get_running_loop()
        events = EventsEndpoint(self._events, authorized=container.authorized)
        return Door(
            credentials=container,
            imds=imds,
            ops=self._ops,
            events=events,
            clock=self._clock,
            metrics=self._metrics,
            loop=loop,
            per_user=bool(self._config.allow_users or self._config.allow_groups),
        )

    def _facts(self, bound: Sequence[Bound]) -> DaemonFacts:
        return DaemonFacts(
            version=__version__,
            pid=os.getpid(),
            started_at=self._clock.now(),
            demo=self._boot.demo_sts_url is not None,
            listeners=tuple(each.name for each in bound),
        )

    def _open(self, door: Door, bound: Bound, stack: AsyncExitStack) -> None:
        listener = Listener(
            host_names([bound.address]),
            imds=bound.imds,
            peers=self._peers,
            allowed_uids=self._allowed_uids,
            user_names=self._user_names,
        )
        stack.callback(bound.opened.close)
        stack.callback(door.listen(bound.opened, listener).close)

    def _announce(self, bound: Sequence[Bound]) -> None:
        record = DaemonRecord(
            pid=os.getpid(),
            uid=os.geteuid(),
            listeners=tuple(each.name for each in bound),
            version=__version__,
            demo=self._boot.demo_sts_url is not None,
            region=self._roles.default.attempt.terms.region,
            sts_endpoint_url=self._boot.demo_sts_url,
            started_at=format_instant(self._clock.now()),
        )
        self._announcement.make(record)
        log.info(
            "daemon_serving",
            version=__version__,
            listeners=list(record.listeners),
            roles=[definition.name for definition, _ in self._roles],
            runtime_directory=str(self._boot.directory.path),
        )

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)

    def _warn(self) -> None:
        for warning in self._config.warnings:
            log.warning("configuration_warning", detail=warning)
        self._shortcomings = tell_shortcomings(
            open_memory=self._boot.open_memory, peers=self._peers
        )

    async def _reload_when_told(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            self._telling.reloading()
            refused = await self._try_reload()
            self._metrics.reloaded(taken=not refused)
            self._telling.reloaded(refused=refused)

    async def _try_reload(self) -> str:
        """Take the configuration anew; return why it was refused, or nothing."""
        try:
            await self._take(self._boot.read_config())
        except Exception as error:  # noqa: BLE001  # no file may end a daemon that serves
            known = isinstance(error, ImdsdError)
            refused = " ".join(str(error).split()) if known else type(error).__name__
            self._ops.warnings = (*self._config.warnings, f"reload refused: {refused}")
            log.error("reload_refused", reason=refused, remains="everything as it was")
            return refused
        return ""

    async def _take(self, config: Config) -> None:
        if refused := unreloadable_changes(self._config, config):
            raise ImdsdError(f"{', '.join(refused)} cannot change while running: restart instead")
        definitions = define_roles(config, environ=self._boot.environ, process=self._exchanges)
        await self._roles.replace(definitions, config.default_role)
        self._files.replace(config.roles, held=held_by(self._roles))
        self._metadata.settings = config.metadata.settings
        self._events.replace_configured(config.metadata.events)
        self._config = config
        self._ops.warnings = config.warnings
        log.info("configuration_reloaded", roles=[role.name for role in config.roles])


async def _load_the_rest(door: Door) -> None:
    await door.load(aside)
    # All this stays: the collector would look through it again and again, for longer than a client
    # should wait.
    gc.freeze()
