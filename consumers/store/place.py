"""Where a store is: a directory on this machine, or a database on a PostgreSQL server."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from tabard.errors import StoreError

if TYPE_CHECKING:
    from tabard.home import Home
    from tabard.settings import Settings

_MOST: Final = 4_096
"""Bytes of a password file."""


class Place(NamedTuple):
    """Exactly one of both is said."""

    directory: str = ""
    url: str = ""
    """``postgresql://USER@HOST/DATABASE``, without a password."""
    password_file: str = ""

    @classmethod
    def of(cls, settings: Settings, home: Home) -> Self:
        """The store that the settings of a home name."""
        url = settings.str("store.url")
        if url:
            return cls("", url, settings.str("store.password_file"))
        return cls(settings.str("store.path") or str(home.store))

    def __str__(self) -> str:
        """For people."""
        return self.url or self.directory

    def password(self) -> str:
        """What the password file holds, "" when there is none: the server, or libpq's own file, may need none.

        Raises:
            StoreError: it cannot be read, others may read it, or it is empty.
        """
        if not self.password_file:
            return ""
        path = os.path.expanduser(self.password_file)
        try:
            with open(path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(_MOST + 1)
        except OSError as error:
            raise self._refused(error.strerror or str(error)) from error
        if stat.S_IMODE(mode) & 0o077:
            raise self._refused(f"mode {stat.S_IMODE(mode):04o}")
        try:
            password = text.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            password = ""
        if not password or len(text) > _MOST or "\n" in password or "\0" in password:
            raise self._refused("something else")
        return password

    def _refused(self, found: str) -> StoreError:
        return StoreError(
            "the password of the store cannot be read",
            expected="a file with one line that only its owner may read (mode 0600)",
            found=found,
            where=f"store.password_file {self.password_file}",
        )
