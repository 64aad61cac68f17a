"""A corporate proxy that inspects TLS, and a daemon that is told of it as the page says."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from imdsd.clock import SystemClock
from imdsd.sandbox.app import Sandbox, SandboxRole
from tests.documents.blocks import DOCS, blocks_of
from tests.support import BIN, room, scrubbed_environ

PAGE = blocks_of(DOCS / "how-to/proxies.md")
(CONFIG,) = [block.text for block in PAGE if block.language == "toml"]
*_, SAID = [block.text for block in PAGE if block.language == "text"]
ROLE = "arn:aws:iam::123456789012:role/dev"
HOST, PORT = "sts.eu-central-1.amazonaws.com", 3128
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def certificate(name, key, issuer, issuer_key, *, authority=False):
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    begin = SystemClock().now() - timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def pem(*parts):
    encoded = [
        part.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        if isinstance(part, ec.EllipticCurvePrivateKey)
        else part.public_bytes(serialization.Encoding.PEM)
        for part in parts
    ]
    return b"".join(encoded).decode()


class InspectingProxy:
    """Opens the TLS of every tunnel with a certificate of its own, and asks the sandbox behind it."""

    def __init__(self, directory, sts_url):
        key, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        authority = certificate("The Proxy", key, None, key, authority=True)
        self.bundle = directory / "bundle.pem"
        self.bundle.write_text(pem(authority))
        chain = directory / "chain.pem"
        chain.write_text(pem(own, certificate(HOST, own, authority.subject, key)))
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(chain)
        self._behind = urlsplit(sts_url)
        self.asked = []

    async def handle(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.partition(b"\r\n")[0].decode())
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await writer.start_tls(self._context)
            there = await asyncio.open_connection(self._behind.hostname, self._behind.port)
            await asyncio.gather(pipe(reader, there[1]), pipe(there[0], writer))
        except (ssl.SSLError, OSError):
            writer.close()


async def pipe(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture(scope="module")
def office():
    with room() as made:
        yield made


@asynccontextmanager
async def behind_the_proxy(office, directory, config):
    """Run a daemon in the office with a configuration; gives its environment and the proxy."""
    async with Sandbox(clock=SystemClock(), roles=[SandboxRole(ROLE)]) as sandbox:
        proxy = InspectingProxy(directory, sandbox.sts_url)
        token = directory / "token"
        token.write_text(sandbox.issuer.issue("sts.amazonaws.com").reveal())
        path = directory / "config.toml"
        path.write_text(config.replace(BUNDLE, str(proxy.bundle)))
        environ = scrubbed_environ(
            directory,
            IMDSD_RUNTIME_DIR=str(directory / "run"),
            IMDSD_TOKEN_FILE=str(token),
            AWS_REGION="eu-central-1",
            HTTPS_PROXY=f"http://127.0.0.1:{PORT}",
            HTTP_PROXY=f"http://127.0.0.1:{PORT}",
        )
        serve = (BIN / "imdsd", "serve", "--config", path)
        log = directory / "log"
        with office.listen(PORT) as listener:
            server = await asyncio.start_server(proxy.handle, sock=listener)
            with office.running(*serve, environ=environ, stdout=log, stderr=log):
                yield environ, proxy
            server.close()


async def run(office, *words, environ):
    return await asyncio.to_thread(office.try_run, BIN / "imdsd", *words, environ=environ)


async def test_with_the_proxys_authority_the_role_is_served(office, tmp_path):
    async with behind_the_proxy(office, tmp_path, CONFIG) as (environ, proxy):
        waited = await run(office, "wait", environ=environ)
        assert waited.returncode == 0, waited.stderr
        # The SDK asks the daemon past the proxy.
        words = ("exec", "--", "python", "-c", "import boto3; print(boto3.Session().get_credentials().method)")  # fmt: skip
        done = await run(office, *words, environ=environ)
        assert done.stdout == "container-role\n", done.stderr
    assert proxy.asked == [f"CONNECT {HOST}:443 HTTP/1.1"]


async def test_without_it_the_status_says_what_is_not_trusted(office, tmp_path):
    config = "".join(line for line in CONFIG.splitlines(keepends=True) if "ca_bundle" not in line)
    async with behind_the_proxy(office, tmp_path, config) as (environ, _):
        waited = await run(office, "wait", "--timeout", "3", environ=environ)
        assert waited.returncode == 4, waited.stderr
        status = await run(office, "status", "--json", environ=environ)
    error = json.loads(status.stdout)["roles"][0]["last_error"]
    assert f"{error['reason']}; {error['remedy']}\n" == SAID
