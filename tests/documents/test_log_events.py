"""Every event that the code logs is in docs/log-events.md, as it is logged, and no other is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.documents.blocks import ROOT
from tests.documents.prose import codes_in, prose_of, rows, text_of

LEVELS = {"debug", "info", "warning", "error"}
PAGES = ("configuration.md", "refresh.md", "token-sources.md", "how-to/instance.md", "metadata.md")


@dataclass(frozen=True, slots=True)
class Logged:
    """One call of a logger; the level is empty where it is decided when it runs."""

    event: str
    level: str
    fields: frozenset[str]
    has_more: bool


def level_of(called: ast.expr) -> str | None:
    """Return the level that a function logs at, or None when it does not log."""
    match called:
        case ast.Attribute(value=ast.Name(id="log"), attr=level) if level in LEVELS:
            return level
        case ast.Call(func=ast.Name(id="getattr"), args=[ast.Name(id="log"), _]):
            return ""
        case ast.Attribute(value=ast.Call(func=ast.Attribute(attr="get_logger")), attr="log"):
            return ""
    return None


def logged() -> Iterator[Logged]:
    for path in sorted((ROOT / "imdsd").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            level = level_of(node.func) if isinstance(node, ast.Call) else None
            if level is not None:
                (event,) = [
                    each.value
                    for each in node.args
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                ]
                names = {word.arg for word in node.keywords}
                fields = {"exception" if name == "exc_info" else name for name in names}
                yield Logged(event, level, frozenset(fields - {None, "role"}), None in names)


CALLS = {each.event: each for each in logged()}
TABLE = {row[0].strip("`"): row[1:] for row in rows(text_of("log-events.md"))[1:]}


def test_the_table_has_the_events_of_the_code():
    assert set(TABLE) == set(CALLS)


def test_no_logger_has_a_name_that_these_tests_do_not_know():
    source = "\n".join(path.read_text() for path in (ROOT / "imdsd").rglob("*.py"))
    bound = len(re.findall(r"\blog = (?:structlog\.)?get_logger\(__name__\)", source))
    assert source.count("get_logger(") - bound == source.count("get_logger(record.name).log(") == 1


@pytest.mark.parametrize("event", CALLS)
def test_an_event_is_described_as_it_is_logged(event):
    level, means, fields = TABLE[event]
    call = CALLS[event]
    assert level == (call.level or level)
    assert level in LEVELS
    assert means
    if call.has_more:
        assert codes_in(fields) >= call.fields
    else:
        assert codes_in(fields) == call.fields


@pytest.mark.parametrize("page", PAGES)
def test_an_event_that_a_page_names_exists(page):
    # Two words and a verb in the past: what is so called elsewhere is a key or a metric.
    named = {
        code
        for code in codes_in(prose_of(text_of(page)))
        if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*_(\w+ed|lost|busy|missing|serving|stopping)", code)
    }
    assert named <= {*CALLS, "last_reload_successful"}
