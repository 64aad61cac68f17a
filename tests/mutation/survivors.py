"""The survivors that are known, each with the reason why no test notices it."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.mutation.mutant import Mutant

LIST = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True, slots=True)
class Survivor:
    module: str
    where: str
    change: str
    reason: str

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.module, self.where, self.change


def listed(modules: Iterable[str]) -> list[Survivor]:
    rows = tomllib.loads(LIST.read_text()).get("survivor", [])
    survivors = [Survivor(**{**row, "change": row["change"].strip()}) for row in rows]
    return [survivor for survivor in survivors if survivor.module in modules]


def unlisted(found: Iterable[Mutant], known: Iterable[Survivor]) -> list[Mutant]:
    left = Counter(survivor.identity for survivor in known)
    newcomers = []
    for mutant in found:
        if not left[mutant.identity]:
            newcomers.append(mutant)
        left[mutant.identity] -= 1
    return newcomers


def gone(found: Iterable[Mutant], known: Iterable[Survivor]) -> list[Survivor]:
    """Return what is listed and does not survive any more."""
    left = Counter(mutant.identity for mutant in found)
    absent = []
    for survivor in known:
        if not left[survivor.identity]:
            absent.append(survivor)
        left[survivor.identity] -= 1
    return absent


def as_toml(mutant: Mutant) -> str:
    return (
        "[[survivor]]\n"
        f'module = "{mutant.module}"\nwhere = "{mutant.where}"\n'
        f"change = '''\n{mutant.change}\n'''\nreason = \"\"\n"
    )
