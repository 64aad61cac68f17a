"""The metadata service of a whole daemon: its configuration, events and an upstream, live."""

import getpass
import json

from tests.fakes.upstream import upstream_imds
from tests.system.settings import role, settings
from tests.system.test_reload import reload

TOKEN = "X_aws_ec2_metadata_token"
NAME = "/latest/meta-data/tags/instance/Name"
NOTICE = "/latest/meta-data/events/recommendations/rebalance"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA me"


async def get(daemon, path):
    """Ask as an SDK does: for a token first."""
    put = await daemon.ask("PUT", "/latest/api/token", **{f"{TOKEN}_ttl_seconds": "60"})
    assert put.status == 200
    return await daemon.ask("GET", path, **{TOKEN: put.body.decode()})


async def test_a_reload_brings_new_metadata_and_keeps_the_credentials(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox, metadata={"tags": {"Name": "old"}})).ready()
    before = await daemon.access_key_id()
    assert (await get(daemon, NAME)).body == b"old"

    new = settings(sandbox, metadata={"tags": {"Name": "new"}, "instance_id": "i-12345678"})
    assert (await reload(daemons, daemon, new))["event"] == "configuration_reloaded"
    assert (await get(daemon, NAME)).body == b"new"
    assert (await get(daemon, "/latest/meta-data/instance-id")).body == b"i-12345678"
    assert await daemon.access_key_id() == before


async def test_an_environment_has_the_same_instance_id_after_a_restart(daemons, sandbox):
    ids = []
    for _ in range(2):
        daemon = await daemons.serve(settings(sandbox)).ready()
        ids.append((await get(daemon, "/latest/meta-data/instance-id")).body)
        await daemon.kill()
    assert ids[0] == ids[1]
    assert len(ids[0]) == len("i-0123456789abcdef0")


async def test_an_event_is_set_and_cleared_by_the_verb_and_gone_after_a_restart(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    assert (await get(daemon, NOTICE)).status == 404
    done = await daemons.cli("event", "rebalance")
    assert done.returncode == 0
    assert "noticeTime" in (await get(daemon, NOTICE)).json
    assert (await daemons.cli("event", "clear")).returncode == 0
    assert (await get(daemon, NOTICE)).status == 404

    await daemons.cli("event", "rebalance")
    await daemon.kill()
    daemon = await daemons.serve(settings(sandbox)).ready()
    assert (await get(daemon, NOTICE)).status == 404


async def test_an_event_of_the_configuration_appears_when_it_is_due(daemons, sandbox):
    later = {"event": [{"kind": "rebalance", "after_seconds": 2}]}
    daemon = await daemons.serve(settings(sandbox, metadata=later)).ready()

    async def noticed():
        return (await get(daemon, NOTICE)).status == 200

    await daemon.until(noticed, what="the notice appears")


async def test_what_is_passed_through_is_upstreams_and_the_credentials_are_ours(daemons, sandbox):
    theirs = {
        "meta-data/tags/instance/Name": b"theirs",
        "meta-data/iam/security-credentials/theirs": b"STOLEN",
        "dynamic/instance-identity/signature": b"signed",
    }
    async with upstream_imds(theirs) as upstream:
        paths = ["meta-data/", "dynamic/instance-identity/"]
        metadata = {"upstream": upstream.url, "upstream_paths": paths}
        daemon = await daemons.serve(settings(sandbox, metadata=metadata)).ready()
        assert (await get(daemon, NAME)).body == b"theirs"
        signature = await get(daemon, "/latest/dynamic/instance-identity/signature")
        assert signature.body == b"signed"
        roles = await get(daemon, "/latest/meta-data/iam/security-credentials/")
        assert roles.body == b"dev"
        stolen = await get(daemon, "/latest/meta-data/iam/security-credentials/theirs")
        assert stolen.status == 404
        ours = await get(daemon, "/latest/meta-data/iam/security-credentials/dev")
        assert json.loads(ours.body)["AccessKeyId"] == await daemon.access_key_id()
        assert not any("iam" in seen.target for seen in upstream.seen)


async def test_without_upstream_its_paths_alone_are_503(daemons, sandbox):
    metadata = {"upstream": "http://127.0.0.1:9", "upstream_paths": ["meta-data/tags/"]}
    daemon = await daemons.serve(settings(sandbox, metadata=metadata)).ready()
    refused = await get(daemon, NAME)
    assert refused.status == 503
    assert refused.headers["retry-after"] == "1"
    assert b"[metadata] upstream" in refused.body
    assert (await get(daemon, "/latest/meta-data/placement/region")).status == 200
    assert (await daemon.credentials()).status == 200


async def test_a_reload_cannot_take_another_upstream(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    metadata = {"upstream": "http://127.0.0.1:9", "upstream_paths": ["meta-data/tags/"]}
    refused = await reload(daemons, daemon, settings(sandbox, metadata=metadata))
    assert refused["event"] == "reload_refused"
    assert "upstream" in refused["reason"]


async def test_who_still_uses_imdsv1_is_counted_by_name(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox, allow_imdsv1=True, log_level="debug")).ready()
    assert (await daemon.ask("GET", "/latest/meta-data/instance-id")).status == 200
    user = getpass.getuser()
    assert await daemon.metric("imdsd_imdsv1_requests_total", user=user) == 1
    (told,) = daemon.events("imdsv1_used")
    assert (told["user"], told["path"]) == (user, "/latest/meta-data/instance-id")


async def test_the_verb_prints_what_a_client_sees_and_never_credentials(daemons, sandbox):
    user_data = "#!/bin/sh\nexit 0\n"
    metadata = {
        "tags": {"Name": "box"},
        "user_data": user_data,
        "public_keys": {"me": KEY},
    }
    daemon = await daemons.serve(settings(sandbox, metadata=metadata)).ready()

    async def printed(*words, code=0):
        done = await daemons.cli("metadata", *words)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    assert await printed("get", "placement/region") == "eu-central-1"
    assert await printed("get", "user-data") == user_data
    assert await printed("get", "/latest/meta-data/tags/") == "instance/"
    assert "did you mean meta-data/placement/region?" in await printed("get", "region", code=1)
    rows = dict(line.split("  ", 1) for line in (await printed("tree")).splitlines())
    assert rows["meta-data/tags/instance/Name"] == "box"
    assert rows["meta-data/public-keys/0/openssh-key"] == f"{KEY[:72]}…"
    assert rows["user-data"] == f"({len(user_data)} bytes)"
    assert rows["meta-data/iam/security-credentials/dev"] == "(credentials, not shown)"
    assert await daemon.access_key_id() not in str(rows)


async def test_the_verb_says_by_its_exit_code_why_it_prints_nothing(daemons, sandbox):
    assert (await daemons.cli("metadata", "get", "hostname")).returncode == 3

    off = [{"address": "127.0.0.1:0", "imds": "off"}]
    daemon = await daemons.serve(settings(sandbox, listen=off)).ready()
    refused = await daemons.cli("metadata", "tree")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "allow_users" in refused.stderr
    await daemon.kill()

    lacking = role(sandbox, token={"file": "/nonexistent/token"})
    daemon = await daemons.serve(settings(sandbox, lacking)).listening()
    await daemon.until(lambda: daemon.events("refresh_failed"), what="the first attempt fails")
    early = await daemons.cli("metadata", "get", "dynamic/instance-identity/document")
    assert (early.returncode, early.stdout) == (4, "")
