"""[metadata] upstream: which service may stand behind, for which paths; never itself."""

import pytest

from imdsd.config import load
from imdsd.config.model import UNRELOADABLE, UpstreamConfig, unreloadable_changes
from imdsd.errors import ConfigurationError
from tests.unit.test_config_metadata import read, refused

__all__ = ["read", "refused"]

PATHS = 'upstream_paths = ["meta-data/tags/", "dynamic/instance-identity/document"]'


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("http://169.254.169.254", "http://169.254.169.254"),
        ("http://169.254.169.254:80", "http://169.254.169.254"),
        ("HTTP://127.0.0.1:1338", "http://127.0.0.1:1338"),
        ("http://[fd00:ec2::254]", "http://[fd00:ec2::254]"),
        ("http://[0:0::1]:81", "http://[::1]:81"),
    ],
)
def test_a_literal_local_address_may_stand_behind(read, written, url):
    found = read(f'[metadata]\nupstream = "{written}"\n{PATHS}').upstream
    paths = ("meta-data/tags/", "dynamic/instance-identity/document")
    assert found == UpstreamConfig(url, paths)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("169.254.169.254", "write http://169.254.169.254"),
        ("https://169.254.169.254", "no TLS"),
        ("http://169.254.169.254/", "upstream_paths says which"),
        ("http://169.254.169.254/latest", "upstream_paths says which"),
        ("http://169.254.169.254?", "literal"),
        ("http://169.254.169.254#x", "literal"),
        ("http://169.254.169.254:0", "literal"),
        ("http://169.254.169.254:", "literal"),
        ("http://169.254.169.254:99999", "literal"),
        ("http://user:canary@169.254.169.254", "a URL with a user (not shown)"),
        ("http://localhost", "no name"),
        ("http://metadata.example", "literal"),
        ("http://10.0.0.1", "loopback or link-local"),
        ("http://8.8.8.8", "loopback or link-local"),
        ("http://[fd01::1]", "loopback or link-local"),
        ("http://[fe80::1%25lo]", "literal"),
        ("http://[::1", "literal"),
        ("http:// 127.0.0.1", "literal"),
        ("http://127.0.0.1\\n", "literal"),
        ("ftp://127.0.0.1", "literal"),
        ("", "literal"),
    ],
)
def test_another_is_refused(refused, written, said):
    (problem,) = refused(f'[metadata]\nupstream = "{written}"\n{PATHS}').values()
    assert problem.key == "metadata.upstream"
    assert said in str(problem)
    assert "canary" not in str(problem)


@pytest.mark.parametrize("port", ["80", "9254"])
def test_one_of_the_daemons_own_listeners_is_refused(tmp_path, port):
    path = tmp_path / "config.toml"
    path.write_text(f'[metadata]\nupstream = "http://127.0.0.1:{port}"\n{PATHS}')
    flags = {"config": str(path), "role_arn": "arn:aws:iam::123456789012:role/dev"}
    assert load(flags={**flags, "listen": ["127.0.0.1:81"]}, environ={}).upstream
    with pytest.raises(ConfigurationError, match=r"where the daemon itself listens.*ask itself"):
        load(flags={**flags, "listen": ["[::1]:1", f"127.0.0.1:{port}"]}, environ={})


def test_the_default_listener_is_the_daemons_own_too(refused):
    (problem,) = refused(f'[metadata]\nupstream = "http://127.0.0.1:9254"\n{PATHS}').values()
    assert "itself listens" in problem.found


def test_an_upstream_and_its_paths_need_each_other(refused):
    (problem,) = refused('[metadata]\nupstream = "http://169.254.169.254"').values()
    assert (problem.key, problem.expected) == ("metadata.upstream", "upstream_paths beside it")
    (problem,) = refused(f"[metadata]\n{PATHS}").values()
    assert (problem.key, problem.expected) == ("metadata.upstream_paths", "upstream beside it")


@pytest.mark.parametrize(
    ("paths", "key", "said"),
    [
        ("[]", "", "at least one path"),
        ('"meta-data/"', "", "a list"),
        ("[5]", "[0]", "a text in quotes"),
        ('["dynamic/", "meta-data/iam/"]', "[1]", "never passed through"),
        ('["meta-data/iam/security-credentials/dev"]', "[0]", "never passed through"),
        ('["meta-data/tags"]', "[0]", 'write "meta-data/tags/"'),
        ('["meta-data/ami-id", "meta-data/ami-id"]', "", "each path once"),
        ('["meta-data/tags/", "meta-data/"]', "", "'meta-data/', which covers it"),
        ('["meta-data/", "dynamic/", "meta-data/ami-id"]', "", "'meta-data/', which covers it"),
    ],
)
def test_paths_that_may_not_be_passed_through_are_refused(refused, paths, key, said):
    text = f'[metadata]\nupstream = "http://169.254.169.254"\nupstream_paths = {paths}'
    (problem,) = refused(text).values()
    assert problem.key == f"metadata.upstream_paths{key}"
    assert said in str(problem)


def test_all_but_credentials_may_be_passed_through(read):
    text = '[metadata]\nupstream = "http://169.254.169.254"\nupstream_paths = ["meta-data/", "dynamic/", "user-data"]'
    assert read(text).upstream.paths == ("meta-data/", "dynamic/", "user-data")


def test_a_reload_takes_the_metadata_but_no_other_upstream(read):
    old = read("")
    assert "upstream" in UNRELOADABLE
    text = '[metadata]\nami_id = "ami-01234567"\n[[metadata.event]]\nkind = "rebalance"\n'
    assert unreloadable_changes(old, read(text)) == ()
    new = read(f'[metadata]\nupstream = "http://169.254.169.254"\n{PATHS}')
    assert unreloadable_changes(old, new) == ("upstream",)
