"""What mutmut does to the functions of a module, and what became of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutation.copying import copy_project, undecorate_properties
from tests.mutation.mutant import KILLED, SURVIVED, TIMEOUT, Mutant, changed_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# A test of seconds is given a minute: slow is not stuck, on a machine that is shared.
_LEAST_SECONDS = 4
_OUTCOMES = {
    "killed": KILLED,
    "segfault": KILLED,
    "timeout": TIMEOUT,
    "survived": SURVIVED,
    "no tests": SURVIVED,
}
_RESULT = re.compile(r"^\s+(\S+): (.+)$", re.MULTILINE)
_NAME = re.compile(r"\.(?:x_|xǁ(?P<owner>\w+?)ǁ)(?P<name>\w+?)__mutmut_\d+$")


def mutate_functions(
    module: str, tests: Sequence[str], *, place: Path, workers: int
) -> Iterator[Mutant]:
    copy_project(place, tests)
    source = place / module
    source.write_text(undecorate_properties(source.read_text()))
    _configure(place, module, tests)
    with (place / "log").open("wb") as log:
        command = ["run", "--max-children", str(workers)]
        done = subprocess.run(_mutmut(*command), check=False, cwd=place, stdout=log, stderr=log)
        if done.returncode:
            sys.exit(f"mutmut failed, see {place / 'log'}")
    results = _RESULT.findall(_asked(place, "results", "--all", "true"))
    for name, status in results:
        if _OUTCOMES[status] == SURVIVED:
            change = changed_lines(_asked(place, "show", name).splitlines()[1:])
        else:
            change = name
        yield Mutant(module, _where(name), change, _OUTCOMES[status])


def _configure(place: Path, module: str, tests: Sequence[str]) -> None:
    settings = {
        "source_paths": ["imdsd"],
        "only_mutate": [module],
        "also_copy": ["systemd", "config.example.toml"],
        "pytest_add_cli_args": ["-p", "no:cacheprovider"],
        "pytest_add_cli_args_test_selection": list(tests),
        "timeout_constant": float(_LEAST_SECONDS),
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    with (place / "pyproject.toml").open("a") as pyproject:
        pyproject.write("\n".join(["", "[tool.mutmut]", *lines, ""]))


def _where(name: str) -> str:
    found = _NAME.search(name)
    assert found, name
    return ".".join(filter(None, (found["owner"], found["name"])))


def _asked(place: Path, *words: str) -> str:
    done = subprocess.run(_mutmut(*words), cwd=place, capture_output=True, text=True, check=True)
    return done.stdout


def _mutmut(*words: str) -> list[str]:
    return [str(Path(sys.executable).with_name("mutmut")), *words]
