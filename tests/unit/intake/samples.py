"""Log records to send."""

from __future__ import annotations

from tabard.records import LOG_FIELDS

TIME = 1_763_765_724_123_456_789


def log_record(**fields):
    """A record that fits the store, with these fields."""
    known = {"time": TIME, "severity": 9, "level": "INFO", "service": "app", "line": 12, "message": "hello"}
    return tuple({**known, **fields}.get(name) for name in LOG_FIELDS)
