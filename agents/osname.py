"""What operating system a host runs, in a word or two that targets of commands can name."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Final

_FILES: Final = (Path("/etc/os-release"), Path("/usr/lib/os-release"))
_LONGEST: Final = 64


@functools.cache
def os_name() -> str:
    """``debian 12``; where the system does not say, ``linux`` or whatever Python calls it."""
    for path in _FILES:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        return named(text) or sys.platform
    return sys.platform


def named(text: str) -> str:
    """What a file ``os-release`` calls the system; "" when it does not."""
    said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    words = (said.get(name, "").strip().strip("\"'") for name in ("ID", "VERSION_ID"))
    return " ".join(word for word in words if word)[:_LONGEST]
