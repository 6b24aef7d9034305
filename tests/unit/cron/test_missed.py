"""Which runs were missed: none is invented and none is hidden, also when the clock on the wall was moved."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tabard.ops.cronexec.due import Span
from tabard.ops.cronexec.expression import Expression, parse
from tabard.ops.cronexec.missed import Every, Moment, Plan, Seen, judge, next_due, overdue

NOON = 1_795_348_800  # 12:00 UTC
MINUTE = 60


def utc(_moment: int) -> int:
    """No clock is put forward or back by a law."""
    return 0


def parsed(text: str) -> Expression:
    """It is one."""
    found = parse(text)
    assert found is not None
    return found


FIVE = parsed("*/5 * * * *")


def moment(seconds: float, boot: str = "b", moved: float = 0.0) -> Moment:
    """So many seconds after noon, by a clock that was moved by so many."""
    return Moment(int((NOON + seconds + moved) * 1e9), boot, 1000 + seconds)


def seen(at: Moment, plan: Plan = FIVE) -> Seen:
    """A run that began then."""
    return Seen(at, judge(plan, None, at, utc).due, plan.text)


def test_nothing_was_missed_before_the_first_run() -> None:
    """Nor is anything known of one without a plan."""
    assert judge(FIVE, None, moment(0), utc).missed == Span()
    assert judge(None, seen(moment(0)), moment(9999), utc).due is None


def test_the_next_run_misses_nothing() -> None:
    """Whether it begins a little late or a lot."""
    for late in (0, 1, 59, 299):
        verdict = judge(FIVE, seen(moment(0.4)), moment(5 * MINUTE + late), utc)
        assert (verdict.missed, verdict.due, verdict.late) == (Span(), NOON + 300, late)


def test_what_lies_between_was_missed() -> None:
    """How many, from when to when."""
    verdict = judge(FIVE, seen(moment(1)), moment(20 * MINUTE + 1), utc)
    assert verdict.missed == Span(3, NOON + 300, NOON + 900)
    assert not verdict.at_least


def test_a_reboot_changes_nothing() -> None:
    """The clock on the wall is what there is."""
    verdict = judge(FIVE, seen(moment(1)), moment(20 * MINUTE + 1, "other")._replace(uptime=3.0), utc)
    assert verdict.missed.number == 3


def test_a_run_by_hand_misses_nothing() -> None:
    """And the one after it neither."""
    by_hand = moment(3 * MINUTE)
    verdict = judge(FIVE, seen(moment(0)), by_hand, utc)
    assert verdict.missed == Span()
    after = Seen(by_hand, verdict.due, FIVE.text)
    assert judge(FIVE, after, moment(5 * MINUTE), utc).missed == Span()


def test_another_plan_says_nothing_of_the_past() -> None:
    """What was not due then was not missed."""
    hourly = seen(moment(0), parsed("0 * * * *"))
    assert judge(FIVE, hourly, moment(55 * MINUTE), utc).missed == Span()


def test_cron_may_be_a_moment_ahead_of_the_clock() -> None:
    """The clock is set back by less than a second at 12:05: the run is still that of 12:05, and none is missed at 12:10."""
    early = moment(5 * MINUTE - 0.6)
    verdict = judge(FIVE, seen(moment(0)), early, utc)
    assert verdict.due == NOON + 300
    later = judge(FIVE, Seen(early, verdict.due, FIVE.text), moment(10 * MINUTE), utc)
    assert later.missed == Span()


@given(
    st.integers(-40 * 24 * 60, 40 * 24 * 60).filter(lambda minutes: minutes != 0),
    st.integers(0, 3600),
    st.integers(1, 50),
)
def test_a_moved_clock_invents_nothing_and_hides_at_most_two(minutes: int, start: int, periods: int) -> None:
    """Whichever way and however far, in the same boot: never more than really passed, at most two fewer; and it is said."""
    begun = moment(start)
    real = periods * 300
    now = moment(start + real, moved=minutes * 60.0 + 7)
    verdict = judge(FIVE, seen(begun), now, utc)
    truth = periods - 1
    assert truth - 2 <= verdict.missed.number <= truth
    assert verdict.at_least
    assert abs(verdict.moved - (minutes * 60 + 7)) < 1


def test_a_clock_that_went_back_over_a_reboot_is_not_guessed_at() -> None:
    """Nothing is claimed, it is said, and from now on it counts again."""
    now = moment(-3600, "other")
    verdict = judge(FIVE, seen(moment(0)), now, utc)
    assert (verdict.missed, verdict.at_least, verdict.due) == (Span(), True, NOON - 3600)
    after = Seen(now, verdict.due, FIVE.text)
    assert (
        judge(FIVE, after, Moment(now.wall + 900 * 10**9, "other", now.uptime + 900), utc).missed.number == 2
    )


def test_a_clock_that_is_slewed_was_not_moved() -> None:
    """Half a per mille is what a disciplined clock may differ."""
    verdict = judge(FIVE, seen(moment(0)), moment(86_400, moved=40), utc)
    assert verdict.moved == 0
    assert verdict.missed.number == 287


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=12))
def test_runs_and_missed_runs_are_all_there_were(steps: list[int]) -> None:
    """Whenever runs begin: those that were served and those that were missed are all that were due, each once."""
    at, last = 0, None
    counted = 0
    first_due = None
    for step in [0, *steps]:
        at += step
        verdict = judge(FIVE, last, moment(at), utc)
        assert verdict.due is not None
        if first_due is None:
            first_due = verdict.due
        elif last is not None and verdict.due != last.due:
            counted += verdict.missed.number + 1
        else:
            assert verdict.missed == Span()
        last = Seen(moment(at), verdict.due, FIVE.text)
    assert last is not None and last.due is not None and first_due is not None
    assert counted == (last.due - first_due) // 300


def test_an_interval_may_be_uneven_by_half() -> None:
    """Each hour: after 80 minutes nothing is missed, after four hours three are."""
    hourly = Every(3600, "every 1h")
    assert judge(hourly, seen(moment(0), hourly), moment(80 * MINUTE), utc).missed == Span()
    found = judge(hourly, seen(moment(0), hourly), moment(240 * MINUTE), utc)
    assert found.missed == Span(3, NOON + 3600, NOON + 3 * 3600)
    assert judge(hourly, seen(moment(0), hourly), moment(3600, moved=9e6), utc).missed == Span()
    assert judge(hourly, seen(moment(0), hourly), moment(-9000, "other"), utc).at_least


def test_what_comes_next_and_what_is_overdue() -> None:
    """Overdue is a run that should have begun, by more than what is allowed."""
    assert next_due(FIVE, NOON, NOON + 1, utc) == NOON + 300
    assert next_due(Every(60, "x"), NOON, NOON + 600, utc) == NOON + 60
    assert next_due(None, NOON, NOON, utc) is None
    assert not overdue(FIVE, NOON, NOON + 420, 120, utc)
    assert overdue(FIVE, NOON, NOON + 421, 120, utc)
    assert overdue(Every(60, "x"), NOON, NOON + 181, 120, utc)
    assert not overdue(None, NOON, NOON + 9999, 120, utc)
