"""An AWS of our own as a process: the sandbox behind Ona's name, and moto for the rest.

Prints where everything listens as one line of JSON, and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack

import boto3
from aiohttp import web
from botocore import UNSIGNED
from botocore.config import Config
from moto.server import ThreadedMotoServer

from imdsd.clock import SystemClock
from imdsd.sandbox.grants import Rules
from imdsd.sandbox.issuer import Issuer, signing_key
from imdsd.sandbox.sessions import SandboxRole
from imdsd.sandbox.sts import SandboxSts

AUDIENCE = "sts.amazonaws.com"
ADMINISTRATOR = "arn:aws:iam::123456789012:role/administrator"


async def main(*arns: str) -> None:
    issuer = Issuer("https://app.gitpod.io", SystemClock(), AUDIENCE, signing_key())
    roles = {arn: SandboxRole(arn, max_session_seconds=43200) for arn in (ADMINISTRATOR, *arns)}
    sts = SandboxSts(Rules(issuer, roles), clock=SystemClock())
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    async with AsyncExitStack() as stack:
        token_url = await serve(issuer.application(), stack) + "/token"
        sts_url = await serve(sts.application(), stack)
        administrator = await asyncio.to_thread(
            log_in, sts_url, issuer.issue(AUDIENCE, lifetime_seconds=3600).reveal()
        )
        _, port = moto.get_host_and_port()
        told = {
            "token_url": token_url,
            "sts_url": sts_url,
            "aws_url": f"http://127.0.0.1:{port}",
            "administrator": administrator,
        }
        print(json.dumps(told), flush=True)
        await asyncio.Event().wait()


async def serve(application: web.Application, stack: AsyncExitStack) -> str:
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


def log_in(sts_url: str, token: str) -> dict[str, str]:
    """Give the administrator of the account a session, which the STS then knows."""
    client = boto3.client(
        "sts",
        region_name="eu-central-1",
        endpoint_url=sts_url,
        config=Config(signature_version=UNSIGNED),
    )
    words = {"RoleArn": ADMINISTRATOR, "RoleSessionName": "administrator"}
    found = client.assume_role_with_web_identity(**words, WebIdentityToken=token)["Credentials"]
    return {
        "aws_access_key_id": found["AccessKeyId"],
        "aws_secret_access_key": found["SecretAccessKey"],
        "aws_session_token": found["SessionToken"],
    }


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
