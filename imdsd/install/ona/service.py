"""The only module that knows what an Ona environment must be told for its SDKs to be served."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from itertools import pairwise
from urllib.parse import urlsplit

from imdsd.host.daemon_record import FIXED_DIRECTORY

SERVICE = "aws-credentials"
PORT = "9254"
PORT_ATTRIBUTES = {"onAutoForward": "ignore"}
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
FIXED_VARIABLES = {
    "IMDSD_RUNTIME_DIR": FIXED_DIRECTORY,
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{PORT}/v1/credentials",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": f"{FIXED_DIRECTORY}/bearer",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{PORT}",
}
"""Known before any daemon runs: a service's own variables do not reach shells."""

# A service may have neither the shell's variables nor its PATH, and tools of pipx and uv are put
# where few images look. The image's own directories come first.
_PREAMBLE = f'export IMDSD_RUNTIME_DIR={FIXED_DIRECTORY} PATH="$PATH:$HOME/.local/bin"\n'
_SERVE = "exec imdsd serve --standby"
_READY = f"{_PREAMBLE}exec imdsd wait --timeout 10\n"


@dataclass(frozen=True, slots=True)
class OnaTerms:
    """What the administrator of a repository chooses.

    `package` is what an environment gives to pipx or uv; None where its image has `imdsd`. `flags`
    are further words for `imdsd serve`.
    """

    role_arn: str
    region: str | None = None
    package: str | None = None
    flags: tuple[str, ...] = ()

    @property
    def variables(self) -> dict[str, str]:
        """The variables of every process in the container."""
        region = dict.fromkeys(REGION_VARIABLES, self.region) if self.region else {}
        return {**FIXED_VARIABLES, **{name: value for name, value in region.items() if value}}

    @property
    def install_command(self) -> str | None:
        """What the container runs once, when it is created."""
        if self.package is None:
            return None
        package = shlex.quote(self.package)
        return f"pipx install {package} || uv tool install {package}"

    @property
    def service(self) -> dict[str, object]:
        """The service of `.ona/automations.yaml`.

        An environment's start and resume trigger the first, a rebuilt container the second; both
        come with the first start, which `--standby` bears.
        """
        region = ("--region", self.region) if self.region else ()
        words = shlex.join(("--role-arn", self.role_arn, *region, *self.flags))
        return {
            "name": "AWS credentials",
            "description": "imdsd keeps a role's credentials fresh and serves them to every SDK",
            "triggeredBy": ["postEnvironmentStart", "postDevcontainerStart"],
            "commands": {"start": f"{_PREAMBLE}{_SERVE} {words}\n", "ready": _READY},
        }


def serves(start: str) -> bool:
    """Whether a service's start command is one of ours, whatever was added to it."""
    return _SERVE in start


def region_in(start: str) -> str | None:
    """Return the region that one of our start commands names."""
    given = start.partition(_SERVE)[2].replace("\n", " ")
    try:
        words = shlex.split(given)
    except ValueError:  # a quote in what a person added
        words = given.split()
    named = (word for flag, word in pairwise(words) if flag == "--region")
    return next(named, None)


def installs(command: object) -> bool:
    """Whether a container's command is exactly one of ours, for whatever package of that name."""
    if not isinstance(command, str):
        return False
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    pipx, uv = ["pipx", "install"], ["uv", "tool", "install"]
    package = words[2:3]
    return words == [*pipx, *package, "||", *uv, *package] and names_imdsd(*package)


def names_imdsd(package: str) -> bool:
    """Whether a requirement can be told from those of other programs."""
    return "imdsd" in package


def package_of_this_imdsd() -> str | None:
    """Return how to install this very imdsd elsewhere; None if it came from this machine alone.

    Where a package came from beside an index stands in its direct_url.json (PEP 610).
    """
    try:
        found = distribution("imdsd")
    except PackageNotFoundError:
        return None
    text = found.read_text("direct_url.json")
    if text is None:
        return f"imdsd=={found.version}"
    return requirement_of(json.loads(text))


def requirement_of(origin: dict[str, object]) -> str | None:
    """Return the requirement that a direct_url.json describes, where others can reach it too.

    Never what somebody logged in with, which would be committed; ssh has but a name there.
    """
    url, vcs = origin.get("url"), origin.get("vcs_info")
    if not isinstance(url, str) or not url.startswith(("https://", "ssh://")):
        return None
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    name = login.partition(":")[0] if parts.scheme == "ssh" else ""
    url = parts._replace(netloc=f"{name}@{host}" if name else host).geturl()
    if not isinstance(vcs, dict):
        return f"imdsd @ {url}"
    revision = vcs.get("requested_revision")
    at = f"@{revision}" if revision else ""
    return f"imdsd @ {vcs.get('vcs')}+{url}{at}"
