"""`imdsd install --ona` and `uninstall --ona`, in a repository below a temporary root."""

from __future__ import annotations

import json

import pytest
import yaml

from imdsd.errors import ConfigurationError, UsageError
from tests.fakes.installer import ARN, Site

FLAGS = ("--ona", "--role-arn", ARN, "--package", "imdsd==1")


@pytest.fixture
def site(tmp_path):
    """A user in a folder of a repository."""
    site = Site(tmp_path)
    site.folder = site.home / "work/src"
    site.folder.mkdir(parents=True)
    (site.home / "work/.git").mkdir()
    return site


def service(site):
    text = (site.home / "work/.ona/automations.yaml").read_text()
    return yaml.safe_load(text)["services"]["aws-credentials"]


def container(site, name=".devcontainer/devcontainer.json"):
    return json.loads((site.home / "work" / name).read_text())


def test_one_command_writes_both_files_and_runs_nothing(site, capsys):
    assert site.install(*FLAGS) == 0
    told = capsys.readouterr()
    assert [line.split()[0] for line in told.out.splitlines()] == ["write", "write"]
    assert "names the image" in told.err
    assert "commit what is written" in told.err
    assert service(site)["commands"]["start"].endswith(f"serve --standby --role-arn {ARN}\n")
    assert "imdsd==1" in container(site)["onCreateCommand"]
    assert site.commands.done == []


def test_folders_of_a_repository_are_not_hidden_from_others(site):
    site.install(*FLAGS)
    for name in (".ona", ".devcontainer"):
        assert (site.home / "work" / name).stat().st_mode & 0o777 == 0o755


def test_how_another_program_is_installed_is_not_ours(site):
    path = site.home / "work/.devcontainer.json"
    path.write_text('{"onCreateCommand": "pipx install poetry || uv tool install poetry"}\n')
    before = site.everything()
    site.uninstall("--ona")
    assert site.everything() == before


@pytest.mark.parametrize("package", ["imdsd @ git+URL", "imdsd @ git+git@example.com:a/imdsd.git"])
def test_a_package_whose_url_is_none_is_refused_before_an_environment_tries(site, package):
    before = site.everything()
    with pytest.raises(UsageError, match=r"expected a URL after @, as in 'imdsd @ git\+https://"):
        site.install("--ona", "--role-arn", ARN, "--package", package)
    assert site.everything() == before


def test_a_package_whose_url_has_no_host_is_refused_with_the_one_that_every_pip_takes(site):
    before = site.everything()
    asked = "imdsd @ git+file:///srv/imdsd@v1"
    with pytest.raises(UsageError) as caught:
        site.install("--ona", "--role-arn", ARN, "--package", asked)
    assert site.everything() == before
    assert asked in str(caught.value)
    remedy = str(caught.value).rpartition("expected ")[2].strip("'")
    assert remedy == "imdsd @ git+file://localhost/srv/imdsd@v1"
    assert site.install("--ona", "--role-arn", ARN, "--package", remedy) == 0


@pytest.mark.parametrize(
    "package", ["imdsd", "imdsd==1", "imdsd @ file:///srv/imdsd.whl", "imdsd@git+https://h/a@b"]
)
def test_a_package_that_every_pip_takes_is_taken(site, package):
    assert site.install("--ona", "--role-arn", ARN, "--package", package) == 0
    assert package in container(site)["onCreateCommand"]


@pytest.mark.parametrize("way", ["/etc/passwd", "../../elsewhere.json"])
def test_a_dev_container_outside_of_the_repository_is_told_as_that(site, way):
    (site.home / "elsewhere.json").write_text("{}")
    before = site.everything()
    with pytest.raises(UsageError, match=f"is outside of the repository {site.home}/work: "):
        site.install(*FLAGS, "--devcontainer", way)
    assert site.everything() == before


def test_a_dev_container_that_a_link_leads_out_to_is_told_as_a_link(site):
    (site.home / "elsewhere").mkdir()
    (site.home / "elsewhere/devcontainer.json").write_text("{}")
    (site.home / "work/.devcontainer").symlink_to(site.home / "elsewhere")
    with pytest.raises(ConfigurationError, match="by a symbolic link"):
        site.install(*FLAGS, "--devcontainer", "../.devcontainer/devcontainer.json")


def test_what_is_taken_out_is_to_be_committed_too(site, capsys):
    site.install(*FLAGS)
    capsys.readouterr()
    site.uninstall("--ona")
    assert "new environments are without it" in capsys.readouterr().err


