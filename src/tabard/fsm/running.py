"""One run of a machine, from step to step."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tabard.fsm.errors import HandlerError, StepLimitError, TransitionError
from tabard.fsm.notice import ByMail, Notify, notice, told
from tabard.fsm.state import INPUT_LIMIT, State
from tabard.fsm.trace import Step, Trace

LIMIT: Final = 1_000
"""Steps a run may take unless the call says otherwise."""
_SHOWN: Final = 200
_WAY: Final = 10
"""States of a circle that an error names."""


class Run:
    """The state of one run."""

    def __init__(
        self,
        machine: str,
        states: Sequence[State],
        inputs: Mapping[str, Mapping[str, State]],
        limit: int,
        notify: Notify | None,
        log: logging.Logger,
    ) -> None:
        self._inputs = inputs
        self._limit = limit
        self._notify = notify
        self._log = log
        self._trace = Trace(machine, secrets.token_hex(4), "")
        self._mails = [state for state in states if state.mail]

    def go(self, initial: State, context: Any) -> Trace:
        """Walk until a final state was visited."""
        self._warn_of_silence()
        state: State | None = initial
        self._say(logging.INFO, "starts in %s", initial.name)
        while state is not None:
            self._enter(state)
            state = self._step(state, context)
        self._trace.done = True
        level = logging.WARNING if self._trace.failed else logging.INFO
        self._say(level, "ends in %s after %d steps, %.3g s", self._trace.at, len(self._trace.steps), self._trace.seconds)  # fmt: skip
        return self._trace

    def _warn_of_silence(self) -> None:
        """Say now which error states would write to nobody, and not when one of them is entered."""
        why, silent = "run was given no notify", self._mails
        if self._notify is not None:
            why = "they name no addresses, and neither do the stage and mail.to"
            nobody = isinstance(self._notify, ByMail) and self._notify.nobody
            silent = [state for state in self._mails if nobody and state.mail is True]
        if silent:
            names = ", ".join(state.name for state in silent)
            self._say(logging.WARNING, "nobody will be written to from %s: %s", names, why)

    def _enter(self, state: State) -> None:
        self._trace.at = state.name
        if len(self._trace.steps) >= self._limit:
            way = _circle(self._trace.states, state.name)
            self._fail(
                "stopped before %s: %d steps are taken, the last of them %s", state.name, self._limit, way
            )
            raise StepLimitError(
                "too many steps",
                self._trace,
                expected=f"a final state within {self._limit} steps",
                found=way,
                hint=f"Where it may go round that often, say so: run(..., limit={10 * self._limit})",
            )
        if not state.error:
            return
        self._trace.failed = True
        self._say(logging.ERROR, "enters the error state %s", state.name)
        if state.mail and self._notify is not None:
            try:
                self._notify(notice(state.name, state.mail, self._trace))
            except Exception:
                # An error state has work to do, and a mail that cannot be written must not keep it from that.
                self._log.exception(
                    "%s: no mail about %s", self._trace.machine, state.name, extra=self._extra()
                )

    def _step(self, state: State, context: Any) -> State | None:
        """Visit one state; the next one, None after a final one."""
        began, start = time.time_ns(), time.monotonic()
        try:
            given: object = state.handler(state, context)
        except BaseException as error:
            seconds = time.monotonic() - start
            what = " ".join(f"{type(error).__name__}: {error}".split())[:_SHOWN]
            if not isinstance(error, Exception):  # the application is being ended, and says where it was
                self._note(state, None, "nothing", None, began, seconds, what)
                self._trace.failed = True
                self._say(logging.WARNING, "is ended in %s by %s", state.name, what)
                raise
            self._log.exception("%s: the handler of %s raised", self._trace.machine, state.name, extra=self._extra())  # fmt: skip
            next_state = state.on_error
            self._note(state, None, "error" if next_state else "nothing", next_state, began, seconds, what)
            if next_state is None:
                self._fail("ends in %s by an error", state.name)
                raise HandlerError(f"the handler raised {what}", self._trace) from error
            return next_state
        seconds = time.monotonic() - start
        # A word of an enum is that word.
        text = str.__str__(given) if isinstance(given, str) else repr(given)[:_SHOWN]
        if state.final:
            self._note(state, text, "final", None, began, seconds)
            return None
        target = self._inputs[state.name].get(text) if isinstance(given, str) else None
        if target is not None:
            self._note(state, text, "input", target, began, seconds)
            return target
        self._note(state, text, "default" if state.default else "nothing", state.default, began, seconds)
        if state.default is None:
            self._fail("ends in %s: its input leads nowhere", state.name)
            raise TransitionError(
                "the input leads nowhere",
                self._trace,
                expected="one of " + ", ".join(self._inputs[state.name]),
                found=repr(given)[:_SHOWN],
                hint="Let the input lead somewhere, or give the state a default",
            )
        return state.default

    def _note(
        self,
        state: State,
        given: str | None,
        by: str,
        target: State | None,
        began: int,
        seconds: float,
        error: str | None = None,
    ) -> None:
        """One more step of the trace, and its record."""
        to = target.name if target else None
        number = len(self._trace.steps) + 1
        step = Step(number, state.name, given, by, to, began, seconds, error)
        self._trace.steps.append(step)
        facts = {
            "state": state.name,
            "input": given and given[:INPUT_LIMIT],
            "to": to,
            "by": by,
            "seconds": round(seconds, 6),
        }
        level = logging.INFO if by in {"input", "final"} else logging.WARNING
        self._say(level, "step %s", told(step), **facts)

    def _fail(self, form: str, *args: object) -> None:
        self._trace.failed = True
        self._say(logging.ERROR, form, *args)

    def _say(self, level: int, form: str, *args: object, **facts: object) -> None:
        self._log.log(level, f"%s: {form}", self._trace.machine, *args, extra={**self._extra(), **facts})

    def _extra(self) -> dict[str, object]:
        return {
            "machine": self._trace.machine,
            "machine_run": self._trace.run,
            "step": len(self._trace.steps),
        }


def _circle(states: Sequence[str], entered: str) -> str:
    """The way back to where a run was before, as far as it can be shown in a line."""
    since = next((at for at in reversed(range(len(states))) if states[at] == entered), 0)
    way = [*states[since:], entered]
    return " -> ".join(way if len(way) <= _WAY else ["...", *way[-_WAY:]])
