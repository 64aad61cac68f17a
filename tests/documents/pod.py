"""A pod of a manifest, without a cluster: containers are mount namespaces in one network.

Volumes have the owners and modes that the kubelet gives them where `fsGroup` is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.support import Room, need, scrubbed_environ

_ENTER = """
set -e
mount -t tmpfs tmpfs /run
while [ "$1" != -- ]; do
    mkdir -p "$2"
    mount --bind "$1" "$2"
    if [ "$3" = ro ]; then mount -o remount,bind,ro "$2"; fi
    shift 3
done
shift
exec "$@"
"""
# The interpreter may stand in a private directory, which no container image does.
_READS_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
_AS_CONFIGURED = ("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod; `place` holds its volumes, a folder each."""

    room: Room
    place: Path
    spec: Mapping[str, Any]

    @property
    def group(self) -> int:
        return self.spec["securityContext"].get("fsGroup", 0)

    def container(self, name: str) -> dict[str, Any]:
        every = [*self.spec.get("initContainers", ()), *self.spec["containers"]]
        return next(each for each in every if each["name"] == name)

    def make_volumes(self, **files: Mapping[str, str]) -> None:
        """Make every volume, with the files that a projected one or a config map has."""
        for volume in self.spec["volumes"]:
            folder = self.place / volume["name"]
            folder.mkdir()
            os.chown(folder, 0, self.group)
            folder.chmod(0o2777 if "emptyDir" in volume else 0o2775)
            if "emptyDir" in volume:
                continue
            # The kubelet writes beside and swaps a link.
            data = folder / "..data"
            data.mkdir(mode=0o2755)
            for name, text in files[volume["name"]].items():
                (data / name).write_text(text)
                os.chown(data / name, 0, self.group)
                (data / name).chmod(0o644 if "configMap" in volume else 0o640)
                (folder / name).symlink_to(f"..data/{name}")

    def words(self, name: str, *command: str, reads_all: bool = True) -> tuple[str, ...]:
        """Return what runs a command in a container, as its user and with its mounts alone."""
        container = self.container(name)
        context = {**self.spec["securityContext"], **container.get("securityContext", {})}
        mounts = [
            word
            for mount in container["volumeMounts"]
            for word in (
                str(self.place / mount["name"]),
                mount["mountPath"],
                "ro" if mount.get("readOnly") else "rw",
            )
        ]
        groups = f"--groups={self.group}" if self.group else "--clear-groups"
        # Without runAsGroup the primary group is 0.
        identity = (f"--reuid={context['runAsUser']}", "--regid=0", groups)
        powers = _READS_ALL if reads_all else _AS_CONFIGURED
        own = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        enter = ("unshare", *own, "sh", "-c", _ENTER, "sh", *mounts, "--")
        return (*enter, need("setpriv"), *identity, *powers, *command)

    def environ(self, name: str, **more: str) -> dict[str, str]:
        variables = {each["name"]: each["value"] for each in self.container(name).get("env", ())}
        return scrubbed_environ(self.place / "home", **variables, **more)

    def run(self, name: str, *command: str, **more: str) -> CompletedProcess[str]:
        words = self.words(name, *command)
        return self.room.try_run(*words, environ=self.environ(name, **more))

    def may(self, name: str, *command: str) -> bool:
        """Whether a command succeeds with no more power than the manifest gives."""
        words = self.words(name, *command, reads_all=False)
        return self.room.try_run(*words, environ=self.environ(name)).returncode == 0

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Run a container's own command."""
        log = self.place / f"{name}.log"
        words = self.words(name, *self.container(name)["command"])
        with self.room.running(*words, environ=self.environ(name), stdout=log, stderr=log):
            try:
                yield
            except AssertionError as error:
                error.add_note(log.read_text())
                raise
