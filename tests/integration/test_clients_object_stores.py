"""pyarrow's S3FileSystem and obstore, which speak no STS: an S3 checks what they sign.

| client | container | IMDS | answered other than 200 |
|---|---|---|---|
| pyarrow (the C++ SDK) | one GET | PUT, name, document, twice over; the zone | nothing |
| obstore (object_store in Rust) | one GET | PUT, name, document | nothing |
"""

import sys

import pytest

from tests.fakes.s3 import BODY, serving_s3
from tests.integration.daemon import ANSWERS, DEAD_PROXY, ENDPOINTS

PORT = 9000
PYARROW = """
from pyarrow.fs import S3FileSystem

store = S3FileSystem(endpoint_override="127.0.0.1:9000", scheme="http")
with store.open_input_stream("bucket/object.txt") as stream:
    print(stream.read().decode())
"""
OBSTORE = """
import obstore
from obstore.store import S3Store

store = S3Store("bucket", endpoint="http://127.0.0.1:9000", client_options={"allow_http": True})
print(bytes(obstore.get(store, "object.txt").bytes()).decode())
"""
CLIENTS = {"pyarrow": PYARROW, "obstore": OBSTORE}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("client", CLIENTS)
def test_the_first_object_is_read_with_a_right_signature(daemon_at, client, endpoint, tmp_path):
    daemon = daemon_at(endpoint)
    with serving_s3(daemon.credentials(), daemon.room.listen(PORT)) as store:
        words = (sys.executable, "-c", CLIENTS[client])
        visit = daemon.visit(*words, home=tmp_path, endpoint=endpoint)
    assert visit.stdout.encode().strip() == BODY
    assert set(store.codes) == {"OK"}
    assert set(visit.answers) == set(ANSWERS[endpoint])


def test_credentials_are_asked_for_once_over_the_container_endpoint(demo, tmp_path):
    with serving_s3(demo.credentials(), demo.room.listen(PORT)):
        for program in CLIENTS.values():
            words = (sys.executable, "-c", program)
            visit = demo.visit(*words, home=tmp_path, endpoint="container")
            assert visit.answers == ANSWERS["container"]


def test_a_dead_proxy_is_passed_by_after_env(demo, tmp_path):
    proxies = {"http_proxy": DEAD_PROXY, "HTTP_PROXY": DEAD_PROXY}
    variables = {**demo.env(**proxies), **proxies}
    with serving_s3(demo.credentials(), demo.room.listen(PORT)) as store:
        visit = demo.visit_with(variables, sys.executable, "-c", OBSTORE, home=tmp_path)
    assert visit.stdout.encode().strip() == BODY
    assert store.codes == ["OK"]


def test_the_stand_in_refuses_other_credentials(demo, tmp_path):
    others = {**demo.credentials(), "SecretAccessKey": "of-somebody-else"}
    with serving_s3(others, demo.room.listen(PORT)) as store:
        environ = {**demo.environ, **demo.variables}
        done = demo.room.try_run(sys.executable, "-c", OBSTORE, environ=environ)
    assert done.returncode != 0
    assert set(store.codes) == {"SignatureDoesNotMatch"}
