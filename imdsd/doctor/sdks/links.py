"""What a link of a credential chain can find: keys, a profile, a token file, an address."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsd.doctor.sdks.profiles import AwsFiles, Profile

KEY, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
TOKEN_FILE, ROLE_ARN = "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"
RELATIVE = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
FULL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
IMDS_ENDPOINT, IMDS_DISABLED = "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_DISABLED"
EC2_ADDRESS = "http://169.254.169.254"
_ECS_ADDRESS = "http://169.254.170.2"


class Kind(StrEnum):
    """What a source is."""

    KEYS = "keys"
    WEB_IDENTITY = "web identity"
    PROFILE = "profile"
    CONTAINER = "container"
    IMDS = "imds"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Source:
    """What a link found: what it is called, how to be rid of it, where it leads.

    `ours` says that it asks the daemon by itself, whatever its `url`.
    """

    kind: Kind
    what: str
    remedy: str = ""
    url: str = ""
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """One place that an SDK looks into, by the SDK's own name, and what it finds there."""

    name: str
    source: Source | None


@dataclass(frozen=True, slots=True)
class View:
    """The shell, as a chain sees it."""

    environ: Mapping[str, str]
    files: AwsFiles

    def named(self, *names: str) -> str | None:
        """Return the first of these variables that is set and not empty."""
        return next((name for name in names if self.environ.get(name)), None)

    def keys(self, *pairs: tuple[str, str]) -> Source | None:
        """Return the access keys in the variables, where both of a pair are set."""
        for key, secret in pairs or ((KEY, SECRET),):
            if self.environ.get(key) and self.environ.get(secret):
                return Source(Kind.KEYS, key, f"unset {key} {secret} AWS_SESSION_TOKEN")
        return None

    def half_keys(self) -> Source | None:
        """Return what botocore finds, who looks at the first half only, and fails on it."""
        whole = self.keys()
        if whole is None and self.environ.get(KEY):
            return Source(Kind.BROKEN, f"{KEY} without {SECRET}", f"unset {KEY}")
        return whole

    def web_identity(self, *, role_needed: bool) -> Source | None:
        """Return the token file in the variables; without a role it breaks some chains."""
        if not self.environ.get(TOKEN_FILE):
            return None
        if self.environ.get(ROLE_ARN):
            what = f"{TOKEN_FILE} with {ROLE_ARN}"
            return Source(Kind.WEB_IDENTITY, what, f"unset {TOKEN_FILE} {ROLE_ARN}")
        broken = Source(Kind.BROKEN, f"{TOKEN_FILE} without {ROLE_ARN}", f"unset {TOKEN_FILE}")
        return broken if role_needed else None

    def container(self, *, set_is_enough: bool = False) -> Source | None:
        """Return where the container variables lead."""
        for name, prefix in ((RELATIVE, _ECS_ADDRESS), (FULL, "")):
            value = self.environ.get(name)
            if value or (value is not None and set_is_enough):
                return Source(Kind.CONTAINER, name, f"unset {name}", url=prefix + value)
        return None

    def imds(self, *, only_true: bool = True) -> Source | None:
        """Return where IMDS is asked: the last link of every chain, unless it is switched off."""
        switch = self.environ.get(IMDS_DISABLED, "")
        if switch.lower() == "true" or (not only_true and switch not in ("", "false")):
            return None
        url = self.environ.get(IMDS_ENDPOINT)
        if url:
            return Source(Kind.IMDS, IMDS_ENDPOINT, f"unset {IMDS_ENDPOINT}", url=url)
        return Source(Kind.IMDS, "no variable", url=EC2_ADDRESS)

    def profile(self, *names: str, set_is_enough: bool = False) -> ChosenProfile:
        """Return the profile that these variables choose, the first of them first."""
        variable = self.named(*names)
        if set_is_enough:
            variable = next((name for name in names if name in self.environ), None)
        name = self.environ[variable] if variable else "default"
        return ChosenProfile(name, variable, self.files.profiles.get(name), self)

    def of_kind(self, credential_source: str) -> Source | None:
        """Return what a profile's `credential_source` stands for here, if it leads anywhere."""
        if credential_source == "EcsContainer":
            return self.container()
        return self.imds() if credential_source == "Ec2InstanceMetadata" else None


@dataclass(frozen=True, slots=True)
class ChosenProfile:
    """The profile that a chain looks into; `variable` named it, or nobody did."""

    name: str
    variable: str | None
    profile: Profile | None
    view: View

    @property
    def missing(self) -> Source | None:
        """Return the fault that a profile is which is named and nowhere to be found."""
        if self.variable is None or self.profile is not None:
            return None
        what = f"{self.variable} names the profile {self.name!r}, which is in no file"
        return Source(Kind.BROKEN, what, f"unset {self.variable}")

    def has(
        self, *keys: str, beside: tuple[str, ...] = (), in_credentials: bool | None = None
    ) -> Source | None:
        """Return a source where the profile has one of the keys, and one of those beside it.

        `in_credentials` says which of the two files it must stand in.
        """
        profile = self.profile
        entry = profile.first(*keys) if profile else None
        if profile is None or entry is None or (beside and not profile.first(*beside)):
            return None
        if in_credentials not in (None, entry.in_credentials):
            return None
        key = next(each for each in keys if profile.first(each) is entry)
        ours = key == "credential_process" and profile.runs_us
        assumes = key in {"role_arn", "credential_source"}
        through = self.view.of_kind(profile.credential_source) if assumes else None
        return Source(
            Kind.PROFILE,
            f"{key} in {entry}" + (f", chosen by {self.variable}" if self.variable else ""),
            f"unset {self.variable}" if self.variable else f"rename {entry}, or take {key} out",
            url=through.url if through else "",
            ours=ours,
        )
