"""[role.files] of a real daemon: a file that follows what is served, and its disk that fails."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from tests.support import BIN
from tests.system.machine import need_root
from tests.system.settings import OTHER_ARN, role, settings

ASSUMED = "arn:aws:sts::123456789012:assumed-role/dev/"
MINE = b"[work]\r\naws_access_key_id = AKIA\xff\r\n"
CALLER = """
import boto3, json
print(json.dumps(boto3.client("sts").get_caller_identity()))
"""
CLIENTS = {
    "AWS CLI": [str(BIN / "aws"), "sts", "get-caller-identity", "--output", "json"],
    "boto3": [sys.executable, "-c", CALLER],
}


@pytest.fixture
def path(daemons):
    return daemons.place() / "home/.aws/credentials"


def with_files(text, **files):
    return f"{text}\n[role.files]\n" + "\n".join(f'{key} = "{each}"' for key, each in files.items())


def written(path, profile="imdsd-dev"):
    """The access key id in a profile, None where there is none."""
    text = path.read_text(errors="replace") if path.exists() else ""
    section = text.partition(f"[{profile}]\n")[2].partition("\n[")[0]
    lines = [line for line in section.splitlines() if line.startswith("aws_access_key_id = ")]
    return lines[0].partition(" = ")[2] if lines else None


async def in_line(daemon, path, profile="imdsd-dev"):
    served = await daemon.access_key_id()
    return served is not None and written(path, profile) == served


async def reload(daemons, daemon, text):
    done = len(daemon.events("configuration_reloaded"))
    daemons.configure(text)
    daemon.send(signal.SIGHUP)
    await daemon.until(
        lambda: len(daemon.events("configuration_reloaded")) > done, what="the reload is taken"
    )


async def test_the_file_follows_every_refresh_and_stays_after_the_end(daemons, sandbox, path):
    daemon = await daemons.serve(with_files(settings(sandbox))).ready()
    await daemon.until(lambda: in_line(daemon, path), what="the file is written")
    first = written(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert (await daemon.refresh()).status == 200
    await daemon.until(lambda: in_line(daemon, path), what="the file is written again")
    assert written(path) != first
    assert len(daemon.events("credentials_file_written")) == 1
    assert await daemon.metric("imdsd_credentials_file_current", role="dev") == 1
    daemon.send(signal.SIGTERM)
    assert await daemon.ended() == 0
    assert written(path)
    expires = daemon.events("credentials_refreshed")[-1]["expires_at"]
    assert (
        f"# expires {expires}, written by imdsd serve, which keeps it fresh\n" in path.read_text()
    )
    assert [each.name for each in path.parent.iterdir()] == ["credentials"]


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_that_reads_the_file_alone_is_taken_for_the_role(
    daemons, sandbox, path, client
):
    daemon = await daemons.serve(with_files(settings(sandbox))).ready()
    await daemon.until(lambda: in_line(daemon, path), what="the file is written")
    environ = daemons.environ(
        AWS_PROFILE="imdsd-dev",
        AWS_DEFAULT_REGION="eu-central-1",
        AWS_ENDPOINT_URL_STS=sandbox.sts_url,
        AWS_EC2_METADATA_DISABLED="true",
    )
    process = await asyncio.create_subprocess_exec(
        *CLIENTS[client], env=environ, stdout=asyncio.subprocess.PIPE
    )
    stdout, _ = await asyncio.wait_for(process.communicate(), 60)
    assert json.loads(stdout)["Arn"].startswith(ASSUMED)


async def test_a_reload_adds_moves_and_removes_without_a_call_to_sts(daemons, sandbox, path):
    text = settings(sandbox)
    daemon = await daemons.serve(text).ready()
    key_id = await daemon.access_key_id()
    path.parent.mkdir()
    path.write_bytes(MINE)
    for files, profile in (({}, "imdsd-dev"), ({"profile": "p"}, "p")):
        await reload(daemons, daemon, with_files(text, **files))
        await daemon.until(lambda p=profile: in_line(daemon, path, p), what=f"{profile} is written")
    await daemon.until(lambda: not written(path), what="the first profile is gone")
    await reload(daemons, daemon, text)
    await daemon.until(
        lambda: len(daemon.events("credentials_file_cleared")) == 2, what="the second is gone"
    )
    assert path.read_bytes().rstrip() == MINE.rstrip()
    assert await daemon.metric("imdsd_credentials_file_current", role="dev") is None
    assert await daemon.access_key_id() == key_id
    assert (await daemon.role())["refreshes"] == 1


async def test_another_arn_takes_the_credentials_of_the_old_one_out_at_once(daemons, sandbox, path):
    daemon = await daemons.serve(with_files(settings(sandbox))).ready()
    await daemon.until(lambda: in_line(daemon, path), what="the file is written")
    old = written(path)
    dead = role(sandbox, arn=OTHER_ARN, token={"file": "/nowhere/token"})
    await reload(daemons, daemon, with_files(settings(sandbox, dead)))
    await daemon.until(lambda: old not in path.read_text(), what="the old credentials are gone")


async def test_a_disk_that_fails_is_told_once_and_affects_nothing(daemons, sandbox, path):
    full = "/dev/full"
    daemon = await daemons.serve(with_files(settings(sandbox), credentials_file=full)).ready()
    await daemon.until(lambda: daemon.events("credentials_file_failed"), what="it is told")
    assert await daemon.metric("imdsd_credentials_file_current", role="dev") == 0
    for _ in range(3):
        assert (await daemon.refresh()).status == 200
        assert await daemon.access_key_id()
    shown = await daemons.cli("status")
    assert "[role.files]: /dev/full is not a regular file" in shown.stdout
    (failed,) = daemon.events("credentials_file_failed")
    assert failed["remedy"]
    assert (await daemon.role())["state"] == "ok"
    path.parent.mkdir()
    await reload(daemons, daemon, with_files(settings(sandbox), credentials_file=str(path)))
    await daemon.until(lambda: in_line(daemon, path), what="another file is written")
    assert (await daemon.status())["warnings"] == []


async def test_a_file_system_without_room_keeps_what_is_there(daemons, sandbox, path):
    need_root()  # to mount
    path.parent.mkdir(parents=True)
    room = f"mount -t tmpfs -o size=4k,mode=700 tmpfs {path.parent}"
    # One page: the file has it, and the draft beside it finds no other.
    script = f'{room} && printf "[work]\\nx = 1\\n" > {path} && exec "$@"'
    prefix = ["unshare", "--mount", "sh", "-c", script, "sh"]
    daemon = daemons.serve(with_files(settings(sandbox)), prefix=prefix)
    await daemon.ready()
    await daemon.until(lambda: daemon.events("credentials_file_failed"), what="it is told")
    (failed,) = daemon.events("credentials_file_failed")
    assert failed["reason"].endswith("cannot be written: No space left on device")
    assert failed["remedy"] == "free space or inodes there"
    inside = Path(f"/proc/{daemon.pid}/root{path}")
    assert inside.read_text() == "[work]\nx = 1\n"
    assert [each.name for each in inside.parent.iterdir()] == ["credentials"]
    assert await daemon.access_key_id()
