"""The mail server: how it is reached and whom it trusts."""

from __future__ import annotations

from typing import Final, NamedTuple, Self

from tabard.errors import SettingsError
from tabard.settings.values import Settings

TLS: Final = ("starttls", "implicit", "none")


class Server(NamedTuple):
    """How a mail server is reached. Checked by ``checked``."""

    host: str
    port: int = 587
    tls: str = "starttls"
    """``starttls``, ``implicit``, or ``none``."""
    verify: bool = True
    ca_file: str = ""
    user: str = ""
    password: str = ""
    timeout: float = 30.0
    """Seconds for one answer."""

    def __repr__(self) -> str:
        return f"Server({self.host}:{self.port}, {self.tls})"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The server that the settings name. Raises SettingsError when they name none."""
        host = settings.str("mail.host")
        if not host:
            raise SettingsError(
                "no mail server",
                key="mail.host",
                expected="the name of one",
                hint="Set mail.host in tabard.toml, or TABARD_MAIL_HOST",
            )
        return cls(
            host,
            settings.int("mail.port"),
            settings.str("mail.tls"),
            settings.flag("mail.verify"),
            settings.str("mail.ca_file"),
            settings.str("mail.user"),
            settings.str("mail.password"),
            settings.seconds("mail.timeout"),
        ).checked()

    def checked(self) -> Self:
        """Itself. Raises SettingsError for what would give a password away."""
        if self.tls not in TLS:
            raise SettingsError(
                "no such way", key="mail.tls", expected=f"one of {', '.join(TLS)}", found=repr(self.tls)
            )
        if self.user and self.tls == "none":
            raise SettingsError(
                "a password is never sent over a connection that is not encrypted",
                key="mail.tls",
                expected="starttls or implicit where mail.user is set",
                found="none",
            )
        return self
