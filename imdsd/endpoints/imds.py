"""The instance metadata service: IMDS tokens, the tree, and the default role's document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from imdsd.credentials.model import RoleState, role_name_of
from imdsd.endpoints.container import why_unavailable
from imdsd.endpoints.documents import refused_role
from imdsd.endpoints.imds_tokens import ImdsTokens, parse_ttl
from imdsd.endpoints.message import OCTETS, READ_METHODS, RETRY_SOON, TEXT, Answer, Request
from imdsd.endpoints.upstream.errors import UpstreamUnavailableError
from imdsd.metadata.tree import VERSIONS, split_path
from imdsd.metadata.values import RoleFacts

if TYPE_CHECKING:
    from imdsd.clock import Clock
    from imdsd.credentials.model import Snapshot
    from imdsd.credentials.refresher import Refresher
    from imdsd.credentials.roles import Roles
    from imdsd.endpoints.documents import Documents
    from imdsd.metadata.composition import Metadata
    from imdsd.metadata.tree import Leaf, Listing
    from imdsd.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

HOLD_SECONDS = 0.4
"""Go v2 gives the metadata service half a second to headers."""

TOKEN_PATH = "/latest/api/token"
TOKEN_HEADER = "X-Aws-Ec2-Metadata-Token"
TTL_HEADER = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
_ROLES = ("meta-data", "iam", "security-credentials")
_USER_DATA = ("user-data",)

FORBIDDEN = Answer(403)
UNAUTHORIZED = Answer(401)
BAD_REQUEST = Answer(400)
_TOKEN_METHODS = ("Allow", "OPTIONS, PUT")
_PAGE_METHODS = ("Allow", "GET, HEAD")

# The page of the real service, 339 bytes.
NOT_FOUND = Answer(
    404,
    b"""<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
\t\t "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>404 - Not Found</title>
 </head>
 <body>
  <h1>404 - Not Found</h1>
 </body>
