"""The JavaScript SDK: its STS client by itself, and each credential provider that may find us.

| client | container | IMDS | answered other than 200 |
|---|---|---|---|
| @aws-sdk/client-sts | one GET | PUT, name, document | nothing |
| @aws-sdk/credential-providers | one GET | PUT, name, document | nothing |
"""

import pytest

from tests.integration.daemon import ANSWERS, ASSUMED_ROLE, ENDPOINTS

OF_CONTAINERS = ("fromHttp", "fromContainerMetadata", "fromNodeProviderChain")
OF_INSTANCES = ("fromInstanceMetadata", "fromNodeProviderChain")
PROVIDERS = [
    *(("container", provider) for provider in OF_CONTAINERS),
    *((endpoint, provider) for endpoint in ("imds", "ec2") for provider in OF_INSTANCES),
]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_first_request_of_an_sts_client_is_signed_right(
    daemon_at, node_clients, endpoint, tmp_path
):
    words = ("node", node_clients / "client-sts.mjs")
    visit = daemon_at(endpoint).visit(*words, home=tmp_path, endpoint=endpoint)
    assert visit.document["Arn"].startswith(ASSUMED_ROLE)
    assert visit.answers == ANSWERS[endpoint]


@pytest.mark.parametrize(("endpoint", "provider"), PROVIDERS)
def test_what_a_credential_provider_finds_signs_right(
    daemon_at, node_clients, endpoint, provider, tmp_path
):
    daemon = daemon_at(endpoint)
    words = ("node", node_clients / "credential-providers.mjs", provider)
    visit = daemon.visit(*words, home=tmp_path, endpoint=endpoint)
    assert visit.document["Arn"].startswith(ASSUMED_ROLE)
    assert visit.document["AccessKeyId"] == daemon.credentials()["AccessKeyId"]
    assert visit.answers == ANSWERS[endpoint]
