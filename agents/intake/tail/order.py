"""What the names of rotated files say of their order, for when their times cannot be believed."""

from __future__ import annotations

import re
from typing import Final

_COUNTER: Final = re.compile(r"\d{1,5}", re.ASCII)
_NO_DIGIT: Final = re.compile(r"\D+", re.ASCII)


def rotated_later(one: str, other: str) -> bool | None:
    """Whether the log with the number or date ``one`` in its name was rotated later than that with ``other``.

    Counters go up as a file grows older (app.log.1, app.log.2), dates go up with time. None when these
    two cannot be compared.
    """
    if not one or not other or one == other:
        return None
    counters = [_COUNTER.fullmatch(text) is not None for text in (one, other)]
    if all(counters):
        return int(one) < int(other) if int(one) != int(other) else None
    dates = [_NO_DIGIT.sub("", text) for text in (one, other)]
    if any(counters) or len(dates[0]) != len(dates[1]) or dates[0] == dates[1]:
        return None
    return dates[0] > dates[1]
