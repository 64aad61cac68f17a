"""Every case that once broke something, in the ordinary run."""

import pytest

from tests.fuzz.target import CRASHES, SHARES, kept, load

CASES = sorted(CRASHES.glob("*/*"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_once_broke_a_promise_does_so_no_more(path):
    load(path.parent.name).check(path.read_bytes())


@pytest.mark.parametrize("name", SHARES)
def test_what_mutation_begins_with_breaks_no_promise(name):
    target = load(name)
    for case in (*target.seeds, *kept(name)):
        target.check(case)


def test_every_kept_case_is_of_a_target():
    assert {path.parent.name for path in CASES} <= SHARES.keys()
