"""How upstream's directories are walked: listings first, then what they name, within bounds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsd.endpoints.upstream.errors import UpstreamUnavailableError
from imdsd.endpoints.upstream.holdings import MOST_DIRECTORIES, MOST_LEAVES
from imdsd.endpoints.upstream.listing import parse_listing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from imdsd.endpoints.upstream.holdings import Holdings

MOST_READS = MOST_LEAVES + MOST_DIRECTORIES


@dataclass(slots=True)
class Walk:
    """What came of a walk: whether anything was answered, the last fault, and what was cut off."""

    answered: bool = False
    fault: UpstreamUnavailableError | None = None
    cut: bool = False


class Crawler:
    """Read names, those of directories with a slash at the end, into the holdings, one by one.

    A fault costs the one name: what is held of it stays. Nothing is read on once upstream is gone.
    """

    def __init__(
        self,
        ask: Callable[[str], Awaitable[bytes | None]],
        holdings: Holdings,
        *,
        goes_on: Callable[[], bool],
    ) -> None:
        self._ask = ask
        self._holdings = holdings
        self._goes_on = goes_on

    async def crawl(self, roots: Iterable[str]) -> Walk:
        """Read the roots and everything below."""
        return await self._walk(roots, known_too=True)

    async def refresh(self, name: str) -> Walk:
        """Read one name; of a directory also whatever in it is new."""
        return await self._walk((name,), known_too=False)

    async def _walk(self, roots: Iterable[str], *, known_too: bool) -> Walk:
        walk = Walk()
        pending, seen = deque(roots), 0
        while pending:
            found = await self._read(pending.popleft(), walk)
            seen += 1
            if not self._goes_on():
                break
            new = [each for each in found if known_too or not self._is_known(each)]
            room = MOST_READS - seen - len(pending)
            walk.cut |= len(new) > room
            pending.extend(new[:room])
        return walk

    async def _read(self, name: str, walk: Walk) -> Iterable[str]:
        """Ask for one name and return those below it."""
        path = name.removesuffix("/")
        self._holdings.tried(path)
        try:
            body = await self._ask(name)
        except UpstreamUnavailableError as error:
            walk.fault = error
            return ()
        walk.answered = True
        if body is None:
            self._holdings.drop(path)
        elif name.endswith("/"):
            return self._read_listing(path, body, walk)
        elif not self._holdings.put(path, body):
            walk.cut = True
        return ()

    def _read_listing(self, directory: str, body: bytes, walk: Walk) -> Iterable[str]:
        listing = parse_listing(directory, body)
        if not self._holdings.put_listing(directory, listing):
            walk.cut = True
            return ()
        return (f"{directory}/{name}" for name in sorted(listing.names))

    def _is_known(self, name: str) -> bool:
        return self._holdings.is_known(name.removesuffix("/"))
