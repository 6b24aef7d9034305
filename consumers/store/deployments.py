"""What version of which service runs with which configuration where, as the recorder noted it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tabard.consumers.store.reading import Reading

MOST: Final = 20_000
"""Stretches looked at for one answer."""


class Deployment(NamedTuple):
    """A stretch in which a service had one version and one configuration on one node and stage."""

    service: str
    stage: str
    """"" where it was started without one."""
    node: str
    zone: str
    package: str
    version: str
    """"" where it does not know its own."""
    digest: str
    rule: str
    """How secrets went into the digest: only those of one rule can be compared."""
    configuration_id: int
    since: int
    """Its first start in this form, event time."""
    last: int
    """The last one noted."""
    starts: int
    """How many starts and reloads there were."""
    until: int | None
    """When the next stretch began; None: this is what runs, or ran last."""

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Service, stage and node: at each only one thing runs at a time."""
        return (self.service, self.stage, self.zone, self.node)

    @property
    def form(self) -> tuple[str, str, str, str]:
        """What runs: two stretches with the same cannot be told apart."""
        return (self.package, self.version, self.digest, self.rule)


class Configuration(NamedTuple):
    """The content behind a digest, as far as it was recorded."""

    values: dict[str, str]
    """Masked, long ones cut."""
    secrets: dict[str, str]
    """The tag of each secret that was set."""
    left_out: int
    """Values that did not fit the record."""


_SELECT: Final = (
    "SELECT deployment.service, deployment.stage, node.name, node.zone, deployment.package, deployment.version,"
    " configuration.digest, configuration.rule, configuration.id, deployment.since, deployment.last,"
    " deployment.starts, NULL FROM deployment JOIN node ON node.id = deployment.node_id"
    " JOIN configuration ON configuration.id = deployment.configuration_id"
)


def current(
    connection: Reading, service: str | None, stage: str | None, node: str | None
) -> list[Deployment]:
    """The last stretch of each place, by service, stage, zone and node."""
    where, values = _where(service, stage, node)
    newest = (
        " deployment.id = (SELECT id FROM deployment AS other WHERE other.service = deployment.service"
        " AND other.stage = deployment.stage AND other.node_id = deployment.node_id"
        " ORDER BY since DESC, id DESC LIMIT 1)"
    )
    order = " ORDER BY deployment.service, deployment.stage, node.zone, node.name LIMIT ?"
    found = connection.execute(f"{_SELECT} WHERE {where}{newest}{order}", (*values, MOST))
    return [Deployment(*row) for row in found]


def history(
    connection: Reading, service: str | None, stage: str | None, node: str | None
) -> list[Deployment]:
    """Every stretch, newest first; of more than `MOST` those that began last."""
    where, values = _where(service, stage, node)
    order = " ORDER BY deployment.since DESC, deployment.id DESC LIMIT ?"
    rows = connection.execute(f"{_SELECT} WHERE {where} 1 = 1{order}", (*values, MOST)).fetchall()
    return joined(rows)


def joined(rows: Sequence[tuple[Any, ...]]) -> list[Deployment]:
    """Rows, newest first, as stretches that end where the next one of the place begins.

    Two neighbours of the same form, as a start that arrived late makes them, are one.
    """
    found: list[Deployment] = []
    following: dict[tuple[str, ...], int] = {}
    for row in rows:
        this = Deployment(*row)
        at = following.get(this.place)
        after = None if at is None else found[at]
        if at is not None and after is not None and after.form == this.form:
            starts = after.starts + this.starts
            found[at] = after._replace(since=this.since, last=max(after.last, this.last), starts=starts)
            continue
        following[this.place] = len(found)
        found.append(this._replace(until=None if after is None else after.since))
    found.sort(key=lambda each: each.since, reverse=True)
    return found


def configuration(connection: Reading, configuration_id: int) -> Configuration:
    """The content of that number; an empty one when it is not there any more."""
    row = connection.execute("SELECT entries FROM configuration WHERE id = ?", (configuration_id,)).fetchone()
    entries = json.loads(row[0]) if row else {}
    return Configuration(entries.get("values", {}), entries.get("secrets", {}), entries.get("left_out", 0))


def _where(service: str | None, stage: str | None, node: str | None) -> tuple[str, tuple[str, ...]]:
    """Conditions that end in AND, and their values."""
    wanted = {"deployment.service": service, "deployment.stage": stage, "node.name": node}
    given = {column: value for column, value in wanted.items() if value is not None}
    return "".join(f"{column} = ? AND " for column in given), tuple(given.values())
