"""Our service in other people's automations.yaml: added, and taken out, and all else as it was."""

import re
import string

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from imdsd.errors import ConfigurationError
from imdsd.install.ona.automations import start_command, with_service, without_service
from imdsd.install.ona.service import OnaTerms, region_in

ARN = "arn:aws:iam::123456789012:role/dev"
SERVICE = OnaTerms(ARN, "eu-central-1").service
NAME = "aws-credentials"

FULL = """\
# What our environments run.
services:
  # The database comes first.
  database:   # PostgreSQL
    name: "PostgreSQL"
    triggeredBy: [postEnvironmentStart]
    commands:
      start: |
        docker run --rm   -t postgres:latest   # no comment

      # ready: pg_isready


tasks:   # by hand
    build: {name: Build, command: 'go build .'}
# The end.
"""


def added(text):
    return with_service(text, SERVICE, source="a.yaml")


def taken(text):
    return without_service(text, source="a.yaml")


def without_ours(text):
    """What a text says but for our service."""
    document = yaml.safe_load(text) or {}
    services = dict(document.get("services") or {})
    services.pop(NAME, None)
    return {**{k: v for k, v in document.items() if k != "services"}, "services": services}


def assert_only_added(before, after):
    assert yaml.safe_load(after)["services"][NAME] == SERVICE
    assert without_ours(after) == without_ours(before)


def refusal(text):
    with pytest.raises(ConfigurationError) as caught:
        added(text)
    return str(caught.value)


def test_the_service_stays_in_the_foreground_and_is_awaited_without_curl():
    document = yaml.safe_load(added(""))
    commands = document["services"][NAME]["commands"]
    assert commands["start"].splitlines()[-1] == (
        f"exec imdsd serve --standby --role-arn {ARN} --region eu-central-1"
    )
    assert commands["ready"].splitlines()[-1] == "exec imdsd wait --timeout 10"
    assert "postEnvironmentStart" in document["services"][NAME]["triggeredBy"]


def test_an_empty_file_is_filled_and_emptied_again():
    assert taken(added("")) is None


def test_a_file_of_comments_keeps_them():
    text = "# nothing yet\n"
    assert added(text).startswith(text + "services:\n")
    assert taken(added(text)) == text


def test_every_byte_of_a_full_file_is_kept():
    after = added(FULL)
    assert_only_added(FULL, after)
    at = after.index("  aws-credentials:")
    block = after[at : after.index("\n\n", at + 1)]
    assert after == FULL[:at] + after[at : at + len(after) - len(FULL)] + FULL[at:]
    assert "ready: pg_isready" in after[:at], block
    assert taken(after) == FULL


@pytest.mark.parametrize(
    "text",
    [
        "services:\n  web:\n    name: Web\n",
        "services:\n  web:\n    name: Web",
        "services:\n    web:\n        name: Web\ntasks: {}\n",
        "tasks:\n  build:\n    command: make\n",
        "tasks:\n  build:\n    command: |\n      make\n\n\n",
        "tasks:\n  build:\n    command: >-\n      make\n      all",
        "tasks:\n  build:\n    command: |+\n      make\n\n",
        "services: {web: {name: Web}}\n",
        "services:\n  {web: {name: Web}, other: {name: Other}}\n",
        '{"services": {"web": {"name": "Web"}}, "tasks": {}}\n',
        '{"tasks": {}}',
        "---\nservices:\n- \n".replace("- \n", "  web: {name: Web}\n"),
        "%YAML 1.1\n---\nservices:\n  web: {name: Web}\n...\n",
        "tasks: {}\n...\n",
        "services:\n  a: &common\n    name: A\n  b: *common\n",
        "services:\n  a: &common {name: A}\n  b: *common\ntasks:\n  c: *common\n",
        "\ufeffservices:\n  web:\n    name: Web\n",
        "\ufefftasks: {}\n",
        "services:\n  web:\n    name: Web\n  # the last word\n# not of the services\ntasks: {}\n",
    ],
)
def test_whatever_the_layout_it_is_added_and_taken_out_again(text):
    after = added(text)
    assert_only_added(text, after)
    assert added(after) == after
    # A line that did not end has an end now.
    assert taken(after) in (text, text + "\n")


