"""An OIDC issuer and an STS of our own on loopback, for the demo and the tests."""

from importlib.util import find_spec

from imdsd.errors import ImdsdError


class SandboxUnavailableError(ImdsdError):
    """The sandbox's own dependencies are not installed."""


if find_spec("cryptography") is None:
    raise SandboxUnavailableError(
        "the sandbox needs the package cryptography, which is not installed; "
        "install imdsd with its extra, as in: uv tool install 'imdsd[sandbox] @ git+URL'"
    )
