"""`imdsd install` and `uninstall`, on a machine below a temporary root."""

from __future__ import annotations

import os
import tempfile
import tomllib
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from imdsd.clock import SystemClock
from imdsd.config import load
from imdsd.errors import ConfigurationError, InstallError, UsageError
from imdsd.host.aws_credentials_file import ProfileKeys, write_profile
from imdsd.install.system import CONFIGURATION, RECEIPT
from imdsd.secret import Secret
from tests.fakes.installer import ARN, Site
from tests.system.machine import need_root

FLAGS = ("--role-arn", ARN, "--region", "eu-west-1")


@pytest.fixture
def site(tmp_path):
    need_root()
    return Site(tmp_path, uid=0)


@pytest.fixture
def own(tmp_path):
    """A machine on which a user installs."""
    return Site(tmp_path)


# --system


def test_the_system_is_served_after_one_command(site, capsys):
    assert site.install("--system", "--add-user", "bob", *FLAGS) == 0
    assert site.commands.up == {"imdsd.socket", "imdsd.service"} == site.commands.enabled
    assert site.commands.groups == {"imdsd": ["bob"]}
    order = site.commands.done
    assert [line.split()[0] for line in order] == ["systemd-sysusers", "usermod", "systemctl", "systemctl"]  # fmt: skip
    assert "write " + str(site.root / "etc/systemd/system/imdsd.service") in capsys.readouterr().out


def test_its_configuration_serves_the_group(site):
    site.install("--system", "--token-command", 'issuer "a b" --aud {audience}', *FLAGS)
    path = site.root / "etc/imdsd/config.toml"
    config = load(flags={"config": str(path)}, environ={})
    assert (config.bearer_group, config.allow_groups) == ("imdsd", ("imdsd",))
    assert config.roles[0].arn == ARN
    assert config.roles[0].token.command == ("issuer", "a b", "--aud", "{audience}")


def test_what_the_system_gets_runs_the_interpreter_that_installs(site):
    site.install("--system", *FLAGS)
    (site.root / "etc/zsh").mkdir()
    for name in ("systemd/system/imdsd.service", "profile.d/imdsd.sh"):
        assert "/usr/bin/python3 -P -m imdsd" in (site.root / "etc" / name).read_text()


@pytest.mark.parametrize("more", [(), ("--link-local",), ("--add-user", "bob")])
def test_a_second_run_has_nothing_to_do(site, more, capsys):
    site.install("--system", *more, *FLAGS)
    before, done = site.everything(), list(site.commands.done)
    capsys.readouterr()
    assert site.install("--system", *more, *FLAGS) == 0
    assert capsys.readouterr().out == "nothing to do\n"
    assert (site.everything(), site.commands.done) == (before, done)


@pytest.mark.parametrize(
    "more", [(), ("--link-local",), ("--add-user", "bob"), ("--for-user", "alice")]
)
def test_nothing_is_left_of_the_system(site, more):
    for place in ("zsh", "fish", "profile.d"):
        (site.root / "etc" / place).mkdir()
    (site.root / "etc/zsh/zshenv").write_bytes(b"# theirs, without an end")
    before = site.everything()
    site.install("--system", *more, *FLAGS)
    assert site.everything() != before
    site.uninstall("--system")
    assert site.everything() == before
    assert (site.commands.enabled, site.commands.up) == (set(), set())
    assert (site.commands.users, site.commands.groups) == ({"alice", "bob"}, {})


def test_an_account_that_was_there_stays(site):
    site.commands.users.add("imdsd")
    site.commands.groups["imdsd"] = ["carol"]
    site.install("--system", "--add-user", "bob", *FLAGS)
    site.uninstall("--system")
    assert site.commands.groups == {"imdsd": ["carol"]}
    assert "imdsd" in site.commands.users


def test_a_group_that_was_there_stays_though_its_user_was_made(site):
    site.commands.groups["imdsd"] = ["carol"]
    site.install("--system", "--add-user", "bob", *FLAGS)
    site.uninstall("--system")
    assert (site.commands.users, site.commands.groups) == ({"alice", "bob"}, {"imdsd": ["carol"]})


def test_an_interpreter_that_is_refused_is_told_before_sudo_is_asked_for(tmp_path):
    site = Site(tmp_path, uid=1000)
    site.interpreter = site.home / "venv/bin/python3"
    with pytest.raises(InstallError, match="the system cannot start"):
        site.install("--system", *FLAGS)


def test_only_root_changes_the_system(tmp_path):
    site = Site(tmp_path, uid=1000)
    for verb in (site.install, site.uninstall):
        with pytest.raises(InstallError, match="takes root: sudo /usr/bin/python3 -P -m imdsd"):
            verb("--system", *(FLAGS if verb == site.install else ()))


