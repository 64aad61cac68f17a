"""What may be configured, and what it means: file, variables and flags become one `Config`."""

from __future__ import annotations

from imdsd.config.listeners import listener_at
from imdsd.config.loading import load
from imdsd.config.model import (
    Config,
    FilesConfig,
    ListenConfig,
    RoleConfig,
    TokenConfig,
    UpstreamConfig,
    unreloadable_changes,
)
from imdsd.config.options import add_flags
from imdsd.config.tokens import build_source

__all__ = [
    "Config",
    "FilesConfig",
    "ListenConfig",
    "RoleConfig",
    "TokenConfig",
    "UpstreamConfig",
    "add_flags",
    "build_source",
    "listener_at",
    "load",
    "unreloadable_changes",
]
