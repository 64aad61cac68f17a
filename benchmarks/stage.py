"""What measurements have in common: a plain install, a sandbox and daemons as processes.

Every process gets variables of ours alone: nothing of the caller's AWS settings, and a home
without files.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from imdsd.host.daemon_record import BEARER_NAME
from supply import dist

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROJECT = Path(__file__).parent.parent
ROLE_ARN = "arn:aws:iam::123456789012:role/bench"
REGION = "eu-central-1"
START_SECONDS = 60.0
STOP_SECONDS = 10.0
ANSWER_SECONDS = 15.0
_POLL_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Where the issuer and the STS of a sandbox process are."""

    token_url: str
    sts_url: str

    def mint(self) -> str:
        """Return a new web identity token."""
        # Not through a proxy that the caller may have set.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.token_url, timeout=ANSWER_SECONDS) as answer:
            return str(json.load(answer)["value"])

    def exchange(self, token: str) -> None:
        """Do what the daemon has STS do, with nothing of the daemon."""
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": ROLE_ARN,
            "RoleSessionName": "bench",
            "WebIdentityToken": token,
        }
        place = urlsplit(self.sts_url)
        with _connection((str(place.hostname), int(place.port or 80))) as connection:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/", urlencode(form), headers)
            answer = connection.getresponse()
            if answer.status != 200:
                raise SystemExit(f"the sandbox answered {answer.status}: {answer.read()!r}")


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon's process, and where it listens or is about to."""

    process: subprocess.Popen[str]
    address: tuple[str, int]
    directory: Path
    started: float

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    @property
    def bearer_file(self) -> Path:
        return self.directory / BEARER_NAME

    @property
    def milliseconds(self) -> float:
        """How long ago the process was started."""
        return (time.perf_counter() - self.started) * 1000

    def until_answering(self) -> None:
        """Return with the first answer."""
        self._until_200("/healthz", {})

    def until_serving(self, role: str = "") -> None:
        """Return with the first credentials of a role, the default one if none is named."""
        self.until_answering()
        path = f"/v1/credentials/{role}" if role else "/v1/credentials"
        self._until_200(path, self._authorization)

    def ask(self, path: str, *, method: str = "GET") -> bytes:
        """Return the body of an answer that must be 200."""
        status, body = self._request(method, path, self._authorization)
        if status != 200:
            raise SystemExit(f"{method} {path} was answered with {status}: {body!r}")
        return body

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": self.bearer_file.read_text(encoding="ascii")}

    def _until_200(self, path: str, headers: dict[str, str]) -> None:
        deadline = time.perf_counter() + START_SECONDS
        while time.perf_counter() < deadline:
            with contextlib.suppress(ConnectionRefusedError):
                if self._request("GET", path, headers)[0] == 200:
                    return
            if self.process.poll() is not None:
                raise SystemExit(f"the daemon ended with {self.process.returncode}")
            time.sleep(_POLL_SECONDS)
        raise SystemExit(f"no 200 from {path} within {START_SECONDS:.0f} s")

    def _request(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        with _connection(self.address) as connection:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()


@dataclass(frozen=True, slots=True)
class Stage:
    """A directory to work in and the Python that has a plain install of this project."""

    root: Path
    python: Path

    @property
    def imdsd(self) -> Path:
        """The program, as a user would start it."""
        return self.python.with_name("imdsd")

    @property
    def token_file(self) -> Path:
        return self.root / "token"

    @property
    def environ(self) -> dict[str, str]:
        """The variables of every process on this stage."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(_made(self.root / "home")),
            "LANG": "C.UTF-8",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def run(self, *command: str | Path, **variables: str) -> str:
        """Run a command to its end and return what it printed."""
        done = subprocess.run(
            [str(word) for word in command],
            env={**self.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=START_SECONDS,
            check=True,
        )
        return done.stdout

    def time_of(self, *command: str | Path, **variables: str) -> float:
        """Return the milliseconds that a command takes from start to end."""
        started = time.perf_counter()
        self.run(*command, **variables)
        return (time.perf_counter() - started) * 1000

    @contextmanager
    def sandbox(self, *, delay_seconds: float = 0.0) -> Iterator[Sandbox]:
        """Run a sandbox whose STS takes so long, and leave a web identity token in the file."""
        command = [
            sys.executable,
            "-m",
            "benchmarks.sandbox_server",
            ROLE_ARN,
            f"--delay-seconds={delay_seconds}",
        ]
        with _running(command, environ=self.environ) as process:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise SystemExit("the sandbox did not start")
            sandbox = Sandbox(**json.loads(line))
            self.token_file.write_text(sandbox.mint(), encoding="ascii")
            self.token_file.chmod(0o600)
            yield sandbox

    @contextmanager
    def daemon(self, sandbox: Sandbox, *options: str, roles: int = 1) -> Iterator[Daemon]:
        """Start a daemon of the plain install, with a run-time directory of its own.

        `options` are for its Python. Its roles are called role-1 and so on, the first being the
        default, and their token command is `cat`, the least that one can be.
        """
        address = ("127.0.0.1", free_port())
        directory = _made(self.root / f"run-{address[1]}")
        config = directory / "config.toml"
        config.write_text(self._configuration(sandbox, address, roles), encoding="utf-8")
        command = [str(self.python), *options, "-m", "imdsd", "serve", f"--config={config}"]
        environ = {**self.environ, "IMDSD_RUNTIME_DIR": str(directory)}
        log = directory / "log"
        started = time.perf_counter()
        with log.open("w") as stderr, _running(command, environ=environ, stderr=stderr) as process:
            yield Daemon(process, address, directory, started)

    def _configuration(self, sandbox: Sandbox, address: tuple[str, int], roles: int) -> str:
        common = f"""
            listen = ["{address[0]}:{address[1]}"]
            region = "{REGION}"
            log_level = "warning"
            [token]
            command = ["cat", "{self.token_file}"]
        """
        role = """
            [[role]]
            name = "role-{number}"
            default = {default}
            arn = "{arn}"
            sts_endpoint_url = "{sts}"
        """
        each = (
            role.format(
                number=1 + n, default=str(n == 0).lower(), arn=ROLE_ARN, sts=sandbox.sts_url
            )
            for n in range(roles)
        )
        return common + "".join(each)


def install_plainly(root: Path) -> Path:
    """Install the project and what it needs, no extras, and return that Python."""
    return dist.install_plainly(root / "plain", dist.build(root / "built")).python


@contextmanager
def _running(
    command: Sequence[str], *, environ: dict[str, str], stderr: IO[str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        env=environ,
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


@contextmanager
def _connection(address: tuple[str, int]) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(*address, timeout=ANSWER_SECONDS)
    try:
        yield connection
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _made(directory: Path) -> Path:
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory
