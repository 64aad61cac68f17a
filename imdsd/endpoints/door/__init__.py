"""The door: every connection's limits, guards, and the way from its bytes to an endpoint."""

from imdsd.endpoints.door.answering import Door
from imdsd.endpoints.door.quick import Endpoint

__all__ = ["Door", "Endpoint"]