def test_an_interpreter_in_a_home_is_refused_with_what_to_do(site):
    site.private = (site.interpreter.parent,)
    before = site.everything()
    with pytest.raises(InstallError, match="a home or temporary directory; install imdsd where") as caught:  # fmt: skip
        site.install("--system", *FLAGS)
    assert "sudo python3 -m venv /opt/imdsd" in str(caught.value)
    assert site.everything() == before


def test_without_systemd_running_units_are_enabled_and_a_person_is_told(tmp_path, capsys):
    need_root()
    site = Site(tmp_path, systemd=False, uid=0)
    site.install("--system", *FLAGS)
    assert site.commands.enabled == {"imdsd.socket", "imdsd.service"}
    assert site.commands.up == set()
    assert "systemd does not run here" in capsys.readouterr().err
    site.uninstall("--system")
    assert site.commands.enabled == set()


def test_without_any_systemd_the_system_is_refused(tmp_path):
    need_root()
    site = Site(tmp_path, systemd=False, uid=0)
    site.commands.installed = False
    with pytest.raises(InstallError, match="imdsd install --user"):
        site.install("--system", *FLAGS)


def test_a_unit_that_changed_is_taken_over_by_a_restart(site):
    site.install("--system", *FLAGS)
    site.interpreter = site.interpreter.with_name("python3.11")
    site.commands.done.clear()
    site.install("--system", *FLAGS)
    assert site.commands.done == ["systemctl daemon-reload", "systemctl restart imdsd.service"]


def test_a_socket_that_is_new_starts_before_the_service(site):
    site.install("--system", *FLAGS)
    site.commands.done.clear()
    site.install("--system", "--link-local", *FLAGS)
    units = "imdsd-link-local.socket imdsd.socket imdsd.service"
    assert site.commands.done == [
        "systemctl daemon-reload",
        f"systemctl enable {units}",
        f"systemctl stop {units}",
        f"systemctl start {units}",
    ]


def test_a_new_configuration_restarts_the_service_and_not_its_socket(site):
    site.install("--system", *FLAGS)
    site.commands.done.clear()
    site.install("--system", "--role-arn", ARN, "--region", "eu-west-2")
    assert site.commands.done == ["systemctl restart imdsd.service"]


@pytest.fixture
def on_ec2(site):
    vendor = site.root / "sys/class/dmi/id/sys_vendor"
    vendor.parent.mkdir(parents=True)
    vendor.write_text("Amazon EC2\n")


def test_the_metadata_service_of_an_instance_is_not_hidden_by_accident(site, on_ec2):
    before = site.everything()
    with pytest.raises(
        InstallError, match=r"sys_vendor is Amazon EC2(?s:.*)hide_ec2_services = true"
    ):
        site.install("--system", "--link-local", *FLAGS)
    assert site.everything() == before
    site.install("--system", *FLAGS)
    assert site.commands.up


def test_where_the_configuration_allows_it_the_units_do_too(site, on_ec2):
    path = site.root / "etc/imdsd/config.toml"
    path.parent.mkdir()
    path.write_text(f'hide_ec2_services = true\n[[role]]\narn = "{ARN}"\n')
    before = site.everything()
    site.install("--system", "--link-local")
    drop_in = "etc/systemd/system/imdsd-address.service.d/hide-ec2-services.conf"
    assert (site.root / drop_in).read_text() == "[Unit]\nConditionFirmware=\n"
    site.uninstall("--system")
    assert site.everything() == before


def test_a_stopped_daemon_is_started_again(site):
    site.install("--system", *FLAGS)
    site.commands.up.clear()
    site.install("--system", *FLAGS)
    assert site.commands.up == {"imdsd.socket", "imdsd.service"}


def test_who_is_new_in_the_group_is_told_to_log_in_again(site, capsys):
    site.install("--system", "--add-user", "alice", "--add-user", "bob", *FLAGS)
    assert "alice and bob must log in again" in capsys.readouterr().err
    site.install("--system", "--add-user", "bob", *FLAGS)
    assert "log in again" not in capsys.readouterr().err


def test_a_daemon_of_a_user_needs_no_account_and_shares_no_bearer(site):
    site.install("--system", "--for-user", "alice", *FLAGS)
    assert site.commands.up == {"imdsd@alice.service"}
    assert site.commands.groups == {}
    written = tomllib.loads((site.root / "etc/imdsd/config.toml").read_text())
    assert written == {"region": "eu-west-1", "role": [{"arn": ARN}]}


def test_a_daemon_of_a_user_takes_the_configuration_in_their_home(site):
    own = site.home / ".config/imdsd/config.toml"
    own.parent.mkdir(parents=True)
    own.write_text(f'[[role]]\narn = "{ARN}"\n')
    site.install("--system", "--for-user", "alice")
    assert not (site.root / "etc/imdsd").exists()


