"""What a seed decides before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

PLENTY = 64 * 1024 * 1024


@dataclass
class Plan:
    """The size of a world, how bad its links are, and which faults may strike it."""

    faults: tuple[str, ...]
    nodes: int = 1
    sinks: tuple[str, ...] = ("main",)
    begins: tuple[str, ...] = ()
    """What each sink wants of a node it has not heard of: ``oldest``, where nothing is said, or ``now``."""
    late: float = 0.0
    """When the recorders of all sinks but the first are started."""
    brokers: int = 1
    seconds: float = 20.0
    """How long records are made and faults strike; then everything is healed."""
    fault_count: int = 3
    pace: float = 0.8
    """Mean seconds between two batches of a node."""
    burst: int = 10
    """Most records of a batch."""
    loss: float = 0.0
    """Share of messages that each link loses."""
    stray: float = 0.0
    """Share of messages that each downward link brings twice, late, or both."""
    capacity: int = 500
    """Messages that a link holds."""
    rate: float = float("inf")
    """Messages a second that the links to the recorders carry."""
    budget: int = 60
    """The sink's credit, in batches."""
    quota: int = PLENTY
    """Bytes of each journal that may be dropped from."""
    segment: int = 4096
    keep_acked: int = 0
    age: float = 86_400.0
    outbox: int = PLENTY
    unnoticed: float = 0.0
    """Chance that a store that is restored while running shows by its cursors alone."""
    fsync: float = 0.05
    """Seconds from an append to its sync."""
    signed: bool = False
    """Whether everybody has a key, and a broker without one of theirs forges, alters and replays."""
    rekeys: int | None = None
    """How often each node of a signed world gets another key; None: it is drawn."""
    revoking: bool | None = None
    """Whether the key before is revoked then; None: it is drawn each time."""
    limit: int = 0
    """Bytes a second that the lowest broker hands up, and that the highest takes from it where there are two; 0 for any."""
    policy: bool = False
    """Whether the nodes are in a zone below, at whose boundary a policy withholds and redacts; only with keys."""
    aside: bool = False
    """Whether recorders commit beside their loop, as they do where the database is a server."""

    @classmethod
    def drawn(cls, rng: Random, faults: tuple[str, ...]) -> Plan:
        """A small plan of any kind."""
        return cls(
            faults,
            nodes=rng.choice((1, 1, 1, 2)),
            sinks=rng.choice((("main",), ("main",), ("main",), ("main", "other"))),
            brokers=rng.choice((1, 1, 2)),
            seconds=rng.choice((12.0, 25.0)),
            fault_count=rng.choice((1, 2, 4, 6)),
            burst=rng.choice((3, 40)),
            loss=rng.choice((0.0, 0.0, 0.02, 0.15)),
            capacity=rng.choice((20, 100, 500)),
            budget=rng.choice((8, 60, 200)),
            quota=rng.choice((24 * 1024, PLENTY, PLENTY)),
            segment=rng.choice((2048, 8192)),
            keep_acked=rng.choice((0, 8192)),
            outbox=rng.choice((8 * 1024, PLENTY)),
            stray=rng.choice((0.0, 0.0, 0.3)),
            aside=rng.choice((False, True)),
        )

    @property
    def small(self) -> bool:
        """Whether the journals may have to drop."""
        return self.quota < PLENTY
