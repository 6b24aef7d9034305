"""How a home is doing, as one object: what ``tabard status`` shows. Its times are nanoseconds since 1970 UTC.

It is put together from what is there: locks, status files, settings and the store. None of them has to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tabard import __version__
from tabard.errors import SettingsError, StoreError
from tabard.home import Home
from tabard.ops import seen
from tabard.ops.seen import Seen
from tabard.ops.stores import open_reader
from tabard.settings import Settings, load

WELL: Final = "well"
PARTLY: Final = "partly"
STOPPED: Final = "stopped"
_DROPPED: Final = "up dropped: ", "down dropped: "


def report(home: Home) -> dict[str, Any]:
    """The state of a home. Raises HomeError when it cannot be looked into."""
    faults: list[dict[str, str]] = []
    settings = _settings(home, faults)
    found = seen.roles(home)
    running = [each for each in found if each.state != seen.STOPPED]
    agent = _said(found, "agent")
    recorder = _said(found, "recorder")
    parts = {
        "intakes": _texts(agent.get("intakes")),
        "page": _page(found),
        "sources": _objects(agent.get("sources")),
        "streams": streams(agent),
        "brokers": [_broker(each) for each in running if each.role == "broker" and each.said],
        "recorder": _recorder(recorder),
        "store": _store(home, settings, found, faults),
    }
    if running:
        faults += [fault for each in found for fault in _faults_of(each)]
    state = STOPPED if not running else PARTLY if faults else WELL
    return {
        "home": str(home.path),
        "version": __version__,
        "node": settings and settings.str("node.name"),
        "zone": settings and settings.str("node.zone"),
        "state": state,
        "faults": faults,
        "roles": [_role(each) for each in found],
        **parts,
    }


def _settings(home: Home, faults: list[dict[str, str]]) -> Settings | None:
    try:
        return load(home)
    except SettingsError as error:
        faults.append(_fault("settings", str(error)))
        return None


def _store(
    home: Home, settings: Settings | None, found: Iterable[Seen], faults: list[dict[str, str]]
) -> dict[str, Any] | None:
    """The store in numbers; None on a host that has none."""
    if settings is None:
        return None
    try:
        with open_reader(home, settings) as reader:
            stats = reader.stats()
    except StoreError as error:
        if any(each.role == "recorder" for each in found):
            faults.append(_fault("store", str(error)))
        return None
    if stats.quarantined:
        faults.append(_fault("store", f"{stats.quarantined} batches are in quarantine: please report this"))
    return {
        "path": settings.str("store.path") or str(home.store),
        "bytes": stats.bytes,
        "free": stats.free,
        "nodes": stats.nodes,
        "gaps": stats.gaps,
        "quarantined": stats.quarantined,
        "streams": {
            name: {"rows": each.rows, "oldest": each.oldest, "newest": each.newest}
            for name, each in stats.streams.items()
        },
    }


def _faults_of(each: Seen) -> list[dict[str, str]]:
    if each.state == seen.STOPPED:
        # `up` is not a role that something else waits for.
        return [] if each.name == "up" else [_fault(each.name, "does not run")]
    faults = []
    if each.state == seen.SILENT:
        faults.append(
            _fault(each.name, f"has said nothing for over {seen.SILENT_AFTER:.0f} s: is it frozen?")
        )
    if each.said.get("fault"):
        faults.append(_fault(each.name, str(each.said["fault"])))
    faults += [
        _fault(each.name, f"{fault.get('where', '')}: {fault.get('detail', '')}")
        for fault in _objects(each.said.get("faults"))
    ]
    return faults


def streams(agent: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per stream and sink: what the journal holds, and how many records of it the sink has not."""
    journal, lag = _mapping(agent.get("journal")), _mapping(agent.get("lag"))
    return [
        {
            "stream": stream,
            "sink": sink or None,
            "journal_bytes": _mapping(stats).get("bytes"),
            "lag": _mapping(lags).get(stream),
        }
        for stream, stats in journal.items()
        for sink, lags in (lag or {"": {}}).items()
    ]


def _broker(each: Seen) -> dict[str, Any]:
    counters = {
        name: count for name, count in _mapping(each.said.get("counters")).items() if isinstance(count, int)
    }
    return {
        "name": each.said.get("name"),
        "zone": each.said.get("zone"),
        "up_received": counters.get("up received", 0),
        "up_sent": counters.get("up sent", 0),
        "down_received": counters.get("down received", 0),
        "down_sent": counters.get("down sent", 0),
        "dropped": {name: count for name, count in counters.items() if name.startswith(_DROPPED)},
        "endpoints": _mapping(each.said.get("endpoints")),
    }


def _recorder(said: Mapping[str, Any]) -> dict[str, Any] | None:
    if not said:
        return None
    return {name: said.get(name) for name in ("sink", "fault", "credit", "counters")}


def _page(found: Sequence[Seen]) -> str | None:
    """Where herald answers: it knows itself, and `up` knows what it told it."""
    for each in found:
        if each.role in {"herald", "up"} and isinstance(each.said.get("url"), str):
            return str(each.said["url"])
    return None


def _role(each: Seen) -> dict[str, Any]:
    return {"name": each.name, "state": each.state, "pid": each.pid, "since": each.since}


def _said(found: Iterable[Seen], name: str) -> Mapping[str, Any]:
    return next((each.said for each in found if each.name == name), {})


def _fault(where: str, what: str) -> dict[str, str]:
    return {"where": where, "what": what}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
