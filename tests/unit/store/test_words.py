"""What a word is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.consumers.store import words


@pytest.mark.parametrize(
    ("text", "word", "has"),
    [
        ("order-17 placed", "17", True),
        ("order 170", "17", False),
        ("from 10.0.0.1:80", "10.0.0.1", True),
        ("from 110.0.0.1", "10.0.0.1", False),
        ("user_id=4", "id", True),
        ("\u201cTimeOut\u201d\u2026", "timeout", True),
        ("STRASSE", "straße", True),
        ("Störungen", "störung", False),
        ("cafe\u0301 au lait", "café", True),
        ("aäb a", "a", True),
        ("aäb", "a", False),
        ("", "a", False),
        (None, "a", False),
    ],
)
def test_a_word_stands_alone(text: str | None, word: str, has: bool) -> None:
    """No letter and no digit beside it, in any case of its letters, in any script."""
    assert words.has_word(text, word) is has


@given(text=st.text("aAb1 -_.", max_size=12), word=st.text("aAb1-_.", min_size=1, max_size=4))
def test_the_fast_way_is_the_same(text: str, word: str) -> None:
    """Texts of ASCII are looked through without an expression."""
    assert words.has_word(text, word) is words.has_word(text + " \u2026", word)


def test_what_a_person_types_is_parted_by_blanks() -> None:
    """Each once."""
    assert words.split("  timed out\tTimed out ") == ("timed", "out", "Timed")


def test_a_long_text_is_looked_up_by_some_of_its_parts() -> None:
    """From its beginning to its end."""
    found = words.trigrams("".join(map(chr, range(0x30, 0x30 + 70))))
    assert len(found) == words.MOST_TRIGRAMS
    assert found[0] == "012"
