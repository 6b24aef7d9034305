"""What can be seen of a private key's file without its passphrase."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path
from typing import Final

_MAGIC: Final = b"openssh-key-v1\0"
_MOST: Final = 65_536
"""Bytes of a file that are looked at."""


def is_locked(path: Path) -> bool:
    """Whether it has a passphrase; False for what cannot be read and for what is no key."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST)
    except OSError:
        return False
    if b"ENCRYPTED" in text:  # the older forms say so in their first lines
        return True
    try:
        body = base64.b64decode(b"".join(line for line in text.splitlines() if not line.startswith(b"-")))
    except ValueError:
        return False
    if not body.startswith(_MAGIC):
        return False
    length = int.from_bytes(body[len(_MAGIC) : len(_MAGIC) + 4], "big")
    return body[len(_MAGIC) + 4 :][:length] != b"none"


def unreadable(path: Path) -> str:
    """Why nobody can read a key there without being asked for something, "" when that is not to be seen."""
    try:
        with path.open("rb"):
            return "it has a passphrase, and no agent has shown the key" if is_locked(path) else ""
    except OSError as error:
        return error.strerror or str(error)


def in_reach_of_others(path: Path) -> bool:
    """Whether it is this user's and others may read or write it: ssh does not use such a key. Raises OSError."""
    found = os.stat(path)
    return found.st_uid == os.geteuid() and bool(found.st_mode & (stat.S_IRWXG | stat.S_IRWXO))
