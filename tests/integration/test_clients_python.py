"""boto3, aiobotocore, the AWS CLI and awscrt: the first request of a new process.

The sandbox STS names the role to a request only whose signature it found right.

| client | container | IMDS | answered other than 200 |
|---|---|---|---|
| boto3, aiobotocore, aws | one GET | PUT, name, document | nothing |
| awscrt | one GET | PUT, name, document | nothing |
"""

import sys

import pytest

from tests.integration.daemon import ANSWERS, ASSUMED_ROLE, BOTO3, DEAD_PROXY, ENDPOINTS
from tests.support import BIN, scrubbed_environ

AIOBOTOCORE = """
import asyncio, json
from aiobotocore.session import get_session

async def main():
    async with get_session().create_client("sts") as sts:
        print(json.dumps(await sts.get_caller_identity()))

asyncio.run(main())
"""
# The CRT speaks no service's protocol: it finds credentials and signs, and the sandbox STS judges.
AWSCRT = """
import http.client, json, os, sys
from urllib.parse import urlsplit
from awscrt import auth, http as crt_http

url = os.environ["AWS_ENDPOINT_URL_STS"]
host = urlsplit(url).netloc
target = "/?Action=GetCallerIdentity&Version=2011-06-15"
provider = auth.AwsCredentialsProvider.new_default_chain()
credentials = provider.get_credentials().result(timeout=30)
request = crt_http.HttpRequest("GET", target, crt_http.HttpHeaders([("Host", host)]))
config = auth.AwsSigningConfig(
    algorithm=auth.AwsSigningAlgorithm.V4,
    signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
    credentials_provider=auth.AwsCredentialsProvider.new_static(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token
    ),
    region=os.environ["AWS_REGION"],
    service="sts",
)
signed = auth.aws_sign_request(request, config).result(timeout=30)
connection = http.client.HTTPConnection(host, timeout=30)
connection.request("GET", target, headers=dict(signed.headers))
answer = connection.getresponse().read().decode()
found = answer.partition("<Arn>")[2].partition("</Arn>")[0] or sys.exit(answer)
print(json.dumps({"Arn": found, "AccessKeyId": credentials.access_key_id}))
"""
CLIENTS = {
    "boto3": (sys.executable, "-c", BOTO3),
    "aiobotocore": (sys.executable, "-c", AIOBOTOCORE),
    "aws-cli": (BIN / "aws", "sts", "get-caller-identity", "--output", "json"),
    "awscrt": (sys.executable, "-c", AWSCRT),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("client", CLIENTS)
def test_the_first_request_of_a_new_process_is_signed_right(daemon_at, client, endpoint, tmp_path):
    visit = daemon_at(endpoint).visit(*CLIENTS[client], home=tmp_path, endpoint=endpoint)
    assert visit.document["Arn"].startswith(ASSUMED_ROLE)
    assert visit.answers == ANSWERS[endpoint]


def test_awscrt_signs_with_the_credentials_that_are_served(demo, tmp_path):
    visit = demo.visit(*CLIENTS["awscrt"], home=tmp_path, endpoint="container")
    assert visit.document["AccessKeyId"] == demo.credentials()["AccessKeyId"]


@pytest.mark.parametrize("client", ["boto3", "aiobotocore", "aws-cli"])
def test_a_dead_proxy_is_passed_by_after_env(demo, client, tmp_path):
    proxies = {"HTTP_PROXY": DEAD_PROXY, "HTTPS_PROXY": DEAD_PROXY}
    variables = {**demo.env(**proxies), **proxies}
    visit = demo.visit_with(variables, *CLIENTS[client], home=tmp_path)
    assert visit.document["Arn"].startswith(ASSUMED_ROLE)


def test_a_dead_proxy_stops_a_client_that_was_not_told_to_pass_it_by(demo, tmp_path):
    once = {"AWS_MAX_ATTEMPTS": "1", "HTTP_PROXY": DEAD_PROXY}
    environ = scrubbed_environ(tmp_path, **demo.variables, **once)
    done = demo.room.try_run(*CLIENTS["boto3"], environ=environ)
    assert DEAD_PROXY in done.stderr
