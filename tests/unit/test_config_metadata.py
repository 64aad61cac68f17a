"""[metadata]: which leaf each key gives, and what of them clashes."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imdsd.cli.check_config import summary
from imdsd.config import load
from imdsd.config.tables import KEYS
from imdsd.errors import ConfigurationError
from imdsd.metadata.tree import Leaf, MetadataTree, split_path
from tests.unit.test_config_odd_values import odd_values, toml

ARN = "arn:aws:iam::123456789012:role/dev"
ROLE = f'[[role]]\narn = "{ARN}"\nregion = "eu-central-1"\n'
MAC = "0a:1b:2c:3d:4e:5f"
MACS = "meta-data/network/interfaces/macs"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"


@pytest.fixture
def read(tmp_path):
    """Return the configuration of a file with one role and this text below it."""

    def read(text, *, environ=None):
        path = tmp_path / "config.toml"
        path.write_text(ROLE + text)
        return load(flags={"config": str(path)}, environ=environ or {})

    return read


@pytest.fixture
def leaves(read):
    return lambda text: dict(read(text).metadata.settings.leaves)


@pytest.fixture
def refused(read):
    """Return what is wrong with a text, by key, each told with file, key, found and expected."""

    def refused(text):
        with pytest.raises(ConfigurationError) as caught:
            read(text)
        for problem in caught.value.problems:
            assert problem.source.endswith("/config.toml")
            assert str(problem).startswith(f"{problem.source}: {problem.key}: found ")
            assert problem.found
            assert problem.expected
        return {problem.key: problem for problem in caught.value.problems}

    return refused


# Plain keys


def test_without_the_table_nothing_is_configured(read):
    config = read("")
    assert config.metadata.settings.leaves == {}
    assert config.metadata.settings.labels == {}
    assert (config.metadata.events, config.upstream, config.warnings) == ((), None, ())


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("region", "eu-west-1", "placement/region"),
        ("availability_zone", "eu-central-1c", "placement/availability-zone"),
        ("availability_zone_id", "euc1-az3", "placement/availability-zone-id"),
        ("instance_id", "i-0123456789abcdef0", "instance-id"),
        ("instance_id", "i-01234567", "instance-id"),
        ("instance_type", "u-6tb1.112xlarge", "instance-type"),
        ("ami_id", "ami-0123456789abcdef0", "ami-id"),
        ("hostname", "box", "hostname"),
        ("local_hostname", "ip-10-0-0-5.ec2.internal", "local-hostname"),
        ("local_ipv4", "10.0.0.5", "local-ipv4"),
        ("ipv6", "2001:db8::5", "ipv6"),
        ("mac", MAC, "mac"),
        ("public_ipv4", "203.0.113.5", "public-ipv4"),
        ("public_hostname", "x.example.com", "public-hostname"),
    ],
)
def test_a_plain_key_gives_its_leaf(leaves, key, value, path):
    assert leaves(f'[metadata]\n{key} = "{value}"') == {f"meta-data/{path}": value.encode()}


def test_a_list_is_served_one_a_line(leaves):
    found = leaves('[metadata]\nsecurity_groups = ["default", "web servers"]')
    assert found == {"meta-data/security-groups": b"default\nweb servers"}


def test_an_empty_list_gives_no_leaf(leaves):
    assert leaves("[metadata]\nsecurity_groups = []") == {}


def test_an_unknown_key_names_the_nearest(refused):
    found = refused(
        "[metadata]\ninstanceid = 1\nvpc_id = 1\n[[event]]\n[[metadata.interface]]\nmca = 1"
    )
    assert "did you mean instance_id?" in str(found["metadata.instanceid"])
    assert "belongs in [[metadata.interface]]" in str(found["metadata.vpc_id"])
    assert "event belongs in [metadata]" in str(found["event"])
    assert "a key of [[metadata.interface]]; did you mean mac?" in str(
        found["metadata.interface[0].mca"]
    )


# Tags


def test_a_tag_is_a_leaf_below_tags(leaves):
    text = '[metadata]\ntags = { Name = "dev box", "a+b-c=d.e,f_g:h@i" = "", Index = "ü" }'
    assert leaves(text) == {
        "meta-data/tags/instance/Name": b"dev box",
        "meta-data/tags/instance/a+b-c=d.e,f_g:h@i": b"",
        "meta-data/tags/instance/Index": "ü".encode(),
    }


@pytest.mark.parametrize("key", ["a b", "a/b", "", ".", "..", "_index", "ü", "a*", "k" * 129])
def test_a_tag_key_that_instance_metadata_cannot_have_is_refused(refused, key):
    (problem,) = refused(f'[metadata.tags]\n"{key}" = "x"').values()
    assert problem.key.startswith("metadata.tags.")
    assert "1 to 128" in problem.hint


def test_a_tag_of_awss_own_is_pointed_to_the_leaves(refused, leaves):
    (problem,) = refused('[metadata.tags]\n"AWS:x" = "y"').values()
    assert '[metadata.leaves]: "meta-data/tags/instance/AWS:x"' in problem.hint
    assert leaves('[metadata.leaves]\n"meta-data/tags/instance/aws:x" = "y"')


def test_there_are_at_most_fifty_tags_of_256_characters(refused, leaves):
    tags = "[metadata.tags]\n" + "\n".join(f'k{n} = "{"v" * 256}"' for n in range(50))
    assert len(leaves(tags)) == 50
    assert "at most 50" in refused(f'{tags}\nmore = "x"')["metadata.tags"].expected
    assert refused(f'[metadata.tags]\nk = "{"v" * 257}"').keys() == {"metadata.tags.k"}
    assert refused('[metadata.tags]\nk = "a\\nb"').keys() == {"metadata.tags.k"}


# User data


def test_user_data_is_served_as_it_is_written(leaves):
    assert leaves('[metadata]\nuser_data = "#cloud-config\\n"') == {"user-data": b"#cloud-config\n"}


def test_user_data_may_stand_in_a_file_byte_by_byte(leaves, tmp_path):
    (tmp_path / "data").write_bytes(b"\x1f\x8b\x00\xff\n")
    text = f'[metadata]\nuser_data_file = "{tmp_path}/data"'
    assert leaves(text) == {"user-data": b"\x1f\x8b\x00\xff\n"}


def test_a_file_of_user_data_may_be_named_from_the_home_directory(read, tmp_path):
    (tmp_path / "data").write_bytes(b"x")
    config = read('[metadata]\nuser_data_file = "~/data"', environ={"HOME": str(tmp_path)})
    assert config.metadata.settings.leaves == {"user-data": b"x"}


def test_user_data_has_at_most_16_kib(leaves, refused, tmp_path):
    whole, file = "ü" * 8192, tmp_path / "data"
    assert len(leaves(f'[metadata]\nuser_data = "{whole}"')["user-data"]) == 16384
    (problem,) = refused(f'[metadata]\nuser_data = "{whole}x"').values()
    assert (problem.key, problem.expected) == (
        "metadata.user_data",
        "at most 16384 bytes, EC2's limit",
    )
    file.write_bytes(b"x" * 16384)
    assert len(leaves(f'[metadata]\nuser_data_file = "{file}"')["user-data"]) == 16384
    file.write_bytes(b"x" * 16385)
    (problem,) = refused(f'[metadata]\nuser_data_file = "{file}"').values()
    assert "16384" in problem.expected


def test_user_data_is_something_and_comes_from_one_place(refused, tmp_path):
    (tmp_path / "empty").touch()
    for text in ('user_data = ""', f'user_data_file = "{tmp_path}/empty"'):
        (problem,) = refused(f"[metadata]\n{text}").values()
        assert "not empty" in problem.expected
    for name in ("nope", ""):
        (problem,) = refused(f'[metadata]\nuser_data_file = "{tmp_path}/{name}"').values()
        assert "which is no file" in problem.found
    (problem,) = refused(
        f'[metadata]\nuser_data = "x"\nuser_data_file = "{tmp_path}/empty"'
    ).values()
    assert problem.expected == "one of the two"


def test_user_data_that_cannot_be_read_is_a_problem(refused):
    # A regular file to stat, whose first page is nobody's.
    (problem,) = refused('[metadata]\nuser_data_file = "/proc/self/mem"').values()
    assert problem.expected == "a file that can be read"
    assert "Input/output error" in problem.found


# Public keys


def test_public_keys_are_numbered_in_order_and_listed_by_name(read):
    settings = read(
        f'[metadata.public_keys]\nb = "{KEY} me@box"\n"a b" = "{KEY}"'
    ).metadata.settings
    assert settings.leaves == {
        "meta-data/public-keys/0/openssh-key": f"{KEY} me@box".encode(),
        "meta-data/public-keys/1/openssh-key": KEY.encode(),
    }
    assert settings.labels == {"meta-data/public-keys": b"0=b\n1=a b"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "one of ssh-ed25519"),
        (f"{KEY}\\n", "not one line alone"),
        (f"{KEY}\\n{KEY}", "not one line alone"),
        ("ssh-ed25519", "bytes of no such key"),
        (KEY.replace("ssh-ed25519 ", "ssh-rsa "), "bytes of no such key"),
        (KEY[:30], "ssh-ed25519 and "),
        (KEY[:-4] + "!!!!", "no base64"),
        ("ssh-ed25518 AAAA", "did you mean ssh-ed25519?"),
        ("AAAAC3NzaC1lZDI1NTE5", "one of ssh-ed25519"),
        ("-----BEGIN OPENSSH PRIVATE KEY----- canary", "a private key (not shown)"),
    ],
)
def test_what_is_no_public_key_is_refused(refused, value, said):
    (problem,) = refused(f'[metadata.public_keys]\ndev = "{value}"').values()
    assert problem.key == "metadata.public_keys.dev"
    assert said in str(problem)
    assert "canary" not in str(problem)


@pytest.mark.parametrize("name", ["", "a=b", "a/b", "a\\nb", " a", "ü"])
def test_a_key_has_a_name_that_can_be_listed(refused, name):
    (problem,) = refused(f'[metadata.public_keys]\n"{name}" = "{KEY}"').values()
    assert "without = and /" in problem.expected


# Any leaf


def test_any_leaf_may_be_given_by_its_path(leaves, read):
    text = """[metadata.leaves]
