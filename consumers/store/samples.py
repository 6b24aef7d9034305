"""Samples made readable: series of a host, and the table of its processes at one time.

What a node sampled is outside data: whatever does not have the documented form is left out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tabard.brokers.wire.codec import unpack
from tabard.consumers.store.fleet import node_id
from tabard.consumers.store.reading import Reading
from tabard.consumers.store.results import Process, ProcessTable, Sampled
from tabard.errors import WireError
from tabard.records import MAX_BODY, TIME_MAX

READ_PER_POINT: Final = 8
"""Samples that are read for one point of a series; of more, evenly spread ones are picked."""
SCANS_BACK: Final = 500
"""Process samples that are searched for a full scan."""

KEPT: Final = 86_400_000_000_000
"""Nanoseconds since its arrival after which what a node said of its links is not asked for any more."""
_NEWEST_LINKS: Final = (
    "SELECT time, data FROM sample WHERE node_id = ? AND kind = 'links' AND arrived >= ?"
    " ORDER BY time DESC, id DESC LIMIT 1"
)

Series = Mapping[str, Sequence[tuple[int, float]]]

_GAUGES: Final = ("cpu", "mem_used", "mem_total", "swap_used", "procs")
_PROCESS_KINDS: Final = (*[(int,)] * 3, *[(str,)] * 4, (int, float), (int,), (int,))
_NEWEST_FIRST: Final = (
    "SELECT time, epoch_id, data FROM sample WHERE node_id = ? AND kind = 'processes' AND time <= ?"
    " ORDER BY time DESC, id DESC LIMIT ?"
)
_BETWEEN: Final = "SELECT time, data FROM sample WHERE node_id = ? AND kind = 'host' AND time >= ? AND time < ? ORDER BY time LIMIT ?"


def newest_links(connection: Reading, now: int) -> list[Sampled]:
    """The newest sample of kind ``links`` of each node, as `Reader.newest_links` says."""
    found = []
    nodes = connection.execute("SELECT id, name, zone FROM node ORDER BY zone, name").fetchall()
    for row_id, name, zone in nodes:
        row = connection.execute(_NEWEST_LINKS, (row_id, now - KEPT)).fetchone()
        if row is not None:
            found.append(Sampled(name, zone, row[0], now, _decoded(row[1])))
    return found


def host_series(
    connection: Reading, name: str, since: int, until: int, points: int, zone: str | None
) -> Series:
    """Series of the host samples, as `Reader.host_series` says."""
    row_id = node_id(connection, name, zone)
    if row_id is None or until <= since or points < 1:
        return {}
    width = max(1, (until - since) // points)
    sums: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    times: dict[int, int] = {}
    before: tuple[int, dict[str, float]] | None = None
    for time, data in _host_samples(connection, row_id, since, until, points * READ_PER_POINT):
        place = (time - since) // width
        times[place] = time
        values = _gauges(data)
        counters = _counters(data)
        if before is not None and time > before[0]:
            values |= _rates(before[1], counters, (time - before[0]) / 1e9)
        before = (time, counters)
        for key, value in values.items():
            sums[key][place].append(value)
    return {
        key: [(times[place], sum(values) / len(values)) for place, values in places.items()]
        for key, places in sums.items()
    }


def processes(connection: Reading, name: str, at: int | None, zone: str | None) -> ProcessTable:
    """The processes of a node, as `Reader.processes` says."""
    row_id = node_id(connection, name, zone)
    found = connection.execute(_NEWEST_FIRST, (row_id, TIME_MAX if at is None else at, SCANS_BACK))
    later: list[tuple[int, int, dict[str, Any]]] = []
    parts: dict[tuple[int, int], set[int]] = defaultdict(set)
    for time, epoch_id, blob in found:
        scan = _scan(blob)
        if scan is None:
            continue
        later.append((time, epoch_id, scan))
        if scan["full"]:
            have = parts[epoch_id, scan["scan"]]
            have.add(scan["part"])
            if len(have) == scan["parts"]:
                return _rebuilt(epoch_id, scan["scan"], later)
    return ProcessTable(None, ())


def _rebuilt(epoch_id: int, start: int, scans: Sequence[tuple[int, int, dict[str, Any]]]) -> ProcessTable:
    """The full scan numbered `start`, and every later scan of the same epoch laid over it."""
    table: dict[tuple[int, int], Process] = {}
    last = 0
    ordered = sorted(scans, key=lambda item: (item[2]["scan"], item[2]["part"]))
    for time, epoch, scan in ordered:
        if epoch != epoch_id or scan["scan"] < start:
            continue
        last = max(last, time)
        for process in _processes(scan["procs"]):
            table[process.pid, process.started] = process
        for gone in scan["gone"]:
            if isinstance(gone, tuple) and len(gone) == 2:
                table.pop((gone[0], gone[1]), None)
    rows = sorted(table.values(), key=lambda process: (-process.cpu, -process.memory, process.pid))
    return ProcessTable(last, rows)


def _scan(blob: bytes) -> dict[str, Any] | None:
    data = _decoded(blob)
    numbers = [data.get(name) for name in ("scan", "part", "parts")]
    if not all(type(number) is int for number in numbers):
        return None
    lists = {name: value if isinstance(value := data.get(name), tuple) else () for name in ("procs", "gone")}
    return {**data, **lists, "full": data.get("full") is True}


def _processes(rows: Sequence[Any]) -> Iterator[Process]:
    for row in rows:
        if (
            isinstance(row, tuple)
            and len(row) == len(_PROCESS_KINDS)
            and all(map(_fits, row, _PROCESS_KINDS))
        ):
            yield Process(*row)


def _fits(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and (not isinstance(value, float) or math.isfinite(value))


def _host_samples(
    connection: Reading, row_id: int, since: int, until: int, most: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """All samples between two times when they are few, else about `most`, each found by a look into the index."""
    found = connection.execute(_BETWEEN, (row_id, since, until, most + 1)).fetchall()
    if len(found) <= most:
        yield from ((time, _decoded(blob)) for time, blob in found)
        return
    step = max(1, (until - since) // most)
    at = since
    while (row := connection.execute(_BETWEEN, (row_id, at, until, 1)).fetchone()) is not None:
        yield row[0], _decoded(row[1])
        at = max(row[0] + 1, at + step)


def _decoded(blob: bytes) -> dict[str, Any]:
    try:
        data = unpack(blob, limit=2 * MAX_BODY, items=MAX_BODY)
    except WireError:
        return {}
    return data if isinstance(data, dict) else {}


def _gauges(data: Mapping[str, Any]) -> dict[str, float]:
    values = {key: _number(data.get(key)) for key in _GAUGES}
    load = data.get("load")
    if isinstance(load, tuple) and load:
        values["load"] = _number(load[0])
    disks = data.get("disks")
    for mount, sizes in disks.items() if isinstance(disks, dict) else ():
        if isinstance(sizes, tuple) and len(sizes) == 2:
            total, used = _number(sizes[0]), _number(sizes[1])
            if total and used is not None:
                values[f"disk:{mount}"] = 100 * used / total
    return {key: value for key, value in values.items() if value is not None}


def _counters(data: Mapping[str, Any]) -> dict[str, float]:
    """Counters that only grow, by the name of their rate; those of single devices keep the device's name."""
    values: dict[str, float | None] = {}
    disk = data.get("disk_io")
    if isinstance(disk, tuple) and len(disk) >= 2:
        values["disk_read\0"], values["disk_write\0"] = _number(disk[0]), _number(disk[1])
    net = data.get("net")
    for nic, counts in net.items() if isinstance(net, dict) else ():
        if isinstance(counts, tuple) and len(counts) >= 2:
            values[f"net_rx\0{nic}"], values[f"net_tx\0{nic}"] = _number(counts[0]), _number(counts[1])
    return {key: value for key, value in values.items() if value is not None}


def _rates(before: Mapping[str, float], now: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Growth per second, all devices of a kind together. A counter that fell was started anew: it counts nothing."""
    rates: dict[str, float] = {}
    for key, value in now.items():
        if key in before and value >= before[key]:
            name = key.split("\0")[0]
            rates[name] = rates.get(name, 0.0) + (value - before[key]) / seconds
    return rates


def _number(value: Any) -> float | None:
    return float(value) if type(value) in {int, float} and math.isfinite(value) else None
