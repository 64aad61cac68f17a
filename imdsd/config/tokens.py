"""The only module that knows what a [token] table means: from its keys to the source that mints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from imdsd.config import parsers
from imdsd.config.model import DEFAULT_AUDIENCE, TokenConfig
from imdsd.config.tables import ExpectedError, Setting, Settings, Table, problem_of, shown
from imdsd.errors import nearest
from imdsd.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsd.credentials.model import TokenSource
    from imdsd.errors import Problem

P = TypeVar("P")

_NAMING_KEYS = {"command": "command", "file": "file", "http": "url", "variable": "variable"}
"""The key that each source needs; alone, it also chooses the source."""

_COMPANIONS = {"headers": "url", "pointer": "url"}
_SOURCE_KEYS = frozenset({"source", *_NAMING_KEYS.values(), *_COMPANIONS})

_audience = parsers.matching(r"[!-~]{1,255}", "1 to 255 visible characters without spaces")
_variable = parsers.matching(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable")
_pointer = parsers.matching(
    r"(/([^~/]|~[01])*)*", 'a JSON pointer (RFC 6901) such as /value, or "" for the whole body'
)
_words = parsers.of_type(tuple[str, ...], "a list of texts, or one text")
_header_name = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)


def overlay(weaker: Settings, stronger: Settings) -> dict[str, Setting]:
    """Return both layers as one; a stronger one that chooses a source replaces it wholly."""
    if _SOURCE_KEYS & stronger.keys():
        weaker = {key: value for key, value in weaker.items() if key not in _SOURCE_KEYS}
    return {**weaker, **stronger}


def read_token(
    settings: Settings, *, environ: Mapping[str, str], problems: list[Problem]
) -> TokenConfig:
    """Return the source that these settings choose; what is wrong is noted."""
    table = Table(settings, problems)
    home = environ.get("HOME")
    return TokenConfig(
        source=_choose(table),
        audience=table.read("audience", _audience, DEFAULT_AUDIENCE),
        command=table.read("command", _filled_in(_command), ()),
        file=table.read("file", parsers.path(home), None),
        url=table.read("url", _filled_in(parsers.url), ""),
        headers=_headers(table, environ, problems),
        pointer=table.read("pointer", _pointer, "/value"),
        variable=table.read("variable", _variable, ""),
        timeout_seconds=table.read("timeout_seconds", parsers.seconds(0.1, 120), 10.0),
    )


def _choose(table: Table) -> str:
    named = [source for source, key in _NAMING_KEYS.items() if key in table]
    for key, needed in _COMPANIONS.items():
        if key in table and needed not in table:
            table.refuse(key, ExpectedError(f"{needed} beside it", found=f"{key} alone"))
    if "source" in table:
        return _explicit(table, named)
    if len(named) > 1:
        keys = " and ".join(_NAMING_KEYS[source] for source in named)
        hint = "keep one of them; one source mints"
        table.refuse(_NAMING_KEYS[named[1]], ExpectedError("one source", found=keys, hint=hint))
    return named[0] if named else "auto"


def _explicit(table: Table, named: list[str]) -> str:
    source = table.read("source", parsers.choice("auto", *_NAMING_KEYS), "auto")
    needed = _NAMING_KEYS.get(source)
    if needed is not None and needed not in table:
        expected = f"{needed} beside it"
        table.refuse("source", ExpectedError(expected, found=f'"{source}" without {needed}'))
    for other in named:
        if other != source:
            key = _NAMING_KEYS[other]
            refusal = ExpectedError(f"no {key} there", found=f'{key} beside source = "{source}"')
            table.refuse(key, refusal)
    return source


def _command(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return _split(value)
    words = _words(value)
    if not words or not words[0] or any("\0" in word for word in words):
        raise ExpectedError("a list of texts, the first a program's name")
    return words


def _filled_in(parse: parsers.Parser[P]) -> parsers.Parser[P]:
    """Refuse a misspelt placeholder: it would reach the issuer as it stands."""

    def checked(value: object) -> P:
        parsed = parse(value)
        words = " ".join(parsed) if isinstance(parsed, tuple) else str(parsed)
        for name in re.findall(r"(?<!\$)\{([A-Za-z_]+)\}", words):
            # Other words in braces are a shell's, awk's or jq's own.
            if name != "audience" and nearest(name, ("audience",)):
                raise ExpectedError("{audience}, the only placeholder", found=f"{{{name}}}")
        return parsed

    return checked


def _split(text: str) -> tuple[str, ...]:
    from imdsd.tokens.command import split_command

    try:
        return split_command(text)
    except ValueError as error:
        # The command itself is not shown: it may hold what should not be in a log.
        expected = "a command as a shell would read it"
        raise ExpectedError(expected, found="a text", hint=str(error)) from None


def _headers(
    table: Table, environ: Mapping[str, str], problems: list[Problem]
) -> dict[str, Secret]:
    setting = table.setting("headers")
    if setting is None:
        return {}
    headers: dict[str, Secret] = {}
    for name, value in table.read("headers", parsers.table, {}).items():
        try:
            headers[name] = _header(name, value, environ)
        except ExpectedError as refusal:
            place = Setting(None, setting.source, f"{setting.key}.{name}")
            problems.append(problem_of(place, refusal))
    return headers


def _header(name: str, value: object, environ: Mapping[str, str]) -> Secret:
    """Return a header's value with each ${NAME} filled in; no message repeats a value."""
    if not _header_name.fullmatch(name):
        raise ExpectedError("the name of an HTTP header", found=shown(name))
    if not isinstance(value, str):
        raise ExpectedError("a text in quotes", found=f"a {type(value).__name__}")
    filled = _fill(value, environ)
    if not filled.isascii() or not filled.isprintable():
        found = "a value (not shown) with a character that no header may hold"
        raise ExpectedError("printable ASCII on one line", found=found)
    return Secret(filled)


