"""What [metadata] means: from its keys to leaves, events and an upstream, every clash refused."""

from __future__ import annotations

from imdsd.config.metadata.reading import read_metadata
from imdsd.config.metadata.upstream import read_upstream

__all__ = ["read_metadata", "read_upstream"]