@pytest.mark.parametrize("more", [(), FLAGS])
def test_a_daemon_of_a_user_takes_nothing_from_the_daemon_of_the_machine(site, more):
    site.install("--system", *FLAGS)
    before = site.everything()
    with pytest.raises(
        InstallError, match=r"alice write .*/\.config/imdsd/config\.toml, with a \["
    ):
        site.install("--system", "--for-user", "alice", *more)
    assert site.everything() == before
    own = site.home / ".config/imdsd/config.toml"
    own.parent.mkdir(parents=True)
    own.write_text(f'listen = ["127.0.0.1:9255"]\n[[role]]\narn = "{ARN}"\n')
    site.install("--system", "--for-user", "alice")
    assert "imdsd@alice.service" in site.commands.up


# Questions


def test_a_file_of_somebody_else_is_not_replaced_without_a_word(site):
    unit = site.root / "etc/systemd/system/imdsd.service"
    unit.write_text("theirs\n")
    before = site.everything()
    with pytest.raises(InstallError, match=r"imdsd\.service stands there already(?s:.*)--yes"):
        site.install("--system", *FLAGS)
    assert site.everything() == before
    assert site.commands.done == []


def test_a_person_is_asked_and_may_say_no(site):
    (site.root / "etc/systemd/system/imdsd.socket").write_text("theirs\n")
    before = site.everything()
    site.answers = [False]
    with pytest.raises(InstallError, match="Nothing was done"):
        site.install("--system", *FLAGS)
    assert site.everything() == before


@pytest.mark.parametrize("agreed", ["asked", "--yes"])
def test_what_a_person_had_replaced_comes_back_byte_for_byte(site, agreed):
    unit = site.root / "etc/systemd/system/imdsd.service"
    unit.write_bytes(b"theirs\xff\r\n")
    unit.chmod(0o640)
    before = site.everything()
    site.answers = [True] if agreed == "asked" else None
    site.install("--system", *FLAGS, *([] if agreed == "asked" else ["--yes"]))
    assert b"theirs" not in unit.read_bytes()
    site.uninstall("--system")
    assert site.everything() == before


def test_a_unit_that_was_changed_by_hand_is_asked_about(site):
    site.install("--system", *FLAGS)
    unit = site.root / "etc/systemd/system/imdsd.service"
    unit.write_text(unit.read_text() + "# mine\n")
    for verb in ("install", "uninstall"):
        with pytest.raises(InstallError, match="was changed since it was installed"):
            site.run(verb, "--system")
    assert site.commands.up
    site.uninstall("--system", "--yes")
    assert not unit.exists()


# The configuration


def test_without_a_role_nothing_is_installed(site):
    before = site.everything()
    with pytest.raises(ConfigurationError, match="--role-arn"):
        site.install("--system")
    assert site.everything() == before


def test_a_mistake_is_told_by_the_flag_that_made_it(site):
    with pytest.raises(ConfigurationError, match=r"--duration-seconds: .*found 5"):
        site.install("--system", "--duration-seconds", "5", *FLAGS)


def test_a_configuration_that_is_there_is_left_as_it_is(site):
    path = site.root / "etc/imdsd/config.toml"
    path.parent.mkdir()
    path.write_text(f'[[role]]\narn = "{ARN}"\n')
    site.install("--system")
    site.uninstall("--system")
    assert path.read_text() == f'[[role]]\narn = "{ARN}"\n'


def test_a_broken_configuration_is_told_before_anything_is_done(site):
    path = site.root / "etc/imdsd/config.toml"
    path.parent.mkdir()
    path.write_text("rol = 1")
    before = site.everything()
    with pytest.raises(ConfigurationError, match="did you mean"):
        site.install("--system")
    assert site.everything() == before


def test_flags_replace_a_configuration_of_somebody_else_only_when_agreed(site):
    path = site.root / "etc/imdsd/config.toml"
    path.parent.mkdir()
    path.write_text("# theirs\n")
    with pytest.raises(InstallError, match=r"config\.toml stands there already"):
        site.install("--system", *FLAGS)


def test_an_edited_configuration_outlives_the_daemon(site, capsys):
    site.install("--system", *FLAGS)
    path = site.root / "etc/imdsd/config.toml"
    path.write_text(path.read_text() + "# mine\n")
    site.uninstall("--system")
    assert path.exists()
    assert "was edited and is kept; --purge removes it too" in capsys.readouterr().err