@pytest.mark.parametrize(
    "text",
    [
        "services:\n",
        "services:",
        "services:   # none yet\ntasks: {}\n",
        "services:\n  # web:\n  #   name: Web\ntasks: {}\n",
        "services: {}\n",
        "services: ~\n",
        "services: null # none\ntasks: {}\n",
        "{}\n",
        "{}",
        "--- {}\n",
        "---\n",
        "---\n# nothing\n",
        "# nothing\n{}\n# at all\n",
    ],
)
def test_what_says_nothing_gives_way(text):
    after = added(text)
    assert_only_added(text, after)
    assert after.count("#") == text.count("#")
    left = taken(after)
    assert left is None or without_ours(left) == without_ours(text)
    assert (left or "").count("#") == text.count("#")


def test_lines_end_as_the_file_ends_its_lines():
    text = FULL.replace("\n", "\r\n")
    after = added(text)
    assert after.count("\n") == after.count("\r\n")
    assert yaml.safe_load(after)["services"][NAME] == SERVICE
    assert taken(after) == text


def test_comments_that_belong_to_what_is_before_stay_with_it():
    text = "services:\n  web:\n    name: Web\n    # triggeredBy: []\n\n# The tasks.\ntasks: {}\n"
    after = added(text)
    assert after.startswith("services:\n  web:\n    name: Web\n    # triggeredBy: []\n  aws-")
    assert after.endswith("\n\n# The tasks.\ntasks: {}\n")


def test_another_service_of_that_name_is_a_conflict_and_stays():
    text = f"services:\n  {NAME}:\n    name: Mine\n    commands: {{start: ./mine.sh}}\n"
    assert refusal(text) == (
        "a.yaml:2: services.aws-credentials: found it with the start command './mine.sh', expected"
        ' ours, with \'export IMDSD_RUNTIME_DIR=/var/tmp/imdsd PATH="$PATH:$HOME/.local/bin" exec'
        f" imdsd serve --standby --role-arn {ARN} --region eu-central-1'; nothing was changed:"
        " `imdsd uninstall --ona` takes it out if it is ours"
    )
    assert taken(text) == text


def test_another_role_is_a_conflict():
    other = OnaTerms("arn:aws:iam::123456789012:role/other").service
    with pytest.raises(ConfigurationError, match=r"role/dev.*role/other"):
        with_service(added(""), other, source="a.yaml")


def test_a_service_of_ours_that_was_added_to_is_taken_out_all_the_same():
    text = added("").replace("--standby", "--standby --duration-seconds 7200")
    assert taken(text) is None


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("services:\n  web: [\n", 3, "YAML: found"),
        ("services:\n  web: 'x\n", 3, "YAML: found a syntax error (found unexpected end of stream"),
        ("services:\n\tweb: x\n", 2, "YAML: found"),
        ("a: b: c\n", 1, "YAML: found a syntax error (mapping values are not allowed here"),
        ("tasks: {}\n---\nservices: {}\n", 2, "YAML: found"),
        ("tasks: {}\nnot yaml\x00\n", 2, "YAML: found"),
        ("x: *nowhere\n", 1, "YAML: found"),
        ("[" * 10_000, 1, "YAML: found too many levels"),
        ("- a\n- b\n", 1, "the file: found a list, expected a mapping"),
        ("just words\n", 1, "the file: found 'just words', expected a mapping"),
        ("tasks: {}\nservices: [a]\n", 2, "services: found a list, expected a mapping"),
        ("services: {}\nservices: {}\n", 2, "services: found it twice, expected it once"),
        (f"services:\n  {NAME}: yes\n", 2, "services.aws-credentials: "),
    ],
)
def test_what_is_broken_is_named_with_its_line(text, line, problem):
    message = refusal(text)
    assert message.startswith(f"a.yaml:{line}: {problem.removeprefix('services.')}"), message
    assert "nothing was changed" in message


