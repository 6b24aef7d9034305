"""How often a password may be tried. Pure: the time is handed in.

Three things are counted, each as a bucket of tries that fills up again with time: those from one address, those for one name, and
those for one name from an address at which that person has logged in before. The last has its own bucket, so that whoever
tries somebody's name from elsewhere, however often, does not keep that person out. A name that nobody has counts as any other.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from typing import Final, NamedTuple

MOST: Final = 20_000
"""Buckets that are remembered; of more, those that were used last. One that was forgotten is full."""


class Limit(NamedTuple):
    """Tries at once, and the seconds after which one more is allowed."""

    burst: int
    every: float


ADDRESS: Final = Limit(10, 10.0)
NAME: Final = Limit(20, 15.0)
KNOWN: Final = Limit(10, 10.0)
ONE_SITE: Final = 64
"""Bits of an IPv6 address that are the same for all that one customer of a provider has, who may take any of them for each try."""


def origin_of(address: str) -> str:
    """What is counted as one place to come from: an IPv4 address, the network of an IPv6 address; other words as they are."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        if not found.is_loopback:
            return str(ipaddress.ip_network((int(found), ONE_SITE), strict=False))
    return str(found)


class Throttle:
    """The buckets. Safe for several threads."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._guard = threading.Lock()
        self._buckets: OrderedDict[tuple[str, ...], tuple[float, float]] = OrderedDict()

    def wait(self, name: str, address: str, now: float, *, known: bool) -> float:
        """Seconds to wait before a try for a name from an address; at 0 it may be made, and is counted."""
        mine = (("known", name, address), KNOWN) if known else (("name", name), NAME)
        return self.take([(("address", origin_of(address)), ADDRESS), mine], now)

    def take(self, wanted: list[tuple[tuple[str, ...], Limit]], now: float) -> float:
        """Take one of each bucket, or none when one of them is empty; the seconds until it is not."""
        with self._guard:
            levels = [(key, limit, self._level(key, limit, now)) for key, limit in wanted]
            wait = max((1 - level) * limit.every for _, limit, level in levels)
            if wait > 1e-9:
                return wait
            for key, _, level in levels:
                self._buckets[key] = (level - 1, now)
                self._buckets.move_to_end(key)
            while len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
            return 0.0

    def good(self, name: str, address: str, now: float) -> None:
        """The try was that of the person: who mistyped a few times before begins anew.

        What was tried from there for other names stays counted: else an account of one's own would open the way to all others.
        """
        mine, place = ("known", name, address), ("address", origin_of(address))
        with self._guard:
            spent = max(KNOWN.burst - self._level(mine, KNOWN, now), 1.0)
            self._buckets.pop(mine, None)
            if place in self._buckets:
                level = min(float(ADDRESS.burst), self._level(place, ADDRESS, now) + spent)
                self._buckets[place] = (level, now)

    def _level(self, key: tuple[str, ...], limit: Limit, now: float) -> float:
        level, then = self._buckets.get(key, (float(limit.burst), now))
        return min(float(limit.burst), level + max(now - then, 0.0) / limit.every)
