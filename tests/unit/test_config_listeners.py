"""listen: which addresses there may be, and who is answered there."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.config import ListenConfig, listener_at, load
from imdsd.errors import ConfigurationError

ARN = "arn:aws:iam::123456789012:role/dev"


def listeners(*items):
    flags = {"role_arn": ARN, "listen": list(items)}
    return load(flags=flags, environ={}, usual=()).listen


def refusals(*items):
    with pytest.raises(ConfigurationError) as caught:
        listeners(*items)
    return caught.value.problems


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("127.0.0.1:9254", ListenConfig("127.0.0.1", 9254)),
        ("127.0.0.53:0", ListenConfig("127.0.0.53", 0)),
        ("[::1]:9254", ListenConfig("::1", 9254)),
        ("[0:0:0::1]:65535", ListenConfig("::1", 65535)),
        ("169.254.169.254:80", ListenConfig("169.254.169.254", 80, hop_limit=1)),
        ("[fe80::1]:80", ListenConfig("fe80::1", 80, hop_limit=1)),
        ("[fd00:ec2::254]:80", ListenConfig("fd00:ec2::254", 80, hop_limit=1)),
        (
            {"address": "[fd00:ec2::1]:80", "imds": "off"},
            ListenConfig("fd00:ec2::1", 80, "off", hop_limit=1),
        ),
        ("[::1]:80", ListenConfig("::1", 80, hop_limit=64)),
        (
            {"address": "169.254.169.254:80", "hop_limit": 2},
            ListenConfig("169.254.169.254", 80, hop_limit=2),
        ),
        (
            {"address": "127.0.0.1:80", "hop_limit": 255},
            ListenConfig("127.0.0.1", 80, hop_limit=255),
        ),
        (
            {"address": "127.0.0.1:1", "imds": "open", "optional": True},
            ListenConfig("127.0.0.1", 1, "open", optional=True),
        ),
        ({"address": "172.17.0.1:80", "imds": "off"}, ListenConfig("172.17.0.1", 80, "off")),
        ({"address": "172.17.0.1:80", "imds": "open"}, ListenConfig("172.17.0.1", 80, "open")),
    ],
)
def test_a_literal_address_is_listened_on(item, expected):
    assert listeners(item) == (expected,)


def test_several_addresses_may_be_given_by_flag_variable_and_file(tmp_path):
    two = (ListenConfig("127.0.0.1", 1), ListenConfig("::1", 2))
    assert listeners("127.0.0.1:1", "[::1]:2") == two
    environ = {"IMDSD_LISTEN": "127.0.0.1:1, [::1]:2"}
    assert load(flags={"role_arn": ARN}, environ=environ, usual=()).listen == two
    file = tmp_path / "config.toml"
    file.write_text('listen = ["127.0.0.1:1", { address = "[::1]:2" }]')
    assert load(flags={"role_arn": ARN, "config": str(file)}, environ={}).listen == two


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("localhost:9254", "write 127.0.0.1"),
        (":9254", "write 127.0.0.1"),
        ("9254", "write 127.0.0.1:9254"),
        ("127.0.0.1", "add a port, such as :9254"),
        ("::1:9254", "[::1]:9254"),
        ("127.0.0.1:65536", "0 to 65535"),
        ("127.0.0.1:-1", "ADDRESS:PORT"),
        ("127.0.0.1:http", "ADDRESS:PORT"),
        ("127.1:80", "ADDRESS:PORT"),
        ("[::1:80", "ADDRESS:PORT"),
        ("[::ffff:127.0.0.1]:80", "write 127.0.0.1"),
        ("0.0.0.0:80", "each address by itself"),
        ("[::]:80", "each address by itself"),
        ("224.0.0.1:80", "each address by itself"),
        ("10.0.0.7:80", 'imds = "off"'),
        ({"address": "10.0.0.7:80", "imds": "attested"}, "other machines"),
        ({"address": "127.0.0.1:80", "imds": "on"}, "attested, open, off"),
        ({"address": "127.0.0.1:80", "optional": "yes"}, "true or false"),
        ({"address": "127.0.0.1:80", "hop_limit": 0}, "a whole number from 1 to 255"),
        ({"address": "127.0.0.1:80", "hop_limit": 256}, "a whole number from 1 to 255"),
        ({"address": "127.0.0.1:80", "hop_limit": 1.5}, "a whole number from 1 to 255"),
        ({"address": "127.0.0.1:80", "hop_limit": True}, "a whole number from 1 to 255"),
        ({"address": "127.0.0.1:80", "hop_limits": 2}, "did you mean hop_limit?"),
        ({"adress": "127.0.0.1:80", "address": "127.0.0.1:81"}, "did you mean address?"),
        ({"imds": "off"}, "an address and a port"),
        (9254, "ADDRESS:PORT"),
    ],
)
def test_another_is_refused_with_what_to_write(item, said):
    (problem,) = refusals(item)
    assert problem.source == "--listen"
    assert problem.key.startswith("listen[0]")
    assert said in str(problem)


def test_an_address_twice_is_refused_unless_the_system_chooses_the_ports():
    (problem,) = refusals("127.0.0.1:80", "[::1]:80", "127.0.0.1:80")
    assert problem.key == "listen[2]"
    assert len(listeners("127.0.0.1:0", "127.0.0.1:0")) == 2


anything = st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["address", "imds", "hop_limit", "optional"]), inner)
    ),
    max_leaves=4,
)


@given(anything)
def test_whatever_is_given_is_an_address_or_a_problem(item):
    with contextlib.suppress(ConfigurationError):
        assert all(0 <= found.port <= 65535 for found in listeners(item))


# Addresses that only a socket unit names


@pytest.mark.parametrize(
    ("host", "hops"), [("127.0.0.1", 64), ("::1", 64), ("169.254.170.2", 1), ("fd00:ec2::254", 1)]
)
def test_an_address_that_was_passed_is_served_as_the_same_one_under_listen(host, hops):
    shown = f"[{host}]:80" if ":" in host else f"{host}:80"
    assert listeners(shown) == (listener_at(host, 80, source="imdsd.socket"),)
    assert listener_at(host, 80, source="imdsd.socket").hop_limit == hops


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "::ffff:127.0.0.1"])
def test_an_address_that_was_passed_and_others_may_reach_is_refused(host):
    with pytest.raises(ConfigurationError) as caught:
        listener_at(host, 80, source="imdsd.socket")
    (problem,) = caught.value.problems
    assert (problem.source, problem.key) == ("imdsd.socket", "ListenStream")
