"""The sandbox STS over HTTP: reads a call, lets a fault at it, answers, and keeps the log."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from aiohttp import web

from imdsd.sandbox.faults import Fault, Faults
from imdsd.sandbox.sessions import Session, Sessions
from imdsd.sandbox.sigv4 import SignedRequest, authenticate, parse_authorization
from imdsd.sandbox.wire import (
    LIMITS,
    VERSION,
    Answer,
    StsError,
    check_parameters,
    render_error,
    render_result,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from imdsd.clock import Clock
    from imdsd.sandbox.grants import Grant, Rules

SECRET_PARAMETERS = frozenset({"WebIdentityToken", "TokenCode"})
UNEXPECTED_SIGNATURE = (
    "AssumeRoleWithWebIdentity takes no signature, and this request carries one: the caller "
    "asked its own credential chain for credentials"
)
# So that a demo which runs for weeks stays small.
MOST_LOGGED = 10_000
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request as the log keeps it; `code` is OK, an error code, or what a fault did."""

    action: str
    parameters: Mapping[str, str]
    signed: bool
    access_key_id: str
    status: int
    code: str


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read."""

    request: SignedRequest
    parameters: Mapping[str, str]

    @property
    def action(self) -> str:
        """What is asked for."""
        return self.parameters.get("Action", "")

    @property
    def signed(self) -> bool:
        """Whether the request carries a signature, in whatever place."""
        in_query = {"X-Amz-Signature", "X-Amz-Algorithm"} & self.parameters.keys()
        return self.request.header("authorization") is not None or bool(in_query)

    @property
    def access_key_id(self) -> str:
        """Whose signature it is, or nothing."""
        try:
            return parse_authorization(self.request.header("authorization")).access_key_id
        except StsError:
            return ""


async def read_call(request: web.Request) -> Call:
    """Read a request whole: parameters stand in the query, the form, or both."""
    body = await request.read()
    path, _, query = request.raw_path.partition("?")
    form = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    parameters = dict(parse_qsl(query, keep_blank_values=True) + form)
    headers = tuple(request.headers.items())
    return Call(SignedRequest(request.method, path, query, headers, body), parameters)


class SandboxSts:
    """Exchange web identity tokens and check signatures; `faults` spoil, `requests` remember."""

    def __init__(self, rules: Rules, *, clock: Clock) -> None:
        self.faults = Faults(clock)
        self.requests: list[LoggedRequest] = []
        self.answers: Counter[tuple[str, str]] = Counter()
        self.signed_exchanges = 0
        self._rules = rules
        self._clock = clock
        self._sessions = Sessions()

    def application(self) -> web.Application:
        """Build the HTTP face: the query protocol at /, by GET and POST."""
        application = web.Application()
        application.router.add_get("/", self._serve)
        application.router.add_post("/", self._serve)
        return application

    def calls(self, action: str) -> int:
        """Count the requests for an action, whatever their answer."""
        return sum(count for (asked, _), count in self.answers.items() if asked == action)

    async def _serve(self, request: web.Request) -> web.Response:
        call = await read_call(request)
        fault = self.faults.take(call.action)
        await self.faults.suffer(fault)
        if fault.resets:
            self._log(call, Answer(0, "", "ConnectionReset"))
            reset_connection(request)
            return web.Response(status=503)
        answer = fault.answer or self._answer(call, fault)
        self._log(call, answer)
        return web.Response(
            status=answer.status, text=answer.body, content_type="text/xml", headers=answer.headers
        )

    def _answer(self, call: Call, fault: Fault) -> Answer:
        try:
            return self._act(call, fault, now=self._clock.now())
        except StsError as error:
            return render_error(error)

    def _act(self, call: Call, fault: Fault, *, now: datetime) -> Answer:
        check_action(call)
        match call.action:
            case "AssumeRoleWithWebIdentity":
                self._refuse_signature(call)
                check_parameters(call.action, call.parameters)
                grant = self._rules.by_web_identity(call.parameters, now=now)
            case "AssumeRole":
                caller = authenticate(call.request, self._sessions, now=now)
                check_parameters(call.action, call.parameters)
                grant = self._rules.by_chaining(call.parameters, caller=caller, now=now)
            case _:
                caller = authenticate(call.request, self._sessions, now=now)
                return render_result(call.action, identity(caller))
        return self._hand_out(call.action, fault.bend(grant, now) if fault.bend else grant)

    def _hand_out(self, action: str, grant: Grant) -> Answer:
        if grant.session is not None:
            self._sessions.remember(grant.session)
        return render_result(action, grant.result())

    def _refuse_signature(self, call: Call) -> None:
        if call.signed:
            self.signed_exchanges += 1
            raise StsError("ValidationError", UNEXPECTED_SIGNATURE)

    def _log(self, call: Call, answer: Answer) -> None:
        shown = {
            name: value for name, value in call.parameters.items() if name not in SECRET_PARAMETERS
        }
        self.answers[call.action, answer.code] += 1
        self.requests.append(
            LoggedRequest(
                call.action, shown, call.signed, call.access_key_id, answer.status, answer.code
            )
        )
        del self.requests[:-MOST_LOGGED]


def check_action(call: Call) -> None:
    """Refuse what this STS does not offer, with the real one's code."""
    version = call.parameters.get("Version")
    if call.action not in LIMITS or version != VERSION:
        text = f"Could not find operation {call.action} for version {version}"
        raise StsError("InvalidAction", text)


def identity(caller: Session) -> Mapping[str, str]:
    """Return the elements of GetCallerIdentity's answer."""
    return {"Arn": caller.arn, "UserId": caller.user_id, "Account": caller.role.account}


def reset_connection(request: web.Request) -> None:
    """Close a connection so that the peer sees a reset, not an end."""
    if request.transport is None:
        return
    connection = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    request.transport.abort()
