"""What ``tabard up`` starts in a home, in which order it ends again, and which TCP addresses that takes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from tabard.errors import UsageError
from tabard.home import Home
from tabard.settings import Settings

ROLES: Final = ("tunnel", "broker", "recorder", "dispatcher", "agent", "herald")
"""In the order they start: each finds those it dials."""
_ENDING: Final = ("dispatcher", "agent", "broker", "recorder", "tunnel", "herald")
"""In the order they end: what the agent said last still finds its way into the store."""
_NAMED: Final = frozenset({"tunnel", "broker"})
"""Roles of which a home may have several, or none."""
PATIENCE: Final = 10.0
"""Seconds that all of them together have to end."""


class Planned(NamedTuple):
    """One child: the name of its lock, log and status file, and the words that start it."""

    name: str
    words: tuple[str, ...]

    @property
    def role(self) -> str:
        """The role without the name of its instance."""
        return self.words[0]


class Address(NamedTuple):
    """A TCP address that a role will listen on, and the setting that says so."""

    host: str
    port: int
    setting: str


def planned(settings: Settings, home: Home, only: Collection[str] = ROLES) -> list[Planned]:
    """The children for those roles, in the order they start.

    Raises:
        SettingsError: the brokers of this home do not fit together.
    """
    children = [Planned(role, (role,)) for role in ROLES if role not in _NAMED and role in only]
    if "broker" in only:
        from tabard.brokers.topology import brokers

        children[:0] = [
            Planned(f"broker.{plan.name}", ("broker", plan.name)) for plan in brokers(settings, home)
        ]
    if "tunnel" in only:
        children[:0] = [Planned(f"tunnel.{each.name}", ("tunnel", each.name)) for each in settings.tunnels]
    return children


def stages(children: Sequence[Planned]) -> list[list[str]]:
    """Names of the children in the order they end; those of one stage end together.

    Brokers end outermost first, one after the other, so that each hands on what the one before it sent.
    """
    ending: list[list[str]] = []
    for role in _ENDING:
        ending += [[child.name] for child in children if child.role == role]
    return ending


def parse_only(text: str) -> frozenset[str]:
    """The roles in a comma-separated list. Raises UsageError for a word that is no role."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    strange = [word for word in words if word not in ROLES]
    if strange or not words:
        raise UsageError(
            "--only takes roles",
            expected="one or more of " + ", ".join(ROLES) + ", separated by commas",
            found=repr(text),
        )
    return frozenset(words)


def addresses(settings: Settings, home: Home, roles: Collection[str]) -> list[Address]:
    """Every TCP address that those roles will listen on."""
    found = []
    if "herald" in roles:
        found.append(Address(settings.str("herald.host"), settings.int("herald.port"), "herald.port"))
    if "agent" in roles and settings.str("intake.tcp"):
        found.append(_address(settings.str("intake.tcp"), "intake.tcp"))
    if "broker" in roles:
        from tabard.brokers.topology import LANES, brokers

        found += [
            _address(endpoint.removeprefix("tcp://"), f"broker {plan.name}: {lane}")
            for plan in brokers(settings, home)
            for lane in LANES
            if (endpoint := plan._asdict()[lane]).startswith("tcp://")
        ]
    return found


def _address(text: str, setting: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port), setting)


def page_url(settings: Settings) -> str:
    """Where a browser finds herald."""
    host, port = settings.str("herald.host"), settings.int("herald.port")
    if host in {"0.0.0.0", "::"}:  # noqa: S104 -- compared with, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
