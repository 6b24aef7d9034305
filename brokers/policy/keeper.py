"""Keeps the boundary of a running broker at what its home knows: policies, its own key, and where sinks are."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any, Final

from tabard.brokers.policy.attesting import Attester
from tabard.brokers.policy.boundary import Boundary
from tabard.brokers.policy.laws import Laws, laws_of
from tabard.brokers.trust.certificates import BROKER, RECORDER, Certificate
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.files import Trust
from tabard.brokers.trust.keyfiles import KeyFile
from tabard.brokers.trust.rolekeys import lasting
from tabard.clock import Clock
from tabard.errors import TrustError
from tabard.names import zone_within

LOOK_ANYHOW: Final = 60.0
"""Seconds after which all is looked at again though nothing was taken in: certificates run out."""

_log = logging.getLogger(__name__)


def is_local(directory: Directory, sink: str, zone: str, now: int) -> bool:
    """Whether a sink has recorders, and all of them in a zone or below it: what it is sent does not leave the zone.

    One whose certificate ran out counts as well, since it may be renewed at any time; not one that was revoked or taken out.
    """
    return bool(directory.recorders(sink, now)) and all(
        zone_within(each.zone, zone)
        for each in directory.every()
        if each.role == RECORDER and sink in each.sinks and not _gone(directory, each, now)
    )


def _gone(directory: Directory, recorder: Certificate, now: int) -> bool:
    """Whether an authority said that a recorder is none any more."""
    if directory.holds(recorder, now):
        return False
    if directory.revoked(recorder.key_id) is not None:
        return True
    out = directory.tombstone(RECORDER, recorder.zone, recorder.name)
    return out is not None and recorder.serial <= out.time


class Keeper:
    """Of one broker of a home that has keys; whoever runs it calls `look` once a second, after the home's files were read."""

    def __init__(self, trust: Trust, name: str, zone: str, clock: Clock, counters: Counter[str]) -> None:
        self._trust = trust
        self._name = name
        self._zone = zone
        self._clock = clock
        self._seen: tuple[Any, ...] = ()
        self.boundary: Final = Boundary(*self._read(), counters)
        self._tell(None)

    def _read(self) -> tuple[Laws, Attester | None, Any]:
        now, directory = self._clock.wall(), self._trust.directory
        self._looked = self._clock.monotonic()
        self._seen = self._stamp()

        def local(sink: str) -> bool:
            return is_local(directory, sink, self._zone, self._clock.wall())

        return laws_of(directory, self._zone, now), self._attester(now), local

    def _stamp(self) -> tuple[Any, ...]:
        return id(self._trust.directory), self._trust.directory.generation, tuple(self._trust.owned())

    def _newest(self) -> KeyFile | None:
        mine = [file for file in self._trust.owned() if self._is_mine(file.certificate)]
        return max(mine, key=lambda each: each.made, default=None)

    def key_status(self) -> dict[str, Any] | None:
        """For the status file: the broker's own key, until when it holds, and what is wrong with it; None where it has none."""
        file = self._newest()
        own = self._trust.certificate(file.role, file.path) if file is not None else None
        if own is None:
            return None
        now = self._clock.wall()
        told = lasting(own, self._trust, now)
        try:
            self._trust.directory.check(own, max(now, own.since))
        except TrustError as error:
            told["fault"] = told["fault"] or f"the key of {own} does not hold: {error.what}"
        return told

    def _attester(self, now: int) -> Attester | None:
        """The broker's newest key that holds now, or will when the clock is set."""
        file = self._newest()
        if file is None:
            return None
        chain = self._trust.chain(file.role, file.path)
        held = self._trust.certificate(file.role, file.path)
        holds = held is not None and self._trust.directory.holds(held, max(now, held.since))
        return Attester(file.key, chain) if chain and holds else None

    def _is_mine(self, own: Certificate | None) -> bool:
        return own is not None and own[:3] == (BROKER, self._name, self._zone)

    def look(self) -> None:
        """Take up what changed."""
        waited = self._clock.monotonic() - self._looked
        if self._stamp() == self._seen and waited < LOOK_ANYHOW:
            return
        before = self.boundary.laws
        self.boundary.renew(*self._read())
        self._tell(before)

    def _tell(self, before: Laws | None) -> None:
        """Say what holds from now on, where it is something else."""
        laws = self.boundary.laws
        if laws.blind and (before is None or before.blind != laws.blind):
            _log.error(
                "the policies of %s cannot be told (%s): no record goes up from here; join its newest roster",
                laws.zone,
                laws.blind,
            )
        names, known = (
            [law.rules.policy.name for law in each.all] if each else [] for each in (laws, before)
        )
        if names != known:
            _log.info("policies of %s: %s", laws.zone, ", ".join(names) or "none")

    def rates(self) -> dict[str, int]:
        """Bytes a second that may come up out of a zone, by the policies that say so; the lowest of each zone."""
        rates: dict[str, int] = {}
        for law in self.boundary.laws.all:
            policy = law.rules.policy
            if policy.rate:
                rates[policy.below] = min(policy.rate, rates.get(policy.below, policy.rate))
        return rates

    def status(self) -> dict[str, Any]:
        """For the status file: the policies by which it goes (``name``, ``below``), and why they cannot be told."""
        laws = self.boundary.laws
        return {
            "in_force": [
                {"name": law.rules.policy.name, "below": law.rules.policy.below} for law in laws.all
            ],
            "fault": laws.blind or None,
        }
