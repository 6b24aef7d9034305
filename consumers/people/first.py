"""The link that makes the first admin: of one start of herald, for a day, and of no use once there is an admin.

It is made without the store, which may not be there yet when herald starts first. It stands in a file that only the owner of the
home may read, and is said on the terminal; never in the log, which everybody may read who may see the store.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from tabard.consumers.people.accounts import LINK_SECONDS, People
from tabard.consumers.people.link_file import path_of
from tabard.consumers.people.model import SECOND
from tabard.consumers.people.secret import fresh
from tabard.errors import StoreError
from tabard.home import Home


class First(NamedTuple):
    """The link's secret, and when it is over."""

    secret: str
    ends: int


def offer(home: Home, people: People, address: str, now: int) -> First | None:
    """Make the link and keep it for whoever looks for it; None when there is an admin."""
    forget(home)
    with contextlib.suppress(StoreError):  # not there yet: when the link is used it is asked again
        if people.has_admin():
            return None
    first = First(fresh(), now + LINK_SECONDS * SECOND)
    descriptor = os.open(path_of(home), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{address}/link/{first.secret}\n")
    return first


def forget(home: Home) -> None:
    """Remove the file."""
    path_of(home).unlink(missing_ok=True)
