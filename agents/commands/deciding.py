"""What becomes of a command that was heard: settings and what is remembered in, one decision out. Pure."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from tabard.agents.commands.hearing import Heard
from tabard.agents.commands.rules import Rules
from tabard.agents.commands.table import MOST_KEPT, MOST_WAITING, Memory, Row
from tabard.brokers.wire.command import CANCEL
from tabard.errors import RefusedError, WireError

CLOCKS: Final = 300 * 10**9
"""Nanoseconds by which the clocks of who issues and who sends may differ, where that decides whether something was executed."""


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


class Decision(NamedTuple):
    """With what to say of a refusal."""

    what: What
    reason: str = ""
    expected: str = ""


class Load(NamedTuple):
    """How much there is."""

    kept: int
    waiting: int


def decide(
    heard: Heard, rules: Rules, known: Row | None, memory: Memory, load: Load, approved: Callable[[], int]
) -> Decision:
    """`approved`: counts the other operators who signed it as well; raises WireError for a signature that is wrong."""
    document = heard.document
    if known is not None:
        return Decision(What.REPEAT)
    if document.expires <= max(heard.now, memory.forgotten):
        return Decision(What.EXPIRE)
    since = heard.now if memory.since is None else memory.since
    if since and document.issued <= since + CLOCKS:
        return Decision(
            What.LOSE, "this node lost what it remembered of commands, so it may have been executed before"
        )
    if load.kept >= MOST_KEPT or load.waiting >= MOST_WAITING:
        return Decision(
            What.REFUSE,
            f"{load.waiting} commands wait here, and {load.kept} are remembered until they expire",
            f"fewer than {MOST_WAITING}, and {MOST_KEPT}",
        )
    if document.kind == CANCEL:
        return Decision(What.CANCEL)
    try:
        words = rules.words(document)
        check_approvals(rules, approved)
    except RefusedError as error:
        return Decision(What.REFUSE, error.what, error.expected or "")
    except WireError as error:
        return Decision(What.REFUSE, f"{error.what}: {error.found}", error.expected or "")
    return Decision(What.ANSWER if words is None else What.KEEP)


def check_approvals(rules: Rules, approved: Callable[[], int]) -> None:
    """See that enough others approve. Raises RefusedError, and WireError like `approved`."""
    if not rules.approvals:
        return
    found = approved()
    if found < rules.approvals:
        raise RefusedError(
            "it is not approved by enough others",
            expected=f"{rules.approvals} operators besides its issuer",
            found=str(found),
        )
