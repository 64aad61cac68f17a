"""A value that does not print."""

from __future__ import annotations

from typing import NoReturn, final


@final
class Secret:
    """Hold a secret text: it prints redacted, compares in constant time, and cannot be pickled.

    `reveal()` is the one visible word, so that a search for it lists every place where a
    secret leaves.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        import hmac  # noqa: PLC0415  # brings OpenSSL, which verbs that compare none need not load

        return hmac.compare_digest(_as_bytes(self), _as_bytes(other))

    __hash__ = None  # type: ignore[assignment]  # a secret is no key of a table

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not written anywhere by accident; use reveal()")


def _as_bytes(secret: Secret) -> bytes:
    # What comes out of a variable may hold bytes that are no UTF-8.
    return secret.reveal().encode("utf-8", "surrogatepass")