def test_an_edited_configuration_is_not_lost_to_the_one_before_it(own, capsys):
    path = own.home / ".config/imdsd/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("# before\n")
    own.install("--user", "--yes", *FLAGS)
    path.write_text("# edited\n")
    own.uninstall("--user", "--yes")
    assert path.read_text() == "# edited\n"
    assert "was edited and is kept; --purge puts back what was before" in capsys.readouterr().err


def test_purge_puts_back_the_one_before_it(own):
    path = own.home / ".config/imdsd/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("# before\n")
    own.install("--user", "--yes", *FLAGS)
    path.write_text("# edited\n")
    own.uninstall("--user", "--purge")
    assert path.read_text() == "# before\n"


@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_marks_that_are_no_pair_are_told_with_their_file(own, verb):
    own.install("--shell", "bash")
    (own.home / ".bashrc").write_text("mine\n# >>> imdsd >>>\n")
    with pytest.raises(InstallError, match=r"alice/\.bashrc: line 2: the marks"):
        own.run(verb, "--shell", *(["bash"] if verb == "install" else []))


def test_purge_removes_it_too(site):
    before = site.everything()
    site.install("--system", *FLAGS)
    path = site.root / "etc/imdsd/config.toml"
    path.write_text("# mine\n")
    site.uninstall("--system", "--purge")
    assert site.everything() == before


@pytest.mark.parametrize("scope", ["--system", "--user"])
def test_a_kept_configuration_that_is_purged_later_leaves_no_folder(request, scope):
    place = request.getfixturevalue("site" if scope == "--system" else "own")
    folder = place.root / "etc/imdsd" if scope == "--system" else place.home / ".config/imdsd"
    place.install(scope, *FLAGS)
    (folder / "config.toml").write_text("# mine\n")
    place.uninstall(scope)
    assert folder.exists()
    place.uninstall(scope, "--purge")
    assert not folder.exists()


def test_a_configuration_that_is_written_anew_is_warned_of(site, capsys):
    site.install("--system", *FLAGS, "--token-file", "/var/run/token")
    site.install("--system", "--add-user", "alice")
    assert "written anew" not in capsys.readouterr().err
    site.install("--system", *FLAGS, "--dry-run")
    told = capsys.readouterr()
    assert "config.toml is written anew of these flags" in told.err
    assert '-file = "/var/run/token"' in told.out


def test_flags_that_name_no_role_are_told_as_such(site):
    with pytest.raises(ConfigurationError, match="flags and variables: role: found no role"):
        site.install("--system", "--region", "eu-central-1")


def test_the_role_that_the_environment_names_is_written_down_for_the_service(own):
    own.environ |= {"IDP_AWS_ROLE_ARN": ARN, "AWS_REGION": "eu-west-3"}
    own.install("--user")
    written = tomllib.loads((own.home / ".config/imdsd/config.toml").read_text())
    assert written == {"region": "eu-west-3", "role": [{"arn": ARN}]}


# --user


def test_a_user_is_served_after_one_command(own, capsys):
    assert own.install("--user", *FLAGS) == 0
    assert own.commands.up == {"imdsd.service"} == own.commands.enabled
    assert (own.root / "var/lib/systemd/linger/alice").exists()
    assert "run loginctl enable-linger alice: have the daemon start at boot" in capsys.readouterr().out  # fmt: skip
    for name in (".bashrc", ".profile"):
        assert b"imdsd env" in (own.home / name).read_bytes()


def test_nothing_is_left_of_a_user(own):
    (own.home / ".bashrc").write_bytes(b"alias ll='ls -l'")
    (own.home / ".zshrc").write_bytes(b"")
    (own.home / ".config/fish").mkdir(parents=True)
    before = own.everything()
    own.install("--user", *FLAGS)
    own.uninstall("--user")
    after = own.everything()
    after.pop("var/lib/systemd", None), after.pop("var/lib/systemd/linger", None)
    assert after == before
    assert own.commands.enabled == set()


def test_lingering_that_was_on_stays_on(own):
    linger = own.root / "var/lib/systemd/linger/alice"
    linger.parent.mkdir(parents=True)
    linger.touch()
    own.install("--user", *FLAGS)
    own.uninstall("--user")
    assert linger.exists()


def test_lingering_that_is_refused_is_no_obstacle(own, capsys):
    own.commands.fails["loginctl"] = "Access denied"
    assert own.install("--user", *FLAGS) == 0
    assert "have an administrator run: loginctl enable-linger alice" in capsys.readouterr().out
    assert own.commands.up == {"imdsd.service"}


def test_without_systemd_a_user_gets_shells_and_a_hint(tmp_path, capsys):
    site = Site(tmp_path, systemd=False)
    assert site.install("--user", *FLAGS) == 0
    assert site.commands.done == []
    assert not (site.home / ".config/systemd").exists()
    assert "let the service manager that there is run `imdsd serve`" in capsys.readouterr().err
    assert b"imdsd env" in (site.home / ".bashrc").read_bytes()


