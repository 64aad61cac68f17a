"""Which token source this environment offers, in a fixed order, and what was looked for.

The order: `AWS_WEB_IDENTITY_TOKEN_FILE`, GitHub Actions, Ona. The first that is there is taken;
one that is there but broken ends the search, since falling through would hide what a person set up.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from imdsd.errors import MintError
from imdsd.secret import Secret
from imdsd.tokens.command import CommandSource
from imdsd.tokens.file import FileSource, read_token_file
from imdsd.tokens.http import HttpSource
from imdsd.tokens.route import Lookup

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE, GITHUB, ONA = "AWS_WEB_IDENTITY_TOKEN_FILE", "GitHub Actions", "Ona"

# Set in every shell and service of an Ona environment, under its older name; the directory is
# where its supervisor lives, for services that were started with an environment of their own.
ONA_VARIABLE = "GITPOD_ENVIRONMENT_ID"
ONA_DIRECTORY = Path("/usr/local/gitpod")

_GITHUB_URL, _GITHUB_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
_GITHUB_PERMISSION = "give the job `permissions: id-token: write`"
# The newer name first; both are the same program where both exist.
_ONA_PROGRAMS = ("ona", "gitpod")
_CHOOSE = "choose a source with --token-command or --token-file, or [token] in the configuration"


class FindingKind(StrEnum):
    """The three answers to "is it there?"."""

    ABSENT = "absent"
    PRESENT = "present"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one kind of source; `detail` is free of secrets."""

    kind: FindingKind
    name: str
    detail: str


class _Source(Protocol):
    minted_on_demand: bool

    @property
    def description(self) -> str: ...

    async def mint(self) -> Secret: ...


class AmbientSource:
    """The source that this environment offers, looked for at each mint: a PATH may change."""

    renewable = True

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        audience: str,
        timeout_seconds: float = 10.0,
        ca_bundle: Path | None = None,
        ona_directory: Path = ONA_DIRECTORY,
    ) -> None:
        self._environ = environ
        self._audience = audience
        self._timeout_seconds = timeout_seconds
        self._ca_bundle = ca_bundle
        self._ona_directory = ona_directory
        self._lookup = Lookup()
        self._found: _Source | None = None

    @property
    def description(self) -> str:
        """Name what was found at the last mint, in one line for status."""
        return f"auto: {self._found.description if self._found else 'nothing found yet'}"

    @property
    def minted_on_demand(self) -> bool:
        """Whether the last token was made when it was asked for."""
        return self._found is None or self._found.minted_on_demand

    async def mint(self) -> Secret:
        """Find the source and return its token; raises MintError, which names all it looked for."""
        self._found = None
        findings = survey(self._environ, audience=self._audience, ona_directory=self._ona_directory)
        self._found = self._build(_first(findings))
        return await self._found.mint()

    def _build(self, finding: Finding) -> _Source:
        if finding.name == FILE:
            return FileSource(Path(self._environ[FILE]))
        if finding.name == GITHUB:
            return self._github()
        argv = _ona_command(_ona_program(self._environ), self._audience)
        return CommandSource(argv, environ=self._environ, timeout_seconds=self._timeout_seconds)

    def _github(self) -> HttpSource:
        authorization = Secret(f"Bearer {self._environ[_GITHUB_TOKEN]}")
        return HttpSource(
            _github_url(self._environ[_GITHUB_URL], self._audience),
            headers={"Authorization": authorization},
            ca_bundle=self._ca_bundle,
            timeout_seconds=self._timeout_seconds,
            description=GITHUB,
            environ=self._environ,
            lookup=self._lookup,
        )


def survey(
    environ: Mapping[str, str], *, audience: str, ona_directory: Path = ONA_DIRECTORY
) -> tuple[Finding, ...]:
    """Look for every source in the documented order and say of each what was found."""
    return (
        _look_for_file(environ),
        _look_for_github(environ, audience),
        _look_for_ona(environ, audience, ona_directory),
    )


def _first(findings: tuple[Finding, ...]) -> Finding:
    for finding in findings:
        if finding.kind is FindingKind.BROKEN:
            raise MintError(f"{finding.name} is there but broken: {finding.detail}", remedy=_CHOOSE)
        if finding.kind is FindingKind.PRESENT:
            return finding
    looked = "; ".join(f"{finding.name}: {finding.detail}" for finding in findings)
    raise MintError(f"this environment offers no token source: {looked}", remedy=_CHOOSE)


def _look_for_file(environ: Mapping[str, str]) -> Finding:
    path = environ.get(FILE)
    if not path:
        return Finding(FindingKind.ABSENT, FILE, "not set")
    try:
        read_token_file(Path(path))
    except MintError as error:
        return Finding(FindingKind.BROKEN, FILE, str(error))
    return Finding(FindingKind.PRESENT, FILE, f"file {path}")


def _look_for_github(environ: Mapping[str, str], audience: str) -> Finding:
    url, token = environ.get(_GITHUB_URL), environ.get(_GITHUB_TOKEN)
    if not url and not token:
        inside = environ.get("GITHUB_ACTIONS") == "true"
        detail = f"{_GITHUB_URL} is not set" + (f" ({_GITHUB_PERMISSION})" if inside else "")
        return Finding(FindingKind.ABSENT, GITHUB, detail)
    if not url or not token:
        lone, missing = (_GITHUB_URL, _GITHUB_TOKEN) if url else (_GITHUB_TOKEN, _GITHUB_URL)
        return Finding(FindingKind.BROKEN, GITHUB, f"{lone} is set but {missing} is not")
    try:
        HttpSource(_github_url(url, audience), headers={"Authorization": Secret(token)})
    except ValueError as error:
        return Finding(FindingKind.BROKEN, GITHUB, f"{_GITHUB_URL}, {_GITHUB_TOKEN}: {error}")
    return Finding(FindingKind.PRESENT, GITHUB, f"{_GITHUB_URL} and {_GITHUB_TOKEN}")


def _github_url(url: str, audience: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}audience={quote(audience, safe='')}"


def _look_for_ona(environ: Mapping[str, str], audience: str, directory: Path) -> Finding:
    inside = bool(environ.get(ONA_VARIABLE)) or directory.is_dir()
    program = _ona_program(environ)
    names = " or ".join(_ONA_PROGRAMS)
    if inside and program:
        shown = " ".join(_ona_command(program, audience))
        return Finding(FindingKind.PRESENT, ONA, f"command {shown}")
    if inside:
        path = environ.get("PATH", "")
        return Finding(
            FindingKind.BROKEN,
            ONA,
            f"this is an Ona environment without {names} on the PATH ({path})",
        )
    beside = f", though {program} is on the PATH" if program else ""
    detail = f"neither {ONA_VARIABLE} nor {directory} is there{beside}"
    return Finding(FindingKind.ABSENT, ONA, detail)


def _ona_program(environ: Mapping[str, str]) -> str:
    path = environ.get("PATH", "")
    return next((name for name in _ONA_PROGRAMS if shutil.which(name, path=path)), "")


def _ona_command(program: str, audience: str) -> tuple[str, ...]:
    return (program, "idp", "token", "--audience", audience)
