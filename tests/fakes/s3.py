"""An S3 with one object in it, which it gives to those who sign with the credentials it knows."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket

from imdsd.sandbox.sigv4 import SignedRequest, parse_authorization, sign
from imdsd.sandbox.wire import StsError
from imdsd.secret import Secret

PATH = "/bucket/object.txt"
BODY = b"read with credentials that the daemon served"
REGION = "us-east-1"
_EMPTY = hashlib.sha256(b"").hexdigest()
_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{0}</Code><Message>{0}</Message></Error>'
)
_HEADERS = {
    "Content-Type": "text/plain",
    "ETag": f'"{hashlib.md5(BODY, usedforsecurity=False).hexdigest()}"',
    "Last-Modified": "Tue, 01 Jan 2030 00:00:00 GMT",
    "Accept-Ranges": "bytes",
}


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    code: str
    body: bytes
    headers: Mapping[str, str]


class FakeS3:
    """Checks every signature by the credentials of a container document; `codes` remembers."""

    def __init__(self, credentials: Mapping[str, str]) -> None:
        self.codes: list[str] = []
        self._credentials = credentials

    def reply(self, request: SignedRequest) -> Reply:
        code = self._judge(request)
        self.codes.append(code)
        if code != "OK":
            headers = {"Content-Type": "application/xml"}
            return Reply(403, code, _ERROR.format(code).encode(), headers)
        if request.path != PATH:
            return Reply(404, "NoSuchKey", _ERROR.format("NoSuchKey").encode(), {})
        return _part(request.header("range"))

    def _judge(self, request: SignedRequest) -> str:
        try:
            authorization = parse_authorization(request.header("authorization"))
        except StsError as error:
            return error.code
        if authorization.access_key_id != self._credentials["AccessKeyId"]:
            return "InvalidAccessKeyId"
        if request.header("x-amz-security-token") != self._credentials["Token"]:
            return "InvalidToken"
        if (authorization.service, authorization.region) != ("s3", REGION):
            return "AuthorizationHeaderMalformed"
        # Reading sends no body; that its digest is signed as a header is S3's own rule.
        if request.header("x-amz-content-sha256") != _EMPTY:
            return "XAmzContentSHA256Mismatch"
        expected = sign(
            request,
            authorization,
            stamp=request.header("x-amz-date") or "",
            secret=Secret(self._credentials["SecretAccessKey"]),
        )
        must = {"host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"}
        signed = must <= set(authorization.signed_headers)
        return "OK" if signed and expected == authorization.signature else "SignatureDoesNotMatch"


def _part(wanted: str | None) -> Reply:
    """The object, or the one range of it that was asked for."""
    bounds = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted or "")
    if bounds is None:
        return Reply(200, "OK", BODY, _HEADERS)
    first = int(bounds[1])
    body = BODY[first : int(bounds[2]) + 1 if bounds[2] else None]
    content_range = f"bytes {first}-{first + len(body) - 1}/{len(BODY)}"
    return Reply(206, "OK", body, {**_HEADERS, "Content-Range": content_range})


@contextmanager
def serving_s3(credentials: Mapping[str, str], listener: socket) -> Iterator[FakeS3]:
    """Serve on a socket that listens, and close it at the end."""
    store = FakeS3(credentials)
    server = _Server(listener, _handler(store))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, listener: socket, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(listener.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener


def _handler(store: FakeS3) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # A client that keeps its connection must not keep the test.
        timeout = 5

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            headers = tuple(self.headers.items())
            reply = store.reply(SignedRequest(self.command, path, query, headers, b""))
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_HEAD = do_GET  # noqa: N815  # the name that http.server calls

        def log_message(self, *args: object) -> None:
            pass

    return Handler
