"""Profiles of ours in a file of AWS credentials that is somebody's own: written, and taken out."""

from __future__ import annotations

from imdsd.host.aws_credentials_file.profile import (
    ProfileKeys,
    remove_profile,
    usual_file,
    write_profile,
)

__all__ = ["ProfileKeys", "remove_profile", "usual_file", "write_profile"]
