"""Where syslog messages end in a stream, however it is cut into reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.agents.intake.bridge.framing import LONGEST, LONGEST_COUNTED, MOST_COUNTED, Framer
from tabard.errors import WireError


def counted(*messages: bytes) -> bytes:
    """In octet counting."""
    return b"".join(b"%d %b" % (len(each), each) for each in messages)


def split(framer: Framer, stream: bytes, step: int) -> list[bytes]:
    """What the framer makes of a stream in reads of ``step`` bytes."""
    found = []
    for at in range(0, len(stream), step):
        found += framer.split(stream[at : at + step])
        framer.check()
    return found


BODIES = st.lists(st.binary(max_size=60).map(lambda body: b"<13>" + body), min_size=1, max_size=8)


@given(BODIES, st.integers(1, 40))
def test_counted_messages_hold_anything(messages: list[bytes], step: int) -> None:
    """Line feeds, NULs and digits too, at every size of a read."""
    framer = Framer()
    assert split(framer, counted(*messages), step) == messages
    assert framer.held == 0


@given(BODIES, st.integers(1, 40))
def test_messages_that_end_with_a_line_feed(messages: list[bytes], step: int) -> None:
    """At every size of a read."""
    messages = [each.replace(b"\n", b"").replace(b"\0", b"") for each in messages]
    framer = Framer()
    assert split(framer, b"".join(each + b"\n" for each in messages), step) == messages


@given(BODIES)
def test_messages_that_end_with_nul_may_have_lines(messages: list[bytes]) -> None:
    """As Python's SysLogHandler sends them, each at once."""
    messages = [each.replace(b"\0", b"") for each in messages]
    framer = Framer()
    found = []
    for each in messages:
        found += framer.split(each + b"\0")
    assert found == messages


@pytest.mark.parametrize("text", [b"2026-11-22 10:00 x\n", b"12 apples\n", b"7\n", b"123456789012\n"])
def test_text_that_begins_with_digits_is_no_count(text: bytes) -> None:
    """A count is followed by a blank and a priority."""
    framer = Framer()
    assert framer.split(text) == [text[:-1]] or framer.last() == text


def test_a_count_that_is_none_is_an_error_after_what_came_before() -> None:
    """Messages before it are given, and then no more."""
    framer = Framer()
    assert framer.split(counted(b"<13>a") + b"x y z") == [b"<13>a"]
    with pytest.raises(WireError, match="no length"):
        framer.check()
    assert framer.last() == b"x y z"


@pytest.mark.parametrize("step", [999, 70_000, 10_000_000])
def test_of_a_long_counted_message_the_beginning_is_kept(step: int) -> None:
    """The rest is passed over without being held, and what follows is understood."""
    framer = Framer()
    long = b"<13>" + b"x" * (3 * LONGEST_COUNTED)
    stream = counted(b"<13>a", long, b"<13>b")
    assert split(framer, stream, step) == [b"<13>a", long[:LONGEST_COUNTED], b"<13>b"]
    assert framer.held == 0


def test_a_count_beyond_the_bound_is_an_error() -> None:
    """It is no count: nothing that long is waited for."""
    framer = Framer()
    assert framer.split(b"%d <13>" % (MOST_COUNTED + 1)) == []
    with pytest.raises(WireError, match="too long"):
        framer.check()


def test_a_line_without_end_comes_in_pieces() -> None:
    """Memory is bounded, and nothing is thrown away."""
    framer = Framer()
    found = split(framer, b"<13>" + b"x" * (3 * LONGEST), 10_000)
    assert len(found) == framer.pieces == 3
    assert framer.held <= LONGEST
    assert b"".join(found) + framer.last() == b"<13>" + b"x" * (3 * LONGEST)


def test_what_has_no_end_is_given_at_the_end() -> None:
    """A connection's end ends a line, and cuts a counted message off."""
    framer = Framer()
    assert framer.split(b"<13>a\n<13>b") == [b"<13>a"]
    assert framer.whole_without_end
    assert framer.last() == b"<13>b"
    framer = Framer()
    assert framer.split(b"5 <13>a9 <13>b") == [b"<13>a"]
    assert not framer.whole_without_end
    assert framer.last() == b"<13>b"


def test_a_nul_within_a_line_ends_nothing() -> None:
    """Only one that a message ends with changes what ends messages."""
    framer = Framer()
    assert framer.split(b"<13>a\0b\n<13>c\n") == [b"<13>a\0b", b"<13>c"]


def test_lines_that_follow_a_nul_are_messages_again() -> None:
    """A relay may say a NUL where a read ends, or before a bracket: the messages of others are not glued together."""
    framer = Framer()
    found = framer.split(b"<13>a\0")
    found += framer.split(b"b\n<13>c\n<13>d\n")
    assert found == [b"<13>a", b"b", b"<13>c", b"<13>d"]
    framer = Framer()
    assert framer.split(b"<13>a\0<b>\n<13>c\n") == [b"<13>a\0<b>", b"<13>c"]
