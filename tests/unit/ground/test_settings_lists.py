"""Lists as text: in the environment, on the command line, and where values are shown and compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.settings.kinds import Text, Words

LIST = Words(Text(empty=True), empty=True)


@given(st.lists(st.text('a," x', max_size=5), max_size=6, unique=True))
def test_a_list_that_is_shown_is_read_as_the_same(items: list[str]) -> None:
    """Commas, quotes and blanks in its items too: two lists that differ are never shown alike."""
    assert LIST.read_text(LIST.show(tuple(items))) == tuple(items)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a, b", ("a", "b")),
        (
            '"Ops, Berlin <ops@example.org>", dev@example.org',
            ("Ops, Berlin <ops@example.org>", "dev@example.org"),
        ),
        ('say "hi", b', ('say "hi"', "b")),
        ('"a', ('"a',)),
        ("", ()),
    ],
)
def test_a_list_is_read_as_people_write_it(text: str, items: tuple[str, ...]) -> None:
    """Quotes only count where they hold a whole item."""
    assert LIST.read_text(text) == items
