"""Under which identity the recorder of a home takes leases: the same after every start, so that it takes its own at once."""

from __future__ import annotations

import os
import re
from typing import Final

from tabard.brokers.delivery.leases import Identity
from tabard.errors import HomeError
from tabard.home import Home

FILE: Final = "recorder.id"
_FORM: Final = re.compile(r"[0-9a-f]{32}\n?")


def identity(home: Home, node: str) -> Identity:
    """That of the recorder of `home` in a new life, with a name for people; made at the first start.

    Raises HomeError when it cannot be kept, or is not one.
    """
    return Identity(_owner(home), os.urandom(16).hex(), f"{node}:{home.path}")


def _owner(home: Home) -> str:
    path = home.path / FILE
    try:
        try:
            found = path.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            found = os.urandom(16).hex() + "\n"
            beside = path.with_name(f"{FILE}.new")
            beside.write_text(found, encoding="ascii")
            beside.replace(path)
    except OSError as error:
        raise HomeError(
            "the identity of the recorder cannot be kept",
            expected="a file that this user may read and make",
            found=error.strerror or str(error),
            where=str(path),
        ) from error
    if not _FORM.fullmatch(found):
        raise HomeError(
            "not the identity of a recorder",
            expected="32 hexadecimal digits",
            found=repr(found[:40]),
            where=str(path),
            hint="Remove the file: it is made anew, and what this home held is free again after one lease",
        )
    return found.strip()
