"""automations.yaml and devcontainer.json, which are other people's: ours go in and out, all else stays."""

from __future__ import annotations

import yaml
from hypothesis import strategies as st

from imdsd.errors import ConfigurationError
from imdsd.install.ona.automations import start_command, with_service, without_service
from imdsd.install.ona.devcontainer import with_imdsd, without_imdsd
from imdsd.install.ona.jsonc import parse
from imdsd.install.ona.service import SERVICE, OnaTerms
from tests.fuzz.shapes import odd_texts, spoiled
from tests.fuzz.target import Target, assert_diagnoses

_TERMS = OnaTerms("arn:aws:iam::123456789012:role/dev", "eu-central-1", "imdsd @ git+https://x/y")
_SOURCE = "a file"


def check(data: bytes) -> None:
    """Take the bytes for the text of either file."""
    text = data.decode("utf-8", "replace")
    for edit in (_edit_automations, _edit_devcontainer):
        try:
            edit(text)
        except ConfigurationError as error:
            assert_diagnoses(error)


def _edit_automations(text: str) -> None:
    added = with_service(text, _TERMS.service, source=_SOURCE)
    if _is_plain(text):
        assert yaml.safe_load(added)["services"][SERVICE] == _TERMS.service
    assert start_command(added, source=_SOURCE) == _TERMS.service["commands"]["start"]
    assert with_service(added, _TERMS.service, source=_SOURCE) == added
    left = without_service(added, source=_SOURCE)
    assert left is None or start_command(left, source=_SOURCE) is None


def _is_plain(text: str) -> bool:
    """Whether PyYAML makes values of it, as it does of no key that is a list, and no unknown tag."""
    try:
        yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # a date that is none
        return False
    return True


def _edit_devcontainer(text: str) -> None:
    added = with_imdsd(
        text, variables=_TERMS.variables, command=_TERMS.install_command, source=_SOURCE
    )
    value = parse(added, source=_SOURCE).value
    assert isinstance(value, dict)
    assert value["containerEnv"].items() >= _TERMS.variables.items()
    left = without_imdsd(added, region=_TERMS.region, source=_SOURCE)
    if left is not None:
        assert not _TERMS.variables.keys() & _variables(left)


def _variables(text: str) -> set[str]:
    value = parse(text, source=_SOURCE).value
    assert isinstance(value, dict)
    return set(value.get("containerEnv", {}))


_LINES = (
    "services:", "  db:", "    name: x", "    commands: {start: 'x'}", "tasks: {}", "# c", "services: {}",
    "services: null", "  - a", "---", "...", "a: &x [1]", "b: *x", "? k", "{", "}", "services: [",
    "  aws-credentials:", "<<: {a: 1}", "!!python/object:os.system x", "\ta: 1", "x: |", "   text", "%YAML 1.1",
)  # fmt: skip
_MEMBERS = (
    '"image": "x"', '"containerEnv": {}', '"containerEnv": {"PAGER": "less",}', '"postCreateCommand": "a"',
    '"postCreateCommand": {"a": "b"}', '"onCreateCommand": ["a"]', '"portsAttributes": {"9254": {}}',
    "// c\n", "/* c */", '"a": NaN', '"containerEnv": 7', '"image": 1', '"x": [1,]', '"\\ud800": 1',
)  # fmt: skip
_SEEDS = (
    b"services:\n  # first\n  db:\n    name: x\ntasks:\n  build: {name: B, command: 'go'}\n",
    b"services: {db: {name: x}}\n",
    b"",
    b'{\n\t"name": "x", // c\n\t"containerEnv": {"PAGER": "less",},\n}\n',
    b'{"image": "x", "postCreateCommand": "npm ci"}',
)


def _lines(lines: list[str]) -> bytes:
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _object(members: list[str], newline: str) -> bytes:
    return ("{" + newline + f",{newline}".join(members) + newline + "}").encode(
        "utf-8", "surrogatepass"
    )


TARGET = Target(
    check,
    cases=st.one_of(
        st.lists(st.one_of(st.sampled_from(_LINES), odd_texts()), max_size=7).map(_lines),
        st.builds(
            _object,
            st.lists(st.one_of(st.sampled_from(_MEMBERS), odd_texts()), max_size=5),
            st.sampled_from(("\n", "\n\t", "", "\r\n  ")),
        ),
        spoiled(st.sampled_from(_SEEDS)),
    ),
    seeds=_SEEDS,
    longest=512,
)
