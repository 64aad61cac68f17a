"""A daemon as a process of its own, and what a test asks of it from outside."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.served import Reply, parse
from tests.support import measured_environ, need
from tests.system.machine import PATIENCE_SECONDS, eventually

SERVE = (sys.executable, "-m", "imdsd", "serve")
DEMO = (sys.executable, "-m", "imdsd", "demo")

_ASK = """
import http.client, json, sys, urllib.parse
method, url, *headers = sys.argv[1:]
parts = urllib.parse.urlsplit(url)
connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
try:
    connection.request(method, parts.path, headers=dict(each.split("=", 1) for each in headers))
    response = connection.getresponse()
    print(json.dumps([response.status, response.read().decode()]))
except ConnectionRefusedError:
    print(json.dumps([0, "connection refused"]))
"""


def asking(method, url, **headers):
    """Return a command that makes one request, for clients of other users and namespaces."""
    named = [f"{name.replace('_', '-')}={value}" for name, value in headers.items()]
    return [sys.executable, "-I", "-c", _ASK, method, url, *named]


def heard(output):
    """Return status and body that such a command printed; status 0 where nobody listens."""
    return tuple(json.loads(output))


class DaemonProcess:
    """One start of a daemon; `place` is the folder with its run-time directory and its log."""

    def __init__(self, process, place, log):
        self.process = process
        self.directory = place / "run"
        self._log = log

    @property
    def pid(self):
        return self.process.pid

    @property
    def record(self):
        """The daemon.json of this very start: one that was killed leaves its own behind."""
        try:
            record = json.loads((self.directory / "daemon.json").read_text())
        except FileNotFoundError:
            return None
        return record if self.running and record["pid"] == self.pid else None

    @property
    def port(self):
        return int(self.record["listeners"][0].rpartition(":")[2])

    @property
    def bearer(self):
        return (self.directory / "bearer").read_text()

    @property
    def running(self):
        return self.process.poll() is None

    @property
    def log(self):
        """All that went to stderr."""
        return self._log.read_text(errors="replace")

    def events(self, name=None):
        """The events of the JSON log, or those of one name."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if name in (None, line["event"])]

    # Waiting

    async def until(self, condition, *, what):
        return await self.until_within(PATIENCE_SECONDS, condition, what=what)

    async def until_within(self, seconds, condition, *, what):
        told = lambda: f"{what}\n{self.log}"  # noqa: E731  # the log as it is in the end
        return await eventually(condition, what=told, within=seconds)

    async def listening(self):
        await self.until(lambda: self.record or not self.running, what="the daemon listens")
        assert self.running, self.log
        return self

    async def ready(self):
        await self.listening()
        await self.until(self.is_ready, what="the daemon is ready")
        return self

    async def is_ready(self):
        return (await self.ask("GET", "/readyz")).status == 200

    async def ended(self):
        """Wait for the end of the process and return its exit status."""
        await self.until(lambda: not self.running, what="the daemon ends")
        return self.process.returncode

    # Asking

    async def ask(self, method, path, *, port=None, **headers) -> Reply:
        host = f"127.0.0.1:{port or self.port}"
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode())
            async with asyncio.timeout(60):
                answer = await reader.read()
        finally:
            writer.close()
        if not answer:
            raise ConnectionResetError("the connection ended without an answer")
        return parse(answer)

    async def credentials(self, path="/v1/credentials") -> Reply:
        return await self.ask("GET", path, Authorization=self.bearer)

    async def access_key_id(self, path="/v1/credentials"):
        """The access key id that is served, None while there is none."""
        reply = await self.credentials(path)
        return reply.json["AccessKeyId"] if reply.status == 200 else None

    async def refresh(self) -> Reply:
        return await self.ask("POST", "/refresh", Authorization=self.bearer)

    async def status(self):
        return (await self.ask("GET", "/status")).json

    async def role(self, name=None):
        """What /status says of a role, by default of the first one; None where it is not."""
        roles = (await self.status())["roles"]
        return next((role for role in roles if name in (None, role["name"])), None)

    async def metric(self, name, **labels):
        text = (await self.ask("GET", "/metrics")).body.decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return None

    # Signals

    def send(self, number):
        self.process.send_signal(number)

    async def kill(self):
        """Kill it as a machine out of memory would."""
        self.process.kill()
        await self.ended()


class Daemons:
    """Starts daemons in private places, and leaves none behind."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._started = []

    def place(self, name="daemon") -> Path:
        place = self._place / name
        place.mkdir(exist_ok=True)
        return place

    def environ(self, name="daemon", **variables):
        """Return what a process of ours sees: nothing of AWS, and a home without files."""
        home = self.place(name) / "home"
        home.mkdir(exist_ok=True)
        directory = str(self.place(name) / "run")
        return measured_environ(home, **{"IMDSD_RUNTIME_DIR": directory, **variables})

    def configure(self, text, name="daemon") -> Path:
        """Write the configuration that a daemon reads at its start and at each reload."""
        path = self.place(name) / "imdsd.toml"
        path.write_text(text)
        return path

    def serve(self, text, *arguments, name="daemon", **options) -> DaemonProcess:
        """Start `imdsd serve` with this configuration."""
        config = self.configure(text, name)
        return self.start([*SERVE, "--config", str(config), *arguments], name=name, **options)

    def demo(self, *arguments, name="daemon", **options) -> DaemonProcess:
        """Start `imdsd demo` on a port that the kernel chooses."""
        argv = [*DEMO, "--listen", "127.0.0.1:0", *arguments]
        return self.start(argv, name=name, **options)

    def start(
        self, argv, *, name="daemon", prefix=(), stderr=None, pass_fds=(), **variables
    ) -> DaemonProcess:
        """Start a daemon, behind a `prefix` of words where it shall run elsewhere."""
        place = self.place(name)
        log = place / "stderr"
        with (place / "stdout").open("ab") as out, log.open("ab") as err:
            process = subprocess.Popen(
                # A test run that is killed takes its daemons with it.
                [need("setpriv"), "--pdeathsig=KILL", *prefix, *argv],
                env=self.environ(name, **variables),
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=stderr or err,
                pass_fds=pass_fds,
            )
        daemon = DaemonProcess(process, place, log)
        self._started.append(daemon)
        return daemon

    async def cli(self, *words, name="daemon", prefix=(), **variables):
        """Run a verb to its end; the loop goes on, since the sandbox may have to answer."""
        return await asyncio.to_thread(
            subprocess.run,
            [*prefix, sys.executable, "-m", "imdsd", *words],
            env=self.environ(name, **variables),
            cwd=self.place(name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
        )

    def close(self):
        for daemon in self._started:
            if daemon.running:
                daemon.send(signal.SIGCONT)
                daemon.process.kill()
            daemon.process.wait(30)
