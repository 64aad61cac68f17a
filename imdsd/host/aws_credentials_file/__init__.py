"""Profiles of ours in a file of AWS credentials that is somebody's own: written, and taken out."""

from __future__ import annotations

from imdsd.host.aws_credentials_file.profile import (
    DEFAULT_PROFILE,
    PROFILE_NAME,
    ProfileKeys,
    nearest_profile,
    remove_profile,
    usual_file,
    usual_profile,
    write_profile,
    written_profiles,
)

__all__ = [
    "DEFAULT_PROFILE",
    "PROFILE_NAME",
    "ProfileKeys",
    "nearest_profile",
    "remove_profile",
    "usual_file",
    "usual_profile",
    "write_profile",
    "written_profiles",
]
