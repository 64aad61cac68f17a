"""What `--ona` means to `install` and `uninstall`: a repository, and what its environments run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imdsd.config import load
from imdsd.config.options import OPTIONS
from imdsd.errors import UsageError
from imdsd.install.ona import (
    OnaTerms,
    find_repository,
    install_changes,
    names_imdsd,
    package_of_this_imdsd,
    plan_of,
    uninstall_changes,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from imdsd.install.plan import Plan

_NO_PACKAGE = "none"
# Where the daemon listens is fixed: the variables of the container say so.
_ELSEWHERE = ("config", "role_arn", "region", "listen")


def plan_repository(
    arguments: argparse.Namespace, environ: Mapping[str, str], *, folder: Path
) -> Plan:
    """Return what is to be written into the repository of a folder; raises for what cannot be."""
    if arguments.listen:
        raise UsageError("--listen does not go with --ona: the container's variables say 9254")
    flags = vars(arguments)
    config = load(flags={**flags, "config": "/dev/null"}, environ=environ)
    terms = OnaTerms(
        role_arn=next(role.arn for role in config.roles if role.name == config.default_role),
        region=arguments.region,
        package=_package(arguments.package),
        flags=tuple(_words(flags)),
    )
    repository = find_repository(folder.absolute())
    chosen = Path(arguments.devcontainer) if arguments.devcontainer else None
    file = (folder / chosen).absolute() if chosen else None
    if file:
        _refuse_foreign(file, repository)
    return plan_of(install_changes(repository, terms, devcontainer_file=file))


def _refuse_foreign(file: Path, repository: Path) -> None:
    """Raise UsageError for a file that the repository cannot have."""
    if not file.exists():
        raise UsageError(f"--devcontainer {file}: there is no such file")
    # A link on the way out of the repository is told where the file is read.
    named, leads = Path(os.path.normpath(file)), file.parent.resolve()
    if not (named.is_relative_to(repository) or leads.is_relative_to(repository.resolve())):
        raise UsageError(
            f"--devcontainer {file} is outside of the repository {repository}: name a file in it,"
            " as .devcontainer/devcontainer.json"
        )


def plan_removal_from_repository(*, folder: Path) -> Plan:
    """Return what is to be written so that nothing of ours is left in a folder's repository."""
    return plan_of(uninstall_changes(find_repository(folder.absolute())), removal=True)


def _package(chosen: str | None) -> str | None:
    if chosen == _NO_PACKAGE:
        return None
    package = chosen or package_of_this_imdsd()
    if package is None:
        raise UsageError(
            "this imdsd was installed from files of this machine, which an environment does not"
            " have: say where it gets one, --package 'imdsd @ git+URL', or --package none if its"
            " image has imdsd"
        )
    if not names_imdsd(package):
        raise UsageError(f"--package is {package!r}, expected its name too, as 'imdsd @ git+URL'")
    if "@" in package and "://" not in package:
        raise UsageError(
            f"--package is {package!r}, expected a URL after @, as in"
            " 'imdsd @ git+https://HOST/PATH' or 'imdsd @ git+ssh://git@HOST/PATH'"
        )
    _refuse_hostless(package)
    return package


def _refuse_hostless(package: str) -> None:
    """Raise UsageError for a URL that pip before 24.1 takes for none: it wants a host in each."""
    url = urlsplit(package.partition("@")[2].strip())
    if not url.scheme or url.netloc or url.scheme == "file":
        return
    host = "localhost" if url.scheme.endswith("+file") else "HOST"
    raise UsageError(
        f"--package is {package!r}, whose URL names no host, so that pip before 24.1 refuses it;"
        f" expected 'imdsd @ {url.scheme}://{host}{url.path}'"
    )


def _words(flags: Mapping[str, object]) -> Iterator[str]:
    """Give the flags for `imdsd serve` that were given to this verb."""
    for option in OPTIONS:
        value = flags.get(option.name)
        if value is None or option.name in _ELSEWHERE:
            continue
        yield option.flag
        if option.metavar is not None:
            yield str(value)