def test_without_a_session_a_user_is_told_how_to_get_one(own):
    own.commands.manager = False
    before = own.everything()
    with pytest.raises(InstallError, match="sudo loginctl enable-linger alice"):
        own.install("--user", *FLAGS)
    assert own.everything() == before


def test_a_service_manager_with_another_folder_is_told_before_it_fails(own):
    own.environ["XDG_CONFIG_HOME"] = str(own.home / "elsewhere")
    with pytest.raises(InstallError, match=r"elsewhere here, and not set for your service manager"):
        own.install("--user", *FLAGS)
    own.commands.variables += f"XDG_CONFIG_HOME={own.home}/elsewhere\n"
    own.install("--user", *FLAGS)
    assert (own.home / "elsewhere/systemd/user/imdsd.service").exists()


def test_root_does_not_write_into_the_home_of_somebody_else(tmp_path):
    site = Site(tmp_path, uid=4242)
    with pytest.raises(InstallError, match="run it as that user, without sudo"):
        site.install("--user", *FLAGS)


@pytest.mark.parametrize(
    ("words", "files"),
    [
        ("bash", {".bashrc", ".profile"}),
        ("zsh", {".zshenv"}),
        ("fish", {".config/fish/conf.d/imdsd.fish"}),
        ("zsh, bash", {".bashrc", ".profile", ".zshenv"}),
        ("none", set()),
    ],
)
def test_shells_can_be_chosen(own, words, files):
    own.install("--user", "--shell", words, *FLAGS)
    found = {str(path.relative_to(own.home)) for path in own.home.rglob("*") if path.is_file()}
    service = {".config/systemd/user/imdsd.service", ".config/imdsd/config.toml"}
    assert found - service - {".local/state/imdsd/install.json"} == files


def test_shells_alone_need_no_service_and_no_role(own):
    own.install("--shell", "zsh")
    assert own.commands.done == []
    assert {path.name for path in own.home.iterdir()} == {".zshenv", ".local"}
    own.uninstall("--shell")
    assert list(own.home.iterdir()) == []


def test_the_login_file_that_bash_would_read_is_taken(own):
    (own.home / ".bash_login").touch()
    own.install("--shell", "bash")
    assert {path.name for path in own.home.iterdir()} == {".bashrc", ".bash_login", ".local"}


def test_two_names_of_one_file_are_one_file(own):
    (own.home / ".bashrc").write_text("# mine\n")
    (own.home / ".profile").symlink_to(".bashrc")
    before = own.everything()
    own.install("--shell", "bash")
    assert (own.home / ".bashrc").read_text().count(">>> imdsd >>>") == 1
    own.uninstall("--shell")
    assert own.everything() == before


TWO_ROLES = f"""
[[role]]
name = "dev"
default = true
arn = "{ARN}"
[[role]]
name = "ops"
arn = "{ARN}-ops"
"""


def test_further_roles_get_profiles_that_go_when_they_go(own):
    path = own.home / ".config/imdsd/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(TWO_ROLES)
    aws = own.home / ".aws/config"
    own.install("--user")
    assert aws.read_text().count("[profile ") == 1
    assert "--role ops\nregion = us-east-1" in aws.read_text()
    path.write_text(TWO_ROLES.partition('[[role]]\nname = "ops"')[0])
    own.install("--user")
    assert aws.read_text() == ""
    own.uninstall("--user")
    assert not aws.parent.exists()


def test_profiles_can_be_left_out(own):
    path = own.home / ".config/imdsd/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(TWO_ROLES)
    own.install("--user", "--no-profiles")
    assert not (own.home / ".aws").exists()


def test_a_profile_that_is_there_already_stops_everything(own):
    path = own.home / ".config/imdsd/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(TWO_ROLES)
    (own.home / ".aws").mkdir()
    (own.home / ".aws/config").write_text("[profile ops]\nregion = x\n")
    before = own.everything()
    with pytest.raises(
        InstallError, match=r"\.aws/config: line 1: there is a profile 'ops' already"
    ):
        own.install("--user")
    assert own.everything() == before


# What is asked for


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say for whom: --user or --system"),
        (("--user", "--link-local"), "--link-local goes with --system"),
        (("--user", "--add-user", "bob"), "--add-user goes with --system"),
        (("--system", "--for-user", "bob", "--link-local"), "--for-user goes with neither"),
        (("--system", "--shell", "bash"), "are for a user"),
        (("--system", "--listen", "127.0.0.1:1"), "imdsd.socket has the address"),
        (("--shell", "bash", "--region", "x"), "--region goes with --user or --system"),
    ],
)
def test_what_does_not_go_together_is_refused(site, words, message):
    with pytest.raises(UsageError, match=message):
        site.install(*words)


