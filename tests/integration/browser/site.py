"""Somebody else's web site, a server that lets every page read it, and a name that is rebound.

`site.py PORT_OF_THE_DAEMON` listens on the ports below and says "listening".
"""

import base64
import hashlib
import http.server
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

SITE, OPEN, REBOUND_TO_DAEMON, REBOUND_TO_OPEN = 8000, 8001, 8002, 8003
PAGE = Path(__file__).with_name("page.html").read_bytes()
READABLE = "what every page may read"

_KINDS = {
    "image": ("image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>'),
    "script": ("text/javascript", f'window.loaded = "{READABLE}"'),
    "style": ("text/css", "pre { outline-style: dotted }"),
    "iframe": ("text/html", f'<script>parent.postMessage("{READABLE}", "*")</script>{READABLE}'),
}
_WEB_SOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What is hashed with the key (RFC 6455, section 1.3)."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Ends each connection with its answer, so that a name may lead elsewhere from then on."""

    def log_message(self, *_):
        pass

    def reply(self, status, kind, body, **headers):
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer(self):
        """Take the body in, and answer whatever the method is."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.say()

    do_GET = do_POST = do_PUT = do_OPTIONS = answer  # noqa: N815  # named by the library


class Site(Handler):
    """The site itself."""

    def say(self):
        parts = urlsplit(self.path)
        if parts.path == "/redirect":
            self.reply(302, "text/plain", b"", Location=parse_qs(parts.query)["to"][0])
        else:
            self.reply(200, "text/html", PAGE)


class Open(Handler):
    """The control: what a page can read where nobody keeps it from it."""

    def say(self):
        allowed = {
            "Access_Control_Allow_Origin": "*",
            "Access_Control_Allow_Methods": "*",
            "Access_Control_Allow_Headers": "*, authorization",
        }
        if "Sec-WebSocket-Key" in self.headers:
            self.say_by_web_socket()
        elif self.headers.get("Accept") == "text/event-stream":
            self.reply(200, "text/event-stream", f"data: {READABLE}\n\n".encode(), **allowed)
        else:
            kind, body = _KINDS.get(self.destination(), ("text/plain", READABLE))
            self.reply(200, kind, body.encode(), **allowed)

    def destination(self):
        """What the browser wants it for; over plain http it may say so by what it accepts."""
        named = self.headers.get("Sec-Fetch-Dest")
        if named is not None:
            return named
        accepted = self.headers.get("Accept", "")
        kinds = {"text/html": "iframe", "image/": "image", "text/css": "style"}
        by_accept = (kind for begin, kind in kinds.items() if accepted.startswith(begin))
        return next(by_accept, "")

    def say_by_web_socket(self):
        key = self.headers["Sec-WebSocket-Key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + _WEB_SOCKET).digest()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        head = "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", "", ""])
        self.wfile.write(head.encode() + bytes([0x81, len(READABLE)]) + READABLE.encode())
        self.rfile.read(1)


class Rebound:
    """A port that is the site's until it is asked for /rebind, and another one's from then on."""

    def __init__(self, port, there):
        self._listener = socket.create_server(("127.0.0.1", port))
        self._there = there
        self._is_rebound = False

    def serve(self):
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._pass_on, args=(connection,), daemon=True).start()

    def _pass_on(self, near):
        with near:
            first = near.recv(65536)
            if not first:
                return
            if first.startswith(b"GET /rebind "):
                self._is_rebound = True
                near.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                return
            is_page = first.startswith((b"GET /page", b"GET /redirect"))
            to = self._there if self._is_rebound and not is_page else SITE
            with socket.create_connection(("127.0.0.1", to)) as far:
                far.sendall(first)
                threading.Thread(target=_pump, args=(near, far), daemon=True).start()
                _pump(far, near)


def _pump(source, sink):
    try:
        while part := source.recv(65536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def main():
    daemon = int(sys.argv[1])
    serving = [
        http.server.ThreadingHTTPServer(("127.0.0.1", SITE), Site).serve_forever,
        http.server.ThreadingHTTPServer(("127.0.0.1", OPEN), Open).serve_forever,
        Rebound(REBOUND_TO_DAEMON, daemon).serve,
        Rebound(REBOUND_TO_OPEN, OPEN).serve,
    ]
    threads = [threading.Thread(target=serve) for serve in serving]
    for thread in threads:
        thread.start()
    print("listening", flush=True)


if __name__ == "__main__":
    main()
