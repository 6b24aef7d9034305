"""Patterns of policies: which are taken, and that those take a time that grows with the text and not faster."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.brokers.policy.patterns import check_pattern, compiled
from tabard.errors import TrustError

TAKEN = [
    r"\b\d{16}\b",
    r"\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{1,7}",
    r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}",
    r"(?i)password[=:] ?\S+|token=\w+",
    r"[\w.+-]{1,64}@[\w.-]+",
    r"[^\"]{1,40}\"",
    r"a\|b",
    r".{0,256}x",
]
REFUSED = [
    "",
    "a*",
    "a|",
    r"\d+x",
    r"\d*\d*\d*x",
    "(a+)+$",
    "(?:a)",
    "(?=a)",
    r"(a)\1",
    r"\1",
    r"\Aa",
    r"\u0041",
    "^a",
    "a$",
    "a{2}{3}",
    "a+?",
    "a++",
    "{2}",
    "x{3,2}",
    "x{0}",
    "x{1,257}",
    "[a-z",
    "[]",
    "[[a]]",
    "[z-a]",
    "[a--b]",
    "\\",
    r"\d{1,200}\d{1,200}x",
    "a" * 513,
]


@pytest.mark.parametrize("pattern", TAKEN)
def test_what_can_be_bounded_is_taken(pattern: str) -> None:
    """And means what it means to Python."""
    assert compiled(pattern).pattern == pattern


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_cannot_is_refused_and_told(pattern: str) -> None:
    """With what is expected in its place."""
    with pytest.raises(TrustError) as caught:
        check_pattern(pattern, "redact 2: pattern")
    assert caught.value.where == "redact 2: pattern"
    assert caught.value.expected


@pytest.mark.parametrize("pattern", TAKEN)
@pytest.mark.parametrize("sign", ["1", "a", " ", ".", "=", "\u00e9"])
@pytest.mark.threat("slow-pattern")
def test_threat_slow_pattern(pattern: str, sign: str) -> None:
    """A text of one sign and twice its length take twice the time, not four times."""
    ready = compiled(pattern)

    def cost(size: int) -> float:
        text = sign * size
        best = float("inf")
        for _ in range(5):
            began = time.thread_time()
            ready.subn("", text)
            best = min(best, time.thread_time() - began)
        return best

    small, large = cost(20_000), cost(160_000)
    print(f"{large / max(small, 1e-6):.1f} times for 8 times the text")
    assert large < 24 * max(small, 1e-4)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=r"ab1 .\[]^-{},+*?|()dwsb", max_size=20))
def test_whatever_is_written_is_taken_or_refused(pattern: str) -> None:
    """Never an error of another kind, and what is taken compiles."""
    try:
        check_pattern(pattern, "pattern")
    except TrustError:
        return
    re.compile(pattern)
