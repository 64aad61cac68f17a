"""The changes that are made, the list of survivors, and the published result."""

import ast

import pytest

from tests.documents.prose import rows
from tests.mutation import survivors
from tests.mutation.constants import changes
from tests.mutation.copying import ROOT, undecorate_properties
from tests.mutation.modules import MODULES
from tests.mutation.mutant import KILLED, SURVIVED, TIMEOUT, Mutant, change_of, changed_lines
from tests.mutation.report import score, table

LISTED = survivors.listed(MODULES)


def mutant(change="- a\n+ b", outcome=SURVIVED):
    return Mutant("m.py", "f", change, outcome)


def survivor(change="- a\n+ b"):
    return survivors.Survivor("m.py", "f", change, "because")


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("N = 1", ["N = 2"]),
        ("N: float = 0.5", ["N: float = 1.5"]),
        ("N = 'é'; M = 1", ["N = 'another é'; M = 1", "N = 'é'; M = 2"]),
        ("T = (a, b)", ["T = (b)", "T = (a,)"]),
        ("T = (\n    a,\n    b,\n)", ["T = (\n    b,\n)", "T = (\n    a,\n)"]),
        ("T = (a, b, c)", ["T = (b, c)", "T = (a, c)", "T = (a, b)"]),
        ("T = (\n    a,  # why\n    b,\n    c,\n)", ["T = (\n    b,\n    c,\n)"]),
        ("class C:\n    n: int = 1", ["class C:\n    n: int = 2"]),
        ("B = True", ["B = False"]),
        ("def f():\n    return 1", []),
        ("log = get(__name__)", []),
    ],
)
def test_constants_are_changed_and_rows_left_out(source, changed):
    found = [text for _, text in changes(source)]
    assert found[: len(changed)] == changed
    assert bool(found) == bool(changed)


@pytest.mark.parametrize("module", MODULES)
def test_every_change_of_a_constant_is_a_module_still(module):
    source = (ROOT / module).read_text()
    for _, changed in changes(source):
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))


@pytest.mark.parametrize("module", MODULES)
def test_no_property_of_a_module_is_left_out(module):
    found = undecorate_properties((ROOT / module).read_text())
    assert "@property" not in found
    assert compile(found, module, "exec")


def test_a_property_without_its_decorator_is_a_property():
    source = "class C:\n    @property\n    def a(self):\n        return 1\n\n    b = 2\n"
    names = {}
    exec(undecorate_properties(source), names)
    assert (names["C"]().a, names["C"].b) == (1, 2)


def test_a_change_is_the_lines_that_differ_without_their_indent():
    assert change_of("x\n    a\ny", "x\n    b\ny") == "- a\n+ b"
    assert changed_lines(["--- f", "+++ f", "@@ -1 +1 @@", " x", "-    a", "+    b"]) == "- a\n+ b"


def test_a_survivor_is_known_as_often_as_it_is_listed():
    twice = [mutant(), mutant()]
    assert survivors.unlisted(twice, [survivor()]) == [mutant()]
    assert survivors.unlisted(twice, [survivor(), survivor()]) == []
    assert survivors.unlisted([mutant("- a\n+ c")], [survivor()]) == [mutant("- a\n+ c")]


def test_what_is_listed_and_survives_no_more_is_gone():
    assert survivors.gone([], [survivor()]) == [survivor()]
    assert survivors.gone([mutant()], [survivor(), survivor()]) == [survivor()]
    assert survivors.gone([mutant()], [survivor()]) == []


def test_what_never_ends_is_noticed_too():
    mutants = [mutant(outcome=outcome) for outcome in (KILLED, TIMEOUT, KILLED, SURVIVED)]
    assert score(mutants) == 75
    assert rows(table(mutants).as_markdown())[1:] == [
        ["`m.py`", "4", "3", "1", "1", "75.0 %"],
        ["all", "4", "3", "1", "1", "75.0 %"],
    ]


@pytest.mark.parametrize("known", LISTED, ids=lambda known: f"{known.module}:{known.where}")
def test_a_listed_survivor_has_a_reason_and_changes_lines_that_are_there(known):
    assert known.module in MODULES
    assert known.reason
    lines = {line.strip() for line in (ROOT / known.module).read_text().splitlines()}
    taken = [line[2:] for line in known.change.splitlines() if line.startswith("- ")]
    assert taken
    assert set(taken) <= lines, "the code changed: run make mutants"
