"""A token command that can be made to do harm, and that has tokens of every kind to print."""

from tests.system.settings import AUDIENCE


class Command:
    """Its behaviour can be changed while a daemon runs; its tokens lie beside it."""

    def __init__(self, place, issuer):
        self.path = place / "mint"
        self._note("good", issuer.issue(AUDIENCE))
        self._note("audience", issuer.issue("somebody"))
        self._note("expired", issuer.issue(AUDIENCE, lifetime_seconds=-10))
        self._note("brief", issuer.issue(AUDIENCE, lifetime_seconds=30))
        self.mend()

    def _note(self, name, token):
        self.path.with_name(f"mint.{name}").write_text(token.reveal())

    def becomes(self, script):
        """Replace it by rename, since the old one may be running."""
        draft = self.path.with_name("draft")
        draft.write_text(f"#!/bin/sh\n{script}\n")
        draft.chmod(0o755)
        draft.rename(self.path)

    def mend(self):
        self.becomes('cat "$0.good"')
