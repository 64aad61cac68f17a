"""SIGHUP: what a new configuration keeps, what it stops, and what it must not do."""

import asyncio
import signal

import pytest

from imdsd.sandbox.faults import hang
from tests.system.settings import ARN, OTHER_ARN, role, settings

EXCHANGE = "AssumeRoleWithWebIdentity"


async def reload(daemons, daemon, text):
    """Hand over a new configuration and wait until it is taken or refused."""
    before = len(outcomes(daemon))
    daemons.configure(text)
    daemon.send(signal.SIGHUP)
    await daemon.until(lambda: len(outcomes(daemon)) > before, what="the reload ends")
    return outcomes(daemon)[-1]


def outcomes(daemon):
    return [*daemon.events("configuration_reloaded"), *daemon.events("reload_refused")]


async def test_a_renamed_role_keeps_its_credentials_and_its_old_path(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    before = await daemon.access_key_id("/v1/credentials/dev")
    calls = sandbox.sts.calls(EXCHANGE)

    await reload(daemons, daemon, settings(sandbox, role(sandbox, name="prod", aliases=["dev"])))
    for path in ("/v1/credentials", "/v1/credentials/dev", "/v1/credentials/prod"):
        assert await daemon.access_key_id(path) == before
    renamed = await daemon.role("prod")
    assert (renamed["aliases"], renamed["state"]) == (["dev"], "ok")
    assert sandbox.sts.calls(EXCHANGE) == calls
    assert await daemon.metric("imdsd_last_reload_successful") == 1


async def test_a_changed_arn_stops_the_old_set_at_once(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    sandbox.sts.faults.always(hang())
    await reload(daemons, daemon, settings(sandbox, role(sandbox, arn=OTHER_ARN)))
    assert (await daemon.credentials()).status == 503

    sandbox.sts.faults.clear()
    await daemon.ready()
    assert (await daemon.credentials()).json["RoleArn"] == OTHER_ARN


async def test_another_duration_serves_the_old_set_until_the_first_publish(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    before = await daemon.access_key_id()
    sandbox.sts.faults.always(hang())
    await reload(daemons, daemon, settings(sandbox, role(sandbox, duration_seconds=1800)))
    await sandbox.sts.faults.until_hanging()
    assert await daemon.access_key_id() == before

    async def is_new():
        return await daemon.access_key_id() not in (before, None)

    sandbox.sts.faults.clear()
    await daemon.until(is_new, what="the new set is served")
    assert sandbox.sts.requests[-1].parameters["DurationSeconds"] == "1800"


async def test_what_arrives_for_a_removed_role_is_dropped(daemons, sandbox):
    both = (role(sandbox, default=True), role(sandbox, name="other", arn=OTHER_ARN))
    daemon = await daemons.serve(settings(sandbox, *both)).ready()
    await daemon.until(
        lambda: daemon.access_key_id("/v1/credentials/other"), what="the other role is served"
    )
    sandbox.sts.faults.always(hang())
    refreshing = asyncio.create_task(daemon.refresh())
    await sandbox.sts.faults.until_hanging(2)
    await reload(daemons, daemon, settings(sandbox, both[0]))
    sandbox.sts.faults.clear()
    told = (await refreshing).json
    assert told["Code"] == "GivenUp"
    assert "(stage: exchange)" in told["Message"]
    assert (await daemon.credentials("/v1/credentials/other")).status == 404
    assert await daemon.role("other") is None
    assert (await daemon.credentials("/v1/credentials/dev")).status == 200
    refreshed = [event["role"] for event in daemon.events("credentials_refreshed")]
    assert (refreshed.count("dev"), refreshed.count("other")) == (2, 1)


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ("listen = [", "line"),
        ('lissten = ["127.0.0.1:1"]', "listen"),
        ('[[role]]\narn = "no arn"', "arn"),
        ("", "role"),
    ],
)
async def test_a_broken_file_leaves_everything_as_it_was(daemons, sandbox, broken, named):
    sound = settings(sandbox)
    daemon = await daemons.serve(sound).ready()
    before = await daemon.access_key_id()

    refused = await reload(daemons, daemon, broken)
    assert refused["level"] == "error"
    assert named in refused["reason"]
    assert [event for event in daemon.events() if event["level"] == "error"] == [refused]
    (warning,) = [each for each in (await daemon.status())["warnings"] if "reload" in each]
    assert warning == f"reload refused: {refused['reason']}"
    assert await daemon.metric("imdsd_last_reload_successful") == 0
    assert await daemon.access_key_id() == before

    await reload(daemons, daemon, sound)
    assert await daemon.metric("imdsd_last_reload_successful") == 1
    assert await daemon.access_key_id() == before


async def test_a_listener_cannot_change_and_the_whole_reload_is_refused(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    changed = settings(sandbox, role(sandbox, name="prod"), listen=["127.0.0.1:1"])
    refused = await reload(daemons, daemon, changed)
    assert "listen" in refused["reason"]
    assert await daemon.role("prod") is None
    assert (await daemon.role("dev"))["role_arn"] == ARN
    assert await daemon.metric("imdsd_last_reload_successful") == 0


async def test_a_file_that_is_gone_is_a_broken_one(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    before = await daemon.access_key_id()
    (daemons.place() / "imdsd.toml").unlink()
    daemon.send(signal.SIGHUP)
    await daemon.until(lambda: daemon.events("reload_refused"), what="the reload is refused")
    assert await daemon.access_key_id() == before


async def test_many_signals_at_once_end_in_the_last_file(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    for name in ("one", "two", "three"):
        daemons.configure(settings(sandbox, role(sandbox, name=name)))
        daemon.send(signal.SIGHUP)
    await daemon.until(lambda: daemon.role("three"), what="the last name is in service")
    assert (await daemon.credentials()).status == 200
    assert sandbox.sts.calls(EXCHANGE) == 1
