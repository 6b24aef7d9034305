"""The keys of a home that ``tabard up`` runs: made when it is new, and completed when its settings name somebody else.

A new home that is whole in itself (its own broker, nothing above it, its store in it) is its own root. Any other one has to be given its
keys: a root of its own would make it a stranger to those it talks to. A home that was used without keys goes on without,
until somebody says ``tabard init``.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from tabard import audit
from tabard.brokers.trust.authority import DAY, Wanted
from tabard.brokers.trust.certificates import ZONE
from tabard.brokers.trust.files import Trust, found
from tabard.brokers.trust.keyfiles import KeyFile
from tabard.brokers.trust.keys import PrivateKey
from tabard.clock import Clock, SystemClock
from tabard.errors import TabardError
from tabard.home import Home
from tabard.names import zone_within
from tabard.ops.keys import founders_of, members_of
from tabard.ops.stores import path_of
from tabard.settings import Settings

RENEW: Final = 60 * DAY
"""Before its end a certificate is renewed at a start."""


def prepare(home: Home, settings: Settings, roles: Collection[str], clock: Clock | None = None) -> list[str]:
    """See that the home has the keys it needs, as far as it may make them; lines to be said.

    What cannot be made is said as well and keeps nobody from starting: the roles say what they lack.
    """
    clock = clock or SystemClock()
    try:
        trust = Trust.load(home, clock)
        if trust is None:
            return _found(home, settings, clock) if _is_whole(home, settings, roles) else []
        with trust.changing():
            said = _complete(trust, members_of(settings, home), clock.wall())
        if said:
            audit.note(home, "keys.certify", {"by": "tabard up", "keys": said})
        return said
    except (TabardError, OSError) as error:
        return [f"keys: {error}"]


def _is_whole(home: Home, settings: Settings, roles: Collection[str]) -> bool:
    """Whether the home is new, and talks to no other one."""
    rooms = (home.journal, Path(path_of(home, settings)))
    used = any(any(room.iterdir()) for room in rooms if room.is_dir())
    outside = any(settings.str(name) for name in ("agent.up", "recorder.up", "store.url"))
    above = any(broker.parent_up or broker.parent_down for broker in settings.brokers)
    ends = (
        end for each in settings.brokers for end in (each.up_in, each.up_out, each.down_in, each.down_out)
    )
    return "broker" in roles and not (used or outside or above or any(end.startswith("tcp:") for end in ends))


def _found(home: Home, settings: Settings, clock: Clock) -> list[str]:
    wanted = members_of(settings, home)
    root = settings.str("node.zone").partition("/")[0]
    if not all(zone_within(each.zone, root) for each in wanted):
        return [f"no keys were made: not all brokers of this home are in {root}; see tabard init"]
    with audit.accounted(home, "init", {"root": root, "by": "tabard up"}) as account:
        found(home, root, founders_of(settings, home, root), clock)
        account.end(audit.DONE)
    return [f"this home is the root of zone {root} now, and signs what it stores: keys are in {home.trust}"]


def _complete(trust: Trust, wanted: Collection[Wanted], now: int) -> list[str]:
    """Certify who is missing, or ends soon, where the authority is in this home."""
    said = []
    for each in wanted:
        if _has(trust, each, now) or trust.key(ZONE, each.zone) is None:
            continue
        authority = trust.authority(each.zone)
        own = trust.certificate(each.role, each.name)
        known = trust.key(each.role, each.name) if own is not None and own.zone == each.zone else None
        key = known or PrivateKey.generate()
        certificate, encoded = authority.certify(each, key, now)
        chain = (*trust.directory.chain(authority.certificate, now), encoded)
        roster = authority.roster(now, [encoded])
        trust.directory.take(chain, now)
        trust.directory.take_roster(roster, now)
        trust.store_roster(roster)
        former = trust.former(each.role, each.name) if known else None
        trust.store_key(KeyFile(each.role, each.name, now, key, chain, former))
        said.append(f"certified {certificate}, key {certificate.key_id.hex()[:16]}")
    return said


def _has(trust: Trust, wanted: Wanted, now: int) -> bool:
    own = trust.certificate(wanted.role, wanted.name)
    return (
        own is not None
        and own.zone == wanted.zone
        and set(wanted.sinks) <= set(own.sinks)
        and own.until - now > RENEW
    )