def test_a_user_that_there_is_not_is_refused(site):
    with pytest.raises(InstallError, match="no user 'mallory'"):
        site.install("--system", "--add-user", "mallory", *FLAGS)


# Profiles of `login`


@pytest.fixture
def written(own):
    """A file of credentials with keys of theirs, a session of `login`, one that is kept fresh."""
    path = own.home / ".aws/credentials"
    path.parent.mkdir()
    path.write_text(f"{THEIRS}\n")
    for profile, note in (("imdsd-dev", "login"), ("imdsd-ops", "serve, which keeps it fresh")):
        keys = ProfileKeys("ASIA", Secret("the-key"), Secret("the-token"), EXPIRES, note)
        write_profile(path, profile, keys, uid=own.uid, pause=SystemClock().pause)
    return path


THEIRS = "[mine]\naws_access_key_id = AKIA\n"
EXPIRES = datetime(2030, 1, 1, tzinfo=UTC)
BOTH = "imdsd-dev until 2030-01-01T00:00:00Z, imdsd-ops until 2030-01-01T00:00:00Z"


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_credentials_that_are_left_are_named_with_the_way_to_take_them_out(
    own, written, more, capsys
):
    own.install("--user", *FLAGS)
    before = written.read_bytes()
    own.uninstall("--user", *more)
    told = capsys.readouterr()
    assert f"{written} keeps credentials that imdsd wrote, which may be in use: {BOTH}" in told.err
    assert "`imdsd uninstall --credentials` takes them out" in told.err
    assert "the-" not in told.out + told.err
    assert written.read_bytes() == before


def test_the_credentials_that_imdsd_wrote_are_taken_out_and_no_others(own, written, capsys):
    before = written.read_bytes()
    assert own.uninstall("--credentials", "--dry-run") == 0
    assert written.read_bytes() == before
    shown = capsys.readouterr().out
    assert own.uninstall("--credentials") == 0
    told = capsys.readouterr()
    assert told.out == shown
    assert [line.partition(": ")[2].split(",")[0] for line in shown.splitlines()] == [
        "without the profile imdsd-dev", "without the profile imdsd-ops",
    ]  # fmt: skip
    assert "the-" not in told.out + told.err
    assert written.read_text().strip() == THEIRS.strip()
    own.uninstall("--credentials")
    assert capsys.readouterr().out == "nothing to do\n"


def test_the_file_of_credentials_may_be_another_and_none_need_be_there(own, written, capsys):
    own.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(own.home / "none")
    own.uninstall("--user")
    assert "keeps credentials" not in capsys.readouterr().err
    written.rename(own.home / "none")
    own.uninstall("--user")
    assert f"{own.home}/none keeps credentials" in capsys.readouterr().err


def test_a_file_of_credentials_that_cannot_be_read_keeps_nobody_from_uninstalling(own, capsys):
    own.install("--user", *FLAGS)
    (own.home / ".aws/credentials").mkdir(parents=True)
    assert own.uninstall("--user") == 0
    assert "whether profiles that imdsd wrote are left cannot be told" in capsys.readouterr().err


@pytest.mark.parametrize("scope", ["--system", "--ona"])
def test_credentials_are_a_users(own, scope):
    with pytest.raises(UsageError, match="--credentials is for a user: run it without"):
        own.uninstall(scope, "--credentials")


# --dry-run


def test_a_dry_run_shows_every_file_and_command_and_touches_nothing(site, capsys):
    (site.root / "etc/zsh").mkdir()
    (site.root / "etc/zsh/zshenv").write_text("# theirs\n")
    before = site.everything()
    site.install("--system", "--dry-run", *FLAGS)
    shown = capsys.readouterr().out
    assert (site.everything(), site.commands.done) == (before, [])
    site.install("--system", *FLAGS)
    done = capsys.readouterr().out.splitlines()
    assert [line for line in shown.splitlines() if not line.startswith("    ")] == done
    for path in (site.root / "etc").rglob("*.service"):
        for line in path.read_text().splitlines():
            assert f"    {line}\n" in shown
    assert "     # theirs\n    +# >>> imdsd >>>\n" in shown


def test_a_dry_run_shows_the_way_back_too(site, capsys):
    site.install("--system", *FLAGS)
    before, done = site.everything(), list(site.commands.done)
    capsys.readouterr()
    site.uninstall("--system", "--dry-run")
    assert "run systemctl disable --now imdsd.socket imdsd.service: stop" in capsys.readouterr().out
    assert (site.everything(), site.commands.done) == (before, done)


@contextmanager
def a_reader(uid=12345):
    """Be a user who may read what is everybody's, and nothing else."""
    group = os.getegid()
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


