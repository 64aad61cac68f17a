"""The jobs of the pages on CI: what a runner would run of them is run, against the sandbox."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.documents.blocks import DOCS, blocks_of
from tests.documents.reader import in_sandbox
from tests.support import scrubbed_environ

METHOD = "import boto3; print(boto3.Session().get_credentials().method)"
# Programs that jobs call: what reads credentials, and what mints a token for an audience.
TERRAFORM = f'#!/bin/sh\nexec python -c "{METHOD}"\n'
CIRCLECI = """#!/bin/sh
[ "$1 $2 $3 $4" = "run oidc get --claims" ] && [ "$5" = '{"aud": "sts.amazonaws.com"}' ] &&
    printf %s "$TOKEN"
"""
GITHUB, = [b for b in blocks_of(DOCS / "how-to/github-actions.md") if b.language == "yaml"]  # fmt: skip
_OTHERS = blocks_of(DOCS / "how-to/gitlab-circleci.md")
GITLAB, CIRCLE = [block for block in _OTHERS if block.language == "yaml"]
GITLAB_TOML, CIRCLE_TOML = [block for block in _OTHERS if block.language == "toml"]


@pytest.fixture
def run_job(machine, tmp_path):
    """A function that runs the commands of a job, one shell each, and gives what they printed."""
    made, told = machine
    url = f"{told['token_url']}?audience=sts.amazonaws.com"
    asked = made.run("curl", "-fsS", url, environ=scrubbed_environ(tmp_path))
    token = json.loads(asked.stdout)["value"]
    for name, text in (("terraform", TERRAFORM), ("circleci", CIRCLECI)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def run(commands, config=None, mode=0o644, **variables):
        usual = tmp_path / ".config/imdsd/config.toml"
        usual.parent.mkdir(parents=True)
        usual.write_text(in_sandbox("", told["sts_url"]))
        if config:
            (tmp_path / "imdsd.toml").write_text(in_sandbox(config, told["sts_url"]))
            (tmp_path / "imdsd.toml").chmod(mode)
        steps = [f'cd "$HOME"; export GITHUB_ENV={tmp_path}/github-env; touch "$GITHUB_ENV"\n']
        for number, command in enumerate(commands):
            (tmp_path / f"step-{number}").write_text(command)
            steps.append(f'env $(cat "$GITHUB_ENV") bash -e step-{number}\n')
        (tmp_path / "job").write_text("set -e\n" + "".join(steps))
        environ = scrubbed_environ(
            tmp_path,
            IMDSD_RUNTIME_DIR=str(tmp_path / "run"),
            AWS_ENDPOINT_URL_STS=told["sts_url"],
            **{name: value.format(token=token, **told) for name, value in variables.items()},
        )
        environ["PATH"] = f"{tmp_path}:{environ['PATH']}"
        own = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        return made.run("unshare", *own, "bash", tmp_path / "job", environ=environ).stdout

    return run


def words_of(steps):
    """Return the commands of steps as a runner takes them; what installs us is done already."""
    found = []
    for step in steps:
        run = step.get("run") if isinstance(step, dict) and "if" not in step else None
        command = run["command"] if isinstance(run, dict) else run
        if command and not command.startswith("pipx install"):
            background = isinstance(run, dict) and run.get("background")
            found.append(f"{command} > background.log 2>&1 &\n" if background else f"{command}\n")
    return found


def test_the_job_of_github_actions_is_served_in_its_later_steps(run_job):
    job = yaml.safe_load(GITHUB.text)["jobs"]["deploy"]
    printed = run_job(
        words_of(job["steps"]),
        GITHUB_ACTIONS="true",
        ACTIONS_ID_TOKEN_REQUEST_URL="{token_url}?api-version=2.0",
        ACTIONS_ID_TOKEN_REQUEST_TOKEN="secret",
    )
    assert "::add-mask::" in printed
    assert "assumed-role/deploy/" in printed
    assert job["permissions"]["id-token"] == "write"


def test_the_job_of_gitlab_is_served(run_job):
    job = yaml.safe_load(GITLAB.text)["deploy"]
    # Its runner runs them in one shell, and checks files out writable for everybody.
    script = "\n".join(job["script"])
    printed = run_job([script], GITLAB_TOML.text, 0o666, AWS_ID_TOKEN="{token}")
    assert printed == "container-role\n"
    assert list(job["id_tokens"]) == ["AWS_ID_TOKEN"]


def test_the_job_of_circleci_is_served(run_job):
    job = yaml.safe_load(CIRCLE.text)["jobs"]["deploy"]
    printed = run_job(words_of(job["steps"]), CIRCLE_TOML.text, TOKEN="{token}")
    assert printed == "container-role\n"
