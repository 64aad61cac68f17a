"""daemon.json, which another user's daemon may have written: a record, or a refusal."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from imdsd.errors import RuntimeDirectoryError
from imdsd.host.daemon_record import DaemonRecord
from tests.fuzz.shapes import json_documents, spoiled
from tests.fuzz.target import Target

_MOST_CHARACTERS = 500
_USUAL = {
    "pid": 4711,
    "uid": 1000,
    "listeners": ["127.0.0.1:9254", "[::1]:9254"],
    "version": "1.0",
    "demo": False,
    "region": "eu-central-1",
    "sts_endpoint_url": None,
    "started_at": "2026-01-01T00:00:00Z",
}


def check(data: bytes) -> None:
    """Read the bytes as daemon.json."""
    try:
        record = DaemonRecord.from_json(data)
    except RuntimeDirectoryError as error:
        text = str(error)
        assert 0 < len(text) <= _MOST_CHARACTERS
        assert text.isprintable(), repr(text)
        return
    assert DaemonRecord.from_json(record.to_json()) == record
    assert all(type(listener) is str for listener in record.listeners)
    assert type(record.pid) is type(record.uid) is int


_SEEDS = (
    json.dumps(_USUAL).encode(),
    json.dumps({**_USUAL, "demo": True, "sts_endpoint_url": "http://127.0.0.1:1"}).encode(),
    json.dumps({**_USUAL, "pid": True, "listeners": ["x", 7]}).encode(),
    b"[]",
    b"",
)

TARGET = Target(
    check,
    cases=st.one_of(json_documents(_USUAL), spoiled(st.sampled_from(_SEEDS))),
    seeds=_SEEDS,
)
