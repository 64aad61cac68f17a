"""How flags and variables become a configuration file that a service can start from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from imdsd.config.options import OPTIONS, aws_layer, flag_layer, variable_layer
from imdsd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imdsd.config.options import Layer

# A service has none of the variables of the shell that installs it.
_FROM_AWS_VARIABLES = {"role": ("arn", "session_name"), "": ("region", "ca_bundle")}


def given_flags(flags: Mapping[str, object]) -> list[str]:
    """Return the flags of the configuration that were given."""
    return [option.flag for option in OPTIONS if flags.get(option.name) is not None]


def file_text(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    more: Mapping[str, object] | None = None,
) -> bytes:
    """Return a file that says what flags and variables say; `more` are keys of the top level."""
    tables = _tables(aws_layer(environ), variable_layer(environ), flag_layer(flags))
    top = {**(more or {}), **tables.get("", {})}
    top.pop("config", None)
    lines = ["# Written by `imdsd install`. Yours to edit: docs/configuration.md has every key."]
    lines += _lines(top)
    if token := tables.get("token"):
        lines += ["", "[token]", *_lines(token)]
    if role := tables.get("role"):
        lines += ["", "[[role]]", *_lines(role)]
    return ("\n".join(lines) + "\n").encode()


def _tables(weakest: Layer, *layers: Layer) -> dict[str, dict[str, object]]:
    tables: dict[str, dict[str, object]] = {}
    for table, keys in _FROM_AWS_VARIABLES.items():
        found = weakest.get(table, {})
        tables[table] = {key: found[key].value for key in keys if key in found}
    for layer in layers:
        for table, settings in layer.items():
            values = {key: setting.value for key, setting in settings.items()}
            tables.setdefault(table, {}).update(values)
    return tables


def _lines(table: Mapping[str, object]) -> Iterator[str]:
    return (f"{key} = {_value(value)}" for key, value in table.items())


def _value(value: object) -> str:
    """Return a value as TOML; raises UsageError for text that TOML has no form for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} is no text that a configuration file can hold") from None
    # Of what TOML wants escaped, JSON leaves DEL alone (TOML 1.0, String).
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
