"""Values of [metadata], one by one: what EC2's look like, and what is refused."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.config.metadata import values
from imdsd.config.tables import ExpectedError


def refusal(parse, value):
    with pytest.raises(ExpectedError) as caught:
        parse(value)
    return caught.value


@given(st.binary(min_size=6, max_size=6))
def test_a_mac_is_served_in_small_letters_unless_it_is_of_a_group_or_all_zero(octets):
    written = octets.hex(":")
    if octets[0] & 1 or not any(octets):
        assert "of one interface" in refusal(values.mac, written).expected
    else:
        assert values.mac(written.upper()) == written


@pytest.mark.parametrize(
    "written", ["0a-1b-2c-3d-4e-5f", "0A1B2C3D4E5F", "0a1b.2c3d.4e5f", "0A:1B:2C-3D:4E:5F"]
)
def test_a_mac_written_otherwise_is_refused_with_the_right_spelling(written):
    assert refusal(values.mac, written).hint == 'write "0a:1b:2c:3d:4e:5f"'


@pytest.mark.parametrize(
    "written",
    ["", "0a:1b:2c:3d:4e", "0a:1b:2c:3d:4e:5f:60", "0a:1b:2c:3d:4e:5g", "a:1b:2c:3d:4e:5f"],
)
def test_what_is_no_mac_is_refused(written):
    assert "with colons" in refusal(values.mac, written).expected


@given(st.ip_addresses())
def test_an_address_is_of_its_own_kind(address):
    right, wrong = (
        (values.ipv4, values.ipv6) if address.version == 4 else (values.ipv6, values.ipv4)
    )
    if not (address.is_unspecified or address.is_multicast):
        assert right(str(address)) == str(address)
    refusal(wrong, str(address))


@pytest.mark.parametrize(
    ("parse", "written"),
    [
        (values.ipv4, "10.0.0.256"),
        (values.ipv4, "10.0.0.05"),
        (values.ipv4, "10.0.0"),
        (values.ipv4, "0.0.0.0"),
        (values.ipv4, "224.0.0.1"),
        (values.ipv4, "10.0.0.5/24"),
        (values.ipv4, "box"),
        (values.ipv6, "::"),
        (values.ipv6, "ff02::1"),
        (values.ipv6, "fe80::1%eth0"),
        (values.ipv6, "[2001:db8::5]"),
    ],
)
def test_what_is_no_address_of_an_interface_is_refused(parse, written):
    assert "address such as" in refusal(parse, written).expected


def test_an_ipv6_address_is_served_in_its_shortest_form():
    assert values.ipv6("2001:0DB8:0:0::5") == "2001:db8::5"


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_a_block_has_no_bit_beyond_its_length(address, length):
    network = ipaddress.ip_network((address, length), strict=False)
    if network.network_address == address:
        assert values.ipv4_block(f"{address}/{length}") == str(network)
    else:
        found = refusal(values.ipv4_block, f"{address}/{length}")
        assert found.hint == f"did you mean {network}?"


@pytest.mark.parametrize("written", ["10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "/8", "::/8", "x/8"])
def test_what_is_no_block_is_refused(written):
    assert "10.0.0.0/16" in refusal(values.ipv4_block, written).expected


@pytest.mark.parametrize(
    ("parse", "prefix"),
    [
        (values.instance_id, "i-"),
        (values.ami_id, "ami-"),
        (values.interface_id, "eni-"),
        (values.subnet_id, "subnet-"),
        (values.vpc_id, "vpc-"),
        (values.security_group_id, "sg-"),
    ],
)
def test_an_id_has_its_prefix_and_8_or_17_hexadecimal_digits(parse, prefix):
    for digits in ("01234567", "0123456789abcdef0"):
        assert parse(prefix + digits) == prefix + digits
    for digits in ("", "0123456", "012345678", "0123456789abcdef01", "0123456g", "0123456A"):
        assert refusal(parse, prefix + digits).expected.startswith(f"{prefix} and 8 or 17")
    refusal(parse, "x-01234567")


@pytest.mark.parametrize("written", ["t3.micro", "u-6tb1.112xlarge", "c7gn.metal-48xl"])
def test_an_instance_type_has_a_family_and_a_size(written):
    assert values.instance_type(written) == written
    for wrong in (written.replace(".", ""), written.upper(), f"{written}.x", "", "."):
        refusal(values.instance_type, wrong)


@pytest.mark.parametrize(
    "written", ["us-east-1a", "us-gov-west-1b", "us-west-2-lax-1a", "us-east-1-wl1-bos-wlz-1"]
)
def test_a_zone_is_a_region_and_more(written):
    assert values.availability_zone(written) == written
    assert "availability_zone" in refusal(values.availability_zone_id, written).hint


@pytest.mark.parametrize("written", ["us-east-1", "us-east-1A", "use1-az1", "", "us-east-1aa"])
def test_what_is_no_zone_is_refused(written):
    assert "eu-central-1a" in refusal(values.availability_zone, written).expected


@pytest.mark.parametrize("written", ["use1-az1", "usw2-lax1-az1", "use1-wl1-bos1"])
def test_the_id_of_a_zone_has_a_shape_of_its_own(written):
    assert values.availability_zone_id(written) == written


@pytest.mark.parametrize("written", ["", "use1", "az1", "USE1-AZ1"])
def test_what_is_no_id_of_a_zone_is_refused(written):
    assert "use1-az1" in refusal(values.availability_zone_id, written).expected


@pytest.mark.parametrize(
    "written", ["a", "1", "A-b.c", "a" * 63, ".".join(["a" * 63] * 3 + ["b" * 61])]
)
def test_a_host_name_has_labels_of_63_characters_and_253_in_all(written):
    assert values.host_name(written) == written


@pytest.mark.parametrize(
    "written",
    [
        "",
        ".",
        "a.",
        ".a",
        "-a",
        "a-",
        "a..b",
        "a_b",
        "ü",
        "a b",
        "a\n",
        "a" * 64,
        "a." * 126 + "aa",
    ],
)
def test_what_is_no_host_name_is_refused(written):
    assert "a host name" in refusal(values.host_name, written).expected


def test_a_security_groups_name_is_printable_and_at_most_255_characters():
    for written in ("x", "my group (1)", "x" * 255):
        assert values.security_group(written) == written
    for written in ("", " x", "x" * 256, "a\nb", "ü", 5):
        refusal(values.security_group, written)


@pytest.mark.parametrize(
    "parse",
    [
        values.mac,
        values.ipv4,
        values.ipv6,
        values.ipv4_block,
        values.host_name,
        values.instance_id,
        values.availability_zone,
        values.availability_zone_id,
    ],
)
def test_what_is_no_text_is_told_to_stand_in_quotes(parse):
    for value in (5, True, None, ["x"]):
        assert refusal(parse, value).expected == "a text in quotes"
