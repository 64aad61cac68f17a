"""The sandbox STS, asked by botocore over a real socket."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

import aiohttp
import jwt
import pytest
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.session import Session
from cryptography.hazmat.primitives.asymmetric import rsa

from imdsd.clock import SystemClock
from imdsd.sandbox.app import Sandbox, SandboxRole
from imdsd.sandbox.faults import error
from imdsd.sandbox.issuer import ORGANIZATION_ID
from imdsd.sandbox.wire import ERRORS
from imdsd.trust import parse_trust_policy, write_trust_policy

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/dev"
DEEP_ROLE = f"arn:aws:iam::{ACCOUNT}:role/teams/red/deep"
CHAINED_ROLE = "arn:aws:iam::210987654321:role/chained"
LONG_ROLE = f"arn:aws:iam::{ACCOUNT}:role/long"
ROLES = (
    SandboxRole(ROLE),
    SandboxRole(DEEP_ROLE),
    SandboxRole(CHAINED_ROLE, max_session_seconds=43200),
    SandboxRole(LONG_ROLE, max_session_seconds=43200),
)
POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)
# Loading the service model takes most of a client's start; one session keeps it.
BOTOCORE = Session()


@dataclass
class ShiftedClock(SystemClock):
    """The machine's clock, some way off."""

    offset: timedelta = timedelta()

    def now(self):
        return super().now() + self.offset


@asynccontextmanager
async def running(*, clock=None, roles=ROLES, **options):
    async with Sandbox(clock=clock or SystemClock(), roles=roles, **options) as sandbox:
        yield sandbox


@pytest.fixture
async def sandbox():
    async with running() as started:
        yield started


async def call(sandbox, operation, *, credentials=None, signature=None, **parameters):
    """Call STS with botocore, in a thread, as a program would."""
    keys = credentials or {"AccessKeyId": "ASIANOBODY", "SecretAccessKey": "x", "SessionToken": "x"}

    def in_thread():
        client = BOTOCORE.create_client(
            "sts",
            region_name="eu-central-1",
            endpoint_url=sandbox.sts_url,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
            config=Config(
                signature_version=signature,
                parameter_validation=False,
                proxies={},
                retries={"total_max_attempts": 1},
            ),
        )
        with closing(client):
            return getattr(client, operation)(**parameters)

    return await asyncio.to_thread(in_thread)


async def exchange(sandbox, *, token=None, role=ROLE, name="session", **parameters):
    issued = token or sandbox.issuer.issue("sts.amazonaws.com").reveal()
    return await call(
        sandbox,
        "assume_role_with_web_identity",
        signature=UNSIGNED,
        RoleArn=role,
        RoleSessionName=name,
        WebIdentityToken=issued,
        **parameters,
    )


async def chain(sandbox, credentials, *, role=CHAINED_ROLE, **parameters):
    return await call(
        sandbox,
        "assume_role",
        credentials=credentials,
        RoleArn=role,
        RoleSessionName="chained",
        **parameters,
    )


async def ask(method, url, **options):
    async with aiohttp.ClientSession() as http, http.request(method, url, **options) as response:
        assert response.content_type == "text/xml"
        return response.status, await response.text()


