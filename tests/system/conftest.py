"""A sandbox in the test's own loop, and daemons beside it as processes."""

import tempfile
from pathlib import Path

import pytest

from imdsd.clock import SystemClock
from imdsd.sandbox.app import Sandbox, SandboxRole
from tests.system.daemon import Daemons
from tests.system.settings import ARN, OTHER_ARN


@pytest.fixture
async def sandbox():
    roles = [SandboxRole(ARN), SandboxRole(OTHER_ARN)]
    async with Sandbox(clock=SystemClock(), roles=roles) as sandbox:
        yield sandbox


@pytest.fixture
def daemons():
    # Not pytest's own folder, which other users may not enter.
    with tempfile.TemporaryDirectory(prefix="imdsd-system-") as place:
        Path(place).chmod(0o755)
        daemons = Daemons(Path(place))
        try:
            yield daemons
        finally:
            daemons.close()
