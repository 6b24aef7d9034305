"""Durations and sizes as people write them: ``10ms``, ``5m``, ``64MiB``.

A duration always carries its unit, because ``timeout = 10`` has meant seconds to one reader and
milliseconds to the next. A size may be a bare number, which is bytes everywhere.
"""

from __future__ import annotations

import re
from typing import Final

from tabard.errors import TabardError

_MICROSECONDS: Final = {
    "w": 604_800_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
_BYTES: Final = {
    "TiB": 2**40,
    "GiB": 2**30,
    "MiB": 2**20,
    "KiB": 2**10,
    "TB": 10**12,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 10**3,
    "B": 1,
}
_AMOUNT: Final = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,6}))?\s?([A-Za-z]*)", re.ASCII)
DURATION_FORM: Final = "a duration with its unit, such as 10ms, 30s, 5m, 12h or 7d"
SIZE_FORM: Final = "a size, such as 65536, 64KiB, 8MiB or 1GiB"


def parse_duration(text: str) -> float:
    """Seconds in ``text``: a number and one of us, ms, s, m, h, d, w (``1.5h`` is allowed, ``90`` is not).

    Raises TabardError when the unit is missing or unknown, or the number is not a plain decimal.
    """
    return _scaled(text, _MICROSECONDS, "a duration", DURATION_FORM) / 1_000_000


def parse_size(text: str) -> int:
    """Bytes in ``text``: a number and one of B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB.

    A number without a unit is bytes. Raises TabardError when the unit is unknown, the number is not a
    plain decimal, or the amount is not a whole number of bytes.
    """
    return _scaled(text, {**_BYTES, "": 1}, "a size", SIZE_FORM)


def format_duration(seconds: float) -> str:
    """The shortest exact way to write ``seconds``, to the microsecond: 0.01 is ``10ms``, 86400 is ``1d``.

    The inverse of ``parse_duration``. A week is written ``7d``, since few people count in weeks.
    """
    amount = round(seconds * 1_000_000)
    if amount == 0:
        return "0s"
    for unit, scale in _MICROSECONDS.items():
        if unit != "w" and amount % scale == 0:
            return f"{amount // scale}{unit}"
    raise AssertionError("one microsecond divides every whole number of them")


def format_size(size: int) -> str:
    """The shortest exact way to write ``size`` bytes in binary units; the inverse of ``parse_size``."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def _scaled(text: str, scales: dict[str, int], what: str, form: str) -> int:
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or match[3] not in scales:
        raise TabardError(f"not {what}", expected=form, found=repr(text))
    whole, fraction, unit = match.groups()
    fraction = fraction or ""
    parts: int = 10 ** len(fraction)
    amount, rest = divmod(int(whole + fraction) * scales[unit], parts)
    if rest:
        finest = f"{form}, and nothing finer than the smallest unit"
        raise TabardError(f"not {what}", expected=finest, found=repr(text))
    return amount
