"""Our parts in other people's devcontainer.json: added, taken out, and all else as it was."""

import json
import os
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.errors import ConfigurationError
from imdsd.install.ona.devcontainer import with_imdsd, without_imdsd
from imdsd.install.ona.jsonc import parse
from imdsd.install.ona.service import OnaTerms, installs

TERMS = OnaTerms("arn:aws:iam::123456789012:role/dev", "eu-central-1", "imdsd @ git+https://x/y")
COMMAND = TERMS.install_command
PORTS = {"9254": {"onAutoForward": "ignore"}}

FULL = """\
// See the documentation.
{
	"name": "Ours", /* and nobody else's */
	"image": "example/image:1", // pinned
	"containerEnv": {
		"PAGER": "less",
		// "EDITOR": "vi",
	},
	/* several
	lines */ "postCreateCommand": "npm ci",
	"portsAttributes": { "3000": {"label": "app"} },
	// "features": {},
}
"""


def added(text, terms=TERMS):
    return with_imdsd(
        text, variables=terms.variables, command=terms.install_command, source="d.json"
    )


def taken(text, region="eu-central-1"):
    return without_imdsd(text, region=region, source="d.json")


def says(text):
    return parse(text, source="d.json").value


def refusal(text, terms=TERMS):
    with pytest.raises(ConfigurationError) as caught:
        added(text, terms)
    return str(caught.value)


def assert_ours_in(value):
    assert value["containerEnv"].items() >= TERMS.variables.items()
    assert value["portsAttributes"].items() >= PORTS.items()


def test_the_variables_are_fixed_and_the_port_is_not_forwarded():
    value = says(added("{}"))
    assert value["containerEnv"] == {
        "IMDSD_RUNTIME_DIR": "/var/tmp/imdsd",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9254/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/tmp/imdsd/bearer",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9254",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    assert value["portsAttributes"] == PORTS


def test_without_a_region_none_is_set():
    variables = OnaTerms("arn:aws:iam::123456789012:role/dev").variables
    assert not [name for name in variables if name.endswith("REGION")]


def test_a_new_file_has_an_image_and_is_plain_json():
    value = json.loads(added(""))
    assert value["image"].startswith("mcr.microsoft.com/devcontainers/python:")
    assert value["onCreateCommand"] == COMMAND
    assert taken(added("")) is None


def test_every_byte_of_a_full_file_is_kept():
    after = added(FULL)
    value = says(after)
    assert_ours_in(value)
    assert value["containerEnv"]["PAGER"] == "less"
    assert value["postCreateCommand"] == "npm ci"
    assert value["onCreateCommand"] == COMMAND
    kept = iter(after)
    assert all(character in kept for character in FULL)
    assert re.search(r'(?m)^\t\t"IMDSD_RUNTIME_DIR": ', after)
    assert re.search(r'(?m)^\t\t// "EDITOR": "vi",\n\t\t"IMDSD_RUNTIME_DIR"', after)
    assert taken(after) == FULL


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{}\n",
        '{"image": "x"}',
        '{ "image": "x" }\n',
        '{"image": "x",}\n',
        '{\n  "image": "x"\n}\n',
        '{\n  "image": "x",\n}\n',
        '{\n    "image": "x" // pinned\n}\n',
        '{\n    "image": "x" /* pinned */ , // so\n}\n',
        '{\n  "image": "x"\n  /* the\n  end */ }\n',
        '{\n  "image": "x"}\n',
        '{ "image": "x",\n  "name": "y" }\n',
        "{\n  // nothing\n}\n",
        '{\n  "containerEnv": {\n    "A": "b"\n  }\n}\n',
        '{\n  "containerEnv": {"A": "b"},\n  "portsAttributes": {"1": {}}\n}\n',
        '{\n  "containerEnv": {"A": "b"}, "portsAttributes": {\n    "1": {} // one\n  }\n}\n',
        '{\n  "a": "// no comment /* neither */ , }",\n  "b": "\\"{\\\\"\n}\n',
        '\ufeff{\n  "image": "x"\n}\n',
        '// first\n\n{\n\t"image": "x"\n}\n// last',
        '{"image": "x"} // last',
        '{\n  "onCreateCommand": {"npm": "npm ci"}\n}\n',
        '{\n  "onCreateCommand": "make",\n  "updateContentCommand": ["make", "all"]\n}\n',
    ],
)
def test_whatever_the_layout_it_is_added_and_taken_out_again(text):
    after = added(text)
    assert_ours_in(says(after))
    assert added(after) == after
    assert taken(after) == text


