"""What a daemon needs for itself: a directory, a port, an address, a sound configuration."""

import signal
import socket
import time

from tests.system.settings import settings

BUSY_SECONDS = 5.0


def complaint(daemon):
    """What was told to a person: the lines that are no events."""
    return [line for line in daemon.log.splitlines() if line.startswith("imdsd: ")]


async def test_a_second_daemon_names_the_first_and_leaves_it_alone(daemons, sandbox):
    first = await daemons.serve(settings(sandbox)).ready()
    second = await daemons.cli("serve", "--config", str(daemons.place() / "imdsd.toml"))
    assert second.returncode == 1
    assert f"pid {first.pid})" in second.stderr
    assert str(first.directory) in second.stderr
    assert "IMDSD_RUNTIME_DIR" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert first.record["pid"] == first.pid
    assert (await first.credentials()).status == 200


async def test_two_daemons_in_two_directories_do_not_meet(daemons, sandbox):
    first = await daemons.serve(settings(sandbox), name="first").ready()
    second = await daemons.serve(settings(sandbox), name="second").ready()
    assert first.bearer != second.bearer
    foreign = await first.ask("GET", "/v1/credentials", Authorization=second.bearer)
    assert foreign.status == 401


async def test_a_port_in_use_is_given_a_while_and_then_up(daemons, sandbox):
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        began = time.monotonic()
        daemon = daemons.serve(settings(sandbox, listen=[f"127.0.0.1:{port}"]))
        assert await daemon.ended() == 1
    assert time.monotonic() - began >= BUSY_SECONDS
    (line,) = complaint(daemon)
    assert f"127.0.0.1:{port} is in use" in line
    assert "--listen" in line
    assert "Traceback" not in daemon.log
    assert daemon.record is None


async def test_a_port_that_becomes_free_is_taken(daemons, sandbox):
    with socket.create_server(("127.0.0.1", 0)) as predecessor:
        port = predecessor.getsockname()[1]
        daemon = daemons.serve(settings(sandbox, listen=[f"127.0.0.1:{port}"]))
        await daemon.until((daemon.directory / "bearer").exists, what="the daemon is on its way")
    await daemon.ready()
    assert daemon.port == port


async def test_a_daemon_that_waits_for_a_port_still_obeys(daemons, sandbox):
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        daemon = daemons.serve(settings(sandbox, listen=[f"127.0.0.1:{port}"]))
        await daemon.until((daemon.directory / "bearer").exists, what="the daemon is on its way")
        daemon.send(signal.SIGINT)
        assert await daemon.ended() != 0
    assert "Traceback" not in daemon.log


async def test_an_address_of_another_machine_is_refused_with_the_remedy(daemons, sandbox):
    elsewhere = {"address": "192.0.2.1:9254", "imds": "off"}
    daemon = daemons.serve(settings(sandbox, listen=[elsewhere]))
    assert await daemon.ended() == 1
    (line,) = complaint(daemon)
    assert "192.0.2.1:9254 is not an address of this machine" in line
    assert "optional" in line


async def test_an_optional_address_does_not_keep_the_others_from_serving(daemons, sandbox):
    elsewhere = {"address": "192.0.2.1:9254", "imds": "off", "optional": True}
    text = settings(sandbox, listen=["127.0.0.1:0", elsewhere])
    daemon = await daemons.serve(text).ready()
    assert len(daemon.record["listeners"]) == 1
    (skipped,) = daemon.events("listener_skipped")
    assert skipped["level"] == "warning"


async def test_a_bad_configuration_is_told_whole(daemons, sandbox):
    text = settings(sandbox, lissten=["127.0.0.1:1"], log_level="loud").replace(
        "arn:aws", "arn:ows"
    )
    for verb in ("serve", "check-config"):
        config = daemons.configure(text)
        done = await daemons.cli(verb, "--config", str(config))
        assert done.returncode == 78, done.stderr
        assert done.stdout == ""
        problems = done.stderr.splitlines()
        assert len(problems) == 3, problems
        for key in ("lissten", "log_level", "role[0].arn"):
            assert any(f"{config}: {key}: found " in problem for problem in problems), problems
    assert not (daemons.place() / "run").exists()
