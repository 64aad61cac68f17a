"""An STS that is not ours: moto's server issues the credentials and names their role.

It checks neither tokens nor signatures; that it finds the access key shows that we exchanged there.
"""

import json
import sys
import time

import pytest

from tests.fakes.web_identity import make_token
from tests.integration.daemon import BOTO3, running_daemon
from tests.support import BIN, scrubbed_environ

MOTO = "http://127.0.0.1:5000"
CONFIG = """
listen = ["127.0.0.1:9445"]
region = "eu-central-1"

[token]
command = ["cat", "{token}"]

[[role]]
arn = "arn:aws:iam::210987654321:role/of-moto"
session_name = "in-moto"
sts_endpoint_url = "{moto}"
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("moto")


@pytest.fixture(scope="module")
def moto(house, directory):
    """Where moto's server answers."""
    log = directory / "moto.log"
    environ = scrubbed_environ(directory)
    words = (BIN / "moto_server", "-H", "127.0.0.1", "-p", "5000")
    patience = ("--retry", "60", "--retry-delay", "1", "--retry-connrefused")
    with house.running(*words, environ=environ, stdout=log, stderr=log):
        house.run("curl", "-fsS", *patience, f"{MOTO}/moto-api/", environ=environ)
        yield MOTO


@pytest.fixture(scope="module")
def served(house, moto, directory):
    """A daemon whose tokens a command prints and whose STS is moto."""
    token = directory / "token"
    now = int(time.time())
    token.write_text(make_token(iat=now, exp=now + 3600))
    config = directory / "config.toml"
    config.write_text(CONFIG.format(token=token, moto=moto))
    with running_daemon(house, directory, "serve", "--config", str(config)) as daemon:
        yield daemon


@pytest.mark.parametrize("endpoint", ["container", "imds"])
def test_credentials_of_another_sts_are_served_and_are_its_own(served, moto, endpoint, tmp_path):
    served.variables["AWS_ENDPOINT_URL_STS"] = moto
    visit = served.visit(sys.executable, "-c", BOTO3, home=tmp_path, endpoint=endpoint)
    arn = "arn:aws:sts::210987654321:assumed-role/of-moto/in-moto"
    assert visit.document["Arn"] == arn
    status = json.loads(served.curl("/status"))
    assert status["roles"][0]["assumed_role_arn"] == arn
