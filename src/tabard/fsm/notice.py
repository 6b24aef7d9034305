"""What is said when a machine enters an error state, and saying it by mail."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from tabard.fsm.trace import Step, Trace

TOLD: Final = 20
"""Steps of the trace that a mail repeats, the last ones."""


class Notice(NamedTuple):
    """An error state was entered."""

    state: str
    to: tuple[str, ...]
    """Addresses the state names; empty for those of the stage."""
    trace: Trace
    """The run so far."""
    host: str


Notify = Callable[[Notice], object]


class Sends(Protocol):
    """The part of a ``tabard.mail.Mailer`` that is needed here."""

    def send(self, *, to: Sequence[str] = (), subject: str, text: str, html: str | None = None) -> str:
        """Queue a mail and return its id."""


class Renders(Protocol):
    """The part of ``tabard.templates.Templates`` that is needed here."""

    def mail(self, name: str, /, **values: Any) -> Any:
        """Subject, text and HTML of a mail template."""


def by_mail(
    mailer: Sends, templates: Renders | None = None, name: str = "state-machine", /, **values: object
) -> Notify:
    """A ``notify`` that sends a mail: plain words, or those of the mail template ``name``.

    The template is given ``values``, and ``machine``, ``state``, ``run``, ``host`` and ``steps``, each with the
    fields of a Step.
    """

    def notify(notice: Notice) -> None:
        steps = notice.trace.steps[-TOLD:]
        if templates is None:
            mailer.send(to=notice.to, subject=_subject(notice), text=_text(notice, steps))
            return
        given = {
            **values,
            "machine": notice.trace.machine,
            "state": notice.state,
            "run": notice.trace.run,
            "host": notice.host,
            "steps": [step._asdict() for step in steps],
        }
        mail = templates.mail(name, **given)
        mailer.send(to=notice.to, subject=mail.subject, text=mail.text, html=mail.html)

    return notify


def notice(state: str, mail: Sequence[str] | bool, trace: Trace) -> Notice:
    """The notice of ``state``, on this host."""
    to = () if isinstance(mail, bool) else tuple(mail)
    return Notice(state, to, trace, os.uname().nodename)


def _subject(notice: Notice) -> str:
    return f"{notice.trace.machine} on {notice.host}: {notice.state}"


def _text(notice: Notice, steps: Sequence[Step]) -> str:
    lines = [
        f"The state machine {notice.trace.machine} has entered the error state {notice.state}.",
        "",
        f"Host: {notice.host}",
        f"Run:  {notice.trace.run}",
        "",
        "What came before:",
    ]
    left_out = len(notice.trace.steps) - len(steps)
    if left_out:
        lines.append(f"  ... {left_out} earlier steps")
    return "\n".join([*lines, *(f"  {told(step)}" for step in steps), ""])


def told(step: Step) -> str:
    """One step in one line."""
    given = f"error {step.error}" if step.input is None else f"input {step.input!r}"
    by = " (default)" if step.by == "default" else ""
    return f"{step.number}. {step.state}: {given} -> {step.to or 'nowhere'}{by}, {step.seconds:.3g} s"
