"""The decisions of one tunnel: when to start, what to ask, what to say, when to give up and try again. Pure.

Events come with a monotonic ``now``; each method returns what is to be done. Nothing here knows of sockets, processes
or clocks.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tabard.brokers.tunnels.failures import Failure, Temper

EVERY: Final = 3.0
"""Seconds between two probes of a forward that answers."""
SOON: Final = 1.0
"""The same of one that does not, and of one to which ssh does not listen yet."""
LISTENING: Final = 0.1
CONFIRM: Final = 0.5
"""The same of one that has just failed to answer: ssh may be about to end, and says why."""
TWICE: Final = 2
"""Probes in a row without an answer after which it is believed."""
PATIENCE: Final = 25.0
"""Seconds that ssh has until it listens."""
STEADY: Final = 30.0
"""Seconds after which a tunnel that answered that long is not held to have failed before."""
SILENCE: Final = 30.0
LONGEST_SILENCE: Final = 600.0
"""Seconds of silence after which ssh is started anew, doubled each time that this did not help."""
REMIND: Final = 3600.0
"""Seconds after which a failure is said again that is still the same."""
PACE: Final = {Temper.PASSING: (0.5, 30.0), Temper.LASTING: (30.0, 300.0), Temper.ALARMING: (300.0, 300.0)}
"""Seconds until the first new attempt, and the longest that doubling leads to. Jitter takes up to half of it."""


class Phase(enum.StrEnum):
    """How a tunnel is."""

    STARTING = "starting"
    UP = "up"
    PARTLY = "partly"
    """Some of its forwards answer."""
    SILENT = "silent"
    """It stands, and nothing answers through it."""
    WAITING = "waiting"
    """It is down, and tried again."""
    REFUSED = "refused"
    """It is down until somebody does something; it is tried now and then."""


class Verdict(enum.StrEnum):
    """What a probe found."""

    ANSWERS = "answers"
    REFUSED = "refused"
    """Nothing listens at the near end."""
    CLOSED = "closed"
    """The connection was taken and closed: the far end could not hand it on."""
    SILENT = "silent"
    """It was taken, and nothing came in time."""
    STRANGE = "strange"
    """Something else answered than what was expected."""
    UNKNOWN = "unknown"


class Start(NamedTuple):
    """Start the process."""


class Stop(NamedTuple):
    """End the process; `Core.ended` has to follow."""


class Probe(NamedTuple):
    """Ask through a forward; `Core.judged` has to follow, unless the process ends before."""

    forward: int


class Say(NamedTuple):
    """Record it."""

    level: int
    text: str


Decision = Start | Stop | Probe | Say


class Judged:
    """What is known of one forward."""

    def __init__(self) -> None:
        self.verdict = Verdict.UNKNOWN
        self.why = ""
        self.took: float | None = None
        """Seconds until the last answer came."""
        self.misses = 0
        self.due = 0.0
        self.asked = False

    def begin(self, now: float) -> None:
        """A new process."""
        self.verdict, self.why, self.misses, self.asked, self.due = Verdict.UNKNOWN, "", 0, False, now


class Core:
    """One tunnel. ``jitter`` returns numbers from 0 to 1; without ``spawned`` somebody else keeps the tunnel up."""

    def __init__(self, forwards: Sequence[str], *, spawned: bool, jitter: Callable[[], float]) -> None:
        self.phase = Phase.STARTING if not spawned else Phase.WAITING
        self.forwards = [Judged() for _ in forwards]
        self.why: str = ""
        """The sentence about what is wrong; empty while nothing is."""
        self.failures = 0
        """Ends in a row, each soon after its start."""
        self.starts = 0
        self.next = 0.0
        """When it is tried again, in the phases in which it is down."""
        self._names = list(forwards)
        self._spawned = spawned
        self._jitter = jitter
        self._began = 0.0
        self._up_since: float | None = None
        self._silent_since: float | None = None
        self._silence = SILENCE
        self._stopping: Failure | None = None
        self._said = ""
        self._said_at = 0.0
        self._temper = Temper.PASSING
        self._alike = 0
        """How many of the last failures were of that temper."""

    @property
    def running(self) -> bool:
        """Whether there is something to be asked."""
        return not self._spawned or self.phase not in {Phase.WAITING, Phase.REFUSED}

    def due(self) -> float:
        """When `tick` is to be called next."""
        if not self.running:
            return self.next
        times = [each.due for each in self.forwards if not each.asked]
        if self._spawned and self._stopping is None:
            if self._silent_since is not None:
                times.append(self._silent_since + self._silence)
            elif self.phase is Phase.STARTING:
                times.append(self._began + PATIENCE)
        return min(times, default=self._began + 1e9)

    def tick(self, now: float) -> list[Decision]:
        """What is due."""
        done: list[Decision] = []
        if not self.running:
            if now < self.next:
                return done
            self._begin(now)
            done.append(Start())
            return done
        if self._stopping is not None:
            return done
        if self._spawned and self.phase is Phase.STARTING and now >= self._began + PATIENCE:
            return self._stop(
                Failure(Temper.PASSING, f"it did not get through within {PATIENCE:.0f} s"),
            )
        if (
            self._spawned
            and self._silent_since is not None
            and now >= self._silent_since + self._silence
            and self.phase is Phase.SILENT
        ):
            why = f"nothing has answered through it for {self._silence:.0f} s"
            self._silence = min(2 * self._silence, LONGEST_SILENCE)
            return self._stop(Failure(Temper.PASSING, why))
        for number, each in enumerate(self.forwards):
            if not each.asked and now >= each.due:
                each.asked = True
                done.append(Probe(number))
        return done

    def retry(self, now: float) -> list[Decision]:
        """Somebody may have done something: try at once."""
        if not self.running:
            self.next, self._said = now, ""
        for each in self.forwards:
            each.due = min(each.due, now)
        return self.tick(now)

    def lost(self, now: float, forward: int) -> list[Decision]:
        """A connection that was kept open through a forward has been closed: ask at once."""
        self.forwards[forward].due = now
        return self.tick(now)

    def judged(
        self, now: float, forward: int, verdict: Verdict, why: str = "", took: float | None = None
    ) -> list[Decision]:
        """A probe has come back."""
        each = self.forwards[forward]
        each.asked = False
        before = each.verdict
        if verdict is Verdict.REFUSED and self._spawned and self.phase is Phase.STARTING:
            each.due = now + LISTENING  # ssh does not listen yet
            return []
        if verdict is Verdict.ANSWERS:
            each.misses, each.due = 0, now + EVERY
        else:
            each.misses += 1
            each.due = now + SOON
            if each.misses < TWICE:
                each.due = now if verdict is Verdict.SILENT else now + CONFIRM
                return []
        each.verdict, each.why = verdict, why
        each.took = took if verdict is Verdict.ANSWERS else each.took
        self._weigh(now)
        done: list[Decision] = []
        name = self._names[forward]
        if verdict is Verdict.ANSWERS and before is not Verdict.ANSWERS:
            done.append(Say(logging.INFO, f"{name} answers"))
        elif verdict is not Verdict.ANSWERS and verdict is not before:
            done.append(Say(logging.ERROR, f"{name} does not answer: {why}"))
        return done

    def ended(self, now: float, failure: Failure) -> list[Decision]:
        """The process has ended, for that reason unless it was stopped for another."""
        failure = self._stopping or failure
        if self._up_since is not None and now - self._up_since >= STEADY:
            self.failures = 0
            self._alike = 0
        self.failures += 1
        self._alike = self._alike + 1 if failure.temper is self._temper else 1
        self._temper = failure.temper
        first, longest = PACE[failure.temper]
        delay = min(first * 2.0 ** min(self._alike - 1, 20), longest) * (1 - self._jitter() / 2)
        self.next = now + delay
        self.phase = Phase.WAITING if failure.temper is Temper.PASSING else Phase.REFUSED
        self.why = failure.sentence
        self._stopping = self._up_since = self._silent_since = None
        for each in self.forwards:
            each.verdict, each.why, each.asked = Verdict.UNKNOWN, "", False
        again = failure.sentence == self._said
        if again and now < self._said_at + REMIND:
            return []  # the number of failures tells the rest
        self._said, self._said_at = failure.sentence, now
        level = logging.WARNING if failure.temper is Temper.PASSING else logging.ERROR
        how = f"is still down, after {self.failures} attempts" if again else "is down"
        return [Say(level, f"{how}: {failure.sentence}; next attempt in {delay:.1f} s")]

    def _begin(self, now: float) -> None:
        self.phase = Phase.STARTING
        self.starts += 1
        self._began = now
        for each in self.forwards:
            each.begin(now)

    def _stop(self, failure: Failure) -> list[Decision]:
        self._stopping = failure
        return [Stop()]

    def _weigh(self, now: float) -> None:
        """What all forwards together come to."""
        wrong = [
            (name, each)
            for name, each in zip(self._names, self.forwards, strict=True)
            if each.verdict not in {Verdict.ANSWERS, Verdict.UNKNOWN}
        ]
        answering = [each for each in self.forwards if each.verdict is Verdict.ANSWERS]
        if len(answering) == len(self.forwards):
            self.phase, self._said = Phase.UP, ""
            self._up_since = now if self._up_since is None else self._up_since
        elif answering:
            self.phase = Phase.PARTLY if wrong else Phase.STARTING
        elif wrong:
            self.phase = Phase.SILENT
        if answering:
            self._silent_since, self._silence = None, SILENCE
        elif len(wrong) == len(self.forwards) and all(each.verdict is Verdict.SILENT for _, each in wrong):
            self._silent_since = now if self._silent_since is None else self._silent_since
        else:
            self._silent_since = None
        self.why = "; ".join(f"{name} does not answer: {each.why}" for name, each in wrong)
