"""`kill -9`, whenever it comes, costs no bearer, no orphan and no hot loop."""

import json
import time
from itertools import pairwise

import pytest

from imdsd.sandbox.faults import hang
from tests.system.machine import alive, descendants, eventually
from tests.system.settings import AUDIENCE, role, settings

ORPHAN_SECONDS = 2.0
NOISE_SECONDS = 3.0
GAP_SECONDS = 5.0
MOST_CALLS = 13
JITTER_SECONDS = 1.0
"""How much later than another a mint may be noted that began as early after its start."""

# Writes down when it was run, then prints the token once it is told to go on.
NOTING = """#!/bin/sh
date +%s.%N >> "$1/mints"
while ! test -e "$1/go"; do sleep 0.05; done
cat "$1/token"
"""


@pytest.fixture
def command(daemons, sandbox):
    """A token command that hangs until the file `go` is there, and a child that it forgot."""
    place = daemons.place()
    (place / "token").write_text(sandbox.issuer.issue(AUDIENCE).reveal())
    script = place / "mint"
    script.write_text(NOTING)
    script.chmod(0o755)
    return {"command": [str(script), str(place)]}


def forget_the_last_mint(daemon):
    """Let the next start mint at once; that it would wait is another test's subject."""
    (daemon.directory / "last-mint").unlink()


async def killed(daemon, *, family=frozenset()):
    """Kill the daemon and see that nothing of its family survives."""
    await daemon.kill()
    began = time.monotonic()
    await eventually(lambda: not any(map(alive, family)), what=f"{family} die with the daemon")
    assert time.monotonic() - began < ORPHAN_SECONDS + NOISE_SECONDS


async def started_again(daemons, sandbox, daemon, text):
    """Start anew in the directory of a killed daemon; the bearer must be the same."""
    bearer = daemon.bearer
    sandbox.sts.faults.clear()
    forget_the_last_mint(daemon)
    again = await daemons.serve(text).ready()
    assert again.bearer == bearer
    return again


async def test_a_kill_while_minting_leaves_no_command_behind(daemons, sandbox, command):
    text = settings(sandbox, role(sandbox, token=command))
    daemon = await daemons.serve(text).listening()
    await eventually((daemons.place() / "mints").exists, what="the command runs")
    family = descendants(daemon.pid)
    assert len(family) >= 2
    await killed(daemon, family=family)
    (daemons.place() / "go").touch()
    again = await started_again(daemons, sandbox, daemon, text)
    assert (await again.credentials()).status == 200


async def test_a_kill_while_exchanging_costs_one_more_exchange(daemons, sandbox):
    sandbox.sts.faults.always(hang())
    text = settings(sandbox)
    daemon = await daemons.serve(text).listening()
    await sandbox.sts.faults.until_hanging()
    family = descendants(daemon.pid)
    assert len(family) == 1
    await killed(daemon, family=family)
    again = await started_again(daemons, sandbox, daemon, text)
    assert (await again.credentials()).status == 200


async def test_a_kill_after_the_publish_is_recovered_with_new_credentials(daemons, sandbox):
    text = settings(sandbox)
    daemon = await daemons.serve(text).ready()
    before = await daemon.access_key_id()
    await killed(daemon)
    again = await started_again(daemons, sandbox, daemon, text)
    assert await again.access_key_id() not in (before, None)


async def test_a_client_keeps_its_imds_token_across_a_kill(daemons, sandbox):
    text = settings(sandbox)
    daemon = await daemons.serve(text).ready()
    ttl = {"X_aws_ec2_metadata_token_ttl_seconds": "21600"}
    token = (await daemon.ask("PUT", "/latest/api/token", **ttl)).body.decode()
    await killed(daemon)
    again = await started_again(daemons, sandbox, daemon, text)
    path = "/latest/meta-data/iam/security-credentials/dev"
    reply = await again.ask("GET", path, X_aws_ec2_metadata_token=token)
    assert (reply.status, json.loads(reply.body)["Code"]) == (200, "Success")


async def test_the_record_of_a_killed_daemon_is_no_daemon(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    await daemon.kill()
    assert (daemon.directory / "daemon.json").exists()
    done = await daemons.cli("status")
    assert (done.returncode, done.stdout) == (3, "")


async def test_twenty_kills_leave_first_mints_five_seconds_apart(daemons, sandbox, command):
    (daemons.place() / "go").touch()
    text = settings(sandbox, role(sandbox, token=command))
    for life_seconds in [3.0, 3.0, *[0.0] * 18]:
        daemon = await daemons.serve(text).listening()
        born = time.monotonic()
        await eventually(
            lambda: time.monotonic() - born >= life_seconds,  # noqa: B023  # awaited right here
            what="its life is over",
        )
        await killed(daemon, family=descendants(daemon.pid))
    await daemons.serve(text).ready()
    mints = [float(line) for line in (daemons.place() / "mints").read_text().split()]
    gaps = [later - earlier for earlier, later in pairwise(mints)]
    assert len(mints) >= 2
    assert min(gaps) > GAP_SECONDS - JITTER_SECONDS
    assert max(sum(first <= each < first + 60 for each in mints) for first in mints) <= MOST_CALLS
    assert sandbox.sts.calls("AssumeRoleWithWebIdentity") <= len(mints)
