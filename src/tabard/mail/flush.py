"""Working off the queue: one session for all that is due, and a later time for what the server would not take."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from tabard.clock import Clock
from tabard.mail.queue import Entry, Queue
from tabard.mail.retry import Retry
from tabard.mail.server import Server

if TYPE_CHECKING:
    from tabard.mail.session import Outcome, Session

LOST_IN_A_ROW: Final = 3
"""Sessions lost one after the other, with nothing handed over between, that make the server count as away."""


PER_SESSION: Final = 50
"""Mails handed over in one session; servers that count hang up on more, in the middle."""


@dataclass(slots=True)
class Report:
    """What one pass did."""

    sent: int = 0
    """Mails everybody has now."""
    given_up: int = 0
    waiting: int = 0
    """Mails still in the queue."""
    away: str = ""
    """Why the server cannot be used, if so."""


class Flusher:
    """Works off one queue into one server. Several may do that to one queue, also from other processes."""

    def __init__(
        self, queue: Queue, server: Server, retry: Retry, clock: Clock, random: Random, log: logging.Logger
    ) -> None:
        self._queue = queue
        self._server = server
        self._retry = retry
        self._clock = clock
        self._random = random
        self._log = log

    def flush(self, *, force: bool = False, stop: Callable[[], bool] = lambda: False) -> Report:
        """Hand over what is due, or with ``force`` everything. Ends early, between two mails, when ``stop`` says so."""
        report = Report()
        now = self._clock.wall()
        away = self._queue.away()
        if away and not force and not self._retry.due(away["next_try"], now):
            # Read nothing: whoever queues thousands of mails while the server is away comes by here each time.
            return Report(waiting=self._queue.count(), away=away.get("reason", ""))
        self._queue.tidy(now / 1e9)
        due = []
        for entry in self._queue.entries():
            if self._retry.too_old(entry.queued, now):
                self._expire(entry, report)
            elif force or self._retry.due(entry.next_try, now):
                due.append(entry.id)
        if due:
            self._work_off(due, away, report, stop, force=force)
        report.waiting = self._queue.count()
        return report

    def next_try(self) -> int | None:
        """When there is something to do again, in nanoseconds since 1970 UTC; None when nothing waits."""
        away = self._queue.away()
        if away and self._queue.count():
            return int(away["next_try"])
        return min((entry.next_try for entry in self._queue.entries()), default=None)

    def _work_off(
        self,
        due: list[str],
        away: dict[str, object],
        report: Report,
        stop: Callable[[], bool],
        *,
        force: bool,
    ) -> None:
        from tabard.mail.session import ServerAway, Session, SessionLost

        session: Session | None = None
        lost = handed = 0
        try:
            for name in due:
                if stop():
                    return
                with self._queue.claim(name) as claimed:
                    if claimed is None:
                        continue
                    entry, raw = claimed
                    if not force and not self._retry.due(entry.next_try, self._clock.wall()):
                        continue  # another process has just tried it
                    if session is None:
                        session = Session(self._server)
                        if away:
                            self._queue.set_away(0, 0, "")
                            self._log.info("the mail server %s is back", self._server.host)
                            away = {}
                    try:
                        outcome = session.hand_over(entry, raw)
                    except SessionLost as error:
                        session.close()
                        session = None
                        lost += 1
                        self._later(entry, f"the server went away in the middle: {error}")
                        if lost >= LOST_IN_A_ROW:
                            raise ServerAway(str(error)) from error
                        continue
                    lost = 0
                    handed += 1
                    if session.broken or handed % PER_SESSION == 0:
                        session.close()
                        session = None
                    self._settle(entry, outcome, report)
        except ServerAway as error:
            report.away = str(error)
            self._note_away(away, str(error))
        finally:
            if session is not None:
                session.close()

    def _settle(self, entry: Entry, outcome: Outcome, report: Report) -> None:
        """Keep what became of a mail: whoever has it is crossed off before anything else is tried."""
        if outcome.accepted:
            self._log.info(
                "mail %s handed over for %s", entry.id, ", ".join(outcome.accepted), extra=_facts(entry)
            )
        if outcome.refused:
            self._give_up(entry, outcome.refused)
            report.given_up += 1
        if outcome.later:
            entry = entry._replace(recipients=tuple(outcome.later))
            self._later(entry, "; ".join(f"{name}: {why}" for name, why in outcome.later.items()))
            return
        self._queue.done(entry.id)
        report.sent += bool(outcome.accepted)

    def _later(self, entry: Entry, reason: str) -> None:
        tries = entry.tries + 1
        pause = self._retry.pause(tries, self._random)
        next_try = self._clock.wall() + round(pause * 1e9)
        self._queue.later(entry._replace(tries=tries, next_try=next_try, reason=reason[:500]))
        self._log.warning(
            "mail %s waits %.0f s after try %d: %s", entry.id, pause, tries, reason, extra=_facts(entry)
        )

    def _give_up(self, entry: Entry, reasons: dict[str, str]) -> None:
        dropped = self._queue.give_up(entry, reasons)
        told = "; ".join(f"{name}: {why}" for name, why in reasons.items())
        self._log.error("mail %s is given up: %s", entry.id, told, extra=_facts(entry))
        for name in dropped:
            self._log.error("mail %s, given up before, made room and is lost", name, extra={"mail": name})

    def _expire(self, entry: Entry, report: Report) -> None:
        with self._queue.claim(entry.id) as claimed:
            if claimed is None:
                return
            entry = claimed[0]
            last = entry.reason or self._queue.away().get("reason", "it was never tried")
            why = f"not handed over within {self._retry.age:.0f} s: {last}"
            self._give_up(entry, dict.fromkeys(entry.recipients, why))
            self._queue.done(entry.id)
            report.given_up += 1

    def _note_away(self, away: dict[str, object], reason: str) -> None:
        before = away.get("tries")
        tries = (before if isinstance(before, int) else 0) + 1
        pause = self._retry.pause(tries, self._random)
        self._queue.set_away(tries, self._clock.wall() + round(pause * 1e9), reason)
        self._log.warning(
            "the mail server %s cannot be used, next try in %.0f s: %s", self._server.host, pause, reason
        )


def _facts(entry: Entry) -> dict[str, object]:
    return {
        "mail": entry.id,
        "mail_subject": entry.subject,
        "mail_to": ", ".join(entry.recipients),
        "tries": entry.tries,
    }
