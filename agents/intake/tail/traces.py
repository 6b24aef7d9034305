"""Tells which lines that are not indented still belong to a trace, in files whose lines have no time.

Frames are indented, and so join by themselves. What a trace ends with is not: the exception of a Python
traceback, the causes of a Java one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_BEGIN: Final = re.compile(r"Traceback \(most recent call last\):$")
_RAISED: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*(?:: .*|:)?$", re.DOTALL)
_CHAINED: Final = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_CAUSED: Final = re.compile(r"(?:Caused by|Suppressed|Wrapped by): ")
_JAVA_FRAME: Final = re.compile(r"\s+(?:at \S|\.\.\. \d+ (?:more|common frames))")


def continues_trace(texts: Sequence[str], text: str) -> bool:
    """Whether the line ``text``, not indented, goes on with the trace in the lines ``texts`` before it."""
    last = texts[-1]
    if _CAUSED.match(text):
        return _JAVA_FRAME.match(last) is not None
    if text in _CHAINED:
        return any(map(_BEGIN.search, texts)) and _BEGIN.search(last) is None
    if _BEGIN.search(text):
        return _last_said(texts) in _CHAINED
    if last[:1] not in {" ", "\t"} or _RAISED.match(text) is None:
        return False
    # A frame came last: what follows the frames of the innermost traceback is its exception.
    for before in reversed(texts):
        if before[:1] not in {" ", "\t", ""}:
            return _BEGIN.search(before) is not None
    return _BEGIN.search(texts[0]) is not None


def _last_said(texts: Sequence[str]) -> str:
    return next((text for text in reversed(texts) if text), "")
