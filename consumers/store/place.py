"""Where a store is: a directory on this machine, or a database on a PostgreSQL server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Self

from tabard.errors import StoreError

if TYPE_CHECKING:
    from tabard.home import Home
    from tabard.settings import Settings


class Spelled(NamedTuple):
    """Where the files with a password and its key were named: an error says so."""

    file: str = "store.password_file"
    key: str = "store.password_key"


SETTINGS: Final = Spelled()


class Place(NamedTuple):
    """Exactly one of both is said."""

    directory: str = ""
    url: str = ""
    """``postgresql://USER@HOST/DATABASE``, without a password."""
    password_file: str = ""
    password_key: str = ""
    """The file with the key that the password file is encrypted with; "" where it is not."""

    @classmethod
    def of(cls, settings: Settings, home: Home) -> Self:
        """The store that the settings of a home name."""
        url = settings.str("store.url")
        if url:
            return cls("", url, settings.str("store.password_file"), settings.str("store.password_key"))
        return cls(settings.str("store.path") or str(home.store))

    def __str__(self) -> str:
        """For people."""
        return self.url or self.directory

    def password(self, said: Spelled = SETTINGS) -> str:
        """What the password file holds, "" when there is none: the server, or libpq's own file, may need none.

        `said` is where its files were named.

        Raises:
            StoreError: it cannot be read or decrypted, others may read it or its key, or it is empty.
        """
        if not self.password_file:
            return ""
        from tabard.consumers.store import sealed

        where = f"{said.file} {self.password_file}"
        text = sealed.read_private(self.password_file, "one line", said.file)
        if sealed.is_encrypted(text):
            if not self.password_key:
                raise _refused(where, f"an encrypted password, and no {said.key}")
            return sealed.decrypt(text, sealed.read_keys(self.password_key, said.key), where)
        if self.password_key:
            raise _refused(
                where,
                f"a password that is not encrypted, and a {said.key}",
                hint="Encrypt it with `tabard store password`",
            )
        password = text.rstrip("\r\n")
        if not password or "\n" in password or "\0" in password:
            raise _refused(where, "something else")
        return password


def _refused(where: str, found: str, hint: str = "") -> StoreError:
    return StoreError(
        "the password of the store cannot be read",
        expected="a file with one line that only its owner may read (mode 0600)",
        found=found,
        where=where,
        hint=hint,
    )
