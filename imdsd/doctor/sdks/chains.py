"""The default credential chains of four SDKs, link by link, in each one's own order.

The sources: botocore 1.43 credentials.py; aws-sdk-go-v2 config v1.33 resolve_credentials.go;
@aws-sdk/credential-provider-node 3.1173 and credential-provider-ini; aws-sdk-java-v2
DefaultCredentialsProvider and ProfileCredentialsUtils.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsd.doctor.sdks.links import KEY, SECRET, Link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imdsd.doctor.sdks.links import ChosenProfile, Source, View

_SSO = ("sso_session", "sso_start_url", "sso_account_id", "sso_region", "sso_role_name")
_ROLE_SOURCES = ("source_profile", "credential_source")


def boto3(view: View) -> Iterator[Link]:
    """Yield the links of boto3 and version 1 of the AWS CLI: each kind of profile is its own."""
    profile = view.profile("AWS_DEFAULT_PROFILE", "AWS_PROFILE", set_is_enough=True)
    # Session and client look the profile up before any credentials are looked for.
    yield Link("profile", profile.missing)
    yield Link("env", view.half_keys())
    web_identity = profile.has("web_identity_token_file")
    yield Link("assume-role", None if web_identity else profile.has("role_arn"))
    yield Link("assume-role-with-web-identity", view.web_identity(role_needed=True) or web_identity)
    yield Link("sso", profile.has("sso_account_id", "sso_role_name"))
    keys = "aws_access_key_id"
    yield Link("shared-credentials-file", profile.has(keys, in_credentials=True))
    yield Link("login", profile.has("login_session"))
    yield Link("custom-process", profile.has("credential_process"))
    yield Link("config-file", profile.has(keys, in_credentials=False))
    yield Link("container-role", view.container(set_is_enough=True))
    yield Link("iam-role", view.imds())


def go_v2(view: View) -> Iterator[Link]:
    """Yield the links of Go v2, Terraform's own among them."""
    profile = view.profile("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
    yield Link("profile", profile.missing)
    older = ("AWS_ACCESS_KEY", "AWS_SECRET_KEY")
    yield Link("environment", view.keys((KEY, SECRET), older))
    yield Link("web identity in the environment", view.web_identity(role_needed=True))
    yield Link("source_profile", profile.has("role_arn", beside=("source_profile",)))
    yield Link("keys of the profile", _whole_keys(profile))
    yield Link("credential_source", profile.has("role_arn", beside=("credential_source",)))
    yield Link("web identity of the profile", profile.has("web_identity_token_file"))
    yield Link("sso", profile.has(*_SSO))
    yield Link("login", profile.has("login_session"))
    yield Link("process", profile.has("credential_process"))
    yield Link("container", view.container())
    yield Link("imds", view.imds())


def javascript_v3(view: View) -> Iterator[Link]:
    """Yield the links of JavaScript v3 in Node: a profile that is named goes before the keys."""
    profile = view.profile("AWS_PROFILE")
    yield Link("fromEnv", None if profile.variable else view.keys())
    yield Link("fromIni", _ini(profile))
    yield Link("fromProcess", profile.has("credential_process"))
    yield Link("fromTokenFile", view.web_identity(role_needed=False))
    container = view.container()
    yield Link("fromHttp", container)
    yield Link("fromInstanceMetadata", None if container else view.imds(only_true=False))


def java_v2(view: View) -> Iterator[Link]:
    """Yield the links of Java v2, but for the system properties, which no shell can see."""
    yield Link("EnvironmentVariable", view.keys())
    yield Link("WebIdentityTokenFile", view.web_identity(role_needed=False))
    yield Link("Profile", _java_profile(view.profile("AWS_PROFILE")))
    yield Link("Container", view.container())
    yield Link("InstanceProfile", view.imds())


CHAINS: dict[str, Callable[[View], Iterator[Link]]] = {
    "boto3": boto3,
    "Go v2": go_v2,
    "JavaScript v3": javascript_v3,
    "Java v2": java_v2,
}


def _whole_keys(profile: ChosenProfile) -> Source | None:
    return profile.has("aws_access_key_id", beside=("aws_secret_access_key",))


def _ini(profile: ChosenProfile) -> Source | None:
    return (
        profile.has("role_arn", beside=_ROLE_SOURCES)
        or _whole_keys(profile)
        or profile.has("web_identity_token_file", beside=("role_arn",))
        or profile.has("credential_process")
        or profile.has(*_SSO)
        or profile.has("login_session")
    )


def _java_profile(profile: ChosenProfile) -> Source | None:
    return (
        profile.has("web_identity_token_file", beside=("role_arn",))
        or profile.has(*_SSO)
        or profile.has("role_arn", beside=_ROLE_SOURCES)
        or profile.has("credential_process")
        or _whole_keys(profile)
        or profile.has("login_session")
    )