@pytest.mark.parametrize(
    "text", ["{ }\n", "{\n}\n", "{ /* nothing */ }\n", '{"containerEnv": {}}\n']
)
def test_what_says_nothing_is_filled(text):
    after = added(text)
    assert_ours_in(says(after))
    assert says(taken(after)) == {}
    assert after.count("nothing") == taken(after).count("nothing") == text.count("nothing")


def test_lines_end_as_the_file_ends_its_lines():
    text = FULL.replace("\n", "\r\n")
    after = added(text)
    assert after.count("\n") == after.count("\r\n")
    assert taken(after) == text


def test_the_first_moment_that_is_free_installs_it():
    taken_ones = {"onCreateCommand": "make", "updateContentCommand": {"npm": "npm ci"}}
    value = says(added(json.dumps(taken_ones, indent=2)))
    assert value["onCreateCommand"] == "make"
    assert value["updateContentCommand"] == {"npm": "npm ci", "imdsd": COMMAND}


def test_no_command_is_touched_where_all_are_taken():
    text = json.dumps(dict.fromkeys(("onCreateCommand", "updateContentCommand"), "make"), indent=1)
    text = text.replace("\n}", ',\n "postCreateCommand": ["make", "all"]\n}')
    assert refusal(text) == (
        'd.json:2: onCreateCommand: found "make", expected one that also runs: '
        f"{COMMAND}; so are updateContentCommand and postCreateCommand; add it to one of them,"
        " nothing was changed"
    )


@pytest.mark.parametrize(
    "own", ['"pip install imdsd && npm ci"', '["pipx", "install", "imdsd"]', '{"x": "uvx imdsd"}']
)
def test_a_way_of_ones_own_to_install_it_is_left_alone(own):
    text = f'{{\n  "postCreateCommand": {own}\n}}\n'
    value = says(added(text))
    assert value["postCreateCommand"] == json.loads(own)
    assert "onCreateCommand" not in value
    assert taken(added(text)) == text


def test_an_image_that_has_imdsd_needs_no_command():
    value = says(added('{"image": "x"}', OnaTerms("arn:aws:iam::123456789012:role/dev")))
    assert set(value) == {"image", "containerEnv", "portsAttributes"}


def test_other_values_are_conflicts_that_are_all_named():
    text = """{
  "containerEnv": {
    "AWS_REGION": "us-east-1",
    "IMDSD_RUNTIME_DIR": "/elsewhere"
  },
  "portsAttributes": {"9254": {"label": "app"}}
}"""
    conflicts = [
        (3, "containerEnv.AWS_REGION", '"us-east-1"', '"eu-central-1"'),
        (4, "containerEnv.IMDSD_RUNTIME_DIR", '"/elsewhere"', '"/var/tmp/imdsd"'),
        (6, "portsAttributes.9254", '{"label": "app"}', '{"onAutoForward": "ignore"}'),
    ]
    assert refusal(text).splitlines() == [
        f"d.json:{line}: {key}: found {found}, expected {expected};"
        " nothing was changed: see which of them you need"
        for line, key, found, expected in conflicts
    ]


def test_a_region_that_stood_there_before_stays():
    text = '{\n  "containerEnv": {\n    "AWS_REGION": "eu-central-1"\n  }\n}\n'
    assert taken(added(text)) == text


def test_a_region_of_ones_own_that_follows_ours_stays():
    after = added("{}", OnaTerms("arn:aws:iam::123456789012:role/dev"))
    url = '"http://127.0.0.1:9254"'
    own = after.replace(url, f'{url},\n    "AWS_REGION": "eu-central-1"')
    assert says(taken(own, region=None)) == {"containerEnv": {"AWS_REGION": "eu-central-1"}}