@asynccontextmanager
async def refused(code, *, status, text=""):
    with pytest.raises(ClientError) as caught:
        yield
    response = caught.value.response
    found = (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"])
    assert found == (code, status)
    assert text in response["Error"]["Message"]


async def test_a_token_of_either_version_is_exchanged_for_credentials_that_sign(sandbox):
    for version in (2, 3):
        token = sandbox.issuer.issue("sts.amazonaws.com", version=version).reveal()
        answer = await exchange(sandbox, token=token)
        caller = await call(sandbox, "get_caller_identity", credentials=answer["Credentials"])
        assert caller["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/dev/session"
        assert caller["Account"] == ACCOUNT
        assert caller["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]


async def test_the_answer_has_every_part_of_the_real_one(sandbox):
    answer = await exchange(sandbox)
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/dev/session"
    assert answer["Audience"] == "sts.amazonaws.com"
    assert answer["Provider"].startswith(f"arn:aws:iam::{ACCOUNT}:oidc-provider/127.0.0.1:")
    assert answer["SubjectFromWebIdentityToken"].startswith("organization_id:")
    assert "PackedPolicySize" not in answer
    assert answer["Credentials"]["AccessKeyId"].startswith("ASIA")
    assert len(answer["Credentials"]["SecretAccessKey"]) == 40
    assert answer["ResponseMetadata"]["RequestId"]


async def test_a_roles_path_is_left_out_of_the_sessions_arn(sandbox):
    answer = await exchange(sandbox, role=DEEP_ROLE)
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/deep/session"


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
async def test_a_role_of_another_partition_keeps_it(sandbox, partition):
    role = f"arn:{partition}:iam::{ACCOUNT}:role/dev"
    sandbox.add_role(SandboxRole(role))
    answer = await exchange(sandbox, role=role)
    assert answer["AssumedRoleUser"]["Arn"].startswith(f"arn:{partition}:sts::{ACCOUNT}:")
    assert answer["Provider"].startswith(f"arn:{partition}:iam::")


@pytest.mark.parametrize(("asked", "given"), [({}, 3600), ({"DurationSeconds": 900}, 900)])
async def test_a_session_lasts_as_long_as_asked(sandbox, asked, given):
    before = SystemClock().now().replace(microsecond=0)
    answer = await exchange(sandbox, **asked)
    lasted = answer["Credentials"]["Expiration"] - before
    assert timedelta(seconds=given) <= lasted <= timedelta(seconds=given + 30)


async def test_a_demo_can_make_every_session_short():
    before = SystemClock().now().replace(microsecond=0)
    async with running(session_seconds=5) as sandbox:
        answer = await exchange(sandbox, DurationSeconds=3600)
        assert answer["Credentials"]["Expiration"] - before < timedelta(seconds=60)


async def test_a_session_policy_takes_room(sandbox):
    answer = await exchange(
        sandbox, Policy=POLICY, PolicyArns=[{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]
    )
    assert 0 < answer["PackedPolicySize"] < 100


async def test_a_signed_exchange_is_refused_loudly_and_counted(sandbox):
    keys = (await exchange(sandbox))["Credentials"]
    token = sandbox.issuer.issue("sts.amazonaws.com").reveal()
    body = urlencode(
        {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": ROLE,
            "RoleSessionName": "signed",
            "WebIdentityToken": token,
        }
    )
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    request = AWSRequest("POST", f"{sandbox.sts_url}/", data=body, headers=form)
    credentials = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    SigV4Auth(credentials, "sts", "eu-central-1").add_auth(request)
    status, text = await ask(
        "POST", request.url, data=body.encode(), headers=dict(request.headers.items())
    )
    assert status == 400
    assert "<Code>ValidationError</Code>" in text
    assert "takes no signature" in text
    assert sandbox.sts.signed_exchanges == 1
    assert sandbox.sts.requests[-1].signed
    assert sandbox.sts.requests[-1].access_key_id == keys["AccessKeyId"]


async def test_a_token_for_another_audience_is_refused(sandbox):
    async with refused("InvalidIdentityToken", status=400, text="Incorrect token audience"):
        await exchange(sandbox, token=sandbox.issuer.issue("somebody else").reveal())


async def test_an_expired_token_is_refused_by_the_sandboxs_own_clock():
    clock = ShiftedClock()
    async with running(clock=clock) as sandbox:
        token = sandbox.issuer.issue("sts.amazonaws.com").reveal()
        clock.offset = timedelta(hours=2)
        async with refused("ExpiredTokenException", status=400, text="Token expired: current"):
            await exchange(sandbox, token=token)


async def test_a_token_of_an_unknown_issuer_is_refused(sandbox):
    token = sandbox.issuer.issue(
        "sts.amazonaws.com", overrides={"iss": "https://example.com"}
    ).reveal()
    async with refused(
        "InvalidIdentityToken", status=400, text="No OpenIDConnect provider found in your account"
    ):
        await exchange(sandbox, token=token)


async def test_a_forged_token_is_refused(sandbox):
    forger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    genuine = sandbox.issuer.issue("sts.amazonaws.com").reveal()
    claims = jwt.decode(genuine, options={"verify_signature": False})
    forged = jwt.encode(claims, forger, "RS256", headers={"kid": sandbox.issuer.key_id})
    async with refused("InvalidIdentityToken", status=400, text="could not be validated"):
        await exchange(sandbox, token=forged)


async def test_a_token_of_an_unknown_key_is_refused(sandbox):
    genuine = sandbox.issuer.issue("sts.amazonaws.com").reveal()
    claims = jwt.decode(genuine, options={"verify_signature": False})
    unknown = jwt.encode(claims, sandbox.issuer.key, "RS256", headers={"kid": "another"})
    async with refused("InvalidIdentityToken", status=400, text="verification key"):
        await exchange(sandbox, token=unknown)


async def test_an_unsigned_token_is_refused(sandbox):
    claims = jwt.decode(
        sandbox.issuer.issue("sts.amazonaws.com").reveal(), options={"verify_signature": False}
    )
    bare = jwt.encode(claims, None, "none", headers={"kid": sandbox.issuer.key_id})
    async with refused("InvalidIdentityToken", status=400, text="could not be validated"):
        await exchange(sandbox, token=bare)


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "\N{SNOWMAN}.b.c"])
async def test_garbage_is_no_token(sandbox, token):
    async with refused("InvalidIdentityToken", status=400, text="not a valid JWT"):
        await exchange(sandbox, token=token)


async def test_a_role_that_does_not_exist_is_refused(sandbox):
    async with refused("AccessDenied", status=403, text="Not authorized to perform sts:"):
        await exchange(sandbox, role=f"arn:aws:iam::{ACCOUNT}:role/absent")


async def test_a_role_named_without_its_path_does_not_exist(sandbox):
    async with refused("AccessDenied", status=403):
        await exchange(sandbox, role=f"arn:aws:iam::{ACCOUNT}:role/deep")


async def test_without_a_trust_policy_another_organization_is_refused(sandbox):
    token = sandbox.issuer.issue("sts.amazonaws.com", overrides={"sub": "organization_id:x:y"})
    async with refused("AccessDenied", status=403):
        await exchange(sandbox, token=token.reveal())


@pytest.mark.parametrize(("organization", "allowed"), [(ORGANIZATION_ID, True), ("x", False)])
async def test_a_trust_policy_decides(sandbox, organization, allowed):
    policy = write_trust_policy(
        account=ACCOUNT,
        issuer=sandbox.issuer_url,
        audience="sts.amazonaws.com",
        subject=f"organization_id:{organization}:project_id:*",
    )
    sandbox.add_role(SandboxRole(ROLE, trust_policy=parse_trust_policy(policy)))
    if allowed:
        await exchange(sandbox)
        return
    async with refused("AccessDenied", status=403):
        await exchange(sandbox)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"name": "x"}, "at 'roleSessionName' failed to satisfy constraint: Member must have"),
        ({"name": "x" * 65}, "less than or equal to 64"),
        ({"name": "with blank"}, "Member must satisfy regular expression pattern: [\\w+=,.@-]*"),
        ({"name": "\x00<&\n"}, "Member must satisfy regular expression pattern"),
        ({"name": "ä" * 8}, "Member must satisfy regular expression pattern"),
        ({"role": "arn:aws:short"}, "at 'roleArn' failed to satisfy constraint"),
        ({"role": "arn:aws:iam::123:user/somebody"}, "Request ARN is invalid"),
        ({"token": "abc"}, "Value *** at 'webIdentityToken'"),
        ({"token": "a" * 20001}, "Value *** at 'webIdentityToken'"),
        ({"DurationSeconds": 899}, "greater than or equal to 900"),
        ({"DurationSeconds": 43201}, "less than or equal to 43200"),
        ({"DurationSeconds": "many"}, "Member must be an integer"),
        ({"DurationSeconds": 899, "name": "x"}, "2 validation errors detected"),
        ({"Policy": "x" * 2049}, "less than or equal to 2048"),
        ({"PolicyArns": [{"arn": f"arn:{n}"} for n in range(11)]}, "at 'policyArns'"),
        ({"DurationSeconds": 3601}, "exceeds the MaxSessionDuration set for this role."),
    ],
)
async def test_parameters_out_of_their_limits_are_refused(sandbox, parameters, text):
    async with refused("ValidationError", status=400, text=text):
        await exchange(sandbox, **parameters)