def test_a_layout_that_would_change_something_else_too_is_refused():
    shared = "x: &shared\n  web: {name: Web}\nservices: *shared\n"
    message = refusal(shared)
    assert message.startswith("a.yaml:1: services: found a layout that cannot be added to safely")
    assert f'"{NAME}": {{"name": "AWS credentials"' in message
    assert message.endswith("nothing was changed: add it by hand")


def test_a_service_that_others_refer_to_is_not_taken_out():
    text = added("services:\n  web: {name: Web}\n").replace(f"{NAME}:", f"{NAME}: &ours")
    with pytest.raises(ConfigurationError, match="take it out by hand"):
        taken(f"{text}  copy: *ours\n")


ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize("text", ["tasks: &a\n  x: *a\n", "tasks: &a [*a]\n", ALIASES])
@pytest.mark.parametrize("verb", [added, lambda text: without_service(text, source="a.yaml")])
def test_aliases_without_an_end_are_told(text, verb):
    with pytest.raises(ConfigurationError, match=r"a\.yaml:1: YAML: found more than \d+ values"):
        verb(text)


def test_quotes_that_a_person_added_hide_no_region():
    start = str(SERVICE["commands"]["start"])
    assert region_in(f"# don't stop it\n{start}") == "eu-central-1"
    assert region_in(f"{start}# don't\n") == "eu-central-1"


def test_the_region_of_our_service_is_known_again():
    assert region_in(start_command(added(FULL), source="a.yaml")) == "eu-central-1"
    assert start_command(FULL, source="a.yaml") is None


words = st.text(string.ascii_lowercase, min_size=1, max_size=6)
lines = st.text("ab#:-'\"{}[]|>& \n", max_size=20)
documents = st.dictionaries(
    words,
    st.dictionaries(words, st.dictionaries(words, lines, max_size=2), max_size=3),
    max_size=3,
)


@given(
    document=documents,
    services=st.none() | st.dictionaries(words, st.dictionaries(words, lines), max_size=2),
    style=st.sampled_from([None, "|", ">", "'", '"']),
    flow=st.sampled_from([None, True, False]),
    indent=st.integers(2, 4),
)
def test_any_document_is_added_to_and_comes_back(document, services, style, flow, indent):
    if services is not None:
        document = {**document, "services": services}
    text = yaml.safe_dump(
        document, default_style=style, default_flow_style=flow, indent=indent, sort_keys=False
    )
    after = added(text)
    assert_only_added(text, after)
    left = taken(after)
    assert (without_ours(left) if left else {"services": {}}) == without_ours(text)
    if services:
        assert left == text


@given(document=documents, services=st.none() | documents, data=st.data())
def test_comments_and_empty_lines_stay_wherever_they_stand(document, services, data):
    if services:
        document = {**document, "services": services}
    lines = yaml.safe_dump(document, default_style=None, sort_keys=False, width=10_000).split("\n")
    odd = st.sampled_from(["", "# one", "  # two", "      # three", " "])
    text = "".join(f"{odd_one}\n{line}\n" for line in lines for odd_one in [data.draw(odd)])
    if "\\\n" in text or "'\n" in text:  # a comment between the lines of a text would be text
        return
    after = added(text)
    assert_only_added(text, after)
    assert comments_in(after) == comments_in(text)
    left = taken(after)
    assert comments_in(left or "") == comments_in(text)
    if services or (document and services is None):
        assert left == text


def comments_in(text):
    return [line for line in text.splitlines() if line.lstrip().startswith("#")]


def test_ona_knows_every_key_of_the_service():
    """It refuses a file with a field that it does not know (its API, UpsertAutomationsFile)."""
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", NAME)
    assert SERVICE.keys() <= {"name", "description", "triggeredBy", "commands", "role", "runsOn"}
    assert SERVICE["commands"].keys() <= {"start", "ready", "stop"}
    triggers = {"manual", "postEnvironmentStart", "postDevcontainerStart"}
    assert set(SERVICE["triggeredBy"]) <= triggers