def test_a_package_that_could_be_any_is_refused(site):
    with pytest.raises(UsageError, match=r"--package is 'git.x', expected its name too"):
        site.install("--ona", "--role-arn", ARN, "--package", "git+x")


def test_a_second_run_has_nothing_to_do(site, capsys):
    site.install(*FLAGS)
    before = site.everything()
    capsys.readouterr()
    assert site.install(*FLAGS) == 0
    assert capsys.readouterr() == ("nothing to do\n", "")
    assert site.everything() == before


def test_nothing_is_left_of_it(site):
    before = site.everything()
    site.install(*FLAGS)
    site.uninstall("--ona")
    assert site.everything() == before


def test_notes_of_another_installation_are_not_touched(site):
    site.install("--user", "--role-arn", ARN, "--shell", "bash")
    before = site.everything()
    site.install(*FLAGS)
    site.uninstall("--ona")
    assert site.everything() == before


def test_a_dry_run_shows_both_files_and_writes_neither(site, capsys):
    before = site.everything()
    site.install(*FLAGS, "--dry-run")
    assert site.everything() == before
    shown = capsys.readouterr().out
    assert "    services:" in shown
    assert '      "containerEnv": {' in shown


def test_flags_of_the_configuration_go_to_the_service(site):
    site.install(
        *FLAGS, "--region", "eu-west-1", "--allow-imdsv1", "--token-command", "issuer 'a b'"
    )
    start = service(site)["commands"]["start"]
    assert start.endswith(
        f"--role-arn {ARN} --region eu-west-1 --token-command 'issuer '\"'\"'a b'\"'\"''"
        " --allow-imdsv1\n"
    )
    assert container(site)["containerEnv"]["AWS_DEFAULT_REGION"] == "eu-west-1"


def test_the_role_may_stand_in_the_variable_of_onas_own_guide(site):
    site.environ["IDP_AWS_ROLE_ARN"] = ARN
    site.install("--ona", "--package", "none")
    assert ARN in service(site)["commands"]["start"]
    assert "onCreateCommand" not in container(site)


def test_of_several_dev_containers_the_one_that_is_named_is_written_to(site):
    for name in ("a", "b"):
        folder = site.home / "work/.devcontainer" / name
        folder.mkdir(parents=True)
        (folder / "devcontainer.json").write_text('{"image": "x"}')
    with pytest.raises(UsageError, match="say which with --devcontainer"):
        site.install(*FLAGS)
    site.install(*FLAGS, "--devcontainer", "../.devcontainer/b/devcontainer.json")
    assert set(container(site, ".devcontainer/a/devcontainer.json")) == {"image"}
    assert "containerEnv" in container(site, ".devcontainer/b/devcontainer.json")


def test_another_role_is_a_conflict_and_nothing_is_changed(site):
    site.install(*FLAGS)
    before = site.everything()
    with pytest.raises(ConfigurationError, match="uninstall --ona"):
        site.install("--ona", "--role-arn", f"{ARN}2", "--package", "none", "--yes")
    assert site.everything() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*FLAGS, "--listen", "127.0.0.1:1"), "--listen does not go with --ona"),
        ((*FLAGS, "--shell", "bash"), "run it without --ona"),
        ((*FLAGS, "--devcontainer", "none.json"), "there is no such file"),
        (("--ona", "--role-arn", ARN), "say where it gets one"),
        (("--user", "--package", "imdsd"), "--package goes with --ona"),
        (("--package", "imdsd", "--shell", "bash"), "--package goes with --ona"),
        (("--role-arn", ARN), "say for whom"),
    ],
)
def test_what_cannot_be_meant_is_a_fault_of_usage(site, words, said):
    with pytest.raises(UsageError, match=said):
        site.install(*words)


def test_a_role_is_needed(site):
    with pytest.raises(ConfigurationError, match="give --role-arn"):
        site.install("--ona", "--package", "none")


def test_only_a_repository_can_be_written_to(site):
    site.folder = site.home
    for verb, words in ((site.install, FLAGS), (site.uninstall, ("--ona",))):
        with pytest.raises(UsageError, match="in no git repository"):
            verb(*words)


@pytest.mark.parametrize("part", ["--shell", "--profiles", "--purge"])
def test_parts_of_other_installations_do_not_go_with_it(site, part):
    with pytest.raises(UsageError, match="do not go with --ona"):
        site.uninstall("--ona", part)
