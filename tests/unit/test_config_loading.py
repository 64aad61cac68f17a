"""Which setting wins, and that every problem is told at once."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.config import load, unreloadable_changes
from imdsd.errors import ConfigurationError

ARN = "arn:aws:iam::123456789012:role/{}"
FILE_ARN, VARIABLE_ARN, FLAG_ARN, AWS_ARN, ONA_ARN = map(
    ARN.format, ("file", "variable", "flag", "aws", "ona")
)
TWO_ROLES = f"""
[[role]]
name = "one"
arn = "{FILE_ARN}"
[[role]]
name = "two"
default = true
arn = "{ARN.format("two")}"
"""


@pytest.fixture
def read(tmp_path):
    """Load a text as the file, with flags and variables beside it."""

    def read(text="", *, flags=None, environ=None, **others):
        path = tmp_path / "config.toml"
        path.write_text(text)
        return load(flags={**(flags or {}), "config": str(path)}, environ=environ or {}, **others)

    return read


@pytest.fixture
def problems(read):
    """Return the problems of a text as (key, found, expected, hint) by key."""

    def problems(text="", **others):
        with pytest.raises(ConfigurationError) as caught:
            read(text, **others)
        return {problem.key: problem for problem in caught.value.problems}

    return problems


def test_a_role_arn_alone_is_a_whole_configuration():
    config = load(flags={"role_arn": FLAG_ARN}, environ={"AWS_REGION": "eu-west-1"}, usual=())
    assert [(role.name, role.arn, role.region) for role in config.roles] == [
        ("default", FLAG_ARN, "eu-west-1")
    ]
    assert config.default_role == "default"
    assert config.roles[0].token.source == "auto"
    assert config.warnings == ()
    assert config.source == "no file"


@pytest.mark.parametrize(
    ("flags", "environ", "in_file", "expected"),
    [
        (
            {"role_arn": FLAG_ARN},
            {"IMDSD_ROLE_ARN": VARIABLE_ARN},
            FILE_ARN,
            (FLAG_ARN, "--role-arn"),
        ),
        ({}, {"IMDSD_ROLE_ARN": VARIABLE_ARN}, FILE_ARN, (VARIABLE_ARN, "IMDSD_ROLE_ARN")),
        ({}, {"IMDSD_ROLE_ARN": "", "AWS_ROLE_ARN": AWS_ARN}, FILE_ARN, (FILE_ARN, "role[0].arn")),
        ({}, {"AWS_ROLE_ARN": AWS_ARN, "IDP_AWS_ROLE_ARN": ONA_ARN}, "", (AWS_ARN, "AWS_ROLE_ARN")),
        ({}, {"IDP_AWS_ROLE_ARN": ONA_ARN}, "", (ONA_ARN, "IDP_AWS_ROLE_ARN")),
    ],
)
def test_flags_win_over_variables_over_the_file_over_what_aws_users_have_set(
    read, flags, environ, in_file, expected
):
    text = f'[[role]]\narn = "{in_file}"' if in_file else ""
    role = read(text, flags=flags, environ=environ).roles[0]
    assert (role.arn, role.arn_source.split(": ")[-1]) == expected


def test_the_default_role_of_the_file_may_leave_its_arn_to_others_and_no_other_may(read, problems):
    text = TWO_ROLES.replace(f'arn = "{ARN.format("two")}"\n', "")
    assert read(text, environ={"AWS_ROLE_ARN": AWS_ARN}).roles[1].arn == AWS_ARN
    assert problems(text)["role[1].arn"].found == "nothing"
    text = TWO_ROLES.replace(f'arn = "{FILE_ARN}"\n', "")
    assert "default role's only" in problems(text, flags={"role_arn": FLAG_ARN})["role[0].arn"].hint


def test_flags_speak_of_the_default_role_alone(read):
    flags = {"role_arn": FLAG_ARN, "duration_seconds": "7200", "session_name": "me"}
    one, two = read(TWO_ROLES, flags=flags, environ={"AWS_ROLE_ARN": AWS_ARN}).roles
    assert (one.arn, one.duration_seconds, one.session_name) == (FILE_ARN, None, "imdsd-{host}")
    assert (two.arn, two.duration_seconds, two.session_name) == (FLAG_ARN, 7200, "me")


@pytest.mark.parametrize(
    ("in_file", "flags", "environ", "expected"),
    [
        (
            ("eu-west-1", "eu-west-2"),
            {"region": "eu-west-3"},
            {"AWS_REGION": "us-west-2"},
            "eu-west-1",
        ),
        ((None, "eu-west-2"), {"region": "eu-west-3"}, {"IMDSD_REGION": "us-west-1"}, "eu-west-3"),
        ((None, "eu-west-2"), {}, {"IMDSD_REGION": "us-west-1"}, "us-west-1"),
        ((None, "eu-west-2"), {}, {"AWS_REGION": "us-west-2"}, "eu-west-2"),
        ((None, None), {}, {"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "x"}, "us-west-2"),
        ((None, None), {}, {"AWS_DEFAULT_REGION": "sa-east-1"}, "sa-east-1"),
    ],
)
def test_the_region_is_the_roles_own_or_the_nearest_common_one(
    read, in_file, flags, environ, expected
):
    role, top = in_file
    lines = [f'region = "{top}"'] if top else []
    lines += ["[[role]]", f'arn = "{FILE_ARN}"', *([f'region = "{role}"'] if role else [])]
    config = read("\n".join(lines), flags=flags, environ=environ)
    assert (config.roles[0].region, config.warnings) == (expected, ())


@pytest.mark.parametrize(
    ("partition", "region"),
    [("aws", "us-east-1"), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")],
)
def test_without_a_region_it_is_the_partitions_default_with_a_warning(partition, region):
    arn = f"arn:{partition}:iam::123456789012:role/dev"
    config = load(flags={"role_arn": arn}, environ={}, usual=())
    assert config.roles[0].region == region
    assert region in config.warnings[0]
    assert partition in config.roles[0].region_source


def test_without_any_role_the_three_ways_to_give_one_are_named(problems):
    problem = problems("")["role"]
    for way in ("--role-arn", "IMDSD_ROLE_ARN", "[[role]]"):
        assert way in problem.hint


def test_a_verb_that_needs_no_role_gets_the_common_token_source(read):
    config = read('[token]\nfile = "/token"', require_role=False)
    assert (config.roles, config.default_role, config.token.source) == ((), "", "file")


def test_every_problem_is_told_with_its_place(problems):
    found = problems(
        'alow_imdsv1 = true\nlog_level = "inf"\nstartup_grace_seconds = "20"\n'
        f'[token]\nduration_seconds = 1\n[[role]]\narn = "{FILE_ARN}"\nduration_seconds = 60\n',
        environ={"IMDSD_LISTN": "x", "IMDSD_ALLOW_IMDSV1": "maybe"},
        flags={"log_format": "xml"},
    )
    assert {key: str(problem).split(": ")[0].split("/")[-1] for key, problem in found.items()} == {
        "IMDSD_LISTN": "environment",
        "alow_imdsv1": "config.toml",
        "log_level": "config.toml",
        "log_format": "--log-format",
        "startup_grace_seconds": "config.toml",
        "token.duration_seconds": "config.toml",
        "role[0].duration_seconds": "config.toml",
        "allow_imdsv1": "IMDSD_ALLOW_IMDSV1",
    }
    assert "did you mean allow_imdsv1?" in found["alow_imdsv1"].hint
    assert "did you mean info?" in found["log_level"].hint
    assert found["token.duration_seconds"].hint == "duration_seconds belongs in [[role]]"
    assert (found["role[0].duration_seconds"].found) == "60"
    assert "900 to 43200" in found["role[0].duration_seconds"].expected


def test_a_problem_of_the_common_source_is_told_once_however_many_roles_use_it(read):
    with pytest.raises(ConfigurationError) as caught:
        read(TWO_ROLES + '[token]\naudience = ""')
    assert [problem.key for problem in caught.value.problems] == ["token.audience"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("role = 1", "role"),
        (f'[role]\narn = "{FILE_ARN}"', "role"),
        ("token = 1", "token"),
        ("listen = []", "listen"),
        ('allow_users = "me"', "allow_users"),
        ("allow_users = [1001]", "allow_users[0]"),
        ("startup_grace_seconds = nan", "startup_grace_seconds"),
        ("startup_spread_seconds = -1", "startup_spread_seconds"),
        ("startup_spread_seconds = true", "startup_spread_seconds"),
        ('ca_bundle = "bundle.pem"', "ca_bundle"),
        ('ca_bundle = "/nowhere.pem"', "ca_bundle"),
        ("region = 1979-05-27", "region"),
        ('region = "Frankfurt"', "region"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_at_its_key(problems, text, key):
    assert key in problems(text, flags={"role_arn": FLAG_ARN})


def test_aws_ca_bundle_counts_where_nothing_else_is_set(read, tmp_path):
    bundle, own = tmp_path / "bundle.pem", tmp_path / "own.pem"
    bundle.touch()
    own.touch()
    environ = {"AWS_CA_BUNDLE": str(bundle), "HOME": str(tmp_path)}
    flags = {"role_arn": FLAG_ARN}
    assert read(flags=flags, environ=environ).ca_bundle == bundle
    assert read('ca_bundle = "~/own.pem"', flags=flags, environ=environ).ca_bundle == own


def test_exactly_one_of_several_roles_is_the_default(problems):
    one = f'[[role]]\nname = "a"\narn = "{FILE_ARN}"\n'
    two = f'[[role]]\nname = "b"\narn = "{FILE_ARN}"\n'
    assert problems(one + two)["role[0].default"].found == "no default role"
    default = "default = true\n"
    assert problems(one + default + two + default)["role[1].default"].found == "2 default roles"


def test_several_roles_need_names_that_differ_aliases_included(problems):
    text = TWO_ROLES.replace('name = "one"', 'name = "one"\naliases = ["old", "two"]')
    assert set(problems(text)) == {"role[0].aliases", "role[1].name"}
    assert set(problems(TWO_ROLES.replace('name = "one"\n', ""))) == {"role[0].name"}


def test_changes_that_a_running_daemon_cannot_take_over_are_named(read):
    old = read(TWO_ROLES)
    new = read(
        f'listen = ["127.0.0.1:1"]\nallow_users = ["root"]\nstartup_grace_seconds = 1\n{TWO_ROLES}'
    )
    assert unreloadable_changes(old, new) == ("listen", "allow_users")
    hides = read(f'hide_ec2_services = true\n[[role]]\narn = "{FILE_ARN}"')
    assert unreloadable_changes(old, hides) == ("hide_ec2_services",)
    assert unreloadable_changes(old, read(f'[[role]]\narn = "{FILE_ARN}"')) == ()


values = st.one_of(
    st.integers(), st.booleans(), st.text(max_size=20), st.floats(), st.lists(st.integers())
)


@given(st.dictionaries(st.sampled_from(["role_arn", "listen", "region", "token_command"]), values))
def test_whatever_the_flags_hold_no_other_error_comes_out(flags):
    with contextlib.suppress(ConfigurationError):
        load(flags=flags, environ={}, usual=())
