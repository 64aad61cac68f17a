"""Other users of the machine: what the kernel says of them decides, not what they say."""

import asyncio
import grp
import json
import os
import pwd
import socket
import stat
import subprocess
import sys

from imdsd.host.daemon_record import DaemonRecord
from imdsd.host.runtime_directory import RuntimeDirectory
from tests.system.daemon import asking, heard
from tests.system.machine import NOBODY, as_user, eventually, need_root
from tests.system.settings import settings

SOMEBODY = 54321

# Answers whoever connects as a daemon would, and writes down what it was sent.
SQUAT = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            sys.stdout.write(connection.recv(65536).decode())
            sys.stdout.flush()
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
"""


async def ask_as(uid, daemon, method, path, **headers):
    """Return status and body as another user's client sees them."""
    argv = asking(method, f"http://127.0.0.1:{daemon.port}{path}", **headers)
    done = await asyncio.to_thread(
        subprocess.run, as_user(uid, argv), env={}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return heard(done.stdout)


async def role_document_as(uid, daemon):
    """Walk the two steps of an IMDS client; return the last status and body."""
    ttl = {"X_aws_ec2_metadata_token_ttl_seconds": "60"}
    status, token = await ask_as(uid, daemon, "PUT", "/latest/api/token", **ttl)
    if status != 200:
        return status, token
    path = "/latest/meta-data/iam/security-credentials/dev"
    return await ask_as(uid, daemon, "GET", path, X_aws_ec2_metadata_token=token)


def users_daemon(daemons, uid, *arguments, name):
    """Start a demo that belongs to another user, in a directory of that user."""
    os.chown(daemons.place(name), uid, uid)
    return daemons.demo(*arguments, name=name, prefix=as_user(uid, []))


async def test_imds_answers_the_daemons_user_and_no_other(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    assert (await role_document_as(0, daemon))[0] == 200
    assert await role_document_as(NOBODY, daemon) == (403, "")
    assert await daemon.metric("imdsd_guard_refusals_total", guard="peer") == 1


async def test_a_stolen_imds_token_does_not_help_another_user(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    ttl = {"X_aws_ec2_metadata_token_ttl_seconds": "60"}
    token = (await daemon.ask("PUT", "/latest/api/token", **ttl)).body.decode()
    path = "/latest/meta-data/iam/security-credentials/dev"
    stolen = await ask_as(NOBODY, daemon, "GET", path, X_aws_ec2_metadata_token=token)
    assert stolen == (403, "")


async def test_the_container_path_asks_for_the_bearer_whoever_calls(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    status, _ = await ask_as(NOBODY, daemon, "GET", "/v1/credentials")
    assert status == 401
    status, body = await ask_as(
        NOBODY, daemon, "GET", "/v1/credentials", Authorization=daemon.bearer
    )
    assert status == 200
    assert json.loads(body)["AccessKeyId"] == await daemon.access_key_id()


async def test_a_group_may_read_the_bearer_and_nobody_else(daemons, sandbox):
    need_root()
    group = grp.getgrnam("nogroup")
    daemon = daemons.serve(settings(sandbox, bearer_group=group.gr_name))
    await daemon.ready()
    place = daemons.place() / "run"
    modes = {path: path.stat() for path in (place, place / "bearer", place / "daemon.json")}
    assert {stat.S_IMODE(found.st_mode) for found in modes.values()} == {0o750, 0o640}
    assert {found.st_gid for found in modes.values()} == {group.gr_gid}


async def test_another_user_cannot_have_the_role_refreshed(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    assert (await ask_as(NOBODY, daemon, "POST", "/refresh"))[0] == 401
    assert (await daemon.role())["refreshes"] == 1


async def test_an_allowed_user_is_let_in_and_no_other(daemons, sandbox):
    need_root()
    nobody = pwd.getpwuid(NOBODY).pw_name
    daemon = await daemons.serve(settings(sandbox, allow_users=[nobody])).ready()
    status, body = await role_document_as(NOBODY, daemon)
    assert (status, json.loads(body)["Code"]) == (200, "Success")
    assert (await role_document_as(SOMEBODY, daemon))[0] == 403


async def test_a_daemon_of_another_user_serves_that_user_and_root(daemons):
    daemon = await users_daemon(daemons, NOBODY, name="theirs").ready()
    assert daemon.record["uid"] == NOBODY
    for uid, expected in ((NOBODY, 401), (0, 401), (SOMEBODY, 403)):
        # 401 is the answer to a client that is let in and shows no IMDS token.
        status, _ = await ask_as(uid, daemon, "GET", "/latest/meta-data/")
        assert status == expected


async def test_two_users_on_one_port_do_not_meet(daemons, sandbox):
    theirs = await users_daemon(daemons, NOBODY, name="theirs").ready()
    await asyncio.gather(
        *(squatted(daemons, settings(sandbox), theirs, uid) for uid in (0, SOMEBODY))
    )


async def squatted(daemons, text, theirs, uid):
    """Check what a user gets whose daemon finds another user's on its port."""
    name = f"ours-{uid}"
    os.chown(daemons.place(name), uid, uid)
    text = text.replace("127.0.0.1:0", f"127.0.0.1:{theirs.port}")
    ours = daemons.serve(text, name=name, prefix=as_user(uid, []))
    # While ours still hopes for the port, and with the directory of either.
    asked = [env_as(uid, daemons, directory) for directory in (ours.directory, theirs.directory)]
    code, *answers = await asyncio.gather(ours.ended(), *asked)
    assert code == 1
    assert f"127.0.0.1:{theirs.port} is in use" in ours.log
    for answer in answers:
        assert (answer.returncode, answer.stdout) == (3, ""), answer.stderr


async def env_as(uid, daemons, directory):
    """Run `imdsd env` as another user who looks into this directory."""
    return await daemons.cli(
        "env", name=f"ours-{uid}", prefix=as_user(uid, []), IMDSD_RUNTIME_DIR=str(directory)
    )


async def test_a_bearer_is_not_sent_to_a_squatter(daemons):
    squatter = subprocess.Popen(
        as_user(NOBODY, [sys.executable, "-I", "-c", SQUAT]), stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(squatter.stdout.readline())
        with RuntimeDirectory.acquire(daemons.environ(), uid=0) as directory:
            bearer = directory.bearer().reveal()
            directory.announce(_record(port))
            for verb in ("env", "status", "refresh", "credential-process", "wait"):
                done = await daemons.cli(verb, *(["--timeout=1"] if verb == "wait" else []))
                assert (done.returncode, done.stdout) == (3, "")
                assert f"held by uid {NOBODY}" in done.stderr
            # The control: what is sent there is written down.
            with socket.create_connection(("127.0.0.1", port)) as probe:
                probe.sendall(b"probe")
                probe.recv(100)
    finally:
        squatter.kill()
        seen = squatter.communicate(timeout=30)[0]
    assert seen == "probe"
    assert bearer not in seen


def _record(port):
    return DaemonRecord(
        pid=os.getpid(),
        uid=0,
        listeners=(f"127.0.0.1:{port}",),
        version="0",
        demo=False,
        region="eu-central-1",
        sts_endpoint_url=None,
        started_at="2026-01-01T00:00:00Z",
    )


async def test_a_client_that_is_gone_is_not_taken_for_anybody(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()

    async def leave_before_the_answer():
        with socket.create_connection(("127.0.0.1", daemon.port)) as client:
            client.sendall(
                b"PUT /latest/api/token HTTP/1.1\r\nHost: localhost\r\n"
                b"X-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n"
            )
        return await daemon.metric("imdsd_guard_refusals_total", guard="peer")

    await eventually(leave_before_the_answer, what="a client that is gone is refused")
    assert (await role_document_as(0, daemon))[0] == 200