@pytest.fixture
def readable(site):
    """A machine that others may look around on; pytest's own folder they may not enter."""
    with tempfile.TemporaryDirectory(prefix="imdsd-site-") as root:
        place = Path(root)
        place.chmod(0o755)
        yield Site(place, uid=0)


def plan_of_a_reader(site, capsys, verb, *words):
    """Have a plan shown to somebody else; return it, and what is said beside it."""
    before, done = site.everything(), list(site.commands.done)
    capsys.readouterr()
    site.uid = 12345
    with a_reader():
        assert site.run(verb, "--system", "--dry-run", *words) == 0
    site.uid = 0
    assert (site.everything(), site.commands.done) == (before, done)
    told = capsys.readouterr()
    return told.out, told.err


def test_anybody_may_see_what_would_be_installed(readable, capsys):
    words = ("--add-user", "bob", *FLAGS)
    out, err = plan_of_a_reader(readable, capsys, "install", *words)
    readable.install("--system", "--dry-run", *words)
    as_root = capsys.readouterr()
    assert out == as_root.out != "nothing to do\n"
    beside = err.replace(as_root.err, "")
    assert beside.startswith("imdsd: without --dry-run this is refused: `imdsd install --system`")
    assert "takes root: sudo /usr/bin/python3 -P -m imdsd install --system" in beside
    assert "only root may read" not in err


def test_a_plan_says_which_files_it_could_not_read(readable, capsys):
    readable.install("--system", *FLAGS)
    configuration, receipt = (readable.root / each for each in (CONFIGURATION, RECEIPT))
    out, err = plan_of_a_reader(readable, capsys, "install")
    assert out == "nothing to do\n"
    assert f"only root may read {receipt}: the plan cannot take into account" in err
    configuration.parent.chmod(0o700)
    for words in ((), FLAGS, ("--link-local",), ("--for-user", "alice", *FLAGS)):
        _, err = plan_of_a_reader(readable, capsys, "install", *words)
        assert str(receipt) in err
        assert str(configuration) in err


def test_anybody_may_see_what_would_be_taken_back(readable, capsys):
    readable.install("--system", *FLAGS)
    out, err = plan_of_a_reader(readable, capsys, "uninstall")
    assert f"remove {readable.root}/etc/systemd/system/imdsd.service" in out
    assert f"only root may read {readable.root / RECEIPT}: " in err
    assert "takes root: sudo /usr/bin/python3 -P -m imdsd uninstall --system" in err


def test_an_interpreter_that_would_be_refused_is_told_beside_the_plan(site, capsys):
    site.private = (site.interpreter.parent,)
    site.install("--system", "--dry-run", *FLAGS)
    told = capsys.readouterr()
    assert "imdsd.service: a unit of systemd" in told.out
    assert "imdsd: without --dry-run this is refused: the system cannot start" in told.err
    assert "sudo python3 -m venv /opt/imdsd" in told.err
    assert "takes root" not in told.err
    with pytest.raises(InstallError, match="a home or temporary directory"):
        site.install("--system", *FLAGS)


def test_an_interpreter_behind_a_closed_folder_is_told_beside_the_plan_of_a_reader(
    readable, capsys
):
    closed = readable.root / "closed"
    closed.mkdir(mode=0o700)
    (closed / "python3").touch()
    readable.interpreter = readable.root / "python3"
    readable.interpreter.symlink_to(closed / "python3")
    out, err = plan_of_a_reader(readable, capsys, "install", *FLAGS)
    assert "imdsd.service: a unit of systemd" in out
    assert "this is refused: the system cannot start" in err
    assert f"{readable.interpreter} may not be read by other users" in err


# Faults


def test_a_command_that_fails_says_what_is_done_and_how_to_go_on(site):
    site.commands.fails["systemctl enable"] = "Job for imdsd.service failed\n"
    before = site.everything()
    with pytest.raises(InstallError) as caught:
        site.install("--system", *FLAGS)
    text = str(caught.value)
    assert "`systemctl enable --now imdsd.socket imdsd.service` ended with 1: Job for" in text
    assert "Done before that:\n  write" in text
    site.commands.fails.clear()
    site.install("--system", *FLAGS)
    assert site.commands.up == {"imdsd.socket", "imdsd.service"}
    site.uninstall("--system")
    assert site.everything() == before


def test_a_file_that_changes_meanwhile_is_not_lost(site):
    unit = site.root / "etc/systemd/system/imdsd.service"
    unit.write_text("theirs")

    def somebody_else(question):
        unit.write_text("theirs, and new")
        return True

    site.answers = []
    site.answer = somebody_else
    with pytest.raises(InstallError, match=r"imdsd\.service changed in this moment; run it again"):
        site.install("--system", *FLAGS)
    assert unit.read_text() == "theirs, and new"