"meta-data/profile" = "default-hvm"
"meta-data/block-device-mapping/ephemeral0" = ""
"dynamic/fws/instance-monitoring" = "disabled"
"meta-data/our-own/thing" = "one\\n\\ttwo"
"""
    assert leaves(text) == {
        "meta-data/profile": b"default-hvm",
        "meta-data/block-device-mapping/ephemeral0": b"",
        "dynamic/fws/instance-monitoring": b"disabled",
        "meta-data/our-own/thing": b"one\n\ttwo",
    }
    assert read(text).warnings == ()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("5", 'put it in quotes: "5"'),
        ("true", 'put it in quotes: "true"'),
        ("1.5", 'put it in quotes: "1.5"'),
        ("{ x = 'y' }", "write the whole path in quotes"),
        ("['x']", "a text in quotes"),
        ('"x\\n"', "right after the last character"),
        (f'"{"x" * 65537}"', "at most 65536 bytes"),
    ],
)
def test_a_leaf_is_a_text_without_a_newline_at_its_end(refused, value, said):
    (problem,) = refused(f'[metadata.leaves]\n"meta-data/profile" = {value}').values()
    assert problem.key == 'metadata.leaves."meta-data/profile"'
    assert said in str(problem)


def test_a_leaf_with_a_plain_key_of_its_own_takes_what_that_takes(refused, leaves):
    text = '[metadata.leaves]\n"meta-data/mac" = "{}"\n"meta-data/instance-id" = "{}"'
    assert len(refused(text.format("x/y", ""))) == 2
    assert leaves(text.format(MAC.upper(), "i-01234567"))["meta-data/mac"] == MAC.encode()


def test_an_identity_document_of_ones_own_is_a_json_object(refused, leaves):
    text = "[metadata.leaves]\n'dynamic/instance-identity/document' = '{}'"
    assert leaves(text.format('{"region": "x"}'))
    for wrong in ("[]", "{", "", "[" * 60000):
        (problem,) = refused(text.format(wrong)).values()
        assert problem.expected == "the text of a JSON object"


def test_a_leaf_that_resembles_one_of_ec2s_is_served_with_a_warning(read):
    (warning,) = read('[metadata.leaves]\n"meta-data/instance-typ" = "x"').warnings
    assert 'metadata.leaves."meta-data/instance-typ" is not a path of EC2\'s tree' in warning
    assert "did you mean meta-data/instance-type?" in warning


def test_there_are_at_most_1000_leaves(refused, leaves):
    text = "[metadata.leaves]\n" + "\n".join(f'"meta-data/own/{n}" = ""' for n in range(1000))
    assert len(leaves(text)) == 1000
    assert refused(f'{text}\n"meta-data/own/x" = ""')["metadata"].found == "1001 leaves"


# Clashes


def test_a_leaf_that_two_keys_give_is_refused_and_both_are_named(refused):
    text = '[metadata]\nami_id = "ami-01234567"\n[metadata.leaves]\n"meta-data/ami-id" = "ami-01234567"'
    (problem,) = refused(text).values()
    assert problem.key == 'metadata.leaves."meta-data/ami-id"'
    assert "metadata.ami_id gives too" in problem.found


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a"), ("a", "a/b/c")])
def test_a_leaf_that_is_a_directory_too_is_refused_and_both_are_named(refused, names):
    first, second = (f"meta-data/{name}" for name in names)
    text = f'[metadata.leaves]\n"{first}" = "x"\n"meta-data/z" = "y"\n"{second}" = "z"'
    (problem,) = refused(text).values()
    assert problem.key == f'metadata.leaves."{second}"'
    assert f'metadata.leaves."{first}"' in problem.found
    assert problem.expected == "either a leaf or a directory"


def test_an_interface_and_a_leaf_clash_too(refused):
    text = f'[[metadata.interface]]\nmac = "{MAC}"\n[metadata.leaves]\n"{MACS}/{MAC}/mac" = "x"'
    (problem,) = refused(text).values()
    assert problem.key == "metadata.interface[0]"
    assert f'metadata.leaves."{MACS}/{MAC}/mac" gives too' in problem.found


# Zone and region


def test_a_zone_lies_in_the_region_beside_it(refused, leaves):
    text = '[metadata]\nregion = "us-east-1"\navailability_zone = "{}"'
    for zone in ("us-east-1a", "us-east-1-atl-2a", "us-east-1-wl1-bos-wlz-1"):
        assert leaves(text.format(zone))
    for zone in ("us-east-10a", "us-west-2a", "us-east-2a"):
        (problem,) = refused(text.format(zone)).values()
        assert problem.key == "metadata.availability_zone"
        assert "such as us-east-1a" in problem.expected


def test_a_zone_of_another_region_than_the_roles_is_warned_of(read):
    assert read('[metadata]\navailability_zone = "eu-central-1a"').warnings == ()
    (warning,) = read('[metadata]\navailability_zone = "eu-west-1a"').warnings
    assert "metadata.availability_zone is 'eu-west-1a'" in warning
    assert "region eu-central-1" in warning


def test_without_a_role_a_zone_is_held_against_nothing(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('[metadata]\navailability_zone = "eu-west-1a"')
    config = load(flags={"config": str(path)}, environ={}, require_role=False)
    assert config.warnings == ()


# Whatever is given


PLACES = [
    *((table, key) for table in ("metadata", "interface", "event") for key in KEYS[table]),
    ("tags", "k"),
    ("public_keys", "k"),
    ("leaves", '"meta-data/k"'),
]


def document(table, key, value):
    """Return a [metadata] in which one key of one table has a value."""
    assignment = f"{key} = {toml(value)}\n"
    match table:
        case "metadata":
            return f"[metadata]\n{assignment}"
        case "interface":
            beside = "" if key == "mac" else f'mac = "{MAC}"\n'
            return f"[[metadata.interface]]\n{beside}{assignment}"
        case "event":
            beside = "" if key == "kind" else 'kind = "maintenance"\n'
            beside += "" if key == "code" else 'code = "system-reboot"\n'
            return f"[[metadata.event]]\n{beside}{assignment}"
        case _:
            return f"[metadata.{table}]\n{assignment}"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("odd") / "config.toml"


@given(place=st.sampled_from(PLACES), value=odd_values())
@example(place=("metadata", "upstream"), value="http://[::1")
@example(place=("metadata", "upstream"), value="http://[fe80::1%25eth0]")
@example(place=("metadata", "upstream"), value="http://\u2100/")
@example(place=("metadata", "tags"), value={"x" * 100_000: "y"})
@example(place=("metadata", "leaves"), value={"meta-data/" + "x/" * 1000: "y"})
@example(place=("interface", "mac"), value="0" * 100_000)
@example(place=("interface", "vpc_ipv4_cidr_block"), value="10.0.0.0/٣")
@example(place=("interface", "vpc_ipv4_cidr_block"), value="10.0.0.0/" + "9" * 5000)
@example(place=("event", "in_seconds"), value=2**62)
def test_any_value_of_any_key_is_taken_or_is_a_problem(path, place, value):
    path.write_text(ROLE + document(*place, value))
    try:
        config = load(flags={"config": str(path)}, environ={"HOME": "/nowhere"})
    except ConfigurationError as error:
        problems = error.problems
    else:
        problems = ()
        assert list(summary(config, environ={}))
    assert all(len(str(problem)) < 1000 for problem in problems)


names = st.text(st.sampled_from("ab/.#%\\ ?ü"), max_size=8)


@given(
    st.dictionaries(
        st.one_of(
            names.map("meta-data/".__add__),
            st.lists(st.sampled_from("ab"), max_size=4).map(
                lambda each: "/".join(["dynamic", *each])
            ),
        ),
        st.just("x"),
        max_size=6,
    )
)
def test_what_is_taken_is_found_at_its_path_and_nothing_hides_another(path, found):
    path.write_text(f"{ROLE}[metadata]\nleaves = {toml(found)}")
    with contextlib.suppress(ConfigurationError):
        leaves = load(flags={"config": str(path)}, environ={}).metadata.settings.leaves
        assert leaves.keys() == found.keys()
        tree = MetadataTree(leaves)
        for each in leaves:
            assert tree.find(split_path(each)) == Leaf(b"x")
