"""The exchange of a web identity token for credentials: the only module that knows botocore.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from imdsd.errors import DurationRefusedError, ExchangeError, RefreshError, Retry
from imdsd.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
TOTAL_SECONDS = 10.0
_HOP_SECONDS = 900
"""A role that only leads to the next one needs no longer session; STS gives none shorter."""

_MESSAGE_CHARACTERS = 500

_TRUST = "the role's trust policy and the token's claims do not match"
_REMEDIES = {
    "AccessDenied": _TRUST,
    "IDPRejectedClaim": _TRUST,
    "InvalidIdentityToken": "check that an OIDC provider for this issuer and audience exists in "
    "the role's account",
    "IDPCommunicationError": "STS could not reach the issuer of the token",
    "MalformedPolicyDocument": "correct the session policy",
    "PackedPolicyTooLarge": "shorten the session policy, its policy_arns or the session tags",
    "RegionDisabledException": "activate STS for this region in the account, or set another region",
    "ValidationError": "correct the role's settings",
}
_NEVER = {"MalformedPolicyDocument", "PackedPolicyTooLarge", "RegionDisabledException"}
_LIMITED = {
    "AccessDenied",
    "IDPRejectedClaim",
    "InvalidIdentityToken",
    "IDPCommunicationError",
    "ValidationError",
}


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
        self, region: str, *, endpoint_url: str | None = None, ca_bundle: Path | None = None
    ) -> None:
        self._region = region
        self._endpoint_url = endpoint_url
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
        await self._prepare()
        settings: list[dict[str, Any]] = [
            {"DurationSeconds": _HOP_SECONDS} for _ in (role_arn, *chain)
        ]
        settings[-1] = _last_hop(duration_seconds, policy, policy_arns)
        arns = (role_arn, *chain)
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                session = await self._call(
                    "assume_role_with_web_identity",
                    None,
                    RoleArn=arns[0],
                    RoleSessionName=session_name,
                    WebIdentityToken=token.reveal(),
                    **settings[0],
                )
                for arn, setting in zip(arns[1:], settings[1:], strict=True):
                    session = await self._call(
                        "assume_role", session, RoleArn=arn, RoleSessionName=session_name, **setting
                    )
        except TimeoutError as error:
            raise ExchangeError(
                f"STS gave no answer within {TOTAL_SECONDS:.0f} s at {self._where}",
                remedy="check the network, DNS and HTTPS_PROXY",
                code="Timeout",
            ) from error
        return session

    @property
    def _where(self) -> str:
        return self._endpoint_url or f"the regional endpoint of {self._region}"

    async def _prepare(self) -> None:
        # The import takes a third of a second: in a thread, so that requests are answered.
        if self._session is None:
            self._session = await asyncio.to_thread(_isolated_session)

    async def _call(
        self, operation: str, signer: StsSession | None, **parameters: Any
    ) -> StsSession:
        try:
            async with self._session.create_client("sts", **self._settings(signer)) as client:
                return _parsed(await getattr(client, operation)(**parameters))
        except (RefreshError, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001  # what a stranger's answer breaks is not known
            secret = parameters.get("WebIdentityToken", "")
            raise self._translated(error, secret) from None

    def _settings(self, signer: StsSession | None) -> dict[str, Any]:
        settings = {
            "region_name": self._region,
            "endpoint_url": self._endpoint_url,
            "verify": self._verify,
            "config": _client_config(signed=signer is not None, proxied=not self._on_loopback),
        }
        if signer is not None:
            settings["aws_access_key_id"] = signer.access_key_id
            settings["aws_secret_access_key"] = signer.secret_access_key.reveal()
            settings["aws_session_token"] = signer.session_token.reveal()
        return settings

    @property
    def _on_loopback(self) -> bool:
        host = urlsplit(self._endpoint_url or "").hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def _translated(self, error: Exception, secret: str) -> ExchangeError:
        exceptions = importlib.import_module("botocore.exceptions")
        if isinstance(error, exceptions.ClientError):
            return _refusal(error.response, secret)
        if isinstance(error, exceptions.ParamValidationError):
            return ExchangeError(
                "a parameter is outside STS's limits",
                remedy=_REMEDIES["ValidationError"],
                retry=Retry.NEVER,
                code="ValidationError",
            )
        if isinstance(error, exceptions.HTTPClientError):
            return ExchangeError(
                f"STS could not be reached at {self._where} ({_kind(error)})",
                remedy="check the network, DNS and HTTPS_PROXY",
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


def _isolated_session() -> Any:
    """Return a botocore session that reads no variable, no file and no credential."""
    provider = importlib.import_module("botocore.configprovider")
    session = importlib.import_module("aiobotocore.session").AioSession()
    variables = provider.BOTOCORE_DEFAUT_SESSION_VARIABLES
    constants = {name: default for name, (_, _, default, _) in variables.items()}
    constants["config_file"] = constants["credentials_file"] = os.devnull
    store = provider.ConfigValueStore(
        mapping={name: provider.ConstantProvider(value) for name, value in constants.items()}
    )
    session.register_component("config_store", store)
    session.register_component(
        "credential_provider",
        importlib.import_module("botocore.credentials").CredentialResolver([]),
    )
    return session


def _client_config(*, signed: bool, proxied: bool) -> Any:
    config = importlib.import_module("aiobotocore.config")
    return config.AioConfig(
        signature_version=None if signed else importlib.import_module("botocore").UNSIGNED,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": 1, "mode": "standard"},
        ignore_configured_endpoint_urls=True,
        max_pool_connections=1,
        proxies=None if proxied else {},
        warm_up_loader_caches=True,
    )


def _parsed(answer: dict[str, Any]) -> StsSession:
    try:
        issued = answer["Credentials"]
        return StsSession(
            access_key_id=str(issued["AccessKeyId"]),
            secret_access_key=Secret(str(issued["SecretAccessKey"])),
            session_token=Secret(str(issued["SessionToken"])),
            expires_at=issued["Expiration"].astimezone(UTC),
            assumed_role_arn=str(answer["AssumedRoleUser"]["Arn"]),
        )
    except (KeyError, TypeError, AttributeError):
        raise ExchangeError(
            "STS answered without credentials",
            remedy="ask who answers at that address",
            code="MalformedAnswer",
        ) from None


def _refusal(response: dict[str, Any], secret: str) -> ExchangeError:
    found = response.get("Error", {})
    code = str(found.get("Code", "Unknown"))[:64]
    message = str(found.get("Message", ""))
    if secret:
        message = message.replace(secret, "…")
    message = message[:_MESSAGE_CHARACTERS]
    if code == "ValidationError" and (
        "MaxSessionDuration" in message or "1 hour session limit" in message
    ):
        return DurationRefusedError(
            message,
            remedy="set duration_seconds to 3600, or raise the role's maximum",
            retry=Retry.NEVER,
            code=code,
        )
    return ExchangeError(
        f"{code}: {message}" if message else code,
        remedy=_REMEDIES.get(code, ""),
        retry=_retry(code),
        retry_after_seconds=_retry_after(response),
        code=code,
    )


def _retry(code: str) -> Retry:
    if code in _NEVER:
        return Retry.NEVER
    return Retry.LIMITED if code in _LIMITED else Retry.ALWAYS


def _retry_after(response: dict[str, Any]) -> float | None:
    """Read `Retry-After` in seconds (RFC 9110, section 10.2.3); dates are not honoured."""
    value = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _kind(error: Exception) -> str:
    inner = getattr(error, "kwargs", {}).get("error")
    return type(inner or error).__name__
