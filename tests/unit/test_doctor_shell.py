"""What stands between a shell and the daemon: proxies, and editors that forward ports."""

from __future__ import annotations

import pytest

from imdsd.doctor.machine.editors import judge_editors
from imdsd.doctor.machine.proxies import judge_proxies
from tests.fakes.examined import codes, only

LOOPBACK = ["127.0.0.1"]
PROXY = "http://proxy.example:3128"
BOTO3, STORE, GO = "boto3 and the AWS CLI (for IMDS)", "object_store", "Go v2"


def clients(environ, hosts=LOOPBACK):
    return [each.facts.get("clients") for each in judge_proxies(environ, hosts)]


def test_no_proxy_is_no_trouble():
    assert codes(judge_proxies({"HTTPS_PROXY": PROXY}, LOOPBACK)) == ["proxies.none"]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_a_proxy_swallows_loopback_unless_it_is_excepted(name):
    found = only(judge_proxies({name: PROXY}, LOOPBACK), "proxies.swallows")
    assert found.facts["clients"] == [BOTO3, STORE]
    assert 'NO_PROXY="127.0.0.1,localhost,169.254.169.254"' in found.remedy
    assert "proxy.example" not in found.found, "it may hold a password"
    for exception in ("NO_PROXY", "no_proxy"):
        told = {name: PROXY, exception: "corp.example,127.0.0.1"}
        assert codes(judge_proxies(told, LOOPBACK)) == ["proxies.excepted"]


def test_what_is_excepted_already_stays_so():
    told = {"HTTP_PROXY": PROXY, "NO_PROXY": "corp.example"}
    assert 'NO_PROXY="corp.example,127.0.0.1,' in next(judge_proxies(told, LOOPBACK)).remedy


def test_a_lower_case_name_wins_even_when_it_is_empty():
    assert clients({"HTTP_PROXY": PROXY, "http_proxy": ""}) == [[STORE]]
    told = {"HTTP_PROXY": PROXY, "NO_PROXY": "127.0.0.1", "no_proxy": "corp.example"}
    assert clients(told) == [[BOTO3, STORE]]


def test_what_a_visitor_of_a_web_server_sends_is_no_proxy_for_python():
    assert clients({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}) == [[STORE]]


def test_a_network_is_excepted_for_those_who_know_networks():
    told = {"HTTP_PROXY": PROXY, "NO_PROXY": "127.0.0.0/8,169.254.0.0/16"}
    hosts = ["127.0.0.1", "169.254.169.254"]
    assert clients(told, hosts) == [[BOTO3], [BOTO3]]
    told["NO_PROXY"] = "10.0.0.0/8,fd00:ec2::/32,corp/8"
    assert clients(told, ["169.254.169.254"]) == [[BOTO3, STORE, GO]]


def test_all_proxy_is_followed_by_some():
    assert clients({"ALL_PROXY": PROXY}) == [[STORE]]


def test_go_asks_a_proxy_for_link_local_addresses_but_never_for_loopback():
    told = {"HTTP_PROXY": PROXY}
    assert clients(told, ["127.0.0.1", "169.254.169.254"]) == [[BOTO3, STORE], [BOTO3, STORE, GO]]
    assert clients({**told, "NO_PROXY": "*"}) == [None]


# Editors

IGNORE = '{\n  // ours\n  "portsAttributes": {"9254": {"onAutoForward": "ignore"}}\n}'


def editors(folder, **environ):
    return list(judge_editors(environ, folder=folder, port=9254))


def write(folder, text, name=".devcontainer/devcontainer.json"):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_without_an_editor_there_is_nothing_to_forward(tmp_path):
    assert codes(editors(tmp_path)) == ["editors.none"]
    assert codes(editors(tmp_path, TERM_PROGRAM="iTerm.app")) == ["editors.none"]


@pytest.mark.parametrize(
    ("sign", "editor"),
    [
        ("CODESPACES", "GitHub Codespaces"),
        ("REMOTE_CONTAINERS", "a dev container of VS Code"),
        ("GITPOD_ENVIRONMENT_ID", "Ona"),
        ("GITPOD_WORKSPACE_ID", "Gitpod"),
        ("VSCODE_IPC_HOOK_CLI", "VS Code"),
        ("VSCODE_AGENT_FOLDER", "VS Code"),
        ("JETBRAINS_REMOTE_RUN", "a JetBrains IDE"),
    ],
)
def test_an_editor_is_known_by_its_variables_and_told_how_to_leave_the_port(tmp_path, sign, editor):
    found = only(editors(tmp_path, **{sign: "true"}), "editors.forwards")
    assert found.found.startswith(editor)
    assert '"portsAttributes": {"9254": {"onAutoForward": "ignore"}}' in found.remedy
    assert "remote.autoForwardPorts" in found.remedy


def test_a_terminal_of_vs_code_counts(tmp_path):
    assert codes(editors(tmp_path, TERM_PROGRAM="vscode")) == ["editors.forwards"]


@pytest.mark.parametrize("name", [".devcontainer/devcontainer.json", ".devcontainer.json"])
def test_a_devcontainer_that_ignores_the_port_is_enough(tmp_path, name):
    write(tmp_path, IGNORE, name)
    inside = tmp_path / "src/deep"
    inside.mkdir(parents=True)
    assert codes(editors(inside, CODESPACES="true")) == ["editors.ignored"]


@pytest.mark.parametrize(
    "text",
    [
        IGNORE.replace("9254", "localhost:9254"),
        '{"otherPortsAttributes": {"onAutoForward": "ignore"}}',
    ],
)
def test_other_ways_to_ignore_it_are_enough(tmp_path, text):
    write(tmp_path, text)
    assert codes(editors(tmp_path, CODESPACES="true")) == ["editors.ignored"]


@pytest.mark.parametrize(
    "text",
    [
        IGNORE.replace("9254", "9255"),
        IGNORE.replace("ignore", "notify"),
        '{"portsAttributes": {"9254": {}}, "otherPortsAttributes": {"onAutoForward": "ignore"}}',
        '{"portsAttributes": {\n// "9254": {"onAutoForward": "ignore"}\n}}',
        "",
    ],
)
def test_one_that_does_not_is_named(tmp_path, text):
    write(tmp_path, text)
    found = only(editors(tmp_path, CODESPACES="true"), "editors.forwards")
    assert "devcontainer.json does not say" in found.found


def test_a_file_beyond_the_repository_does_not_count(tmp_path):
    write(tmp_path, IGNORE)
    (tmp_path / "repository/.git").mkdir(parents=True)
    assert codes(editors(tmp_path / "repository", CODESPACES="true")) == ["editors.forwards"]
