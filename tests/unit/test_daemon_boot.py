"""From a configuration file to the roles in service."""

from __future__ import annotations

import os

import pytest

from imdsd.config import load
from imdsd.credentials.schedule import LEAST_INTERVAL_SECONDS
from imdsd.daemon.boot import Boot, build_roles, define_roles
from imdsd.host.runtime_directory import RuntimeDirectory
from imdsd.telemetry.metrics import Metrics
from tests.fakes.clock import ManualClock
from tests.fakes.refresh import FakePublisher

ARN = "arn:aws:iam::123456789012:role/{}"
COMMAND = '[token]\ncommand = "print-a-token"\n'
VARIABLE = '[token]\nvariable = "THE_TOKEN"\n'
CHAINED = f'chain = ["{ARN.format("next")}"]\n'


def role(name="dev", more=""):
    return f'[[role]]\nname = "{name}"\narn = "{ARN.format(name)}"\n{more}'


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "imdsd.toml"
        path.write_text(f'region = "eu-central-1"\n{text}')
        return load(flags={"config": str(path)}, environ={}, usual=())

    return read


@pytest.fixture
def boot(read, tmp_path):
    """Make a boot of a text; every directory is given back at the end."""
    directories = []

    def boot(text, *, clock=None, **options):
        environ = {"IMDSD_RUNTIME_DIR": str(tmp_path / "run")}
        directories.append(RuntimeDirectory.acquire(environ, uid=os.geteuid()))
        return Boot(
            read(text),
            directories[-1],
            {},
            clock=clock or ManualClock(),
            read_config=lambda: read(text),
            **options,
        )

    yield boot
    for directory in directories:
        directory.close()


def roles_of(boot):
    return build_roles(boot, FakePublisher(), Metrics("0"))


def terms_of(config):
    return [definition.terms for definition in define_roles(config, environ={})]


def test_every_role_is_in_service_under_its_names(boot):
    text = COMMAND + role("one", 'aliases = ["uno"]\n') + role("two", "default = true\n")
    roles = roles_of(boot(text))
    assert [definition.name for definition, _ in roles] == ["one", "two"]
    assert roles.default is roles.find("two")
    assert roles.find("uno") is roles.find("one")
    assert roles.find("three") is None


def test_what_a_role_says_are_its_terms(read):
    more = (
        'session_name = "me"\nduration_seconds = 900\npolicy_arns = ["arn:aws:iam::aws:policy/A"]\n'
        'region = "us-west-2"\nsts_endpoint_url = "https://sts.example.com"\n'
        f'allowed_account_ids = ["123456789012"]\n{CHAINED}'
    )
    (terms,) = terms_of(read('[token]\ncommand = "x"\naudience = "else"\n' + role(more=more)))
    assert (terms.role_arn, terms.final_arn) == (ARN.format("dev"), ARN.format("next"))
    assert (terms.session_name, terms.duration_seconds) == ("me", 900)
    assert terms.policy_arns == ("arn:aws:iam::aws:policy/A",)
    assert (terms.region, terms.sts_endpoint_url) == ("us-west-2", "https://sts.example.com")
    assert (terms.audience, terms.allowed_account_ids) == ("else", ("123456789012",))


@pytest.mark.parametrize(
    ("token", "more", "seconds"),
    [
        (COMMAND, "", 3600),
        (VARIABLE, "", 43200),
        (VARIABLE, CHAINED, 3600),
        (VARIABLE, "duration_seconds = 1800\n", 1800),
        (COMMAND, "duration_seconds = 7200\n", 7200),
    ],
)
def test_a_token_that_cannot_be_minted_again_asks_for_the_longest_session(
    read, token, more, seconds
):
    (terms,) = terms_of(read(token + role(more=more)))
    assert terms.duration_seconds == seconds


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (COMMAND, VARIABLE),
        (COMMAND, '[token]\ncommand = "print-another"\n'),
        (VARIABLE, '[token]\nvariable = "OTHER_TOKEN"\n'),
        ('[token]\nfile = "/run/one"\n', '[token]\nfile = "/run/other"\n'),
        ('[token]\nurl = "https://a.example/"\n', '[token]\nurl = "https://b.example/"\n'),
    ],
)
def test_another_token_source_makes_other_terms(read, one, other):
    assert terms_of(read(one + role())) != terms_of(read(other + role()))


def test_the_terms_hold_no_header_of_a_token_source(read):
    text = '[token]\nurl = "https://a.example/"\nheaders = { X-Key = "canary-0123" }\n'
    (terms,) = terms_of(read(text + role()))
    assert "https://a.example/" in terms.source
    assert "canary" not in repr(terms)


def test_the_same_configuration_read_again_makes_the_same_terms(read):
    text = VARIABLE + role("one") + role("two", f"default = true\n{CHAINED}")
    assert terms_of(read(text)) == terms_of(read(text))


def test_files_are_no_part_of_the_terms(read):
    files = '[role.files]\ncredentials_file = "/run/c"\n'
    assert terms_of(read(COMMAND + role(more=files))) == terms_of(read(COMMAND + role()))


async def test_a_mint_leaves_a_stamp_for_the_next_start(boot):
    clock = ManualClock()
    started = boot(VARIABLE + role(), clock=clock)
    assert started.directory.seconds_until_mint(clock.now()) == 0
    assert await roles_of(started).default.refresh() is not None
    assert started.directory.seconds_until_mint(clock.now()) == 5


def test_the_first_mint_after_a_kill_keeps_its_distance_from_the_last(boot):
    clock = ManualClock()
    killed = boot(VARIABLE + role(), clock=clock)
    killed.directory.stamp_mint(clock.now())
    killed.directory.close()
    clock.step(2)
    roles = roles_of(boot(VARIABLE + role(), clock=clock))
    assert roles.default.seconds_until_due() == pytest.approx(3)


def test_without_a_kill_the_first_mint_is_due_at_once(boot):
    assert roles_of(boot(VARIABLE + role())).default.seconds_until_due() == 0


def test_a_fleet_spreads_its_first_mints(boot):
    text = "startup_spread_seconds = 600\n" + VARIABLE + role()
    waits = set()
    for _ in range(3):
        started = boot(text)
        waits.add(roles_of(started).default.seconds_until_due())
        started.directory.close()
    assert len(waits) > 1
    assert all(0 <= wait <= 600 for wait in waits)


def test_only_a_demo_lowers_the_least_interval(boot):
    assert boot(COMMAND + role()).least_interval_seconds == LEAST_INTERVAL_SECONDS == 60
