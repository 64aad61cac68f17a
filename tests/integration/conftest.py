"""The demo daemon in two places: where variables lead to, and where an EC2 instance has its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.daemon import DESCRIPTION, DaemonInRoom, running_daemon
from tests.support import Room, lack, need, room

NODE_CLIENTS = Path(__file__).parent / "node"

ANYWHERE = "hide_ec2_services = true"
"""A namespace has nobody's services: the tests may run on an EC2 instance too."""


@pytest.fixture(scope="session")
def house() -> Iterator[Room]:
    """The namespace that daemons and clients share; 9254, the usual port, is free in it."""
    with room() as made:
        yield made


@pytest.fixture(scope="session")
def demo(house: Room, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonInRoom]:
    """The demo, which clients find by variables; nothing is at 169.254.169.254."""
    directory = tmp_path_factory.mktemp("demo")
    with running_daemon(house, directory, "demo", "--listen", "127.0.0.1:9444") as running:
        yield running


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonInRoom]:
    """The demo at the address of the metadata service, in a namespace of its own."""
    directory = tmp_path_factory.mktemp("instance")
    config = directory / "config.toml"
    config.write_text(ANYWHERE)
    words = ("demo", "--listen", "169.254.169.254:80", "--config", str(config))
    with room("169.254.169.254/32") as made, running_daemon(made, directory, *words) as running:
        yield running


@pytest.fixture(scope="session")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonInRoom]:
    """The same, serving the instance that consumers/metadata.toml describes."""
    yield from _described(tmp_path_factory.mktemp("described"))


@pytest.fixture(scope="session")
def described_v1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonInRoom]:
    """The same again, to clients of IMDSv1 too."""
    yield from _described(tmp_path_factory.mktemp("described-v1"), "--allow-imdsv1")


def _described(directory: Path, *more: str) -> Iterator[DaemonInRoom]:
    config = directory / "config.toml"
    config.write_text(f"{ANYWHERE}\n{DESCRIPTION}")
    words = ("demo", "--listen", "169.254.169.254:80", "--config", str(config), *more)
    with room("169.254.169.254/32") as made, running_daemon(made, directory, *words) as running:
        yield running


@pytest.fixture
def daemon_at(request: pytest.FixtureRequest):
    """A function from an endpoint's name to the daemon that has it."""
    return lambda endpoint: request.getfixturevalue("instance" if endpoint == "ec2" else "demo")


@pytest.fixture(scope="session")
def node_clients() -> Path:
    """The folder of the JavaScript clients, once what its lock names is installed."""
    need("node")
    wanted = NODE_CLIENTS / "package-lock.json"
    installed = NODE_CLIENTS / "node_modules/.package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
        words = (need("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        done = subprocess.run(
            words, cwd=NODE_CLIENTS, capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode:
            lack(f"what npm should install: {done.stderr.strip()}")
    return NODE_CLIENTS
