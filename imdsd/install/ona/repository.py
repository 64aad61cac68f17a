"""The only module that knows which files of a repository Ona and editors read, and reads them."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imdsd.errors import ConfigurationError, Problem, UsageError
from imdsd.install.ona import automations, devcontainer
from imdsd.install.ona.service import OnaTerms, region_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

# What Ona was called before comes second: a new file beside that one would hide it.
_AUTOMATIONS = (".ona/automations.yaml", ".gitpod/automations.yaml")
_DEVCONTAINERS = (".devcontainer/devcontainer.json", ".devcontainer.json")
_SIZE_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Change:
    """A file's content before and after, None where there is none; `remark` is for a person."""

    path: Path
    before: bytes | None
    after: bytes | None
    remark: str = ""


def find_repository(start: Path) -> Path:
    """Return the repository that a folder is in; raises UsageError where there is none."""
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            return folder
    raise UsageError(f"{start} is in no git repository: go into the one Ona makes environments of")


def install_changes(
    repository: Path, terms: OnaTerms, *, devcontainer_file: Path | None = None
) -> tuple[Change, ...]:
    """Return what to write so that the environments of a repository are served.

    `devcontainer_file` is the one to write to where there are several. Raises ConfigurationError
    with all that stands in the way, UsageError where a choice is needed.
    """
    there = [each for each in _AUTOMATIONS if os.path.lexists(repository / each)]
    services = repository / (*there, _AUTOMATIONS[0])[0]
    container = devcontainer_file or _only_devcontainer(repository)
    return _gather(
        partial(_with_service, repository, services, terms),
        partial(_with_variables, repository, container, terms),
    )


def uninstall_changes(repository: Path) -> tuple[Change, ...]:
    """Return what to write so that nothing of ours is left in a repository.

    Raises ConfigurationError where a file cannot be read.
    """
    services = [repository / each for each in _AUTOMATIONS if os.path.lexists(repository / each)]
    taken = _gather(*(partial(_without_service, repository, each) for each in services))
    region = next(
        (region for path in services if (region := _region(repository, path)) is not None), None
    )
    containers = _devcontainers(repository)
    return (
        *taken,
        *_gather(*(partial(_without_variables, repository, each, region) for each in containers)),
    )


def _with_service(repository: Path, path: Path, terms: OnaTerms) -> Change:
    source, before = _named(repository, path), _read(repository, path)
    text = _decode(before or b"", source)
    after = automations.with_service(text, terms.service, source=source)
    former = path != repository / _AUTOMATIONS[0]
    remark = f"{source} is there, so it is used and not {_AUTOMATIONS[0]}" if former else ""
    return Change(path, before, after.encode(), remark)


def _with_variables(repository: Path, path: Path, terms: OnaTerms) -> Change:
    source, before = _named(repository, path), _read(repository, path)
    after = devcontainer.with_imdsd(
        _decode(before or b"", source),
        variables=terms.variables,
        command=terms.install_command,
        source=source,
    )
    remark = (
        f"{source} is new and names the image {devcontainer.IMAGE}: put yours there, with"
        " Python 3.11 or later and pipx or uv"
    )
    return Change(path, before, after.encode(), "" if before else remark)


def _without_service(repository: Path, path: Path) -> Change:
    source, before = _named(repository, path), _read(repository, path)
    left = automations.without_service(_decode(before or b"", source), source=source)
    return Change(path, before, None if left is None else left.encode())


def _without_variables(repository: Path, path: Path, region: str | None) -> Change:
    source, before = _named(repository, path), _read(repository, path)
    text = _decode(before or b"", source)
    if not text.strip("\ufeff \t\r\n"):
        return Change(path, before, before)
    left = devcontainer.without_imdsd(text, region=region, source=source)
    return Change(path, before, None if left is None else left.encode())


def _region(repository: Path, path: Path) -> str | None:
    source = _named(repository, path)
    text = _decode(_read(repository, path) or b"", source)
    start = automations.start_command(text, source=source)
    return region_in(start) if start else None


def _devcontainers(repository: Path) -> list[Path]:
    """Return the definitions that are there, in the order of the specification."""
    fixed = [repository / each for each in _DEVCONTAINERS]
    named = sorted((repository / ".devcontainer").glob("*/devcontainer.json"))
    return [each for each in (*fixed, *named) if os.path.lexists(each)]


def _only_devcontainer(repository: Path) -> Path:
    found = _devcontainers(repository)
    if len(found) > 1:
        names = ", ".join(_named(repository, each) for each in found)
        raise UsageError(
            f"{len(found)} dev containers are defined, in {names}: say which with --devcontainer"
        )
    return found[0] if found else repository / _DEVCONTAINERS[0]


def _gather(*attempts: Callable[[], Change]) -> tuple[Change, ...]:
    """Return the changes that are some; raise the problems of all attempts together."""
    changes, problems = [], list[Problem]()
    for attempt in attempts:
        try:
            changes.append(attempt())
        except ConfigurationError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigurationError(tuple(problems))
    return tuple(_different(changes))


def _different(changes: Iterable[Change]) -> Iterable[Change]:
    return (each for each in changes if each.before != each.after)


def _named(repository: Path, path: Path) -> str:
    return str(path.relative_to(repository) if path.is_relative_to(repository) else path)


def _read(repository: Path, path: Path) -> bytes | None:
    """Return what a file holds, None where there is none; no link is followed."""
    source = _named(repository, path)
    if not path.parent.resolve().is_relative_to(repository.resolve()):
        raise _refusal(source, "a way out of the repository, by a symbolic link")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        found = "a symbolic link" if path.is_symlink() else f"it unreadable ({error.strerror})"
        raise _refusal(source, found) from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _refusal(source, "something else")
        data = file.read(_SIZE_LIMIT + 1)
    if len(data) > _SIZE_LIMIT:
        raise _refusal(source, f"over {_SIZE_LIMIT} bytes")
    return data


def _decode(data: bytes, source: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refusal(f"{source}:{line}", "bytes that are no UTF-8", "a text in UTF-8") from error


def _refusal(source: str, found: str, expected: str = "a regular file") -> ConfigurationError:
    problem = Problem(source, "the file", found, expected, "nothing was changed")
    return ConfigurationError((problem,))
