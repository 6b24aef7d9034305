"""Checks of what nobody looks at for long: jobs of cron, holds, names, ports that nothing asks for, and disks that take no sync."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tabard.ops.doctor.finding import FAULT, WARNING, Finding
from tabard.ops.doctor.listening import Port
from tabard.ops.doctor.place import Place

if TYPE_CHECKING:
    from tabard.consumers.store.holds import Hold
    from tabard.consumers.store.results import NodeRow

DAY: Final = 86_400 * 1_000_000_000
LONG: Final = 90 * DAY
"""Nanoseconds after which a hold is asked about."""
_HEARD: Final = frozenset({"up", "late"})
_ENDED_WELL: Final = frozenset({"running", "done"})
_NUMBER: Final = re.compile(r"(?<![\d.])\d{1,5}(?![\d.])")


def cron(place: Place) -> Iterator[Finding]:
    """Jobs whose runs are due and do not begin, or do not end well; and roles that cron is to start and does not."""
    from tabard.ops.cronexec.jobs import rows

    for row in rows(place.home, place.now):
        where = f"job {row['name']}"
        if row["overdue"]:
            what = f"its run was due, and has not begun; the last one began {row['start'] or 'never'}"
            do = "See whether cron runs and has its line: systemctl status cron; crontab -l; tabard cron list"
            yield Finding("cron", FAULT, where, what, do)
        elif row["state"] not in _ENDED_WELL:
            code = "" if row["code"] is None else f" (code {row['code']})"
            do = f"See what it said: tabard logs --service {row['name']}"
            yield Finding("cron", WARNING, where, f"its last run: {row['state']}{code}", do)
    if not place.running and _has_lines(place):
        what = "the crontab has lines that start the roles of this home, and none runs"
        do = "See whether cron runs: systemctl status cron; then tabard crontab show and its mail"
        yield Finding("cron", FAULT, "home", what, do)


def _has_lines(place: Place) -> bool:
    from tabard.errors import TabardError
    from tabard.ops.crontab.block import present
    from tabard.ops.crontab.table import read

    with suppress(TabardError):  # there is no cron on this host
        return present(read(), str(place.home.path))
    return False


def names(nodes: Iterable[NodeRow]) -> Iterator[Finding]:
    """Nodes of one name that are heard in several zones."""
    zones: dict[str, set[str]] = defaultdict(set)
    for node in nodes:
        if node.state in _HEARD:
            zones[node.name].add(node.zone)
    for name, found in sorted(zones.items()):
        if len(found) > 1:
            what = f"is heard in {len(found)} zones: {', '.join(sorted(found))}"
            do = "Two hosts, or one that moved and still runs the old agent? To give one another name: tabard node rename"
            yield Finding("names", WARNING, f"node {name}", what, do)


def holds(found: Iterable[Hold], now: int) -> Iterator[Finding]:
    """Holds that keep records from retention for long."""
    for hold in found:
        if now - hold.made > LONG:
            what = f"the hold {hold.name} of {hold.made_by} has kept records for {(now - hold.made) // DAY} days: {hold.reason}"
            do = f"Ask whether it is still needed; then tabard store hold release {hold.name} --reason WHY"
            yield Finding("holds", WARNING, "store", what, do)


def unknown_ports(ports: Iterable[Port], place: Place) -> Iterator[Finding]:
    """Ports that neither the settings nor the role itself names."""
    if place.settings is None:
        return
    asked = _numbers(" ".join(shown.value for shown in place.settings.masked()))
    for port in ports:
        said: Mapping[str, object] = next((role.said for role in place.roles if role.name == port.role), {})
        if str(port.port) not in asked | _numbers(json.dumps(said, default=str)):
            what = f"listens at {port.address} port {port.port}, which no setting asks for"
            do = f"See what opened it: ss -ltnp 'sport = :{port.port}'; tabard settings says which ports there are to be"
            yield Finding("ports-unknown", WARNING, port.role, what, do)


def _numbers(text: str) -> set[str]:
    return set(_NUMBER.findall(text))


def disk_sync(paths: Iterable[Path]) -> Iterator[Finding]:
    """Disks that take what is written and do not bring it to rest."""
    seen: set[int] = set()
    for path in paths:
        probe = path / f".sync-{os.getpid()}"
        try:
            device = path.stat().st_dev
            if device in seen:
                continue
            seen.add(device)
            descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError:
            continue  # other checks say so
        try:
            os.write(descriptor, b"\0" * 4096)
            os.fsync(descriptor)
        except OSError as error:
            what = f"the disk of {path} cannot sync: {error.strerror}; what is accepted may be lost in a power cut"
            do = "See what the kernel says of that disk: dmesg; smartctl -a"
            yield Finding("disk-sync", FAULT, "home", what, do)
        finally:
            os.close(descriptor)
            with suppress(OSError):
                probe.unlink()
