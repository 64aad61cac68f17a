"""On an EC2 instance: its own services are not hidden by accident."""

import asyncio
import sys
from contextlib import contextmanager

import pytest

from tests.support import need, room
from tests.system.daemon import DEMO, DaemonProcess, asking, heard
from tests.system.machine import need_root
from tests.system.manager import handing_over

# The firmware of an instance, for this process and those below it.
AS_INSTANCE = """
mount -t tmpfs none /sys && mkdir -p /sys/class/dmi/id
echo "Amazon EC2" >/sys/class/dmi/id/sys_vendor
exec "$@"
"""
BOTH = 'listen = ["127.0.0.1:9254", "169.254.169.254:80"]'
REFUSED = "listen: found 169.254.169.254:80 on an EC2 instance"


@pytest.fixture(scope="module")
def house():
    need_root()
    with room("169.254.169.254/32") as made:
        yield made


@contextmanager
def running(daemons, house, text, *, prefix=()):
    place = daemons.place()
    log = place / "stderr"
    log.touch()
    argv = [*DEMO, "--config", daemons.configure(text)]
    words = (need("unshare"), "--mount", "sh", "-c", AS_INSTANCE, "sh", *prefix, *argv)
    environ = daemons.environ()
    with house.running(*words, environ=environ, stdout=place / "stdout", stderr=log) as process:
        yield DaemonProcess(process, place, log)


async def test_a_listener_that_hides_the_metadata_service_is_refused(daemons, house):
    with running(daemons, house, BOTH) as daemon:
        assert await daemon.ended() == 78
    assert f"imdsd.toml: {REFUSED} (/sys/class/dmi/id/sys_vendor is Amazon EC2)" in daemon.log
    assert "hide_ec2_services = true" in daemon.log


@pytest.mark.parametrize(
    ("listener", "code", "said"),
    [
        ('"169.254.169.254:80"', 78, f"imdsd: {{file}}: {REFUSED}"),
        ('{address = "169.254.169.254:80", optional = true}', 0, f"warning: {{file}}: {REFUSED}"),
    ],
)
def test_check_config_says_so_beforehand(daemons, house, listener, code, said):
    role = '[[role]]\narn = "arn:aws:iam::123456789012:role/dev"\nregion = "eu-west-1"'
    file = daemons.configure(f'listen = ["127.0.0.1:9254", {listener}]\n{role}')
    checking = (sys.executable, "-m", "imdsd", "check-config", "--config", file)
    words = (need("unshare"), "--mount", "sh", "-c", AS_INSTANCE, "sh", *checking)
    done = house.try_run(*words, environ=daemons.environ())
    assert done.returncode == code, done.stderr
    assert said.format(file=file) in done.stderr


async def test_a_passed_socket_that_hides_it_is_refused_too(daemons, house):
    prefix = handing_over("127.0.0.1 9254 ", "169.254.169.254 80 lo")
    with running(daemons, house, "", prefix=prefix) as daemon:
        assert await daemon.ended() == 78
    assert REFUSED in daemon.log


async def test_an_optional_one_is_left_out_and_the_others_serve(daemons, house):
    text = 'listen = ["127.0.0.1:9254", {address = "169.254.169.254:80", optional = true}]'
    with running(daemons, house, text) as daemon:
        await daemon.listening()
        assert daemon.record["listeners"] == ["127.0.0.1:9254"]
        (skipped,) = daemon.events("listener_skipped")
        assert REFUSED in skipped["reason"]


async def test_it_is_hidden_where_the_configuration_says_so(daemons, house):
    with running(daemons, house, f"hide_ec2_services = true\n{BOTH}") as daemon:
        await daemon.listening()
        ask = asking("GET", "http://169.254.169.254/healthz")
        done = await asyncio.to_thread(house.run, *ask, environ=daemons.environ())
        assert heard(done.stdout)[0] == 200