async def test_a_duration_within_the_roles_own_maximum_is_fine(sandbox):
    await exchange(sandbox, role=LONG_ROLE, DurationSeconds=43200)


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ("not json", "invalid Json"),
        ("[]", "Syntax errors"),
        ('{"Statement": []}', ""),
        ('{"Statement": {"Effect": "Allow", "Action": "*"}}', "Syntax errors"),
        ('{"Statement": {"Effect": "Maybe", "Action": "*", "Resource": "*"}}', "Syntax errors"),
    ],
)
async def test_a_malformed_session_policy_is_refused(sandbox, policy, text):
    async with refused("MalformedPolicyDocument", status=400, text=text):
        await exchange(sandbox, Policy=policy)


async def test_session_policies_that_take_too_much_room_are_refused(sandbox):
    padded = POLICY + " " * (2048 - len(POLICY))
    async with refused("PackedPolicyTooLarge", status=400, text="of allotted space"):
        await exchange(sandbox, Policy=padded, PolicyArns=[{"arn": "arn:aws:iam::aws:policy/Long"}])


async def test_a_session_can_assume_the_next_role(sandbox):
    first = await exchange(sandbox)
    second = await chain(sandbox, first["Credentials"], Policy=POLICY)
    caller = await call(sandbox, "get_caller_identity", credentials=second["Credentials"])
    assert caller["Arn"] == "arn:aws:sts::210987654321:assumed-role/chained/chained"
    assert second["PackedPolicySize"] > 0
    assert "Provider" not in second


