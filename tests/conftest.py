"""What every test has in common."""

import os

import pytest
from hypothesis import settings

# A shared machine pauses for longer than any deadline that means something.
settings.register_profile("steady", deadline=None)
settings.register_profile("many", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let nothing skip in CI: what a test needs is installed there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if os.environ.get("CI") and skipped and session.exitstatus == 0:
        reporter.write_line(f"{skipped} tests were skipped, expected none in CI", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
