from __future__ import annotations

import pytest

from imdsd.doctor.chain.configuration import read_configuration
from imdsd.errors import UsageError
from tests.fakes.examined import codes, only

ARN = "arn:aws:iam::123456789012:role/dev"


def read(tmp_path, text=None, *, role_name=None, environ=None, **flags):
    path = tmp_path / "config.toml"
    if text is not None:
        path.write_text(text)
    return read_configuration(flags, environ or {}, role_name=role_name, usual=[path])


def test_a_sound_file_is_named_with_its_roles(tmp_path):
    reading = read(tmp_path, f'[[role]]\nname = "dev"\narn = "{ARN}"\nregion = "eu-west-1"\n')
    found = only(reading.findings, "configuration.sound")
    assert str(tmp_path / "config.toml") in found.found
    assert found.facts["roles"] == 1
    assert reading.subject.role.arn == ARN


def test_flags_do_without_a_file(tmp_path):
    reading = read(tmp_path, role_arn=ARN, region="eu-west-1")
    assert codes(reading.findings) == ["configuration.sound"]
    assert reading.subject.role.arn == ARN


def test_every_problem_is_told_with_its_remedy(tmp_path):
    reading = read(tmp_path, 'regoin = "eu-west-1"\nlog_level = "loud"\n')
    assert codes(reading.findings) == ["configuration.problem"] * 2
    assert reading.subject is None
    typo, level = sorted(reading.findings, key=lambda each: "loud" in each.found)
    assert "did you mean region?" in typo.remedy
    assert level.remedy == "correct it, then see `imdsd check-config`"


def test_a_file_that_is_no_toml_is_told(tmp_path):
    (found,) = read(tmp_path, "[[role\n").findings
    assert found.code == "configuration.problem"
    assert "valid TOML" in found.found


@pytest.mark.parametrize(
    "setting", ['allow_users = ["nobody-here"]', 'bearer_group = "nobody-here"']
)
def test_a_user_or_group_that_does_not_exist_is_told(tmp_path, setting):
    (found,) = read(tmp_path, f"{setting}\n").findings
    assert found.code == "configuration.problem"
    assert "nobody-here" in found.found


def test_a_warning_of_the_configuration_is_one_of_the_doctor(tmp_path):
    text = f'[[role]]\nname = "dev"\narn = "{ARN}"\nduration_seconds = 900\nregion = "eu-west-1"\n'
    found = only(read(tmp_path, text).findings, "configuration.warned")
    assert "900" in found.found
    assert found.remedy


def test_without_a_role_it_says_how_to_name_one(tmp_path):
    reading = read(tmp_path, "")
    assert "--role-arn ARN" in only(reading.findings, "configuration.no-role").remedy
    assert reading.subject.role is None
    assert reading.subject.token.source == "auto"


def test_a_role_is_chosen_by_name_or_alias_and_no_other_is_taken(tmp_path):
    text = "".join(
        f'[[role]]\nname = "{name}"\narn = "{ARN}"\naliases = ["a-{name}"]\n'
        f'region = "eu-west-1"\ndefault = {str(name == "one").lower()}\n'
        for name in ("one", "two")
    )
    assert read(tmp_path, text, role_name="a-two").subject.role.name == "two"
    assert read(tmp_path, text).subject.role.name == "one"
    with pytest.raises(UsageError, match="no role 'three', expected one of one, two"):
        read(tmp_path, text, role_name="three")
