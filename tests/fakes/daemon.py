"""A daemon to ask: a real run-time directory and a real socket, with answers a test chooses.

It verifies what it is sent: a wrong bearer is refused, whatever the test wanted answered.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from imdsd.host.daemon_record import DaemonRecord
from imdsd.host.runtime_directory import RuntimeDirectory

ARN = "arn:aws:iam::123456789012:role/dev"
CREDENTIALS = {
    "AccessKeyId": "ASIAEXAMPLE",
    "SecretAccessKey": "fake-secret-key",
    "Token": "fake-session-token",
    "Expiration": "2030-01-01T01:00:00Z",
    "AccountId": "123456789012",
    "RoleArn": ARN,
}


def role_entry(name="dev", **changes):
    """One entry of /status, of a role that fares well."""
    entry = {
        "name": name,
        "aliases": [],
        "default": name == "dev",
        "state": "ok",
        "served": True,
        "role_arn": ARN,
        "assumed_role_arn": None,
        "account_id": "123456789012",
        "region": "eu-west-1",
        "issued_at": "2030-01-01T00:00:00Z",
        "expires_at": "2030-01-01T01:00:00Z",
        "refresh_at": "2030-01-01T00:28:00Z",
        "seconds_left": 3600,
        "token_source": "command",
        "renewable": True,
        "refreshes": 3,
        "failures": 0,
        "last_error": None,
    }
    return {**entry, **changes}


def status_document(*roles):
    return {
        "version": "0.1.0",
        "pid": 4242,
        "started_at": "2030-01-01T00:00:00Z",
        "demo": False,
        "listeners": ["127.0.0.1:9254"],
        "default_role": "dev",
        "roles": list(roles or [role_entry()]),
        "warnings": [],
    }


LAST_ERROR = {
    "stage": "mint",
    "code": "MintFailed",
    "reason": "the token command exited with 1",
    "remedy": "run `ona login`",
    "at": "2030-01-01T00:00:00Z",
}


def error_document(code, message):
    return {"Code": code, "Message": message, "code": code, "message": message}


class FakeDaemon:
    """Answers `routes[method, path]`, a (status, document) or a function that returns one."""

    def __init__(self, directory):
        self.environ = {"IMDSD_RUNTIME_DIR": str(directory)}
        self.runtime = RuntimeDirectory.acquire(self.environ, uid=os.geteuid())
        self.bearer = self.runtime.bearer()
        self.requests = []
        self.bodies = []
        self.routes = {
            ("GET", "/status"): (200, status_document()),
            ("GET", "/v1/credentials"): (200, CREDENTIALS),
        }
        self.imds = {}
        self.imds_token = "the-imds-token"
        self._server = None

    def listen(self, host="127.0.0.1"):
        """Open the listener, as the daemon does before it announces itself."""
        make = _Server6 if ":" in host else _Server
        self._server = make((host, 0), _handler(self))
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        return self

    @property
    def address(self):
        return self._server.server_address[:2]

    def record(self, **changes):
        host, port = self.address if self._server else ("127.0.0.1", 1)
        fields = {
            "pid": os.getpid(),
            "uid": os.geteuid(),
            "listeners": (f"[{host}]:{port}" if ":" in host else f"{host}:{port}",),
            "version": "0.1.0",
            "demo": False,
            "region": "us-east-1",
            "sts_endpoint_url": None,
            "started_at": "2030-01-01T00:00:00Z",
        }
        return DaemonRecord(**{**fields, **changes})

    def announce(self, **changes):
        self.runtime.announce(self.record(**changes))
        return self

    def says(self, *roles):
        """Let /status tell of these roles."""
        self.routes["GET", "/status"] = (200, status_document(*roles))
        return self

    def reply(self, method, path, authorization, body=b""):
        self.requests.append((method, path))
        self.bodies.append(body)
        guarded = path.startswith(("/v1/", "/refresh", "/events"))
        if guarded and authorization != self.bearer.reveal():
            return 401, error_document("Unauthorized", "the bearer is wrong")
        answer = self.routes.get((method, path), (404, error_document("NotFound", "no such")))
        return answer() if callable(answer) else answer

    def reply_imds(self, method, path, headers):
        """Answer as the metadata service: `imds[path]`, bytes or a (status, bytes)."""
        self.requests.append((method, path))
        if "Authorization" in headers:
            return 400, b"the bearer is none of the metadata service's business"
        if method == "PUT":
            answer = self.imds.get(path)
            ttl = headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            lives = ttl.isdecimal() and 1 <= int(ttl) <= 21600
            return answer or ((200, self.imds_token.encode()) if lives else (400, b""))
        if headers.get("X-aws-ec2-metadata-token") != self.imds_token:
            return 401, b""
        answer = self.imds.get(path, (404, b"<html>no such page</html>"))
        return (200, answer) if isinstance(answer, bytes) else answer

    def close(self):
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self.runtime.close()


@contextmanager
def running_daemon(directory, **record):
    """A daemon that listens and has announced itself."""
    daemon = FakeDaemon(Path(directory))
    try:
        yield daemon.listen().announce(**record)
    finally:
        daemon.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True


class _Server6(_Server):
    address_family = socket.AF_INET6


def _handler(daemon):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path == "/" or self.path.startswith(("/latest", "/20", "/1.0")):
                status, document = daemon.reply_imds(self.command, self.path, self.headers)
            else:
                status, document = daemon.reply("GET", self.path, self.headers["Authorization"])
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            authorization = self.headers["Authorization"]
            status, document = daemon.reply(self.command, self.path, authorization, sent)
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self):
            self.do_GET()

        def do_DELETE(self):
            self.do_POST()

        def log_message(self, *args):
            pass

    return Handler
