"""Which files of a repository are written to, and what keeps any from being."""

import os

import pytest
import yaml

from imdsd.errors import ConfigurationError, UsageError
from imdsd.install.ona import OnaTerms, find_repository, install_changes, uninstall_changes
from imdsd.install.ona.service import requirement_of

TERMS = OnaTerms("arn:aws:iam::123456789012:role/dev", "eu-central-1", "imdsd==1")


@pytest.fixture
def repository(tmp_path):
    (tmp_path / ".git").mkdir()
    return tmp_path


def put(repository, name, content):
    path = repository / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def carry_out(changes):
    for change in changes:
        assert change.before == (change.path.read_bytes() if change.path.exists() else None)
        if change.after is None:
            change.path.unlink()
        else:
            change.path.parent.mkdir(exist_ok=True)
            change.path.write_bytes(change.after)


def names(repository, changes):
    return [str(each.path.relative_to(repository)) for each in changes]


def contents(repository):
    return {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}


def refused(repository):
    before = contents(repository)
    with pytest.raises(ConfigurationError) as caught:
        install_changes(repository, TERMS)
    assert contents(repository) == before
    return str(caught.value)


def test_an_empty_repository_gets_both_files_once_and_loses_them_again(repository):
    changes = install_changes(repository, TERMS)
    assert names(repository, changes) == [
        ".ona/automations.yaml",
        ".devcontainer/devcontainer.json",
    ]
    assert "names the image" in changes[1].remark
    carry_out(changes)
    assert install_changes(repository, TERMS) == ()
    carry_out(uninstall_changes(repository))
    assert contents(repository) == {}
    assert uninstall_changes(repository) == ()


def test_what_others_wrote_comes_back_byte_for_byte(repository):
    put(repository, ".ona/automations.yaml", "tasks: {}  # none\r\n")
    put(repository, ".devcontainer.json", '{\n\t"image": "x", // ours\n}')
    before = contents(repository)
    changes = install_changes(repository, TERMS)
    assert [each.remark for each in changes] == ["", ""]
    carry_out(changes)
    assert contents(repository).keys() == before.keys()
    carry_out(uninstall_changes(repository))
    assert contents(repository) == before


def test_the_repository_is_found_from_a_folder_within(repository):
    inner = repository / "a/b"
    inner.mkdir(parents=True)
    assert find_repository(inner) == repository


def test_outside_of_a_repository_nothing_is_written(tmp_path):
    with pytest.raises(UsageError, match="in no git repository"):
        find_repository(tmp_path)


def test_services_under_the_former_name_are_not_hidden_by_a_new_file(repository):
    put(repository, ".gitpod/automations.yaml", "services: {}\n")
    change = install_changes(repository, TERMS)[0]
    assert change.path == repository / ".gitpod/automations.yaml"
    assert ".gitpod/automations.yaml is there" in change.remark
    put(repository, ".ona/automations.yaml", "services: {}\n")
    change = install_changes(repository, TERMS)[0]
    assert (change.path, change.remark) == (repository / ".ona/automations.yaml", "")


def test_of_several_dev_containers_one_must_be_chosen(repository):
    put(repository, ".devcontainer/devcontainer.json", '{"image": "x"}')
    other = put(repository, ".devcontainer/gpu/devcontainer.json", '{"image": "y"}')
    expected = (
        "2 dev containers are defined, in .devcontainer/devcontainer.json, .devcontainer/gpu/"
    )
    with pytest.raises(UsageError, match=expected):
        install_changes(repository, TERMS)
    chosen = install_changes(repository, TERMS, devcontainer_file=other)
    carry_out(chosen)
    assert chosen[1].path == other
    assert names(repository, uninstall_changes(repository)) == [
        ".ona/automations.yaml",
        ".devcontainer/gpu/devcontainer.json",
    ]


def test_all_that_stands_in_the_way_is_told_at_once(repository):
    put(repository, ".ona/automations.yaml", "services: [")
    put(repository, ".devcontainer.json", '{"containerEnv": {"AWS_REGION": "x"}}')
    first, second = refused(repository).splitlines()
    assert first.startswith(".ona/automations.yaml:1: YAML: ")
    assert second.startswith(".devcontainer.json:1: containerEnv.AWS_REGION: ")


def test_a_link_is_not_followed(repository):
    target = put(repository, "elsewhere.yaml", "tasks: {}\n")
    (repository / ".ona").mkdir()
    (repository / ".ona/automations.yaml").symlink_to(target)
    assert refused(repository).startswith(
        ".ona/automations.yaml: the file: found a symbolic link, expected a regular file"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: b\n\xff\n", ":2: the file: found bytes that are no UTF-8"),
        (b"#" * 2_000_000, ": the file: found over 1048576 bytes"),
    ],
)
def test_what_is_no_text_is_refused(repository, content, problem):
    put(repository, ".ona/automations.yaml", content)
    assert refused(repository).startswith(f".ona/automations.yaml{problem}")


def test_a_fifo_is_not_waited_for(repository):
    (repository / ".ona").mkdir()
    os.mkfifo(repository / ".ona/automations.yaml")
    assert "found something else, expected a regular file" in refused(repository)


def test_an_emptied_file_is_filled_again(repository):
    put(repository, ".ona/automations.yaml", "")
    put(repository, ".devcontainer/devcontainer.json", "\n")
    carry_out(install_changes(repository, TERMS))
    assert yaml.safe_load((repository / ".ona/automations.yaml").read_text())["services"]


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        ({"url": "https://h/imdsd-1.zip"}, "imdsd @ https://h/imdsd-1.zip"),
        ({"url": "https://h/i.git", "vcs_info": {"vcs": "git"}}, "imdsd @ git+https://h/i.git"),
        (
            {"url": "ssh://git@h/i.git", "vcs_info": {"vcs": "git", "requested_revision": "v1"}},
            "imdsd @ git+ssh://git@h/i.git@v1",
        ),
        ({"url": "https://me:secret@h/i.zip"}, "imdsd @ https://h/i.zip"),
        (
            {"url": "https://token@h/i.git", "vcs_info": {"vcs": "git"}},
            "imdsd @ git+https://h/i.git",
        ),
        (
            {"url": "ssh://git:pw@h:22/i", "vcs_info": {"vcs": "git"}},
            "imdsd @ git+ssh://git@h:22/i",
        ),
        ({"url": "file:///home/me/imdsd", "dir_info": {"editable": True}}, None),
        ({}, None),
    ],
)
def test_where_this_imdsd_came_from_is_where_an_environment_gets_it(origin, requirement):
    assert requirement_of(origin) == requirement
