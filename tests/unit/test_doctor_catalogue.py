"""Each thing that the doctor can say is said in a test, and in the documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imdsd.doctor.catalogue import diagnoses
from imdsd.doctor.finding import Diagnosis, Level

TESTS = Path(__file__).parents[1]
ALL = diagnoses()


def named_in_tests():
    text = "\n".join(path.read_text() for path in TESTS.rglob("test_doctor_*.py"))
    return set(re.findall(r'"((?:[a-z0-9]+)\.[a-z0-9-]+)"', text))


@pytest.mark.parametrize("diagnosis", ALL, ids=lambda each: each.code)
def test_a_finding_has_a_test(diagnosis):
    assert diagnosis.code in named_in_tests()


@pytest.mark.parametrize("diagnosis", ALL, ids=lambda each: each.code)
def test_what_is_wrong_has_a_remedy_and_what_is_right_has_none(diagnosis):
    assert bool(diagnosis.remedy) is (diagnosis.level in (Level.WARNING, Level.FAILURE))
    assert re.fullmatch(r"[a-z0-9]+\.[a-z0-9-]+", diagnosis.code)


def test_every_diagnosis_is_in_the_catalogue():
    house = TESTS.parent / "imdsd/doctor"
    names = re.findall(
        r"(?m)^[A-Z_]+ = (?:Diagnosis|_failure|_warning)\(",
        "\n".join(path.read_text() for path in house.rglob("*.py")),
    )
    assert len(names) == len(ALL)
    assert len({each.code for each in ALL}) == len(ALL)
    assert all(isinstance(each, Diagnosis) for each in ALL)
