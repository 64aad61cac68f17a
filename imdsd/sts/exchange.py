"""The exchange of a web identity token for credentials: what STS is asked, and what it answers.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
"""

from __future__ import annotations

import asyncio
import importlib
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from imdsd.addresses import is_loopback
from imdsd.errors import DurationRefusedError, ExchangeError, RefreshError, Retry
from imdsd.secret import Secret
from imdsd.sts.codes import THROTTLINGS, UNKNOWN, known_code
from imdsd.sts.library import client_config, shared_session

if TYPE_CHECKING:
    from pathlib import Path

TOTAL_SECONDS = 10.0
_HOP_SECONDS = 900
"""A role that only leads to the next one needs no longer session; STS gives none shorter."""

_MESSAGE_CHARACTERS = 500
_CODE = re.compile(r"[A-Za-z0-9.]{1,64}", re.ASCII)
# Anything else would begin lines of its own in a file of credentials.
_WORD = re.compile(r"[!-~]+")
_LONG_RUN = re.compile(r"[\w+=.-]{65,}", re.ASCII)
# Beside what TLS itself raises: a certificate bundle that is gone or may not be read.
_UNTRUSTED = (ssl.SSLError, FileNotFoundError, PermissionError)

_CA_BUNDLE = "check the address, and that ca_bundle holds the authority behind its certificate"
_NETWORK = "check the network, DNS and HTTPS_PROXY"
_TRUST = "compare the role's trust policy with the token's claims, in a chain with the role before"
_REFUSALS = {
    "AccessDenied": (Retry.LIMITED, _TRUST),
    "IDPRejectedClaim": (Retry.LIMITED, _TRUST),
    "InvalidIdentityToken": (
        Retry.LIMITED,
        "check that an OIDC provider for this issuer and audience exists in the role's account",
    ),
    "IDPCommunicationError": (Retry.LIMITED, "STS could not reach the issuer of the token"),
    "MalformedPolicyDocument": (Retry.NEVER, "correct the session policy"),
    "PackedPolicyTooLarge": (Retry.NEVER, "shorten session policy, policy_arns or session tags"),
    "RegionDisabledException": (Retry.NEVER, "activate STS in this region, or set another region"),
    "ValidationError": (Retry.LIMITED, "correct the role's settings"),
}
"""Refusals that a person may have to look at; every other one passes by itself."""

_TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class StsSession:
    """What STS issued."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret
    expires_at: datetime
    assumed_role_arn: str


class StsExchange:
    """Ask STS, unsigned, once per call, at the regional endpoint.

    Nothing of the SDK's own configuration or credential chain takes part: the chain would find
    this very daemon. `HTTPS_PROXY` is honoured, but never for a loopback endpoint.
    """

    def __init__(
        self,
        region: str,
        *,
        endpoint_url: str | None = None,
        ca_bundle: Path | None = None,
        timeout_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._region = region
        self._timeout_seconds = timeout_seconds
        self._endpoint_url = endpoint_url
        self._on_loopback = is_loopback(urlsplit(endpoint_url or "").hostname or "")
        self._where = endpoint_url or f"the regional endpoint of {region}"
        self._verify = str(ca_bundle) if ca_bundle else True
        self._session: Any = None

    async def exchange(
        self,
        token: Secret,
        *,
        role_arn: str,
        chain: tuple[str, ...],
        session_name: str,
        duration_seconds: int,
        policy: str | None,
        policy_arns: tuple[str, ...],
    ) -> StsSession:
        """Return a session of the last role of `role_arn` and `chain`.

        Duration in seconds; it, the session policy and the policy ARNs apply to the last role.
        Raises `ExchangeError`, `DurationRefusedError` where the role allows shorter sessions only.
        """
        if self._session is None:
            # The import takes a third of a second: in a thread, so that requests are answered.
            self._session = await asyncio.to_thread(shared_session)
        *way, last = role_arn, *chain
        hops = [(arn, {"DurationSeconds": _HOP_SECONDS}) for arn in way]
        hops.append((last, _last_hop(duration_seconds, policy, policy_arns)))
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._follow(hops, token, session_name)
        except TimeoutError as error:
            raise ExchangeError(
                f"STS gave no answer within {self._timeout_seconds:g} s at {self._where}",
                remedy=_NETWORK,
                code="Timeout",
            ) from error

    async def _follow(
        self, hops: list[tuple[str, dict[str, Any]]], token: Secret, name: str
    ) -> StsSession:
        (first, settings), *further = hops
        settings = {**settings, "WebIdentityToken": token.reveal()}
        session = await self._call("assume_role_with_web_identity", None, first, name, settings)
        for arn, settings in further:
            session = await self._call("assume_role", session, arn, name, settings)
        return session

    async def _call(
        self, operation: str, signer: StsSession | None, arn: str, name: str, asked: dict[str, Any]
    ) -> StsSession:
        try:
            async with self._session.create_client("sts", **self._settings(signer)) as client:
                call = getattr(client, operation)
                return _parsed(await call(RoleArn=arn, RoleSessionName=name, **asked))
        except (RefreshError, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001  # what a stranger's answer breaks is not known
            raise self._translated(error, _secrets(signer, asked)) from None

    def _settings(self, signer: StsSession | None) -> dict[str, Any]:
        settings = {
            "region_name": self._region,
            "endpoint_url": self._endpoint_url,
            "verify": self._verify,
            "config": client_config(signed=signer is not None, proxied=not self._on_loopback),
        }
        if signer is not None:
            settings["aws_access_key_id"] = signer.access_key_id
            settings["aws_secret_access_key"] = signer.secret_access_key.reveal()
            settings["aws_session_token"] = signer.session_token.reveal()
        return settings

    def _translated(self, error: Exception, secrets: list[str]) -> ExchangeError:
        exceptions = importlib.import_module("botocore.exceptions")
        if isinstance(error, exceptions.ClientError):
            return _refusal(error.response, secrets)
        if isinstance(error, exceptions.ParamValidationError):
            return ExchangeError(
                "a parameter is outside STS's limits",
                remedy="correct the role's settings",
                retry=Retry.NEVER,
                code="ValidationError",
            )
        cause = getattr(error, "kwargs", {}).get("error")
        untrusted = isinstance(error, exceptions.SSLError) or isinstance(cause, _UNTRUSTED)
        if untrusted or isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError)):
            where = getattr(error, "kwargs", {}).get("endpoint_url") or self._where
            return ExchangeError(
                f"STS could not be reached at {where} ({type(cause or error).__name__})",
                remedy=_CA_BUNDLE if untrusted else _NETWORK,
                code="Unreachable",
            )
        return ExchangeError(
            f"STS at {self._where} answered what is no answer of STS ({type(error).__name__})",
            remedy="ask who answers at that address: a proxy, a captive portal",
            code="MalformedAnswer",
        )


def _last_hop(
    duration_seconds: int, policy: str | None, policy_arns: tuple[str, ...]
) -> dict[str, Any]:
    settings: dict[str, Any] = {"DurationSeconds": duration_seconds}
    if policy is not None:
        settings["Policy"] = policy
    if policy_arns:
        settings["PolicyArns"] = [{"arn": arn} for arn in policy_arns]
    return settings


def _parsed(answer: dict[str, Any]) -> StsSession:
    try:
        issued = answer["Credentials"]
        session = StsSession(
            access_key_id=str(issued["AccessKeyId"]),
            secret_access_key=Secret(str(issued["SecretAccessKey"])),
            session_token=Secret(str(issued["SessionToken"])),
            expires_at=issued["Expiration"].astimezone(UTC),
            assumed_role_arn=str(answer["AssumedRoleUser"]["Arn"]),
        )
        keys = session.access_key_id, issued["SecretAccessKey"], issued["SessionToken"]
        if all(_WORD.fullmatch(key) for key in keys):
            return session
        raise KeyError("blank, or more than a word")
    except (KeyError, TypeError, AttributeError):
        raise ExchangeError(
            "STS answered without credentials",
            remedy="ask who answers at that address",
            code="MalformedAnswer",
        ) from None


def _secrets(signer: StsSession | None, asked: dict[str, Any]) -> list[str]:
    held = (signer.secret_access_key, signer.session_token) if signer else ()
    return [*(secret.reveal() for secret in held), asked.get("WebIdentityToken", "")]


def _refusal(response: dict[str, Any], secrets: list[str]) -> ExchangeError:
    found = response.get("Error", {})
    said = str(found.get("Code", ""))
    said = said if _CODE.fullmatch(said) else UNKNOWN
    code = known_code(said)
    message = str(found.get("Message", ""))
    for secret in filter(None, secrets):
        message = message.replace(secret, "…")
    # An impostor may echo the token in part: no sentence of STS has a word as long.
    message = _LONG_RUN.sub("…", message)[:_MESSAGE_CHARACTERS]
    if code == "ValidationError" and (
        "MaxSessionDuration" in message or "1 hour session limit" in message
    ):
        return DurationRefusedError(
            message,
            remedy="set duration_seconds to 3600, or raise the role's maximum",
            retry=Retry.NEVER,
            code=code,
        )
    retry, remedy = _REFUSALS.get(code, (Retry.ALWAYS, ""))
    return ExchangeError(
        f"{said}: {message}" if message else said,
        remedy=remedy,
        retry=retry,
        retry_after_seconds=_retry_after(response),
        throttled=code in THROTTLINGS or _status(response) == _TOO_MANY_REQUESTS,
        code=code,
    )


def _status(response: dict[str, Any]) -> int:
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _retry_after(response: dict[str, Any]) -> float | None:
    """Read `Retry-After` in seconds (RFC 9110, section 10.2.3); dates are not honoured."""
    value = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else None
