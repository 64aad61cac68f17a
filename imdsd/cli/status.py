"""`imdsd status`: what the daemon says of itself and its roles, as a table."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from imdsd.cli._asking import Caller
from imdsd.cli._telling import relative
from imdsd.client.status import DaemonStatus, RoleStatus
from imdsd.errors import NoDaemonError

if TYPE_CHECKING:
    import argparse
    from datetime import datetime
    from typing import Any

    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

_OK = 200
_WATCH_SECONDS = 2.0
# Without a terminal nobody folds lines: an ARN stays on one.
_PLAIN_WIDTH = 160
# Below this an ARN has no room beside the other columns and stands under the table.
_WIDE = 120
_STYLES = {
    "ok": "green",
    "starting": "cyan",
    "degraded": "yellow",
    "denied": "red",
    "expired": "bold red",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `status`."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the /status document as it is")
    form.add_argument("--watch", action="store_true", help="draw it anew every 2 s until Ctrl-C")


def run(arguments: argparse.Namespace) -> int:
    """Print the state of the daemon."""
    return perform(arguments, Caller.of_this_process())


def perform(arguments: argparse.Namespace, caller: Caller) -> int:
    """Do it on behalf of a caller."""
    if arguments.watch:
        return _watch(caller)
    document = _ask(caller)
    if arguments.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return 0
    console = _console()
    wide = console.width >= _WIDE
    console.print(draw(DaemonStatus.parse(document), now=caller.clock.now(), wide=wide))
    return 0


def draw(status: DaemonStatus, *, now: datetime, wide: bool) -> RenderableType:
    """Return the whole picture: the daemon, its roles, then what is wrong and what to do."""
    from rich.console import Group  # 60 ms that only a drawing verb spends

    notes = [note for role in status.roles for note in _notes(role, now=now, wide=wide)]
    notes += [_styled("warning", "yellow", text) for text in status.warnings]
    return Group(_headline(status, now=now), _table(status, now=now, wide=wide), *notes)


def _ask(caller: Caller) -> dict[str, Any]:
    reply = caller.find_daemon().get("/status")
    if reply.status != _OK:
        raise NoDaemonError(f"the daemon answers /status with {reply.status}: {reply.message}")
    return reply.document


def _watch(caller: Caller) -> int:
    from rich.live import Live

    console = _console()
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        try:
            while True:
                live.update(_look(caller, wide=console.width >= _WIDE), refresh=True)
                caller.clock.pause(_WATCH_SECONDS)
        except KeyboardInterrupt:
            return 0  # the way to end a watch, not a failure


def _look(caller: Caller, *, wide: bool) -> RenderableType:
    """Draw what there is now: a daemon that restarts does not end the watch."""
    try:
        status = DaemonStatus.parse(_ask(caller))
        return draw(status, now=caller.clock.now(), wide=wide)
    except NoDaemonError as error:
        return _styled("no daemon", "bold red", str(error))


def _console() -> Console:
    from rich.console import Console

    plain = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_PLAIN_WIDTH if plain else None, highlight=False)


def _headline(status: DaemonStatus, *, now: datetime) -> RenderableType:
    from rich.text import Text

    facts = [
        f"pid {status.pid}",
        f"started {relative(status.started_at, now=now)}",
        *status.listeners,
    ]
    line = Text.assemble((f"imdsd {status.version}", "bold"), "  ", (" · ".join(facts), "dim"))
    if status.demo:
        line.append("  DEMO", style="bold magenta")
    return line


def _table(status: DaemonStatus, *, now: datetime, wide: bool) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for title in ("ROLE", "STATE", "EXPIRES", "REFRESH", "TRIES"):
        table.add_column(title, no_wrap=True)
    table.add_column("TOKEN", overflow="fold")
    if wide:
        table.add_column("ARN", overflow="fold")
    for role in status.roles:
        about = (_identity(role),) if wide else ()
        table.add_row(*_cells(role, now=now), *about)
    return table


def _cells(role: RoleStatus, *, now: datetime) -> tuple[RenderableType, ...]:
    from rich.text import Text

    failed = (f" {role.failures} failed", "red") if role.failures else ""
    return (
        Text.assemble((role.name, "bold"), (" ★" if role.default else "", "yellow")),
        Text(role.state, style=_STYLES.get(role.state, "")),
        Text(relative(role.expires_at, now=now), style="" if role.served else "red"),
        Text(relative(role.refresh_at, now=now) if role.refresh_at else "never"),
        Text.assemble(f"{role.refreshes} ok", failed),
        Text(role.token_source),
    )


def _identity(role: RoleStatus) -> Text:
    from rich.text import Text

    aliases = f" · also {', '.join(role.aliases)}" if role.aliases else ""
    return Text.assemble(role.role_arn, (f" · {role.region}{aliases}", "dim"))


def _notes(role: RoleStatus, *, now: datetime, wide: bool) -> list[RenderableType]:
    """Return the lines under the table: an ARN without a column, what failed, what to do."""
    style = _STYLES.get(role.state, "")
    notes: list[RenderableType] = [] if wide else [_styled(role.name, "bold", _identity(role))]
    error = role.last_error
    if error is None or role.state == "ok":
        return notes
    told = f"{error.stage} failed {relative(error.at, now=now)}: {error.reason} ({error.code})"
    notes.append(_styled(role.name, style, told))
    if error.remedy:
        notes.append(_styled("  remedy", "bold", error.remedy))
    return notes


def _styled(label: str, style: str, text: str | Text) -> Text:
    from rich.text import Text

    return Text.assemble((label, style), "  ", text)
