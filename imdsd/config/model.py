"""The configuration as the composition root sees it: checked, complete and frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imdsd.metadata.settings import MetadataSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imdsd.metadata.events import Event
    from imdsd.secret import Secret

DEFAULT_AUDIENCE = "sts.amazonaws.com"
DEFAULT_PORT = 9254
DEFAULT_HOP_LIMIT = 64
DEFAULT_SESSION_NAME = "imdsd-{host}"

UNRELOADABLE = (
    "listen",
    "allow_users",
    "allow_groups",
    "allow_imdsv1",
    "bearer_group",
    "hide_ec2_services",
    "log_format",
    "log_level",
    "upstream",
)
"""Keys that a running daemon cannot take over; the start-up keys have had their effect by then."""


@dataclass(frozen=True, slots=True)
class ListenConfig:
    """One address to listen on; `imds` is attested, open or off.

    `hop_limit` is how many links an answer may cross: with 1 it dies at the first router.
    """

    host: str
    port: int
    imds: str = "attested"
    optional: bool = False
    hop_limit: int = DEFAULT_HOP_LIMIT


@dataclass(frozen=True, slots=True)
class TokenConfig:
    """Where web identity tokens come from; only the keys that belong to `source` are set."""

    source: str = "auto"
    audience: str = DEFAULT_AUDIENCE
    command: tuple[str, ...] = ()
    file: Path | None = None
    url: str = ""
    headers: Mapping[str, Secret] = field(default_factory=dict)
    pointer: str = "/value"
    variable: str = ""
    timeout_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class FilesConfig:
    """A profile of a file of AWS credentials that is kept fresh while the daemon runs."""

    credentials_file: Path
    profile: str


@dataclass(frozen=True, slots=True)
class RoleConfig:
    """One role to keep in service.

    `duration_seconds` is None when nobody set it: 3600, or 43200 for a web identity token that
    cannot be minted again. The two `…_source` fields say where a value stands, for people.
    """

    name: str
    aliases: tuple[str, ...]
    arn: str
    duration_seconds: int | None
    session_name: str
    policy: str | None
    policy_arns: tuple[str, ...]
    region: str
    region_source: str = field(compare=False)
    sts_endpoint_url: str | None
    token: TokenConfig
    chain: tuple[str, ...]
    allowed_account_ids: tuple[str, ...]
    arn_source: str = field(default="", compare=False)
    files: FilesConfig | None = None


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """A real metadata service, and the paths below a version that are its to answer.

    A path that ends in a slash stands for the directory and all that is below it.
    """

    url: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MetadataConfig:
    """What [metadata] says of the tree.

    `events` are due counted from the daemon's start, or from the reload that brought them.
    """

    settings: MetadataSettings = field(default_factory=MetadataSettings)
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration; `source` is its file, `token` what roles use by default.

    `listen_is_set` says that `listen` is somebody's choice, not the default.
    `upstream` stands in [metadata], but is apart from `metadata`: it cannot be reloaded.
    """

    roles: tuple[RoleConfig, ...]
    default_role: str
    listen: tuple[ListenConfig, ...]
    allow_users: tuple[str, ...]
    allow_groups: tuple[str, ...]
    allow_imdsv1: bool
    hide_ec2_services: bool
    bearer_group: str | None
    ca_bundle: Path | None
    startup_grace_seconds: float
    startup_spread_seconds: float
    log_level: str
    log_format: str
    warnings: tuple[str, ...]
    source: str
    token: TokenConfig = field(default_factory=TokenConfig)
    metadata: MetadataConfig = field(default_factory=MetadataConfig)
    upstream: UpstreamConfig | None = None
    listen_is_set: bool = field(default=False, compare=False)


def unreloadable_changes(old: Config, new: Config) -> tuple[str, ...]:
    """Return the keys that differ and that a running daemon cannot take over."""
    return tuple(key for key in UNRELOADABLE if getattr(old, key) != getattr(new, key))
