"""`/v1/credentials[/ROLE]`: what `AWS_CONTAINER_CREDENTIALS_FULL_URI` points to."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from imdsd.endpoints.message import (
    READ_METHODS,
    RETRY_SOON,
    Answer,
    Request,
    error_answer,
    method_not_allowed,
)

if TYPE_CHECKING:
    from imdsd.credentials.refresher import Refresher
    from imdsd.credentials.roles import Roles
    from imdsd.endpoints.documents import Documents
    from imdsd.secret import Secret

PATH = "/v1/credentials"

HOLD_SECONDS = 0.8
"""How long a request that finds nothing waits for an attempt: SDKs give one second."""


class ContainerEndpoint:
    """Hand out a role's credentials to whoever shows the bearer."""

    def __init__(self, roles: Roles[Documents], bearer: Secret) -> None:
        self._roles = roles
        self._bearer = bearer.reveal().encode()

    def answer_now(self, request: Request) -> Answer | None:
        """Return the credentials or a refusal; None where there is nothing to serve just now."""
        if request.method not in READ_METHODS:
            return method_not_allowed(*READ_METHODS)
        if not self.authorized(request):
            return unauthorized() if request.headers.get("Authorization") else _BEARER_MISSING
        refresher = self._find(request.path)
        if refresher is None:
            return unknown_role()
        snapshot = refresher.current()
        return snapshot.documents.container if snapshot else None

    async def answer(self, request: Request) -> Answer:
        """Return the credentials, or what kept them."""
        if (answer := self.answer_now(request)) is not None:
            return answer
        refresher = self._find(request.path)
        assert refresher is not None  # noqa: S101  # or it would be answered
        snapshot = await refresher.current_within(HOLD_SECONDS)
        return snapshot.documents.container if snapshot else unavailable(refresher)

    def authorized(self, request: Request) -> bool:
        """Whether the request carries the bearer, raw, compared in constant time."""
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._bearer)

    def _find(self, path: str) -> Refresher[Documents] | None:
        if path == PATH:
            return self._roles.default
        return self._roles.find(path.removeprefix(PATH + "/"))


def unauthorized() -> Answer:
    """Return 401: the bearer is missing or wrong."""
    return error_answer(
        401, "Unauthorized", "Authorization is not this daemon's bearer; run `imdsd env` again"
    )


# Most often a client from before 2024, in a shell that has only the variable with the file.
_BEARER_MISSING = error_answer(
    401,
    "Unauthorized",
    "there is no Authorization, expected the bearer; AWS CLI before 2.15.0 and boto3 before 1.34.41"
    ' know no AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: take newer ones, or `eval "$(imdsd env)"`',
)


def unknown_role() -> Answer:
    """Return 404 for a role that is not configured; the names are for the status to tell."""
    return error_answer(404, "RoleNotFound", "no role of this name; `imdsd status` lists them")


def unavailable(refresher: Refresher[Documents]) -> Answer:
    """Return 503 with what keeps the credentials away."""
    return error_answer(503, _code(refresher), why_unavailable(refresher), RETRY_SOON)


def why_unavailable(refresher: Refresher[Documents]) -> str:
    """Return one line for a person: the reason, what to do, and the stage."""
    if refresher.failure is None:
        which = "first" if refresher.snapshot is None else "next"
        return f"the {which} credentials are on their way"
    error = refresher.failure.error
    return f"{error} (stage: {error.stage})"


def _code(refresher: Refresher[Documents]) -> str:
    if refresher.failure is not None:
        return refresher.failure.error.code
    # The code that the ECS agent uses for this state.
    return "CredentialsUninitialized" if refresher.snapshot is None else "CredentialsExpired"
