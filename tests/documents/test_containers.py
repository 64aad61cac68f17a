"""The addresses that docs/how-to/containers.md names, from networks such as containers have."""

from __future__ import annotations

import re
from contextlib import contextmanager

import pytest

from tests.documents.blocks import DOCS, blocks_of
from tests.integration.daemon import running_daemon
from tests.support import need, room, scrubbed_environ
from tests.system.machine import need_root

PAGE = blocks_of(DOCS / "how-to/containers.md")
OPEN, OFF = [block.text for block in PAGE if block.language == "toml"]
BRIDGE = "http://172.17.0.1:9254"
LOOPBACK = "http://127.0.0.1:9254"
ENDPOINT = "/v1/credentials"
# The command of the page that forwards.
FORWARDER = re.search(r"socat .*(?= &$)", PAGE[-1].text, re.MULTILINE)[0]
# What a container is given beside the address: nothing that leads past it.
METHOD = """
import boto3
found = boto3.Session().get_credentials()
print(found.method if found and found.get_frozen_credentials() else None)
"""


@contextmanager
def bridged(config, directory):
    """A daemon on the machine's end of a bridge, and a container's network at the other end."""
    need_root()
    # On the machine both link-local addresses are served too, as from systemd's sockets.
    link_local = '"169.254.170.2:80", "169.254.169.254:80"'
    path = directory / "config.toml"
    path.write_text(config.replace("listen = [", f"listen = [ {link_local},", 1))
    environ = scrubbed_environ(directory)
    with (
        room("169.254.169.254/32", "169.254.170.2/32") as machine,
        room() as container,
        container.running("sleep", "600", environ={}) as inside,
    ):
        peer = ("type", "veth", "peer", "eth0", "netns", str(inside.pid))
        machine.run("ip", "link", "add", "docker0", *peer, environ=environ)
        for where, name, address in ((machine, "docker0", "172.17.0.1/16"), (container, "eth0", "172.17.0.2/16")):  # fmt: skip
            where.run("ip", "address", "add", address, "dev", name, environ=environ)
            where.run("ip", "link", "set", name, "up", environ=environ)
        container.run("ip", "route", "add", "default", "via", "172.17.0.1", environ=environ)
        with running_daemon(machine, directory, "demo", "--config", str(path)) as daemon:
            yield daemon, container


@pytest.fixture(scope="module")
def with_imds(tmp_path_factory):
    with bridged(OPEN, tmp_path_factory.mktemp("open")) as both:
        yield both


@pytest.fixture(scope="module")
def without_imds(tmp_path_factory):
    with bridged(OFF, tmp_path_factory.mktemp("off")) as both:
        yield both


@pytest.fixture
def boto3_says(tmp_path):
    """A function from a network and variables to where boto3 has credentials from, or its error."""
    (tmp_path / "hosts").write_text("172.17.0.1 host.docker.internal\n")
    within = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount --bind "$HOME/hosts" /etc/hosts && exec "$@"',
    )

    def ask(where, **variables):
        environ = scrubbed_environ(tmp_path, AWS_MAX_ATTEMPTS="1", **variables)
        done = where.try_run(*within, "sh", "python", "-c", METHOD, environ=environ)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    return ask


def bearer_of(daemon):
    name = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
    return {name: daemon.variables[name]}


def test_imds_on_the_bridge_serves_every_container(with_imds, boto3_says):
    _, container = with_imds
    assert boto3_says(container, AWS_EC2_METADATA_SERVICE_ENDPOINT=BRIDGE) == "iam-role"


def test_imds_that_is_off_there_serves_none(without_imds, boto3_says):
    _, container = without_imds
    assert boto3_says(container, AWS_EC2_METADATA_SERVICE_ENDPOINT=BRIDGE) == "None"


@pytest.mark.parametrize("host", ["172.17.0.1", "host.docker.internal"])
def test_no_sdk_sends_a_bearer_to_another_host(with_imds, boto3_says, host):
    daemon, container = with_imds
    uri = f"http://{host}:9254{ENDPOINT}"
    said = boto3_says(container, AWS_CONTAINER_CREDENTIALS_FULL_URI=uri, **bearer_of(daemon))
    assert f"Unsupported host '{host}'" in said


def test_the_daemon_refuses_the_name_of_the_host(with_imds, boto3_says):
    _, container = with_imds
    url = "http://host.docker.internal:9254"
    assert boto3_says(container, AWS_EC2_METADATA_SERVICE_ENDPOINT=url) == "None"


def test_the_link_local_addresses_serve_the_machine_alone(with_imds, boto3_says):
    daemon, container = with_imds
    variables = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": ENDPOINT, **bearer_of(daemon)}
    assert boto3_says(daemon.room, **variables) == "container-role"
    assert "Could not connect" in boto3_says(container, **variables)
    assert boto3_says(daemon.room) == "iam-role"
    assert boto3_says(container) == "None"


def test_the_machines_network_is_the_machine(with_imds, boto3_says):
    daemon, _ = with_imds
    assert boto3_says(daemon.room, **daemon.variables) == "container-role"


def test_a_forwarder_in_the_container_makes_an_address_that_sdks_accept(
    without_imds, boto3_says, tmp_path
):
    daemon, container = without_imds
    need("socat")
    variables = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": LOOPBACK + ENDPOINT}
    environ = scrubbed_environ(tmp_path)
    with container.running("sh", "-c", f"exec {FORWARDER}", environ=environ):
        container.run(
            *("curl", "-fsS", "--retry", "30", "--retry-connrefused", f"{LOOPBACK}/healthz"),
            environ=environ,
        )
        assert boto3_says(container, **variables, **bearer_of(daemon)) == "container-role"
        assert "Unauthorized" in boto3_says(container, **variables)