def test_what_was_interrupted_can_be_taken_back(site):
    before = site.everything()
    site.commands.fails["systemd-sysusers"] = "no"
    with pytest.raises(InstallError):
        site.install("--system", *FLAGS)
    site.commands.fails.clear()
    site.uninstall("--system")
    assert site.everything() == before


def test_an_uninstall_that_fails_goes_on_where_it_ended(site):
    before = site.everything()
    site.install("--system", *FLAGS)
    site.commands.fails["userdel"] = "user imdsd is currently used by process 7"
    with pytest.raises(InstallError, match="used by process 7"):
        site.uninstall("--system")
    site.commands.fails.clear()
    site.uninstall("--system")
    assert site.everything() == before
    assert "imdsd" not in site.commands.users


def test_a_lost_receipt_leaves_nothing_of_the_system_but_the_account(site):
    before = site.everything()
    site.install("--system", "--link-local", *FLAGS)
    (site.root / "var/lib/imdsd/install.json").unlink()
    site.uninstall("--system", "--purge")
    left = {name for name in site.everything() if name not in before}
    assert left == {name for name in left if name in {"etc/imdsd", "etc/profile.d", "etc/sysusers.d", "var/lib/imdsd"}}  # fmt: skip
    assert site.commands.enabled == set()


def test_a_lost_receipt_leaves_nothing_of_a_user_but_empty_files(own):
    (own.home / ".bashrc").write_text("mine\n")
    own.install("--user", "--shell", "bash,fish", *FLAGS)
    (own.home / ".local/state/imdsd/install.json").unlink()
    own.uninstall("--user", "--purge")
    files = {path.name: path.read_text() for path in own.home.rglob("*") if path.is_file()}
    assert files == {".bashrc": "mine\n", ".profile": ""}


def test_a_receipt_that_is_none_is_told(own):
    receipt = own.home / ".local/state/imdsd/install.json"
    receipt.parent.mkdir(parents=True)
    receipt.write_text("{}")
    with pytest.raises(InstallError, match="is no receipt of an installation"):
        own.uninstall("--user")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"version": 1', '"version": 2'),
        ('"kind": "block"', '"kind": 7'),
        ('"existed": false', '"existed": false, "later": 1'),
        ('"folders": [', '"folders": [7,'),
    ],
)
def test_a_receipt_of_another_shape_is_not_guessed_at(own, old, new):
    own.install("--shell", "bash")
    receipt = own.home / ".local/state/imdsd/install.json"
    text = receipt.read_text()
    assert old in text
    receipt.write_text(text.replace(old, new))
    with pytest.raises(InstallError, match="is no receipt of an installation"):
        own.uninstall("--shell")


def test_the_receipt_is_for_its_owner_alone(own):
    own.install("--shell", "bash")
    receipt = own.home / ".local/state/imdsd/install.json"
    assert receipt.stat().st_mode & 0o777 == 0o600


def test_one_part_can_be_taken_out_and_the_rest_later(own):
    (own.home / ".bashrc").write_text("mine\n")
    before = set(own.everything())
    own.install("--user", *FLAGS)
    own.uninstall("--shell")
    assert (own.home / ".bashrc").read_text() == "mine\n"
    assert own.commands.up == {"imdsd.service"}
    own.uninstall("--user")
    assert {name for name in own.everything() if "var/lib/systemd" not in name} == before


def test_what_will_be_asked_is_shown_in_a_dry_run(site, capsys):
    (site.root / "etc/systemd/system/imdsd.service").write_text("theirs\n")
    site.install("--system", "--dry-run", *FLAGS)
    assert "    asked first: " in capsys.readouterr().out


def test_a_unit_that_is_up_but_not_enabled_is_enabled(site):
    site.install("--system", *FLAGS)
    site.commands.enabled.clear()
    site.commands.done.clear()
    site.install("--system", *FLAGS)
    assert site.commands.done == ["systemctl enable imdsd.socket imdsd.service"]


def test_a_group_that_outlived_its_user_goes_too(site):
    site.install("--system", *FLAGS)
    site.commands.users.remove("imdsd")
    site.uninstall("--system")
    assert site.commands.groups == {}


def test_shells_of_the_system_alone_can_be_taken_out(site):
    before = site.everything()
    site.install("--system", *FLAGS)
    site.uninstall("--system", "--shell")
    assert not (site.root / "etc/profile.d/imdsd.sh").exists()
    assert site.commands.up
    site.uninstall("--system")
    assert site.everything() == before


def test_nothing_to_uninstall_is_no_failure(own, capsys):
    assert own.uninstall("--user") == 0
    assert capsys.readouterr().out == "nothing to do\n"
