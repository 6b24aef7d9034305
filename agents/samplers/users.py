"""Names of this host's users, without asking a directory service.

The agent has one thread: a name service that is away must not stall it, so only the local file is read.
"""

from __future__ import annotations

import os
from typing import Final


class Users:
    """User names by number, from a passwd file that is read again when it changes."""

    def __init__(self, path: str = "/etc/passwd") -> None:
        self._path: Final = path
        self._stamp: tuple[int, int] | None = None
        self._names: dict[int, str] = {}

    def refresh(self) -> None:
        """Read the file again if it changed; keeps what is known when it cannot be read."""
        try:
            state = os.stat(self._path)
            stamp = (state.st_mtime_ns, state.st_ino)
            if stamp != self._stamp:
                self._names = _read(self._path)
                self._stamp = stamp
        except OSError:
            return

    def name(self, uid: int) -> str:
        """The name of ``uid``, "" when the file does not say."""
        if self._stamp is None:
            self.refresh()
        return self._names.get(uid, "")


def _read(path: str) -> dict[int, str]:
    names: dict[int, str] = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            fields = line.split(":")
            if len(fields) > 3 and fields[2].isascii() and fields[2].isdigit():
                names.setdefault(int(fields[2]), fields[0])
    return names
