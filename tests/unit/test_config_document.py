"""Where the file is looked for, and what is said of one that cannot be read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imdsd.config import load
from imdsd.config.document import SYSTEM_FILE, usual_files
from imdsd.errors import ConfigurationError

ARN = "arn:aws:iam::123456789012:role/dev"


def refusal(*, flags=None, environ=None, **others):
    with pytest.raises(ConfigurationError) as caught:
        load(flags={"role_arn": ARN, **(flags or {})}, environ=environ or {}, **others)
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}, [Path("/x/imdsd/config.toml"), SYSTEM_FILE]),
        ({"XDG_CONFIG_HOME": "", "HOME": "/"}, [Path("/.config/imdsd/config.toml"), SYSTEM_FILE]),
        ({}, [SYSTEM_FILE]),
    ],
)  # fmt: skip
def test_the_users_own_file_comes_before_the_machines(environ, expected):
    assert list(usual_files(environ)) == expected


def test_the_first_usual_file_that_is_there_is_read(tmp_path):
    first, second, third = (tmp_path / name for name in "abc")
    second.write_text('log_level = "debug"')
    third.write_text('log_level = "error"')
    config = load(flags={"role_arn": ARN}, environ={}, usual=(first, second, third))
    assert (config.log_level, config.source) == ("debug", str(second))


def test_a_named_file_is_read_alone_and_the_flag_names_it_before_the_variable(tmp_path):
    one, two, usual = (tmp_path / name for name in "abc")
    one.write_text('log_level = "debug"')
    two.write_text('log_level = "error"')
    usual.write_text("broken")
    environ = {"IMDSD_CONFIG": str(two)}
    assert load(flags={"role_arn": ARN}, environ=environ, usual=(usual,)).source == str(two)
    flags = {"role_arn": ARN, "config": str(one)}
    assert load(flags=flags, environ=environ, usual=(usual,)).source == str(one)
    assert load(flags={**flags, "config": "/dev/null"}, environ={}).log_level == "info"


def test_a_named_file_that_is_missing_is_a_problem_of_whoever_named_it(tmp_path):
    missing = str(tmp_path / "none.toml")
    problem = refusal(flags={"config": missing})
    assert problem.source == "--config"
    assert missing in problem.found
    assert refusal(environ={"IMDSD_CONFIG": missing}).source == "IMDSD_CONFIG"


def test_a_usual_file_that_cannot_be_read_is_a_problem_and_not_passed_over(tmp_path):
    problem = refusal(usual=(tmp_path,))
    assert problem.source == str(tmp_path)
    assert "Is a directory" in problem.found
    assert "/dev/null" in problem.hint


@pytest.mark.parametrize("name", ["n" * 300, "a\0b"])
def test_a_file_whose_name_cannot_be_is_a_problem_named_or_usual(tmp_path, name):
    path = str(tmp_path / name)
    assert refusal(flags={"config": path}).source == "--config"
    assert refusal(usual=(Path(path),)).expected == "a TOML file that can be read"


AS_NOBODY = """
import os, sys
from imdsd.config import load
from imdsd.errors import ConfigurationError
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(12345); os.setuid(12345)
for flags, environ in (
    ({}, {"XDG_CONFIG_HOME": sys.argv[1]}),
    ({"config": "/dev/null"}, {"AWS_CA_BUNDLE": sys.argv[1] + "/ca.pem"}),
    ({"config": "~/absent.toml"}, {}),  # which a user that no list names has not
):
    try:
        load(flags={"role_arn": sys.argv[2], **flags}, environ=environ)
    except ConfigurationError as error:
        print(error)
"""


def test_what_lies_in_a_closed_folder_is_a_problem_not_a_traceback(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    command = [sys.executable, "-c", AS_NOBODY, closed, ARN]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    configuration, bundle, homeless = done.stdout.splitlines()
    assert configuration.startswith(f"{closed}/imdsd/config.toml: config: found {closed}/")
    assert "Permission denied, expected a TOML file" in configuration
    assert bundle.startswith(
        f"AWS_CA_BUNDLE: ca_bundle: found '{closed}/ca.pem': Permission denied"
    )
    assert homeless.startswith("--config: config: found ")


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b"startup_grace_seconds = 0x" + b"f" * 9000, "startup_grace_seconds"),
        (b"[[role]]\nduration_seconds = 9223372036854775808", "role[0].duration_seconds"),
    ],
)
def test_an_integer_that_toml_does_not_have_is_told_with_its_key(tmp_path, raw, key):
    path = tmp_path / "config.toml"
    path.write_bytes(raw)
    problem = refusal(flags={"config": str(path)})
    assert (problem.key, problem.found) == (key, "an integer that needs more than 64 bits")


@pytest.mark.parametrize(
    ("raw", "place", "found"),
    [
        (b"a = 1\nlisten = [\n canary", "line 3, column 2", "a syntax error (Invalid value)"),
        (b"region = 'a'\nregion = 'b'", "line 2", "overwrite"),
        (b"a = 1\nb = '\xff'", "line 2", "UTF-8"),
        (b"a = " + b"9" * 5000, "the whole file", "limit"),
        (b"a = " + b"[" * 100_000, "the whole file", "nested"),
        (b"#" * 1024 * 1024 + b"#", "config", "more than 1048576 bytes"),
    ],
)
def test_a_broken_file_is_told_with_the_line(tmp_path, raw, place, found):
    path = tmp_path / "config.toml"
    path.write_bytes(raw)
    problem = refusal(flags={"config": str(path)})
    assert place in problem.key
    assert found in problem.found
    assert "canary" not in str(problem)


def test_problems_of_variables_are_told_beside_a_broken_file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("broken")
    with pytest.raises(ConfigurationError) as caught:
        load(flags={"config": str(path)}, environ={"IMDSD_LISTN": "x"})
    assert [problem.key for problem in caught.value.problems] == [
        "line 1, at its end",
        "IMDSD_LISTN",
    ]


def exposed(tmp_path, *, mode, uid=None):
    path = tmp_path / "imdsd.toml"
    path.write_text('[token]\ncommand = "ona idp token"')
    path.chmod(mode)
    if uid is not None:
        os.chown(path, uid, -1)
    return refusal(flags={"config": str(path)})


def test_a_file_that_everybody_may_write_is_refused_as_it_names_commands_to_run(tmp_path):
    problem = exposed(tmp_path, mode=0o666)
    assert "everybody may write" in problem.found
    assert "it names commands to run" in problem.expected
    assert "chmod go-w" in problem.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_strangers_file_is_refused(tmp_path):
    assert "belongs to uid 65534" in exposed(tmp_path, mode=0o644, uid=65534).found
