"""Herald at the dispatcher's counter: what people of a page ask of it, in time; and plans that wait for their word, each good for one.

Herald gives commands by the key of an operator of its own home that ``herald.operator`` names, and named actions alone. Who of its accounts
asked for one is checked by the page, and noted in the audit.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tabard.consumers.commands.issuing import CANCEL_TIMEOUT, cancelling, give, operator_in
from tabard.consumers.commands.line import Line, connected
from tabard.errors import RefusedError
from tabard.home import Home

if TYPE_CHECKING:
    from tabard.brokers.trust.commanding import Issuer

PATIENCE: Final = 5.0
"""Seconds that a page waits for the dispatcher."""
GOOD_FOR: Final = 600.0
"""Seconds within which a plan may be confirmed."""
MOST: Final = 500
"""Plans that wait at once; an older one is let go for a newer."""


class Plan(NamedTuple):
    """What somebody saw, and may confirm."""

    whose: str
    """What marks forms of that session."""
    targets: tuple[str, ...]
    nodes: tuple[tuple[str, str], ...]
    """Zone and name of each."""
    words: tuple[str, ...]
    """The action and its arguments."""
    expires: float
    timeout: float


class Plans:
    """Those that wait, and what became of those that were confirmed: a second click finds what the first one did."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[float, Plan]] = {}
        self._done: dict[str, tuple[str, str]] = {}

    def keep(self, plan: Plan) -> str:
        """The token that confirms it."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            while len(self._waiting) >= MOST:
                del self._waiting[next(iter(self._waiting))]
            self._waiting[token] = self._monotonic() + GOOD_FOR, plan
        return token

    def take(self, token: str, whose: str) -> Plan | None:
        """The plan of a token, once, for whom it was made, in time."""
        with self._lock:
            until, plan = self._waiting.get(token, (0.0, None))
            if plan is None or plan.whose != whose:
                return None
            del self._waiting[token]
        return plan if self._monotonic() <= until else None

    def done(self, token: str, whose: str, group: str) -> None:
        """Say what became of it."""
        with self._lock:
            while len(self._done) >= MOST:
                del self._done[next(iter(self._done))]
            self._done[token] = whose, group

    def became(self, token: str, whose: str) -> str | None:
        """The submission that a token led to before."""
        with self._lock:
            found = self._done.get(token)
        return found[1] if found is not None and found[0] == whose else None


class Ordering:
    """What an application that shows commands needs. ``operator`` is a name, "" where herald gives none."""

    def __init__(self, home: Home, operator: str, line: Callable[[], Line] | None = None) -> None:
        self._home = home
        self.operator: Final = operator
        self.plans: Final = Plans()
        self._line = line or (lambda: Line(connected(home, PATIENCE), "the dispatcher", patience=PATIENCE))

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """One question. Raises TabardError."""
        with self._line() as line:
            return line.ask(op, **fields)

    def give(self, plan: Plan, now: int) -> str:
        """Sign and hand over what was planned; the id of the submission. Raises TabardError."""
        issuer = self._issuer()
        with self._line() as line:
            meant = [(zone, node, list(plan.words)) for zone, node in plan.nodes]
            group, _ = give(
                line, issuer, meant, "action", now=now, expires=plan.expires, timeout=plan.timeout
            )
        return group

    def cancel(self, ids: Sequence[str], now: int) -> None:
        """Take commands back: those that were not sent at once, others by a command of its own for their node. Raises TabardError."""
        issuer = self._issuer()
        with self._line() as line:
            for each in ids:
                underway = line.ask("cancel", id=each)["underway"]
                if underway:
                    give(
                        line,
                        issuer,
                        [(one["zone"], one["node"], [one["id"]]) for one in underway],
                        "cancel",
                        now=now,
                        expires=cancelling([int(one["expires"]) for one in underway], now),
                        timeout=CANCEL_TIMEOUT,
                    )

    def missing(self) -> str | None:
        """Why herald gives no commands, and what to do; None where it does."""
        if not self.operator:
            return (
                "herald.operator names no operator, so herald gives no commands. Make a key for it where the authority of the zone is, "
                "`tabard operator add herald`, name it in herald.operator, and start herald anew."
            )
        try:
            self._issuer()
        except RefusedError as error:
            return str(error)
        return None

    def _issuer(self) -> Issuer:
        from tabard.brokers.trust.files import Trust

        trust = Trust.load(self._home) if self.operator else None
        if trust is None:
            raise RefusedError(
                "herald gives no commands",
                expected="herald.operator, and its key in the home of herald",
                found="no key" if self.operator else "no herald.operator",
                where=str(self._home.path),
                hint="tabard operator add herald, where the authority of the zone is",
            )
        return operator_in(trust, self.operator)
