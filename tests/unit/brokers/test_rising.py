"""What rose lately, of the counters that tell of something wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.brokers.rising import WINDOW, Rises, is_trouble


@pytest.mark.parametrize(
    "name",
    [
        "intake refused",
        "intake turned away",
        "intake stalled",
        "intake violations",
        "samples lost",
        "malformed message",
        "malformed: not msgpack",
        "up dropped: loop",
        "up lost on the link from dmz",
        "down came twice on the link from hq",
        "refused hello",
        "forged batch",
        "batches quarantined",
        "rolled back: store restored",
        "syslog udp dropped",
        "socket_handler hostile",
        "socket_handler unreadable",
        "socket_handler cut off",
    ],
)
def test_trouble(name: str) -> None:
    """What should not happen."""
    assert is_trouble(name)


@pytest.mark.parametrize(
    "name",
    [
        "up received",
        "sessions",
        "batches stored",
        "duplicate batches",
        "intake lines",
        "intake connections",
        "up bytes",
        "socket_handler with objects",
    ],
)
def test_work(name: str) -> None:
    """What happens every day."""
    assert not is_trouble(name)


@given(st.lists(st.tuples(st.floats(0.1, 90), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60))
def test_a_rise_is_seen_for_a_minute(steps: list[tuple[float, int, int]]) -> None:
    """Against the plain definition: the count now, less the count a minute ago."""
    rises = Rises(0.0)
    now, refused, lines = 0.0, 0, 0
    history = [(0.0, 0)]
    for pause, bad, good in steps:
        now, refused, lines = now + pause, refused + bad, lines + good
        history.append((now, refused))
        before = [count for at, count in history if at <= now - WINDOW]
        rise = refused - (before[-1] if before else 0)
        found = rises.of(now, {"intake refused": refused, "intake lines": lines})
        assert found == ({"intake refused": rise} if rise else {})
