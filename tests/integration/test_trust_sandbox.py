"""What `imdsd trust` writes, held by an STS that verifies tokens and judges trust policies."""

from __future__ import annotations

import asyncio
import json
import subprocess
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from imdsd.clock import SystemClock
from imdsd.errors import ExchangeError
from imdsd.sandbox.grants import Rules
from imdsd.sandbox.issuer import ENVIRONMENT_ID, ORGANIZATION_ID, PROJECT_ID, Issuer, signing_key
from imdsd.sandbox.sessions import SandboxRole
from imdsd.sandbox.sts import SandboxSts
from imdsd.sts import StsExchange
from imdsd.trust import parse_held_policy
from tests.support import BIN, scrubbed_environ

ARN = "arn:aws:iam::123456789012:role/dev"
AUDIENCE = "sts.amazonaws.com"
OTHER = "0191b6c5-7f3e-7c1a-9d55-5b0f3a6e9999"
VERSION_3 = f"organization_id:{ORGANIZATION_ID}:project_id:{PROJECT_ID}"
SUBJECTS = {
    2: f"org:{ORGANIZATION_ID}/prj:{PROJECT_ID}/env:{ENVIRONMENT_ID}",
    3: f"{VERSION_3}:environment_id:{ENVIRONMENT_ID}",
}
# Which of the three IDs in a subject another token may have besides, for each scope.
LETS_IN = {
    "exact": (),
    "environment": (),
    "project": (ENVIRONMENT_ID,),
    "organization": (ENVIRONMENT_ID, PROJECT_ID),
}


@pytest.fixture
def issuer():
    """An issuer that calls itself as Ona's does: IAM takes none on plain http."""
    return Issuer("https://app.gitpod.io", SystemClock(), AUDIENCE, signing_key())


@pytest.fixture
def trust(tmp_path):
    """A function from a token and words of the verb to what came of it."""

    async def run(token, *words):
        path = tmp_path / "token"
        path.write_text(token.reveal())
        path.chmod(0o600)
        usual = ("--config", "/dev/null", "--token-file", path, "--role-arn", ARN)
        return await asyncio.to_thread(
            subprocess.run,
            [str(word) for word in (BIN / "imdsd", "trust", *usual, *words)],
            env=scrubbed_environ(tmp_path),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


@asynccontextmanager
async def sts_that_trusts(policy, issuer):
    """An STS with one role and this trust policy, as an exchange that asks it."""
    role = SandboxRole(ARN, trust_policy=policy)
    sts = SandboxSts(Rules(issuer, {ARN: role}), clock=SystemClock())
    runner = web.AppRunner(sts.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = site._server.sockets[0].getsockname()
        yield StsExchange("eu-central-1", endpoint_url=f"http://{host}:{port}")
    finally:
        await runner.cleanup()


async def outcome(exchange, token):
    """Return the code that STS refuses a token with, or the role that it grants."""
    try:
        session = await exchange.exchange(
            token, role_arn=ARN, chain=(), session_name="test", duration_seconds=900,
            policy=None, policy_arns=(),
        )  # fmt: skip
    except ExchangeError as error:
        return error.code
    return session.assumed_role_arn


@pytest.mark.parametrize("scope", LETS_IN)
@pytest.mark.parametrize("version", SUBJECTS)
async def test_a_written_policy_lets_in_its_scope_and_nobody_else(issuer, trust, version, scope):
    mine = SUBJECTS[version]

    def token(subject, audience=AUDIENCE):
        return issuer.issue(audience, version=version, overrides={"sub": subject})

    written = await trust(token(mine), "--scope", scope)
    assert written.returncode == 0, written.stderr
    assert ("warning" in written.stderr) is bool(LETS_IN[scope])
    async with sts_that_trusts(parse_held_policy(written.stdout).policy, issuer) as exchange:
        granted = "arn:aws:sts::123456789012:assumed-role/dev/test"
        assert await outcome(exchange, token(mine)) == granted
        for each in (ENVIRONMENT_ID, PROJECT_ID, ORGANIZATION_ID):
            expected = granted if each in LETS_IN[scope] else "AccessDenied"
            assert await outcome(exchange, token(mine.replace(each, OTHER))) == expected
        # What another organization could put before, or into, a name that it chooses.
        assert await outcome(exchange, token(f"org:{OTHER}/prj:{mine}")) == "AccessDenied"


async def test_check_says_beforehand_what_sts_will_say(issuer, trust, tmp_path):
    mine, other = SUBJECTS[3], SUBJECTS[3].replace(PROJECT_ID, OTHER)
    tokens = {
        subject: issuer.issue(AUDIENCE, overrides={"sub": subject}) for subject in (mine, other)
    }
    policy = tmp_path / "policy.json"
    written = await trust(tokens[mine], "--scope", "project")
    policy.write_text(json.dumps(json.loads(written.stdout)["trust_policy"]))
    held = parse_held_policy(policy.read_text()).policy
    async with sts_that_trusts(held, issuer) as exchange:
        for subject, code, said in ((mine, 0, "allowed"), (other, 1, "refused")):
            checked = await trust(tokens[subject], "--check", policy)
            assert (checked.returncode, said in checked.stdout) == (code, True), checked.stdout
            granted = (await outcome(exchange, tokens[subject])).startswith("arn:")
            assert granted is (code == 0)
        assert f"sub is '{other}', expected" in checked.stdout
