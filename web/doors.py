"""How herald lets people in: whether reading takes a login, which proxies are believed, what its cookies are like. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from tabard.consumers.people.accounts import Times
from tabard.errors import SettingsError
from tabard.settings import Settings
from tabard.web.security import host_name, is_loopback

ALWAYS: Final = "always"
SECOND: Final = 1_000_000_000
FORWARDED: Final = frozenset(
    {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "forwarded", "via"}
)
"""What a request has that came through a proxy, whether that is one that is known or not."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Doors:
    """What the settings of herald say."""

    login: str
    """``local`` or `ALWAYS`."""
    host: str
    """The address it listens on."""
    port: int
    url: str
    """The address that people use where another server stands before it; "" where none does."""
    proxies: tuple[Network, ...]
    header: str
    """In which these say who somebody is; "" where they do not."""
    times: Times

    @classmethod
    def of(cls, settings: Settings) -> Doors:
        """What the settings say. Raises SettingsError when they contradict each other."""
        if settings.str("herald.proxy_header") and not settings.strings("herald.proxies"):
            raise SettingsError(
                "a header says who somebody is, and no proxy is believed",
                key="herald.proxy_header",
                expected="the addresses of the proxies in herald.proxies",
                found="none",
            )
        return cls(
            login=settings.str("herald.login"),
            host=settings.str("herald.host"),
            port=settings.int("herald.port"),
            url=settings.str("herald.url"),
            proxies=tuple(ipaddress.ip_network(each) for each in settings.strings("herald.proxies")),
            header=settings.str("herald.proxy_header"),
            times=Times(
                round(settings.seconds("herald.session_idle") * SECOND),
                round(settings.seconds("herald.session_longest") * SECOND),
            ),
        )

    @property
    def secure(self) -> bool:
        """Whether browsers come by https."""
        return self.url.startswith("https://")

    @property
    def cookie(self) -> str:
        """The name of the cookie; with this prefix a browser keeps it from other hosts and from plain http."""
        return "__Host-tabard" if self.secure else "tabard"

    @property
    def address(self) -> str:
        """Where people find it."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return self.url.rstrip("/") or f"http://{shown}:{self.port}"

    @property
    def names(self) -> list[str]:
        """The names it goes by."""
        return [self.host, *([urlsplit(self.url).hostname or ""] if self.url else [])]

    @property
    def open(self) -> bool:
        """Whether somebody at this machine may read without a login: only where nobody else can get here."""
        return self.login != ALWAYS and is_loopback(self.host) and not self.proxies and not self.url

    def lets_read(self, peer: str, host: str, headers: Iterable[str]) -> bool:
        """Whether a request may read without a login: from this machine, to this machine, through nobody."""
        straight = FORWARDED.isdisjoint(name.lower() for name in headers)
        return self.open and straight and is_loopback(peer) and is_loopback(host_name(host))

    def trusts(self, peer: str) -> bool:
        """Whether the address that a connection comes from is a proxy's that is believed."""
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self.proxies)

    def came_from(self, peer: str, forwarded: Sequence[str]) -> str:
        """The address of who asks: the last one that a believed proxy names and that is none itself."""
        if not self.trusts(peer):
            return peer
        for said in reversed(forwarded):
            if not self.trusts(said):
                try:
                    return str(ipaddress.ip_address(said))
                except ValueError:
                    return peer
        return peer

    def is_own_origin(self, origin: str, host: str) -> bool:
        """Whether a page at that origin is herald's own; `host` is the name it was asked by, which has been checked."""
        scheme, _, name = origin.lower().partition("://")
        if self.url and origin.lower() == _origin(self.url):
            return True
        return scheme in {"http", "https"} and name == host.lower() and (scheme == "https" or not self.secure)


def _origin(url: str) -> str:
    parts = urlsplit(url.lower())
    return f"{parts.scheme}://{parts.netloc}"
