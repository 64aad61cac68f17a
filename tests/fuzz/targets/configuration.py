"""The configuration file, with the variables beside it: one checked `Config`, or every problem.

A case is TOML, and after a NUL, which TOML cannot hold, a variable a line.
"""

from __future__ import annotations

import atexit
import functools
import json
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from hypothesis import strategies as st

from imdsd.addresses import is_loopback
from imdsd.config import Config, load, unreloadable_changes
from imdsd.config.tables import KEYS
from imdsd.errors import ConfigurationError
from tests.fuzz.shapes import odd_values, spoiled
from tests.fuzz.target import Target, assert_diagnoses, assert_hides

CANARY = "canary/0123456789abcdef"
_ARN = "arn:aws:iam::123456789012:role/dev"
_PLACES = sorted((table, key) for table, keys in KEYS.items() for key in keys)


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="imdsd-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def check(data: bytes) -> None:
    """Write the file, set the variables, and load both."""
    document, _, variables = data.partition(b"\0")
    file = _folder() / "config.toml"
    file.write_bytes(document)
    environ = {"HOME": str(_folder()), **_environ(variables)}
    try:
        config = load(flags={}, environ=environ, usual=[file])
    except ConfigurationError as error:
        assert_diagnoses(error)
        if _is_secret_everywhere(document) and CANARY not in repr(environ):
            assert_hides(CANARY, str(error))
        _assert_not_meant_to_load(data)
    else:
        _assert_sound(config)


def _assert_not_meant_to_load(data: bytes) -> None:
    assert data not in MUST_LOAD, "a good configuration was refused"


def _environ(variables: bytes) -> dict[str, str]:
    # The system gives none with a NUL, and a name has no equals sign.
    lines = variables.replace(b"\0", b"").decode("utf-8", "surrogateescape").split("\n")
    pairs = (line.partition("=") for line in lines)
    return {name: value for name, equals, value in pairs if name and equals}


def _is_secret_everywhere(document: bytes) -> bool:
    """Whether the canary stands only where a secret does, or nobody can say where it stands."""
    try:
        tables = tomllib.loads(document.decode())
    except (ValueError, RecursionError):
        return True  # what is said of a syntax error quotes nothing
    return all(_is_secret(path, text) for path, text in _texts(tables) if CANARY in text)


def _texts(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Return all texts, keys among them, each with the keys that lead there."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield (), key
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, path)


def _is_secret(path: tuple[str, ...], text: str) -> bool:
    """Whether a text is a header's value, or the canary the user or the query of a URL."""
    if path[-3:-1] == ("token", "headers") or path[-4:-2] == ("role", "token", "headers"):
        return True
    shown = re.sub(r"//.*@", "", text.partition("?")[0], flags=re.DOTALL)
    return path[-2:] == ("token", "url") and CANARY not in shown


def _assert_sound(config: Config) -> None:
    """Hold what was loaded against the limits of AWS and of docs/configuration.md."""
    names = [name for role in config.roles for name in (role.name, *role.aliases)]
    assert len(names) == len(set(names))
    assert config.default_role in {role.name for role in config.roles}
    for role in config.roles:
        assert re.fullmatch(r"arn:aws[\w-]*:iam::\d{12}:role/[!-~]+", role.arn, re.ASCII)
        assert role.duration_seconds is None or 900 <= role.duration_seconds <= 43200
        assert role.region
        assert len(role.policy_arns) <= 10
        assert role.policy is None or "Statement" in json.loads(role.policy)
        assert role.sts_endpoint_url is None or _is_guarded(role.sts_endpoint_url)
        assert not role.token.url or _is_guarded(role.token.url)
    assert 0 <= config.startup_grace_seconds <= 3600
    assert all(0 <= listen.port <= 65535 for listen in config.listen)
    assert unreloadable_changes(config, config) == ()
    assert all(len(warning) < 1000 and warning.isprintable() for warning in config.warnings)


def _is_guarded(url: str) -> bool:
    parts = urlsplit(url)
    return parts.username is None and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    )


def _toml(value: object) -> str:
    """Write a value as TOML: in JSON's form where TOML has it too."""
    if isinstance(value, str):
        return json.dumps(value.encode("utf-8", "replace").decode())
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_toml(key)} = {_toml(item)}' for key, item in value.items())}}}"
    return '"null"' if value is None else str(value).lower()


def _file(
    lines: list[tuple[tuple[str, str], object]], role: list[str], variables: list[str]
) -> bytes:
    """Return a file with these settings in their tables, the usual role's before all else."""
    tables: dict[str, dict[str, object]] = {"": {}}
    for (table, key), value in lines:
        tables.setdefault(table, {})[key] = value
    text = "".join(f"{key} = {_toml(value)}\n" for key, value in tables.pop("").items())
    text += "\n".join(["[[role]]", *role, ""])
    for table, settings in tables.items():
        text += f"{_HEADINGS[table]}\n"
        text += "".join(f"{key} = {_toml(value)}\n" for key, value in settings.items())
    return text.encode() + b"\0" + "\n".join(variables).encode("utf-8", "surrogatepass")


