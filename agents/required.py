"""The sinks of an agent: orders about them, what the control stream is told of that, and what each of them holds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from tabard.agents import orders
from tabard.agents.journals import Journals
from tabard.agents.notes import Notes
from tabard.agents.orders import RETIRE, Order
from tabard.brokers.delivery.notes import BY_NODE, Retirement
from tabard.brokers.delivery.publisher import Publisher
from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.errors import JournalError
from tabard.home import Home

_log = logging.getLogger(__name__)


class RequiredSinks:
    """Looked after by the agent's loop; `note` writes a control record and raises JournalError when it cannot."""

    def __init__(
        self,
        home: Home,
        notes: Notes,
        journals: Journals,
        publisher: Publisher,
        note: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self._home = home
        self._notes = notes
        self._journals = journals
        self._publisher = publisher
        self._note = note

    def look_after(self, now: float) -> None:
        """Carry out what was ordered, and have the control stream say what was done."""
        orders.carry_out(self._home, lambda order: self._do(now, order))
        for sink, what, word in self._notes.untold():
            try:
                self._note(f"sink.{what}", {"sink": sink, **word._asdict()})
                self._notes.told(sink)
            except JournalError as error:
                _log.error("cannot note that sink %s is %s: %s", sink, what, error)
                return

    def _do(self, now: float, order: Order) -> None:
        if order.what == RETIRE:
            self._publisher.retire(now, order.sink, Retirement(BY_NODE, order.who, order.since))
        else:
            self._publisher.restore(now, order.sink, order.who)
        _log.warning("sink %s: %s, as %s said", order.sink, order.what, order.who)

    def status(self, now: float) -> dict[str, dict[str, Any]]:
        """Of each sink how it stands, and by stream what the journal keeps that it has not."""
        found = self._publisher.sinks(now)
        for sink, report in found.items():
            stored = self._publisher.stored(sink)
            for stream, ranges in stored.items():
                held, age = self._journals.lacking(stream, ranges)
                report["streams"][STREAM_NAMES[stream]].update(held=held, held_for=age)
        return found