def test_what_was_changed_since_is_no_longer_ours():
    after = added(FULL).replace("/var/tmp/imdsd/bearer", "/elsewhere/bearer")
    left = says(taken(after))
    assert left["containerEnv"] == {
        "PAGER": "less",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/elsewhere/bearer",
    }


def test_a_comment_on_a_line_of_ours_is_not_lost():
    after = added("{}").replace("\n  },", " // why\n  },", 1)
    assert "// why" in after
    assert "// why" in taken(after)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', 3, "JSON: found expecting ',' delimiter, at '\"b\": 2 }'"),
        ('{\n  "a": 1,\n', 3, "JSON: found"),
        ('{"a": 1} x', 1, "JSON: found something after the end, at 'x'"),
        ("{\n  a: 1\n}", 2, "JSON: found"),
        ("{\n  'a': 1\n}", 2, "JSON: found"),
        ('{\n  "a": [1,,]\n}', 2, "JSON: found"),
        ("{,}", 1, "JSON: found"),
        ('{\n  "a": NaN\n}', 2, "JSON: found"),
        ('{ /* unending\n "a": 1 }', 1, "JSON: found"),
        ('{\n  "a": "x\n}', 2, "JSON: found"),
        ("// nothing\n", 2, "JSON: found"),
        ("[" * 100_000, 1, "JSON: found"),
        ('{\n  "containerEnv": []\n}', 2, "containerEnv: found [], expected an object"),
        ('{"a": 1,\n "a": 2}', 1, "a: found it twice, expected it once"),
        ("[]", 1, "the file: found [], expected an object"),
    ],
)
def test_what_is_broken_is_named_with_its_line(text, line, problem):
    message = refusal(text)
    assert message.startswith(f"d.json:{line}: {problem}"), message
    assert "nothing was changed" in message


@pytest.mark.parametrize("has", ["pipx", "uv"])
def test_the_package_reaches_what_installs_it_as_one_word(tmp_path, has):
    for name in ("pipx", "uv"):
        program = tmp_path / name
        program.write_text(
            '#!/bin/sh\nprintf "%s\\n" "$0" "$@"\n' if name == has else "#!/bin/sh\nexit 1\n"
        )
        program.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.defpath}"}
    words = ("sh", "-c", OnaTerms("arn", None, "imdsd[x] @ git+https://h/it's").install_command)
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == str(tmp_path / has)
    assert done.stdout.splitlines()[-1] == "imdsd[x] @ git+https://h/it's"


def test_only_a_command_of_ours_is_known_as_ours():
    assert installs(COMMAND)
    for other in ("pipx install imdsd", f"{COMMAND} && npm ci", ["pipx"], None, "'", ""):
        assert not installs(other)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    members=st.dictionaries(st.text(max_size=5), values, max_size=4),
    env=st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), min_size=1),
    indent=st.sampled_from([None, 1, 2, 4, "\t"]),
    escaped=st.booleans(),
)
def test_any_object_is_added_to_and_comes_back(members, env, indent, escaped):
    value = {**members, **({"containerEnv": env} if env else {})}
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)
    after = added(text)
    merged = says(after)
    assert_ours_in(merged)
    assert {key: merged[key] for key in members} == members
    assert taken(after) == text


@given(
    members=st.dictionaries(st.sampled_from("abc"), values, min_size=1),
    env=st.none() | st.dictionaries(st.text(max_size=3), st.text(max_size=5), min_size=1),
    indent=st.sampled_from([1, 4, "\t"]),
    last_comma=st.booleans(),
    data=st.data(),
)
def test_comments_stay_wherever_they_stand(members, env, indent, last_comma, data):
    value = {**members, **({"containerEnv": env} if env else {})}
    lines = json.dumps(value, indent=indent).split("\n")
    if last_comma:
        lines[-2] += ","
    odd = st.sampled_from(["", " // one", " /* two */", " /* three\n */", "\n\t// four", "\n"])
    text = "".join(f"{line}{data.draw(odd)}\n" for line in lines)
    after = added(text)
    assert_ours_in(says(after))
    kept = iter(after)
    assert all(character in kept for character in text)
    assert taken(after) == text


def test_a_variable_of_somebody_else_without_a_value_stays():
    text = '{"containerEnv": {"THEIRS": null}}\n'
    assert taken(added(text)) == text