async def test_a_chained_session_lasts_an_hour_at_most(sandbox):
    first = await exchange(sandbox)
    async with refused("ValidationError", status=400, text="1 hour session limit"):
        await chain(sandbox, first["Credentials"], DurationSeconds=3601)


async def test_an_unsigned_assume_role_is_refused(sandbox):
    async with refused("MissingAuthenticationToken", status=403):
        await call(
            sandbox, "assume_role", signature=UNSIGNED, RoleArn=ROLE, RoleSessionName="nobody"
        )


async def test_assume_role_by_a_stranger_is_refused(sandbox):
    async with refused("InvalidClientTokenId", status=403):
        await chain(sandbox, None)


async def test_assuming_a_role_of_another_partition_is_refused(sandbox):
    role = f"arn:aws-cn:iam::{ACCOUNT}:role/dev"
    sandbox.add_role(SandboxRole(role))
    first = await exchange(sandbox)
    async with refused("AccessDenied", status=403, text="is not authorized to perform"):
        await chain(sandbox, first["Credentials"], role=role)


@pytest.mark.parametrize(
    ("principal", "external_id", "allowed"),
    [
        (ROLE, "right", True),
        (f"arn:aws:iam::{ACCOUNT}:root", "right", True),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/dev/session", "right", True),
        (DEEP_ROLE, "right", False),
        (ROLE, "wrong", False),
        (ROLE, None, False),
    ],
)
async def test_a_trust_policy_decides_who_may_chain(sandbox, principal, external_id, allowed):
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "right"}},
    }
    policy = parse_trust_policy(json.dumps({"Statement": statement}))
    sandbox.add_role(SandboxRole(CHAINED_ROLE, trust_policy=policy))
    first = await exchange(sandbox)
    parameters = {"ExternalId": external_id} if external_id else {}
    if allowed:
        await chain(sandbox, first["Credentials"], **parameters)
        return
    async with refused("AccessDenied", status=403, text=CHAINED_ROLE):
        await chain(sandbox, first["Credentials"], **parameters)


async def test_a_wrong_secret_does_not_sign(sandbox):
    answer = await exchange(sandbox)
    wrong = {**answer["Credentials"], "SecretAccessKey": "wrong"}
    async with refused("SignatureDoesNotMatch", status=403):
        await call(sandbox, "get_caller_identity", credentials=wrong)


async def test_credentials_that_expired_do_not_sign():
    clock = ShiftedClock(timedelta(hours=-2))
    async with running(clock=clock) as sandbox:
        answer = await exchange(sandbox)
        clock.offset = timedelta()
        async with refused("ExpiredToken", status=403):
            await call(sandbox, "get_caller_identity", credentials=answer["Credentials"])


async def test_another_action_is_refused(sandbox):
    async with refused("InvalidAction", status=400, text="Could not find operation GetSession"):
        await call(sandbox, "get_session_token")


@pytest.mark.parametrize("code", sorted(ERRORS))
async def test_botocore_reads_every_error_code(sandbox, code):
    sandbox.sts.faults.once(error(code))
    status, text = ERRORS[code]
    async with refused(code, status=status, text=text):
        await exchange(sandbox)
    assert sandbox.sts.requests[-1].code == code


async def test_a_get_is_answered_like_a_post(sandbox):
    query = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "by-get",
        "WebIdentityToken": sandbox.issuer.issue("sts.amazonaws.com").reveal(),
    }
    status, body = await ask("GET", sandbox.sts_url, params=query)
    assert status == 200
    assert body.startswith(
        '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
    )
    assert "assumed-role/dev/by-get" in body


async def test_the_log_keeps_what_was_asked_but_no_secret(sandbox):
    answer = await exchange(sandbox)
    await call(sandbox, "get_caller_identity", credentials=answer["Credentials"])
    first, second = sandbox.sts.requests
    assert (first.action, first.signed, first.status, first.code) == (
        *("AssumeRoleWithWebIdentity", False, 200, "OK"),
    )
    assert first.parameters["RoleArn"] == ROLE
    assert "WebIdentityToken" not in first.parameters
    assert second.signed
    assert second.access_key_id == answer["Credentials"]["AccessKeyId"]
    assert sandbox.sts.calls("AssumeRoleWithWebIdentity") == 1
    assert sandbox.sts.answers["GetCallerIdentity", "OK"] == 1


async def test_expiry_is_written_in_whole_seconds_of_utc(sandbox):
    answer = await exchange(sandbox)
    expires_at = answer["Credentials"]["Expiration"]
    assert expires_at.microsecond == 0
    assert expires_at.utcoffset() == timedelta()
