"""Whatever stands in a home: after an installation and its removal it is as it was."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.installer import ARN, Site

FILES = (".bashrc", ".bash_profile", ".profile", ".zshenv", ".zshrc", ".aws/config", ".config/fish/config.fish")  # fmt: skip
LINES = [b"alias x=y", b"[default]", b"region = x", b"\n", b"\n", b"\r\n", b"\\", b"\xff", b"\0" * 0, b"# >>> "]  # fmt: skip
contents = st.lists(st.sampled_from(LINES), max_size=8).map(b"".join)
homes = st.dictionaries(st.sampled_from(FILES), contents)
ROLES = f"""
[[role]]
name = "dev"
default = true
arn = "{ARN}"
[[role]]
name = "ops"
arn = "{ARN}-ops"
region = "eu-west-1"
"""


def furnish(site, files, *, linked):
    for name, content in files.items():
        path = site.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if linked:
            target = site.home / "dotfiles" / path.name
            target.parent.mkdir(exist_ok=True)
            path.symlink_to(target)
            path = target
        path.write_bytes(content)
    lingering = site.root / "var/lib/systemd/linger"
    lingering.mkdir(parents=True)


@settings(max_examples=60, deadline=None)
@given(homes, st.booleans(), st.booleans(), st.booleans())
def test_a_home_is_as_it_was(files, linked, systemd, further):
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), systemd=systemd)
        furnish(site, files, linked=linked)
        if further:
            path = site.home / ".config/imdsd/config.toml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(ROLES)
        before = site.everything()
        words = ("--user", "--shell", "bash,zsh,fish", *(() if further else ("--role-arn", ARN)))
        site.install(*words)
        after = site.everything()
        site.install(*words)
        assert site.everything() == after
        site.uninstall("--user")
        assert site.everything() == before
