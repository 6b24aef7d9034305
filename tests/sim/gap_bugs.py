"""Seeded bugs of gaps whose range a sink has stored a part of."""

from __future__ import annotations

from collections.abc import Iterator

from tabard.agents.journal import quota
from tabard.agents.journal.quota import Quota
from tabard.brokers.delivery import intake
from tabard.brokers.delivery.lately import Lately
from tests.sim.bugs import set_for, sink_bug


@sink_bug(
    "a gap forgets where its batches ended", "cut link", "store away", quota=24 * 1024, burst=40, pace=0.3
)
def _() -> Iterator[None]:
    with set_for(Quota, "_points", lambda *_: []):
        yield


@sink_bug(
    "a gap forgets what the gaps before it knew", "cut link", quota=16 * 1024, burst=40, pace=0.2, loss=0.1
)
def _() -> Iterator[None]:
    with set_for(quota, "gap_points", lambda _: ()):
        yield


@sink_bug(
    "a gap names points that are not there", "cut link", "store away", quota=24 * 1024, burst=40, pace=0.3
)
def _() -> Iterator[None]:
    with set_for(quota, "mark_of", lambda digest: digest[:8][::-1]):
        yield


@sink_bug(
    "what is stored within a gap is always in doubt", "cut link", "store away", quota=24 * 1024, burst=40
)
def _() -> Iterator[None]:
    with set_for(intake, "is_of_the_node", lambda *_: False):
        yield


@sink_bug(
    "what is stored within a gap is never in doubt",
    "restore host",
    "cut link",
    quota=24 * 1024,
    burst=40,
    seeds=60,
)
def _() -> Iterator[None]:
    with set_for(intake, "is_of_the_node", lambda *_: True):
        yield


@sink_bug(
    "a node takes any record for one that it sent",
    "restore host",
    "restore store",
    quota=24 * 1024,
    burst=20,
    pace=0.3,
    seconds=40.0,
    fault_count=6,
    loss=0.0,
)
def _() -> Iterator[None]:
    with set_for(Lately, "__contains__", lambda *_: True):
        yield
