from __future__ import annotations

import json
import os
import shlex
import stat
from pathlib import Path

import pytest

from imdsd.client import DaemonStatus
from imdsd.config import build_source, load
from imdsd.doctor.bundle import KIND, write_bundle
from imdsd.doctor.finding import Finding, Level, Step, Surroundings
from imdsd.errors import ImdsdError, UsageError
from tests.fakes.daemon import LAST_ERROR, role_entry, status_document
from tests.fakes.waiting_clock import FakeWaitingClock
from tests.fakes.web_identity import make_token

ARN = "arn:aws:iam::123456789012:role/dev"
FOUND = [Finding(Step.STS, Level.FAILURE, "sts.name", "no such name", "set a region")]


def written(tmp_path, findings=FOUND, *, force=False, environ=None, config=None, status=None):
    path = tmp_path / "bundle.json"
    around = Surroundings(environ or {}, os.geteuid(), tmp_path / "home", FakeWaitingClock())
    write_bundle(path, findings, around, config=config, status=status, force=force)
    return path


def test_it_tells_versions_findings_configuration_and_daemon(tmp_path):
    config = load(
        flags={"role_arn": ARN, "region": "eu-west-1", "token_command": "make a-token"},
        environ={},
        usual=[],
    )
    document = status_document(role_entry(state="denied", last_error=LAST_ERROR))
    status = DaemonStatus.parse(document)
    report = json.loads(written(tmp_path, config=config, status=status).read_text())
    assert report["kind"] == KIND
    assert report["machine"]["libraries"]["aiohttp"]
    assert report["doctor"]["findings"][0]["code"] == "sts.name"
    assert report["configuration"]["roles"][0]["arn"] == ARN
    assert report["daemon"]["roles"][0]["last_error"].startswith("mint: the token command")
    assert "a-token" not in json.dumps(report), "a command may hold what is secret"


def test_a_finding_tells_a_command_by_its_name_alone(tmp_path):
    words = ["/opt/mint it", "-u", 'me:"hunter2"', "{audience}"]
    flags = {"role_arn": ARN, "region": "eu-west-1", "token_command": shlex.join(words)}
    config = load(flags=flags, environ={}, usual=[])
    source = build_source(config.roles[0].token, environ={}, ca_bundle=None)
    told = Finding(Step.TOKEN, Level.OK, "token.minted", f"{source.description} gave a token")
    assert "hunter2" in told.found
    (found,) = json.loads(written(tmp_path, [told], config=config).read_text())["doctor"][
        "findings"
    ]
    assert found["found"] == "command '/opt/mint it' … gave a token"


def test_it_needs_neither_configuration_nor_daemon(tmp_path):
    report = json.loads(written(tmp_path).read_text())
    assert (report["configuration"], report["daemon"]) == (None, None)


def test_it_names_variables_and_tells_no_value(tmp_path):
    environ = {"AWS_PROFILE": "corp", "AWS_SESSION_TOKEN": "s3cr3t-session", "MINE": "x"}
    environ |= {"HTTPS_PROXY": "http://proxy", "no_proxy": "127.0.0.1"}
    text = written(tmp_path, environ=environ).read_text()
    names = ["AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTPS_PROXY", "no_proxy"]
    assert json.loads(text)["variables"] == names
    assert "corp" not in text


def test_what_nobody_thought_of_is_cut_out(tmp_path):
    environ = {"AWS_SECRET_ACCESS_KEY": 'quo"ted-secret', "IMDSD_TOKEN_FILE": "/a/path"}
    told = f'{make_token()} and quo"ted-secret and {tmp_path}/home/x and /a/path'
    text = written(
        tmp_path, [Finding(Step.STS, Level.OK, "sts.reached", told)], environ=environ
    ).read_text()
    (found,) = json.loads(text)["doctor"]["findings"]
    assert found["found"] == "… and … and ~/x and /a/path"


def test_a_secret_that_begins_as_another_one_is_cut_out_whole(tmp_path):
    environ = {"A_TOKEN": "s3cr3t", "B_TOKEN": "s3cr3t-and-more"}
    told = "s3cr3t, s3cr3t-and-more"
    text = written(
        tmp_path, [Finding(Step.STS, Level.OK, "sts.reached", told)], environ=environ
    ).read_text()
    assert json.loads(text)["doctor"]["findings"][0]["found"] == "…, …"


def test_the_user_of_a_url_is_cut_out(tmp_path):
    told = "by http://user:hunter2@proxy:3128 and https://sts.example/a@b"
    text = written(tmp_path, [Finding(Step.STS, Level.OK, "sts.reached", told)]).read_text()
    found = json.loads(text)["doctor"]["findings"][0]["found"]
    assert found == "by http://…@proxy:3128 and https://sts.example/a@b"


def test_a_name_that_is_none_is_told(tmp_path):
    around = Surroundings({}, os.geteuid(), tmp_path, FakeWaitingClock())
    with pytest.raises(UsageError, match="cannot be written"):
        write_bundle(Path("/"), FOUND, around, config=None, status=None, force=True)


def test_it_is_for_its_owner_alone_and_replaces_only_its_own_kind(tmp_path):
    path = written(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written(tmp_path)
    path.write_text("my diary")
    with pytest.raises(UsageError, match="--force"):
        written(tmp_path)
    assert path.read_text() == "my diary"
    written(tmp_path, force=True)
    assert json.loads(path.read_text())["kind"] == KIND


def test_a_link_is_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text(f'"kind": "{KIND}"')
    (tmp_path / "bundle.json").symlink_to(target)
    with pytest.raises(UsageError):
        written(tmp_path)
    written(tmp_path, force=True)
    assert target.read_text() == f'"kind": "{KIND}"'


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ImdsdError, match="cannot be written: No such file"):
        written(tmp_path / "gone")
