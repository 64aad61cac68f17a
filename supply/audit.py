"""Whether what is locked has known weaknesses, and whether anybody was there to say so.

pip-audit reports "no known vulnerabilities" where the service knew none of the packages, and where
it knows of no weakness at all. So a package whose weaknesses have long been known is asked about
too: a service that does not name them has no say.

Options are pip-audit's: `python -m supply.audit -s osv` asks another service.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supply.lock import held

if TYPE_CHECKING:
    from collections.abc import Sequence

CLEAN, WEAK, NOT_AUDITED = 0, 1, 3
CONTROL, CONTROL_VERSION = "django", "1.11"
"""A release of 2017 that the lock does not hold, with dozens of advisories since."""

# pip-audit wants a hash for every line; it fetches nothing here, so that any will do.
_CONTROL_PIN = f"{CONTROL}=={CONTROL_VERSION} --hash=sha256:{'0' * 64}\n"
_MARKER = re.compile(r" ; [^\\\n]*")


@dataclass(frozen=True, slots=True)
class Findings:
    """What an advisory service said: weaknesses by package, what it knew, what it did not."""

    weak: dict[str, list[str]] = field(default_factory=dict)
    checked: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    trouble: str = ""

    @property
    def code(self) -> int:
        """The exit code; a weakness that was found counts, whatever else was not."""
        if self.weak:
            return WEAK
        return NOT_AUDITED if self.trouble or self.unknown else CLEAN


def main() -> None:
    """Ask about every package of `requirements/`, and say what came of it."""
    findings = ask(held(), sys.argv[1:])
    print("\n".join(told(findings)))
    sys.exit(findings.code)


def ask(pins: Sequence[str], options: Sequence[str] = ()) -> Findings:
    """Have pip-audit ask its service about pins, whatever Python they are for."""
    with tempfile.TemporaryDirectory() as place:
        asked, answer = Path(place) / "requirements.txt", Path(place) / "answer.json"
        asked.write_text(_MARKER.sub(" ", "".join(pins)) + _CONTROL_PIN)
        words = ("--requirement", asked, "--disable-pip", "--format", "json", "--output", answer)
        done = subprocess.run(
            (sys.executable, "-m", "pip_audit", *words, "--progress-spinner", "off", *options),
            check=False,
            capture_output=True,
            text=True,
        )
        names = frozenset(pin.partition("==")[0] for pin in pins)
        if not answer.exists():
            last = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
            return Findings(unknown=names, trouble=last)
        return read(json.loads(answer.read_text()), names)


def read(answer: dict[str, Any], names: frozenset[str]) -> Findings:
    """Return what pip-audit's answer says of these packages."""
    known = {each["name"]: each["vulns"] for each in answer["dependencies"] if "vulns" in each}
    if not known.get(CONTROL):
        trouble = f"the service knows no weakness of {CONTROL} {CONTROL_VERSION}, expected dozens"
        return Findings(unknown=names, trouble=trouble)
    weak = {name: [each["id"] for each in known[name]] for name in names if known.get(name)}
    checked = names & known.keys()
    return Findings(weak, checked, names - checked)


def told(findings: Findings) -> list[str]:
    """Return what a person reads."""
    lines = [f"{name}: {', '.join(ids)}" for name, ids in sorted(findings.weak.items())]
    lines.append(f"audited: {len(findings.checked)} packages, {len(findings.weak)} weak")
    if findings.unknown:
        lines.append(f"NOT AUDITED: {len(findings.unknown)} packages; {_reason(findings)}")
    return lines


def _reason(findings: Findings) -> str:
    return findings.trouble or f"the service does not know {', '.join(sorted(findings.unknown))}"


if __name__ == "__main__":
    main()
