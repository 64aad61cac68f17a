"""The only module that knows what user data may be, and where it is read from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsd.config.parsers import existing_file, of_type
from imdsd.config.tables import ExpectedError, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsd.config.metadata.placing import Placing
    from imdsd.config.tables import Table

_PATH = "user-data"

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html: 16 KB, before base64.
_MOST_BYTES = 16384

_text = of_type(str, "a text in quotes")


def place_user_data(table: Table, placing: Placing, *, home: str | None) -> None:
    """Put the leaf `user-data`, whichever of its two keys gives it."""
    written, file = table.setting("user_data"), table.setting("user_data_file")
    if written is not None and file is not None:
        found = "user_data beside it"
        refusal = ExpectedError("one of the two", found=found, hint="take one of them out")
        table.refuse("user_data_file", refusal)
        return
    value = table.read("user_data", _written, None)
    value = table.read("user_data_file", _in_file(home), value)
    giver = written or file
    if value is not None and giver is not None:
        placing.put(_PATH, value, giver)


def _written(value: object) -> bytes:
    return _checked(_text(value).encode(errors="replace"))


def _in_file(home: str | None) -> Callable[[object], bytes]:
    existing = existing_file(home)

    def parse(value: object) -> bytes:
        path = existing(value)
        try:
            with path.open("rb") as file:
                return _checked(file.read(_MOST_BYTES + 1))
        except OSError as error:
            found = f"{shown(value)}: {error.strerror}"
            raise ExpectedError("a file that can be read", found=found) from None

    return parse


def _checked(value: bytes) -> bytes:
    if not value:
        hint = "take the key out for an environment without user data"
        raise ExpectedError("user data that is not empty", found="nothing", hint=hint)
    if len(value) > _MOST_BYTES:
        expected = f"at most {_MOST_BYTES} bytes, EC2's limit"
        hint = "compress it, or have it fetch the rest"
        raise ExpectedError(expected, found="more bytes than that", hint=hint)
    return value
