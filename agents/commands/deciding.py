"""What becomes of a command that was heard: settings and what is remembered in, one decision out. Pure."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from tabard.agents.commands.hearing import Heard
from tabard.agents.commands.rules import Rules
from tabard.agents.commands.table import MOST_ANSWERED, MOST_KEPT, MOST_WAITING, Memory, Row
from tabard.brokers.wire.answers import ENDS
from tabard.brokers.wire.command import CANCEL
from tabard.errors import RefusedError, WireError

CLOCKS: Final = 300 * 10**9
"""Nanoseconds by which the clocks of who issues and who sends may differ, where that decides whether something was executed."""


LOST: Final = "this node lost what it remembered of commands, so it may have been executed before"


class What(Enum):
    """What to do about it."""

    REPEAT = "repeat"
    """It is known: say again what became of it."""
    EXPIRE = "expire"
    LOSE = "lose"
    """It may have been executed, and what was known of that is lost."""
    REFUSE = "refuse"
    CANCEL = "cancel"
    ANSWER = "answer"
    """It is done as soon as it is accepted."""
    KEEP = "keep"
    """It waits for its turn."""
    PUT_OFF = "put off"
    """There is no room to remember an answer: it is not answered, so its dispatcher sends it again."""


class Decision(NamedTuple):
    """With what to say of a refusal."""

    what: What
    reason: str = ""
    expected: str = ""


class Load(NamedTuple):
    """How much there is."""

    kept: int
    waiting: int


def recalled(memory: Memory, now: int, wall: int) -> Memory:
    """What is remembered, once it is known up to when it is not: up to now, by the later one of the dispatcher's clock and this host's."""
    return memory if memory.since is not None else memory._replace(since=max(now, wall, 1))


def may_have_been(memory: Memory, issued: int) -> bool:
    """Whether one that was issued then may have been executed, and nobody knows."""
    return memory.since is None or (memory.since > 0 and issued <= memory.since + CLOCKS)


def decide(
    heard: Heard,
    rules: Rules,
    known: Row | None,
    memory: Memory,
    load: Load,
    approved: Callable[[], int],
    named: Row | None = None,
) -> Decision:
    """`approved`: counts the other operators who signed it as well; raises WireError for a signature that is wrong.

    `named`: the command that it cancels, if that is known.
    """
    document = heard.document
    if known is not None:
        return Decision(What.REPEAT)
    if document.expires <= max(heard.now, memory.forgotten):
        return Decision(What.EXPIRE)
    if may_have_been(memory, document.issued):
        return Decision(What.LOSE, LOST)
    full = load.kept >= MOST_ANSWERED
    if document.kind == CANCEL:  # before the bounds: it only takes away
        goes_on = named is not None and named.state not in ENDS and not named.by
        return Decision(What.PUT_OFF if full and not goes_on else What.CANCEL)
    try:
        _check_times(heard)
        _check_room(load)
        words = rules.words(document)
        check_approvals(rules, approved)
    except (RefusedError, WireError) as error:
        if full:
            return Decision(What.PUT_OFF)
        reason = error.what if isinstance(error, RefusedError) else f"{error.what}: {error.found}"
        return Decision(What.REFUSE, reason, error.expected or "")
    return Decision(What.ANSWER if words is None else What.KEEP)


def _check_times(heard: Heard) -> None:
    """A later loss of memory is told by the time of issue, so that cannot be one that has not come."""
    if heard.document.issued > heard.now + CLOCKS:
        raise RefusedError(
            "it is issued at a time that has not come yet: the clocks of who issued and who sends it differ",
            expected=f"at most {CLOCKS // 10**9} s",
            found=f"{(heard.document.issued - heard.now) // 10**9} s",
        )


def _check_room(load: Load) -> None:
    if load.kept >= MOST_KEPT or load.waiting >= MOST_WAITING:
        raise RefusedError(
            f"{load.waiting} commands wait here, and {load.kept} are remembered until they expire",
            expected=f"fewer than {MOST_WAITING}, and {MOST_KEPT}",
            found=f"{load.waiting}, and {load.kept}",
        )


def check_approvals(rules: Rules, approved: Callable[[], int]) -> None:
    """See that enough others approve. Raises RefusedError, and WireError like `approved`."""
    if not rules.approvals:
        return
    found = approved()
    if found < rules.approvals:
        raise RefusedError(
            f"it is not approved by enough others: that is said by commands.approvals in {rules.file} there",
            expected=f"{rules.approvals} operators besides its issuer",
            found=str(found),
        )