def _fill(template: str, environ: Mapping[str, str]) -> str:
    parts = re.split(r"\$\{(\w+)\}", template, flags=re.ASCII)
    if any("${" in literal for literal in parts[::2]):
        raise ExpectedError("${NAME} with the name of a variable", found="${ without a name and }")
    for name in parts[1::2]:
        if not environ.get(name):
            hint = f"set {name} for the daemon, or take the reference out"
            raise ExpectedError(f"{name} to be set", found=f"no variable {name}", hint=hint)
    parts[1::2] = [environ[name] for name in parts[1::2]]
    return "".join(parts)


def build_source(
    config: TokenConfig, *, environ: Mapping[str, str], ca_bundle: Path | None
) -> TokenSource:
    """Return the source that a configuration describes, its libraries loaded only now."""
    timeout_seconds = config.timeout_seconds
    match config.source, config.file:
        case "command", _:
            from imdsd.tokens.command import CommandSource

            argv = [word.replace("{audience}", config.audience) for word in config.command]
            return CommandSource(argv, environ=environ, timeout_seconds=timeout_seconds)
        case "file", Path() as path:
            from imdsd.tokens.file import FileSource

            return FileSource(path)
        case "http", _:
            return _http_source(config, ca_bundle)
        case "variable", _:
            from imdsd.tokens.variable import VariableSource

            return VariableSource(config.variable, environ=environ)
    from imdsd.tokens.ambient import AmbientSource

    return AmbientSource(
        environ, audience=config.audience, timeout_seconds=timeout_seconds, ca_bundle=ca_bundle
    )


def _http_source(config: TokenConfig, ca_bundle: Path | None) -> TokenSource:
    from imdsd.tokens.http import HttpSource

    return HttpSource(
        config.url.replace("{audience}", quote(config.audience, safe="")),
        headers=config.headers,
        pointer=config.pointer,
        ca_bundle=ca_bundle,
        timeout_seconds=config.timeout_seconds,
    )
