"""Working off the queue: one session for all that is due, and a later time for what the server would not take."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from tabard.clock import Clock
from tabard.mail.queue import Entry, Queue, with_last_failure
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
    trouble: str = ""
    """Why the queue itself cannot be worked off as it should, if so: a full disk, or one that takes nothing."""


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
        self._damaged: set[str] = set()
        """Mails that were told of."""
        self._unwritten: dict[str, Entry] = {}
        """How mails should stand in the queue whose state could not be written. Without recipients: all have it."""

    def flush(self, *, force: bool = False, stop: Callable[[], bool] = lambda: False) -> Report:
        """Hand over what is due, or with ``force`` everything. Ends early, between two mails, when ``stop`` says so."""
        report = Report()
        now = self._clock.wall()
        away = self._queue.away()
        if away and not force and not self._retry.due(away["next_try"], now):
            # Read nothing: whoever queues thousands of mails while the server is away comes by here each time.
            waiting = self._queue.count()
            return Report(waiting=waiting, away=away["reason"] if waiting else "")
        self._queue.tidy(now / 1e9)
        due = []
        entries = list(map(self._as_known, self._queue.entries()))
        self._tell_of_damaged(len(entries))
        for name in self._unwritten.keys() - {entry.id for entry in entries}:
            del self._unwritten[name]  # somebody else has finished it
        for entry in entries:
            if self._retry.too_old(entry.queued, now):
                with self._safely(entry.id, report):
                    self._expire(entry, report)
            elif force or self._retry.due(entry.next_try, now):
                due.append(entry.id)
        if due:
            self._work_off(due, away, report, stop, force=force)
        report.waiting = self._queue.count()
        return report

    def _tell_of_damaged(self, whole: int) -> None:
        """Record, once, which mails nobody can ever hand over. Reads states only when there must be one."""
        if self._queue.count() == whole:
            return
        for name in self._queue.damaged():
            if name not in self._damaged:
                self._damaged.add(name)
                self._log.error("mail %s is damaged on disk, nobody can say whom it is for", name, extra={"mail": name})  # fmt: skip

    def next_try(self) -> int | None:
        """When there is something to do again, in nanoseconds since 1970 UTC; None when nothing waits."""
        away = self._queue.away()
        if away and self._queue.count():
            return int(away["next_try"])
        return min((entry.next_try for entry in map(self._as_known, self._queue.entries())), default=None)

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
                with self._safely(name, report), self._queue.claim(name) as claimed:
                    if claimed is None:
                        continue
                    entry, raw = self._as_known(claimed[0]), claimed[1]
                    if not entry.recipients:
                        self._finish(entry)
                        continue
                    self._queue.check_writable()
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
                    except Exception as error:
                        # Whatever is wrong with this one, the others behind it are to go.
                        session.close()
                        session = None
                        self._log.exception("mail %s cannot be handed over", entry.id, extra=_facts(entry))
                        self._later(entry, f"it cannot be handed over: {type(error).__name__}: {error}")
                        continue
                    lost = 0
                    handed += 1
                    if session.broken or handed % PER_SESSION == 0:
                        session.close()
                        session = None
                    self._settle(entry, outcome, report)
        except ServerAway as error:
            report.away = str(error)
            self._note_away(away, str(error), report)
        finally:
            if session is not None:
                session.close()

    def _settle(self, entry: Entry, outcome: Outcome, report: Report) -> None:
        """Keep what became of a mail: whoever has it is crossed off before anything else is tried."""
        later = dict(outcome.later)
        entry = entry._replace(last_try=self._clock.wall())
        if outcome.accepted:
            self._log.info(
                "mail %s handed over for %s", entry.id, ", ".join(outcome.accepted), extra=_facts(entry)
            )
        if outcome.refused:
            if outcome.accepted:
                self._keep(entry._replace(recipients=(*outcome.later, *outcome.refused)))
            try:
                self._give_up(entry, outcome.refused)
                report.given_up += 1
            except OSError as error:  # nowhere to list them: they are refused again when there is
                why = f"cannot be listed as given up: {error.strerror}"
                later |= {name: f"{said}; {why}" for name, said in outcome.refused.items()}
                report.trouble = report.trouble or why
        if later:
            entry = entry._replace(recipients=tuple(later))
            self._later(entry, "; ".join(f"{name}: {why}" for name, why in later.items()))
            return
        report.sent += bool(outcome.accepted)
        self._finish(entry)

    def _finish(self, entry: Entry) -> None:
        """Forget a mail that nobody waits for any more."""
        self._unwritten[entry.id] = entry._replace(recipients=())
        self._queue.done(entry.id)
        del self._unwritten[entry.id]

    def _keep(self, entry: Entry) -> None:
        """Write how a mail stands, and remember what of it could not be. Raises OSError when nothing could."""
        self._unwritten[entry.id] = entry
        if self._queue.later(entry):
            del self._unwritten[entry.id]

    def _as_known(self, entry: Entry) -> Entry:
        """How a mail stands: as the disk says, unless that could not be written and is the same mail still."""
        known = self._unwritten.get(entry.id)
        return known if known is not None and known.queued == entry.queued else entry

    @contextlib.contextmanager
    def _safely(self, name: str, report: Report) -> Iterator[None]:
        """A disk that refuses what belongs to one mail does not hold up the others."""
        try:
            yield
        except OSError as error:
            report.trouble = report.trouble or f"{error.strerror or error} ({self._queue.folder})"
            self._log.exception(
                "mail %s: the queue cannot keep what became of it", name, extra={"mail": name}
            )

    def _later(self, entry: Entry, reason: str) -> None:
        tries = entry.tries + 1
        pause = self._retry.pause(tries, self._random)
        now = self._clock.wall()
        next_try = now + round(pause * 1e9)
        self._keep(entry._replace(tries=tries, next_try=next_try, reason=reason[:500], last_try=now))
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
            entry = self._as_known(claimed[0])
            if not entry.recipients:
                self._finish(entry)
                return
            entry = with_last_failure(entry, self._queue.away())
            last = entry.reason or "it was never tried"
            why = f"not handed over within {self._retry.age:.0f} s: {last}"
            self._give_up(entry, dict.fromkeys(entry.recipients, why))
            self._finish(entry)
            report.given_up += 1

    def _note_away(self, away: dict[str, object], reason: str, report: Report) -> None:
        """Keep that the server is away, and say it, also where it cannot be kept."""
        before = away.get("tries")
        tries = (before if isinstance(before, int) else 0) + 1
        pause = self._retry.pause(tries, self._random)
        self._log.warning(
            "the mail server %s cannot be used, next try in %.0f s: %s", self._server.host, pause, reason
        )
        now = self._clock.wall()
        try:
            self._queue.set_away(tries, now + round(pause * 1e9), reason, now)
        except OSError as error:
            report.trouble = report.trouble or f"{error.strerror or error} ({self._queue.folder})"


def _facts(entry: Entry) -> dict[str, object]:
    return {
        "mail": entry.id,
        "mail_subject": entry.subject,
        "mail_to": ", ".join(entry.recipients),
        "tries": entry.tries,
    }
