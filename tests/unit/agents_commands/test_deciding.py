"""What becomes of what was heard, as a table: the first reason that holds decides."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.agents.commands.deciding import CLOCKS, Decision, Load, What, decide, recalled
from tabard.agents.commands.hearing import Heard
from tabard.agents.commands.rules import Rules
from tabard.agents.commands.table import MOST_ANSWERED, MOST_KEPT, MOST_WAITING, Memory, Row
from tabard.brokers.trust import reasons
from tabard.brokers.trust.certificates import OPERATOR, read
from tabard.brokers.trust.commanding import issue_order
from tabard.brokers.wire.command import ACTION, CANCEL, RUN
from tabard.errors import TrustError
from tests.operators import document, somebody
from tests.trustees import NOON, Trustees

TRUSTEES = Trustees()
ADA = somebody(TRUSTEES, OPERATOR, "hq")
DOCUMENT = document(ADA)
"""It runs a program; it was issued at `NOON`."""
NOTHING = Load(0, 0)
RULES = Rules(frozenset({"actions", "run"}), {"restart": ("systemctl", "restart", "{1}")}, 0, 4, 1000)
KNOWN = Row(DOCUMENT.id, 1, "done", "ada", DOCUMENT.expires, b"", 0, "", 0, 0, "", "command.done", b"")


def decided(
    rules: Rules = RULES,
    known: Row | None = None,
    memory: Memory = Memory(),  # noqa: B008 -- a constant
    load: Load = NOTHING,
    approved: int = 0,
    named: Row | None = None,
    now: int = NOON + 5,
    **more: Any,
) -> Decision:
    """Of the document with other fields."""
    said = DOCUMENT._replace(**more)
    heard = Heard(said, issue_order(said, ADA), read(ADA.chain[-1]).certificate, now)
    return decide(heard, rules, known, memory, load, lambda: approved, named)


def test_a_program_waits_for_its_turn_and_what_is_built_in_is_answered() -> None:
    """Of a named action it depends on what it stands for."""
    assert decided().what is What.KEEP
    assert decided(kind=ACTION, words=("restart", "web")).what is What.KEEP
    assert decided(kind=ACTION, words=("ping",)).what is What.ANSWER
    assert decided(kind=CANCEL, words=("0" * 32,)).what is What.CANCEL


@pytest.mark.threat("replayed-command")
def test_what_is_known_is_only_answered_again() -> None:
    """Before anything else is looked at: its end is decided, also when it has expired since, or the settings changed."""
    assert decided(known=KNOWN).what is What.REPEAT
    assert decided(known=KNOWN, now=DOCUMENT.expires).what is What.REPEAT
    assert decided(RULES._replace(accept=frozenset()), known=KNOWN).what is What.REPEAT


@pytest.mark.threat("expired-command")
def test_expiry_is_by_the_dispatchers_clock_and_by_what_was_forgotten() -> None:
    """To the nanosecond; and a clock that went back brings nothing back."""
    assert decided(now=DOCUMENT.expires - 1).what is What.KEEP
    assert decided(now=DOCUMENT.expires).what is What.EXPIRE
    assert decided(memory=Memory(forgotten=DOCUMENT.expires)).what is What.EXPIRE
    assert decided(memory=Memory(forgotten=DOCUMENT.expires - 1)).what is What.KEEP


def test_what_may_have_been_executed_and_forgotten_is_lost() -> None:
    """Of what was issued since then nobody need fear that, with some room for clocks that differ."""
    later = NOON + 10 * CLOCKS
    assert decided(memory=Memory(0, None), expires=later).what is What.LOSE
    assert decided(memory=Memory(0, NOON - CLOCKS), expires=later).what is What.LOSE
    assert decided(memory=Memory(0, NOON - CLOCKS - 1), expires=later).what is What.KEEP


@pytest.mark.threat("more-than-is-accepted")
@pytest.mark.parametrize(
    ("accept", "kind", "words", "may"),
    [
        ({"actions"}, RUN, ("id",), False),
        ({"actions"}, ACTION, ("ping",), True),
        ({"run"}, RUN, ("id",), True),
        ({"run"}, ACTION, ("ping",), False),
        (set(), RUN, ("id",), False),
        (set(), ACTION, ("ping",), False),
        ({"actions"}, ACTION, ("format",), False),
        ({"actions"}, ACTION, ("restart",), False),
        ({"actions"}, ACTION, ("restart", "a", "b"), False),
    ],
)
def test_a_node_accepts_what_its_settings_say(
    accept: set[str], kind: str, words: tuple[str, ...], *, may: bool
) -> None:
    """A refusal says what was expected."""
    decision = decided(RULES._replace(accept=frozenset(accept)), kind=kind, words=words)
    assert (decision.what is not What.REFUSE) is may
    assert may or (decision.reason and decision.expected)


@pytest.mark.threat("more-than-is-accepted")
def test_too_few_approvals_and_wrong_ones_are_refused() -> None:
    """To cancel needs none: that only takes away."""
    rules = RULES._replace(approvals=2)
    assert decided(rules, approved=1).what is What.REFUSE
    assert decided(rules, approved=2).what is What.KEEP
    assert decided(rules, kind=CANCEL, words=("0" * 32,)).what is What.CANCEL

    def forged() -> int:
        raise TrustError("an approval that its operator did not sign", reason=reasons.FORGED, found="another")

    heard = Heard(DOCUMENT, issue_order(DOCUMENT, ADA), read(ADA.chain[-1]).certificate, NOON)
    assert decide(heard, rules, None, Memory(), NOTHING, forged).what is What.REFUSE


def test_what_is_forgotten_is_told_by_the_later_clock() -> None:
    """A dispatcher whose clock stands at zero does not switch that off, nor one that is behind."""
    assert recalled(Memory(3, 7), NOON, NOON) == Memory(3, 7)
    assert recalled(Memory(3, None), NOON, 5) == recalled(Memory(3, None), 0, NOON) == Memory(3, NOON)
    assert decided(memory=recalled(Memory(0, None), 0, 0), now=0, issued=0, expires=10**12).what is What.LOSE


@pytest.mark.threat("replayed-command")
def test_what_is_issued_in_time_to_come_is_refused() -> None:
    """It would seem to have been issued after a later loss of what is remembered, and be executed again."""
    assert decided(now=NOON - CLOCKS).what is What.KEEP
    assert decided(now=NOON - CLOCKS - 1).what is What.REFUSE


def test_a_full_node_can_be_told_to_cancel() -> None:
    """That only takes away. Beyond some room what cannot be remembered is not answered, but what ends a command that goes on is."""
    full, over = Load(MOST_KEPT, MOST_WAITING), Load(MOST_ANSWERED, MOST_WAITING)
    cancels: dict[str, Any] = {"kind": CANCEL, "words": ("0" * 32,)}
    goes_on = KNOWN._replace(state="running")
    assert decided(load=full, **cancels).what is What.CANCEL
    assert decided(load=over, **cancels).what is What.PUT_OFF
    assert decided(load=over, named=KNOWN, **cancels).what is What.PUT_OFF
    assert decided(load=over, named=goes_on, **cancels).what is What.CANCEL
    assert decided(load=over, named=goes_on._replace(by="bob"), **cancels).what is What.PUT_OFF


def test_there_is_a_bound() -> None:
    """Of what waits, of what is remembered, and of what is refused."""
    assert decided(load=Load(MOST_ANSWERED - 1, 0)).what is What.REFUSE
    assert decided(load=Load(MOST_ANSWERED, 0)).what is What.PUT_OFF
    assert decided(RULES._replace(accept=frozenset()), load=Load(MOST_ANSWERED, 0)).what is What.PUT_OFF
    assert decided(load=Load(MOST_KEPT, 0)).what is What.REFUSE
    assert decided(load=Load(0, MOST_WAITING)).what is What.REFUSE
    assert decided(load=Load(MOST_KEPT - 1, MOST_WAITING - 1)).what is What.KEEP
