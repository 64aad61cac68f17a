"""`imdsd token`: mint one web identity token and print it, or what it says."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

import jwt

from imdsd.config import add_flags, build_source, load
from imdsd.errors import ClaimsError
from imdsd.host.memory import close_memory, leave_no_core

if TYPE_CHECKING:
    import argparse

    from imdsd.config import Config, TokenConfig
    from imdsd.secret import Secret

_OF_THE_DAEMON = (
    "session_name",
    "duration_seconds",
    "listen",
    "allow_imdsv1",
    "log_format",
    "log_level",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Take --decode and what says where web identity tokens come from."""
    parser.add_argument(
        "--decode", action="store_true", help="print the header and the claims, as JSON"
    )
    add_flags(parser, exclude=_OF_THE_DAEMON)


def run(arguments: argparse.Namespace) -> int:
    """Mint as the default role would, or as the configuration says where it has no role."""
    leave_no_core()
    close_memory()
    config = load(flags=vars(arguments), environ=os.environ, require_role=False)
    source = build_source(_token_config(config), environ=os.environ, ca_bundle=config.ca_bundle)
    token = asyncio.run(source.mint())
    text = decoded(token) if arguments.decode else token.reveal()
    # A file or a pipe gets the bare token: several SDKs refuse one that ends in a newline.
    end = "\n" if arguments.decode or sys.stdout.isatty() else ""
    sys.stdout.write(text + end)
    return 0


def decoded(token: Secret) -> str:
    """Return a web identity token's header and claims as JSON, its signature unchecked.

    Raises ClaimsError when it is no JWT.
    """
    try:
        parts = jwt.decode_complete(token.reveal(), options={"verify_signature": False})
    except jwt.DecodeError as error:
        raise ClaimsError(
            "web identity token", found=f"unreadable ({error})", expected="a JWT"
        ) from None
    document = {"Header": parts["header"], "Claims": parts["payload"]}
    return json.dumps(document, indent=2, ensure_ascii=False)


def _token_config(config: Config) -> TokenConfig:
    by_name = {role.name: role.token for role in config.roles}
    return by_name.get(config.default_role, config.token)
