"""The machine on which documents are tried."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.documents.blocks import DOCUMENTS
from tests.documents.reader import cloud
from tests.support import Room, lack, need, room


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Room, dict[str, Any]]]:
    """A network namespace, and what the AWS of our own in it tells of itself."""
    if os.geteuid() != 0:
        lack("root, to mount")
    for program in ("bash", "curl", "git", "ip", "script", "/usr/bin/aws"):
        need(program)
    every = "\n".join(path.read_text() for path in DOCUMENTS)
    arns = sorted(set(re.findall(r"arn:aws:iam::\d{12}:role/[\w/-]+", every)))
    directory = tmp_path_factory.mktemp("aws")
    with room() as made, cloud(made, directory, arns) as told:
        yield made, told
