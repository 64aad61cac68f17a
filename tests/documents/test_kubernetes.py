"""The manifests of the documents: valid, and their pods do what the page says."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.documents.blocks import DOCS, blocks, blocks_of
from tests.documents.pod import Pod
from tests.documents.reader import in_sandbox

PAGE = DOCS / "how-to/kubernetes.md"
MANIFESTS = [
    (block, document)
    for block in blocks("yaml")
    for document in yaml.safe_load_all(block.text)
    if "apiVersion" in document
]
SIDECAR, INSIDE = [list(yaml.safe_load_all(b.text)) for b in blocks_of(PAGE) if b.language == "yaml"]  # fmt: skip
BOTO3 = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
SESSION = "import boto3; print(boto3.Session().get_credentials().method)"
PYTHON = ("python", "-c", BOTO3)


def validate(document):
    version = kubernetes_validate.latest_version()
    return kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize(("block", "document"), MANIFESTS, ids=lambda each: str(each)[:60])
def test_a_manifest_fits_the_schema_of_its_kind(block, document):
    validate(document)


def test_a_key_that_is_not_known_is_noticed():
    pod = SIDECAR[1]
    with pytest.raises(kubernetes_validate.ValidationError, match="readonly"):
        validate({**pod, "spec": {**pod["spec"], "readonly": True}})


@pytest.fixture
def make_pod(machine):
    """A function from a manifest to its pod, with a token and the sandbox as its STS."""
    made, told = machine
    with tempfile.TemporaryDirectory(prefix="imdsd-pod-") as place:
        Path(place).chmod(0o755)

        def make(manifest, config=""):
            pod = Pod(made, Path(place), manifest["spec"])
            asked = made.run("curl", "-fsS", told["token_url"], environ={"PATH": "/usr/bin:/bin"})
            config = in_sandbox(config, told["sts_url"])
            home = Path(place) / "home/.config/imdsd/config.toml"
            home.parent.mkdir(parents=True)
            home.write_text(config)
            token = json.loads(asked.stdout)["value"]
            pod.make_volumes(**{"aws-token": {"token": token}, "aws-config": {"config.toml": config}})  # fmt: skip
            return pod

        yield make


@pytest.fixture
def pod(make_pod):
    config_map, manifest = SIDECAR
    return make_pod(manifest, config_map["data"]["config.toml"])


def probe(pod, kind):
    return pod.run("imdsd", *pod.container("imdsd")[kind]["exec"]["command"]).returncode


def wait(pod):
    done = pod.run("imdsd", "imdsd", "wait")
    assert done.returncode == 0, done.stderr


def test_the_application_beside_the_sidecar_is_served(pod, machine):
    with pod.running("imdsd"):
        wait(pod)
        done = pod.run("app", *PYTHON, AWS_ENDPOINT_URL_STS=machine[1]["sts_url"])
    assert done.stdout.startswith("arn:aws:sts::123456789012:assumed-role/app/"), done.stderr


def test_the_probes_tell_when_the_application_may_start(pod):
    assert (probe(pod, "startupProbe"), probe(pod, "livenessProbe")) == (3, 3)
    with pod.running("imdsd"):
        wait(pod)
        assert (probe(pod, "startupProbe"), probe(pod, "livenessProbe")) == (0, 0)


def test_the_modes_of_the_volumes_let_each_container_do_its_part_and_no_more(pod):
    bearer = "/run/aws/imdsd/bearer"
    with pod.running("imdsd"):
        wait(pod)
        assert pod.may("app", "cat", bearer)
        assert not pod.may("app", "sh", "-c", f": >> {bearer}")
        assert not pod.may("app", "touch", "/run/aws/imdsd/other", "/run/aws/other")
        assert not pod.may("app", "cat", "/run/aws-token/token")
        assert pod.may("imdsd", "cat", "/run/aws-token/token", "/run/aws-config/config.toml")
        assert pod.may("imdsd", "touch", "/run/aws/imdsd/other")
        stranger = {**pod.spec, "securityContext": {"runAsUser": 1000}}
        assert not Pod(pod.room, pod.place, stranger).may("app", "cat", bearer)


def test_the_daemon_inside_the_applications_own_container_serves_it(make_pod, tmp_path):
    (manifest,) = INSIDE
    pod = make_pod(manifest)
    app = tmp_path / "my-app"
    app.write_text(f'#!/bin/sh\nexec python -c "{SESSION}"\n')
    app.chmod(0o755)
    environ = pod.environ("app")
    environ["PATH"] = f"{tmp_path}:{environ['PATH']}"
    words = pod.words("app", *pod.container("app")["command"])
    done = pod.room.try_run(*words, environ=environ)
    assert done.stdout == "container-role\n", done.stderr
