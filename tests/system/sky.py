"""The wall clock of a sandbox and of daemons, set from outside while they run."""

from datetime import timedelta

from imdsd.clock import SystemClock
from tests.system.machine import FAKETIME, need_file


class Sky:
    """The wall clock of the sandbox and of the daemons: the real one, and what a test added."""

    def __init__(self, place):
        self._file = place / "clock"
        self.clock = _Shifted()
        self.set(0)

    def set(self, seconds):
        """Set the wall clock; the monotonic ones go on as they are."""
        self.clock.shift = timedelta(seconds=seconds)
        draft = self._file.with_name("clock.draft")
        draft.write_text(f"{seconds:+}\n")
        draft.rename(self._file)

    @property
    def variables(self):
        """What puts a process under this sky."""
        return {
            "LD_PRELOAD": str(need_file(FAKETIME)),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            # Without this its timed waits are over at once, and threads spin for the interpreter.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }


class _Shifted(SystemClock):
    shift = timedelta(0)

    def now(self):
        return super().now() + self.shift