</html>
""",
    "text/html",
)


class ImdsEndpoint:
    """Answer like the metadata service of an EC2 instance, in the order 403, 401, 404."""

    def __init__(
        self,
        roles: Roles[Documents],
        tokens: ImdsTokens,
        metadata: Metadata,
        *,
        clock: Clock,
        metrics: Metrics,
        allow_imdsv1: bool,
    ) -> None:
        self._roles = roles
        self._tokens = tokens
        self._metadata = metadata
        self._clock = clock
        self._metrics = metrics
        self.allow_imdsv1 = allow_imdsv1

    def answer_now(self, request: Request) -> Answer | None:
        """Return what the real service would; None for what is upstream's, or not there yet."""
        if not request.connection.imds_allowed():
            self._metrics.refused("peer")
            return FORBIDDEN
        segments = split_path(request.path)
        if segments[1:] == ("api", "token"):
            return self._token(request)
        if request.method not in READ_METHODS:
            return Answer(405, headers=(_PAGE_METHODS,))
        if self._is_imdsv1(request):
            return None
        remaining = self._remaining_seconds(request)
        if remaining is None:
            return UNAUTHORIZED
        answer = self._page_now(segments)
        return _with_ttl(answer, remaining) if answer else None

    async def answer(self, request: Request) -> Answer:
        """Return what the real service would."""
        if (answer := self.answer_now(request)) is not None:
            return answer
        segments = split_path(request.path)
        if self._is_imdsv1(request):
            user = request.connection.user()
            self._metrics.imdsv1_used(user)
            log.debug("imdsv1_used", user=user, path=request.path)
            return self._page_now(segments) or await self._page(segments)
        # Before the wait, which may outlast the token.
        remaining = self._remaining_seconds(request)
        answer = await self._page(segments)
        return _with_ttl(answer, remaining) if remaining else answer

    def _token(self, request: Request) -> Answer:
        if request.method == "OPTIONS":
            return Answer(200, headers=(_TOKEN_METHODS,))
        if request.method != "PUT":
            return Answer(405, headers=(_TOKEN_METHODS,))
        # An endpoint variable that ends in a slash makes clients ask for //latest.
        if "/" + request.path.lstrip("/") != TOKEN_PATH:
            return FORBIDDEN
        asked = request.headers.getall(TTL_HEADER, [])
        ttl = parse_ttl(asked[0]) if len(asked) == 1 else None
        if ttl is None:
            return BAD_REQUEST
        token = self._tokens.issue(ttl, now=self._clock.now())
        return Answer(200, token.encode(), headers=((TTL_HEADER, str(ttl)),))

    def _is_imdsv1(self, request: Request) -> bool:
        return self.allow_imdsv1 and TOKEN_HEADER not in request.headers

    def _remaining_seconds(self, request: Request) -> int | None:
        """Return how long the request's token is good for, None without a good one."""
        given = request.headers.getall(TOKEN_HEADER, [])
        if len(given) != 1:
            return None
        return self._tokens.remaining_seconds(given[0], now=self._clock.now())

    def _page_now(self, segments: tuple[str, ...]) -> Answer | None:
        refresher = self._roles.default
        if _is_role(segments):
            if segments[-1] != role_name_of(refresher.attempt.terms.final_arn):
                return NOT_FOUND
            snapshot = refresher.current()
            return _role_document(snapshot) if snapshot else None
        if not segments:
            return _VERSIONS
        if segments[0] not in VERSIONS:
            return NOT_FOUND
        if self._metadata.is_upstreams(segments[1:]):
            return None
        return _answer_of(self._metadata.own(_facts(refresher), segments[1:]), refresher, segments)

    async def _page(self, segments: tuple[str, ...]) -> Answer:
        """Return what has to be waited for."""
        refresher = self._roles.default
        if _is_role(segments):
            return await self._role(refresher)
        try:
            node = await self._metadata.find(_facts(refresher), segments[1:])
        except UpstreamUnavailableError as error:
            return Answer(503, str(error).encode(), headers=(RETRY_SOON,))
        return _answer_of(node, refresher, segments)

    async def _role(self, refresher: Refresher[Documents]) -> Answer:
        snapshot = await refresher.current_within(HOLD_SECONDS)
        if snapshot is not None:
            return _role_document(snapshot)
        if refresher.state is RoleState.DENIED:
            message = why_unavailable(refresher)
            return Answer(200, refused_role(message, at=self._clock.now()), headers=_NO_STORE)
        return _unavailable(refresher)


_VERSIONS = Answer(200, "\n".join(VERSIONS).encode())
_NO_STORE = (("Cache-Control", "no-store"),)


def _role_document(snapshot: Snapshot[Documents]) -> Answer:
    return Answer(200, snapshot.documents.imds_role, headers=_NO_STORE)


def _answer_of(
    node: Leaf | Listing | None, refresher: Refresher[Documents], segments: tuple[str, ...]
) -> Answer:
    if node is None:
        return NOT_FOUND
    if node.value is None:
        return _unavailable(refresher)
    return Answer(200, node.value, OCTETS if segments[1:] == _USER_DATA else TEXT)


def _is_role(segments: tuple[str, ...]) -> bool:
    return len(segments) == 5 and segments[0] in VERSIONS and segments[1:4] == _ROLES  # noqa: PLR2004


def _facts(refresher: Refresher[Documents]) -> RoleFacts:
    if refresher.snapshot is not None:
        return refresher.snapshot.documents.facts
    terms = refresher.attempt.terms
    return RoleFacts(terms.final_arn, terms.region)


def _unavailable(refresher: Refresher[Documents]) -> Answer:
    return Answer(503, why_unavailable(refresher).encode(), headers=(RETRY_SOON,))


def _with_ttl(answer: Answer, remaining_seconds: int) -> Answer:
    header = (TTL_HEADER, str(remaining_seconds))
    return Answer(answer.status, answer.body, answer.content_type, (*answer.headers, header))
