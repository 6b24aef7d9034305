"""The bridge: intakes for what applications and hosts can say already, each behind a setting of its own.

An intake is an object as `ports.Intake` says: opened, closed, asked for a report. It hands groups of encoded
records to ``Batcher.add`` (with the mark of where its source stands, if the source has positions), and reads
nothing between the batcher's ``on_blocked`` and ``on_ready``.

To add one: write a module with a function ``made(settings, surroundings)`` that returns the intakes which the
settings ask for, and name it in `_KINDS` with each setting that switches it on. The module is imported only when
one of these is not empty, so that what nobody uses takes no memory. An address is looked at by ``tabard check``
once its setting stands in ``settings/lint.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, Final

from tabard.agents.intake.bridge.ports import Intake, Report, Surroundings
from tabard.settings import Settings

__all__ = ["Bridge", "Intake", "Report", "Surroundings", "of"]

_KINDS: Final[tuple[tuple[str, str], ...]] = (
    # setting, module below tabard.agents.intake.bridge
    ("intake.socket_handler", "pickled"),
    ("intake.syslog_tcp", "syslogs"),
    ("intake.syslog_udp", "syslogs"),
    ("intake.syslog_datagram", "syslogs"),
    ("intake.syslog_stream", "syslogs"),
    ("intake.journal", "journald"),
    ("intake.journal_files", "journald"),
    ("intake.otlp", "otlp"),
)

_log = logging.getLogger(__name__)


class Bridge:
    """All intakes of the bridge that the settings ask for."""

    def __init__(self, intakes: Sequence[Intake]) -> None:
        self._intakes = intakes

    def open(self) -> None:
        """Open all. Raises IntakeError, with none open, when one cannot be."""
        for position, intake in enumerate(self._intakes):
            try:
                intake.open()
            except Exception:
                for opened in self._intakes[:position]:
                    opened.close()
                raise

    def close(self) -> None:
        """Close all; one that fails does not keep the others from it."""
        for intake in self._intakes:
            try:
                intake.close()
            except Exception:
                _log.exception("an intake could not be closed in order")

    def reports(self) -> list[Report]:
        """How each is doing, in the order of the table."""
        return [intake.report() for intake in self._intakes]


def of(settings: Settings, surroundings: Surroundings) -> Bridge:
    """The intakes that `settings` ask for, none of them open yet."""
    intakes: list[Intake] = []
    for module in dict.fromkeys(module for setting, module in _KINDS if settings[setting]):
        made: Callable[[Settings, Surroundings], Iterable[Intake]] = import_module(
            f"{__name__}.{module}"
        ).made
        intakes += made(settings, surroundings)
    return Bridge(intakes)


def addresses(reports: Iterable[Report]) -> list[str]:
    """Where records come in, one line each."""
    return [f"{report.name} {report.address}" for report in reports]


def rows(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """Each of them in numbers: name, address, clients, records, what else was counted and is not zero, and how far it read."""
    return [
        {
            "name": report.name,
            "address": report.address,
            "clients": len(report.clients),
            "records": report.records,
            "counted": {name: count for name, count in report.counters.items() if count},
            "position": report.position,
            "behind": None if report.behind is None else round(report.behind, 3),
        }
        for report in reports
    ]


def clients(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """Who is connected to any of them."""
    return [dict(client) for report in reports for client in report.clients]


def counters(reports: Iterable[Report]) -> dict[str, int]:
    """What they counted, each name with its intake's before it."""
    counted = {f"{report.name} records": report.records for report in reports}
    for report in reports:
        counted |= {f"{report.name} {name}": count for name, count in report.counters.items() if count}
    return counted


def faults(reports: Iterable[Report]) -> list[list[Any]]:
    """What is wrong: kind, where, detail, since (0: not known), as the agent's other faults."""
    return [["intake", f"intake.{report.name}", what, 0] for report in reports for what in report.faults]
