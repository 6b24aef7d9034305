"""Retention against a model: for any rows, limits and holds, what remains is exactly what the rules say.

The work is interrupted at random: by a crash, after which another process goes on; by a failing database; by holds that
come and go between any two steps. Every time the model takes what is there, so that it need not know how far the
work got: it knows what must not be gone yet, and what must be gone in the end.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tabard import failpoints
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.limits import Level, RetentionLimits
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain, log
from tests.contract.engine import RetentionEngine
from tests.contract.retention import DAY, NEVER, AgedContract, Wall, ago

DAYS = (5.0, 4.0, 3.0, 2.2, 2.0, 1.3, 1.0, 0.2)
WORDS = ("red", "Blue")

ROWS = st.lists(
    st.tuples(
        st.sampled_from(DAYS),  # arrival
        st.sampled_from(DAYS),  # event
        st.sampled_from([WEB, MAIL]),
        st.sampled_from([0, 5, 9, 13]),
        st.sampled_from(WORDS),
    ),
    max_size=40,
)
BOUND = st.one_of(st.none(), st.sampled_from([day + 0.05 for day in DAYS]))
SCOPES = st.fixed_dictionaries(
    {
        "since": BOUND,
        "until": BOUND,
        "node": st.sampled_from([None, "web1", "mail1"]),
        "text": st.sampled_from([None, "RED", "blue"]),
    }
)
DOING = st.lists(
    st.one_of(
        st.tuples(st.just("steps"), st.integers(1, 12)),
        st.tuples(st.just("crash"), st.none()),
        st.tuples(st.just("fail"), st.none()),
        st.tuples(st.just("hold"), SCOPES),
        st.tuples(st.just("release"), st.integers(0, 3)),
        st.tuples(st.just("finish"), st.none()),
    ),
    max_size=8,
)
LIMITS = st.one_of(
    st.builds(
        lambda age, count: NEVER._replace(logs_age=age * DAY, logs_count=count),
        st.sampled_from([0.5, 1.5, 2.5, 100.0]),
        st.one_of(st.just(0), st.integers(1, 30)),
    ),
    st.builds(
        lambda debug, info: NEVER._replace(
            logs_age=4.5 * DAY, levels=(Level(1, 8, debug * DAY), Level(9, 12, info * DAY))
        ),
        st.sampled_from([0.1, 1.1, 2.1]),
        st.sampled_from([1.1, 2.5]),
    ),
)


class Row(NamedTuple):
    """A record as the model knows it."""

    message: str
    arrived: int
    time: int
    node: str
    severity: int

    def under(self, hold: Hold) -> bool:
        """Whether it falls under a hold."""
        since, until = hold.since or 0, 2**63 if hold.until is None else hold.until
        return (
            any(since <= time < until for time in (self.time, self.arrived))
            and hold.node in {None, self.node}
            and (hold.text is None or hold.text.lower() in self.message.lower())
        )


def remaining(
    rows: list[Row], limits: RetentionLimits, holds: list[Hold], now: int, *, whole_days: bool
) -> list[Row]:
    """What the rules leave of `rows`, the oldest first; the last one always stays."""
    edge = now - round(limits.logs_age * SECOND)
    if whole_days:
        edge = edge // (DAY * SECOND) * (DAY * SECOND)
    old = sum(row.arrived < edge for row in rows)
    front = max(old, len(rows) - limits.logs_count if limits.logs_count else 0)
    kept = []
    for place, row in enumerate(rows):
        early = any(
            level.low <= row.severity <= level.high and row.arrived < now - round(level.age * SECOND)
            for level in limits.levels
        )
        goes = (place < front or early) and place < len(rows) - 1
        if not goes or any(row.under(hold) for hold in holds):
            kept.append(row)
    return kept


class Play:
    """One store, and what is done to it."""

    def __init__(self, engine: RetentionEngine[Any], data: st.DataObject, *, whole_days: bool) -> None:
        self._engine = engine
        self._store = engine.make()
        self._whole_days = whole_days
        self._rows = self._fill(data.draw(ROWS))
        self._holds: dict[str, Hold] = {}
        self._names = itertools.count()
        self._wall = Wall()
        self._now = itertools.count(1, 1000)
        self._limits = data.draw(LIMITS)._replace(budget_rows=data.draw(st.sampled_from([1, 3, 2000])))
        self._upkeep = engine.upkeep(self._store, self._limits, self._wall)

    def _fill(self, drawn: list[Any]) -> dict[str, Row]:
        chains = {WEB: Chain(WEB), MAIL: Chain(MAIL)}
        found = {}
        for number, (arrival, event, key, severity, word) in enumerate(
            [*sorted(drawn, key=lambda each: -each[0]), (0.0, 0.0, WEB, 0, "last")]
        ):
            row = Row(f"{number} {word}", ago(arrival), ago(event), key.node, severity)
            record = log(row.message, time=row.time, severity=severity)
            self._engine.arrive(self._store, [chains[key].work([record])], row.arrived)
            found[row.message] = row
        return found

    def _there(self) -> list[Row]:
        return [self._rows[row[0]] for row in self._engine.rows(self._store, LOGS, "message")]

    def _expected(self, rows: list[Row]) -> list[Row]:
        return remaining(rows, self._limits, list(self._holds.values()), NOON, whole_days=self._whole_days)

    def play(self, doing: list[tuple[str, Any]]) -> None:
        """Do it all; in the end what is there is what the rules say."""
        for what, how in [*doing, ("finish", None)]:
            before = self._there()
            must_stay = self._expected(before)
            if what == "steps":
                self._steps(how)
            elif what == "crash":
                self._upkeep = self._engine.upkeep(self._store, self._limits, self._wall)
            elif what == "fail":
                failpoints.arm("store.retention_chunk=error")
                self._steps(20)
                failpoints.arm("")
                assert self._there() == before
            elif what == "hold":
                self._hold(how)
            elif what == "release":
                self._release(how)
            else:
                self._steps(10_000)
                assert self._there() == must_stay
            there = self._there()
            assert [row for row in before if row in there] == there
            assert set(must_stay) <= set(there)

    def _steps(self, most: int) -> None:
        now = float(next(self._now))
        for _ in range(most):
            if not self._upkeep.step(now):
                return

    def _hold(self, scope: dict[str, Any]) -> None:
        since, until = (None if scope[each] is None else ago(scope[each]) for each in ("since", "until"))
        name = f"hold{next(self._names)}"
        made = Hold(name, since, until, scope["node"], None, None, scope["text"], "a test", NOON, "nobody")
        self._engine.hold(self._store, made)
        self._holds[name] = made

    def _release(self, which: int) -> None:
        if self._holds:
            name = sorted(self._holds)[which % len(self._holds)]
            self._engine.release(self._store, name)
            del self._holds[name]


class RulesContract(AgedContract):
    """Inherit, with a property test for the method here."""

    def any_rows_limits_and_holds_match_a_model(
        self, engine: RetentionEngine[Any], data: st.DataObject, *, whole_days: bool = False
    ) -> None:
        """What remains is what the rules say; with `whole_days` age counts in days of arrival."""
        try:
            Play(engine, data, whole_days=whole_days).play(data.draw(DOING))
        finally:
            failpoints.arm("")
