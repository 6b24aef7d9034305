"""Where the address of the link that makes the first admin is kept. Imports next to nothing: `tabard up` looks here."""

from __future__ import annotations

from pathlib import Path

from tabard.home import Home


def path_of(home: Home) -> Path:
    """The file; only the owner of the home may read it."""
    return home.run / "first-admin"


def first_link(home: Home) -> str:
    """The address that was offered last; "" when there is none."""
    try:
        return path_of(home).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
