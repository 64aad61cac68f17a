"""The only module that knows what a shell does when it starts: look for a daemon, take its word.

A shell without a daemon pays for a few looks at files, and not for an interpreter. Whether what is
found can be trusted is for `imdsd env` to say.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING

from imdsd.host.daemon_record import FIXED_DIRECTORY, RECORD_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_VARIABLE = re.compile(r"\{(\w+)\}")
# A directory service may have names that a shell would take for more than a name.
_PLAIN_NAME = re.compile(r"[\w.@+-]+")

OF_ANYBODY = (
    "{IMDSD_RUNTIME_DIR}",
    "{XDG_RUNTIME_DIR}/imdsd",
    "/run/imdsd-user/{USER}",
    "/run/imdsd",
    FIXED_DIRECTORY,
)
"""Where a daemon is looked for when the user is not known beforehand; `{NAME}` is a variable."""


def of_user(uid: int, name: str | None) -> tuple[str, ...]:
    """Return where this user's client looks, as imdsd.host.runtime_directory has it."""
    own = (f"/run/imdsd-user/{name}",) if name and _PLAIN_NAME.fullmatch(name) else ()
    return (
        "{IMDSD_RUNTIME_DIR}",
        "{XDG_RUNTIME_DIR}/imdsd",
        f"/run/user/{uid}/imdsd",
        *own,
        "/run/imdsd",
        f"{{TMPDIR}}/imdsd-{uid}",
        f"/tmp/imdsd-{uid}",  # noqa: S108  # looked at, not used
        FIXED_DIRECTORY,
    )


# Whoever has a bearer already keeps it: `imdsd exec --role` chose it, or the shell around this one.
_SH = """\
if [ -z "${{AWS_CONTAINER_AUTHORIZATION_TOKEN:-}}" ]; then
  for imdsd_at in {places}; do
    if [ -r "$imdsd_at/{record}" ] && [ -x {interpreter} ]; then
      eval "$({interpreter} -P -m imdsd env --timeout 0 2>/dev/null || :)"
      break
    fi
  done
  unset imdsd_at
fi
"""
_FISH = """\
if test -z "$AWS_CONTAINER_AUTHORIZATION_TOKEN"
    for imdsd_at in {places}
        if test -r "$imdsd_at/{record}" -a -x {interpreter}
            {interpreter} -P -m imdsd env --format fish --timeout 0 2>/dev/null | source
            break
        end
    end
end
"""


def for_sh(interpreter: Path, *, places: Sequence[str]) -> bytes:
    """Return the lines for bash, zsh, dash and every other POSIX shell."""
    return _render(_SH, interpreter, places, variable="${%s:-}", quote=shlex.quote)


def for_fish(interpreter: Path, *, places: Sequence[str]) -> bytes:
    """Return the lines for fish."""
    return _render(_FISH, interpreter, places, variable="$%s", quote=_fish_quoted)


def _render(
    template: str,
    interpreter: Path,
    places: Sequence[str],
    *,
    variable: str,
    quote: Callable[[str], str],
) -> bytes:
    def spelled(place: str) -> str:
        return '"' + _VARIABLE.sub(lambda found: variable % found[1], place) + '"'

    text = template.format(
        places=" ".join(map(spelled, places)),
        record=RECORD_NAME,
        interpreter=quote(str(interpreter)),
    )
    return os.fsencode(text)


def _fish_quoted(word: str) -> str:
    # Within fish's single quotes only \\ and \' are escapes.
    return "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"
