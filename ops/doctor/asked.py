"""Checks that ask what other commands know: the settings, keys, roles, zones and the store of a home."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from tabard import __version__
from tabard.errors import StoreError
from tabard.ops import seen
from tabard.ops.doctor import disks, listening, stored, watched
from tabard.ops.doctor.finding import FAULT, WARNING, Finding
from tabard.ops.doctor.place import Place
from tabard.settings import Finding as OfSettings
from tabard.settings import examine

if TYPE_CHECKING:
    from tabard.consumers.store.ports import StoreReader

_LOOK: Final = "tabard check says more"
_T = TypeVar("_T")


def settings(place: Place) -> Iterator[Finding]:
    """Every error and warning of the settings."""
    return _told("settings", "settings", examine(place.home, every_stage=True).findings)


def keys(place: Place) -> Iterator[Finding]:
    """Keys, certificates and policies."""
    from tabard.ops.keycheck import key_findings

    found = [] if place.settings is None else key_findings(place.home, place.settings, place.now)
    return _told("keys", "keys", found)


def connections(place: Place) -> Iterator[Finding]:
    """Ends where the keys of this home are refused, or are lacking."""
    from tabard.ops.conncheck import connection_findings

    found = [] if place.settings is None else connection_findings(place.home, place.settings, place.now)
    return _told("connections", "keys", found)


def ports(place: Place) -> Iterator[Finding]:
    """Addresses that roles cannot have."""
    from tabard.ops.portcheck import port_findings

    found: Iterable[OfSettings] = () if place.settings is None else port_findings(place.home, place.settings)
    return _told("ports", "settings", found)


def tunnels(place: Place) -> Iterator[Finding]:
    """Tunnels that cannot come up, and those that run and are not up."""
    from tabard.ops.tunnelcheck import tunnel_findings

    if place.settings is not None:
        yield from _told("tunnels", "tunnels", tunnel_findings(place.home, place.settings))
    for role in place.running:
        state = role.said.get("state")
        if role.role == "tunnel" and state not in {None, "up", "starting", "refused"}:
            why = f": {role.said['why']}" if role.said.get("why") else ""
            do = f"See whether ssh comes there, and what listens behind it: tabard status{_log(place, role.name)}"
            yield Finding("tunnels", FAULT, role.name, f"is {state}{why}", do)


def roles(place: Place) -> Iterator[Finding]:
    """What roles say of themselves, and those that ran here and do not."""
    from tabard.ops.faults import of_roles

    if not place.running:
        what = "no role of this home runs"
        yield Finding("roles", FAULT, "home", what, "Start them: tabard up, or tabard crontab install")
        return
    for fault in of_roles(place.roles, place.now):
        yield Finding("roles", FAULT, fault.where, fault.what, f"See tabard status{_log(place, fault.where)}")


def zones(place: Place) -> Iterator[Finding]:
    """Links, brokers and nodes of all zones that are known here."""
    from tabard.ops.zonefacts import map_of

    if place.settings is None or not place.running:
        return
    own = {f"broker {role.name.partition('.')[2]}" for role in place.roles if role.state != seen.RUNNING}
    for fault in map_of(place.home, place.settings).faults:
        if fault.where not in own:  # the check of the roles says it
            yield Finding("zones", FAULT, fault.where, fault.what, "See the way there: tabard zones")


def disk_writable(place: Place) -> Iterator[Finding]:
    """Disks that take no writes."""
    from tabard.ops.faults import of_home

    for fault in of_home(place.home, place.settings):
        do = "Make room, or mount it so that it can be written: df, findmnt"
        yield Finding("disk-writable", FAULT, fault.where, fault.what, do)


def disk_space(place: Place) -> Iterator[Finding]:
    """Disks that are nearly full."""
    return disks.space(disks.disks((place.home.run, place.home.journal, place.home.store)))


def disk_inodes(place: Place) -> Iterator[Finding]:
    """Disks that can hold few more files."""
    return disks.inodes(disks.disks((place.home.run, place.home.journal, place.home.store)))


def ports_open(place: Place) -> Iterator[Finding]:
    """Ports of the roles that other hosts reach."""
    return listening.exposed(listening.ports_of(_pids(place)), keys=place.home.trust.exists())


def ports_unknown(place: Place) -> Iterator[Finding]:
    """Ports of the roles that nobody asked for."""
    return watched.unknown_ports(listening.ports_of(_pids(place)), place)


def disk_sync(place: Place) -> Iterator[Finding]:
    """Disks that do not bring to rest what is written."""
    return watched.disk_sync((place.home.run, place.home.journal, place.home.store))


def names(place: Place) -> Iterator[Finding]:
    """Names that several nodes have."""
    return watched.names(_of_store(place, lambda reader: reader.nodes(place.now)) or ())


def holds(place: Place) -> Iterator[Finding]:
    """Holds that hold up retention for long."""
    return watched.holds(_of_store(place, lambda reader: reader.holds()) or (), place.now)


def _pids(place: Place) -> dict[str, int]:
    return {role.name: role.pid for role in place.running if role.pid and role.role not in {"up", "tunnel"}}


def store(place: Place) -> Iterator[Finding]:
    """Whether the store answers, where there has to be one."""
    if not place.records or place.settings is None:
        return
    from tabard.ops.stores import open_reader

    try:
        with open_reader(place.home, place.settings) as reader:
            reader.stats()
    except StoreError as error:
        yield Finding("store", FAULT, "store", error.what, error.hint or "tabard store verify says more")


def clock_nodes(place: Place) -> Iterator[Finding]:
    """Clocks of nodes beside that of who heard them."""
    return stored.node_clocks(_of_store(place, lambda reader: reader.nodes(place.now)) or ())


def clock_store(place: Place) -> Iterator[Finding]:
    """The clock of this host beside the newest arrival."""
    stats = _of_store(place, lambda reader: reader.stats())
    return iter(()) if stats is None else stored.own_clock(stats, place.now)


def versions(place: Place) -> Iterator[Finding]:
    """Versions of the nodes beside that of this host."""
    return stored.versions(_of_store(place, lambda reader: reader.nodes(place.now)) or (), __version__)


def gaps(place: Place) -> Iterator[Finding]:
    """Losses of the last day."""
    since = place.now - stored.DAY
    return stored.gaps(_of_store(place, lambda reader: reader.gaps(since=since)) or ())


def quarantine(place: Place) -> Iterator[Finding]:
    """Batches that could not be stored."""
    stats = _of_store(place, lambda reader: reader.stats())
    return iter(()) if stats is None else stored.quarantine(stats)


def _log(place: Place, role: str) -> str:
    """Where a role says more, if it does."""
    path = place.home.log / f"{role}.log"
    return f" and {path}" if path.exists() else ""


def _of_store(place: Place, ask: Callable[[StoreReader], _T]) -> _T | None:
    """What the store answers; None where there is none, or none that answers: the check of the store says so."""
    if place.settings is None:
        return None
    from tabard.ops.stores import open_reader

    try:
        with open_reader(place.home, place.settings) as reader:
            return ask(reader)
    except StoreError:
        return None


def _told(check: str, where: str, found: Iterable[OfSettings]) -> Iterator[Finding]:
    """Findings of ``tabard check`` as findings of a doctor."""
    for each in found:
        error = each.error
        place = ":".join(str(part) for part in (error.file, error.line) if part)
        words = [error.what]
        words += [f"expected {error.expected}"] if error.expected else []
        words += [f"found {error.found}"] if error.found else []
        at = " ".join(part for part in (place, error.key) if part)
        what = "; ".join(words) + (f" ({at})" if at else "")
        yield Finding(check, WARNING if each.warning else FAULT, where, what, error.hint or _LOOK)