def _token_table(settings: list[tuple[str, object]]) -> bytes:
    return _file([(("token", key), value) for key, value in settings], [f'arn = "{_ARN}"'], [])


_HEADINGS = {
    "listen": "[listen]",
    "role": "[[role]]",
    "files": "[role.files]",
    "token": "[token]",
    "metadata": "[metadata]",
    "interface": "[[metadata.interface]]",
    "event": "[[metadata.event]]",
}
_LIKELY = (
    _ARN, "dev", "127.0.0.1:9254", "[::1]:80", "eu-central-1", "https://h.example/", "http://127.0.0.1:1",
    f"https://u:{CANARY}@h.example", f"https://h example/?k={CANARY}", {"X-Key": CANARY}, {"X Key": CANARY},
    ["a"], 900, 43201, "10.0.0.1", "02:00:00:00:00:01", '{"Statement": []}', "{host}", "auto", "/dev/null",
    "command", ["get", "{audience}"], f"https://{CANARY}@", f"//{CANARY}@h", f"eyJ.{CANARY}", "us-gov-west-1",
    "fd00::1", "169.254.169.254:80", "~/x", "sg-0123456789abcdef0", {"latest/x": "y"}, [{"kind": "x"}],
)  # fmt: skip
_SECRET_SETTINGS = (
    ("url", f"https://u:{CANARY}@h.example"), ("url", f"https://h example/?k={CANARY}"), ("url", f"http://h/?{CANARY}"),
    ("url", f"https://{CANARY}@"), ("url", f"//{CANARY}@h"), ("headers", {"X-Key": CANARY}), ("headers", {"X Key": CANARY}),
    ("headers", {"": CANARY}), ("headers", {"X-Key": [CANARY]}), ("headers", {"X-Key": f"{CANARY}\n"}), ("headers", {"a": {"b": CANARY}}),
)  # fmt: skip
_VARIABLES = (
    f"IMDSD_ROLE_ARN={_ARN}", "IMDSD_LISTEN=127.0.0.1:1,", "IMDSD_ROLE_ARM=x", "AWS_REGION=", "AWS_REGION=x y",
    "IMDSD_DURATION_SECONDS=900", "IMDSD_DURATION_SECONDS=\u0669", "IMDSD_TOKEN_COMMAND='", "HOME=",
    "IMDSD_TOKEN_FILE=\udcff", "IMDSD_ALLOW_IMDSV1=maybe", "AWS_CA_BUNDLE=/", "IMDSD_PORT=tcp://x:1",
    "IMDSD_CONFIG=/dev/null", "IMDSD_CONFIG=/", "AWS_ROLE_SESSION_NAME={", "IMDSD_LOG_LEVEL=Debug", "=",
)  # fmt: skip
MUST_LOAD = (
    f'[[role]]\narn = "{_ARN}"\n'.encode(),
    f"\0IMDSD_ROLE_ARN={_ARN}".encode(),
)
_SEEDS = (
    *MUST_LOAD,
    f'[[role]]\narn = "{_ARN}"\n[token]\nsource = "http"\nurl = "https://{CANARY}@h"\n'.encode(),
    f'[token]\nurl = "https://h/?k={CANARY}"\nheaders = {{"X-Key" = "{CANARY}"}}\n'.encode(),
    f'listen = ["127.0.0.1:1", "x"]\nregion = "x"\n[[role]]\narn = "{_ARN}"\nname = "a"\n'.encode(),
    f'[[role]]\narn="{_ARN}"\nname="a"\ndefault=true\n[[role]]\narn="{_ARN}"\nname="a"\n'.encode(),
    b'[metadata]\ntags = {a = "b"}\n[[metadata.interface]]\nmac = "02:00:00:00:00:01"\n',
    b'[[metadata.event]]\nkind = "rebalance"\nafter_seconds = 1\n',
    b"a = [[[[[[[[{}]]]]]]]]\n'' = 1\n\"\\u001b\" = 2\n",
    f'policy = 1\n[[role]]\nsession_name = "{{x"\npolicy = "{{}}"\narn = "{_ARN}"\n'.encode(),
)

TARGET = Target(
    check,
    cases=st.one_of(
        st.builds(
            _file,
            st.lists(
                st.tuples(
                    st.sampled_from(_PLACES), st.one_of(st.sampled_from(_LIKELY), odd_values())
                ),
                max_size=5,
            ),
            st.sampled_from(([f'arn = "{_ARN}"'], [f'arn = "{_ARN}"'], [], ["x = 1"])),
            st.lists(st.sampled_from(_VARIABLES), max_size=2),
        ),
        st.lists(st.sampled_from(_SECRET_SETTINGS), min_size=1, max_size=2).map(_token_table),
        spoiled(st.sampled_from(_SEEDS)),
    ),
    seeds=_SEEDS,
    longest=1024,
)
