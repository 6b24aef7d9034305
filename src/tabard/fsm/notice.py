"""What is said when a machine enters an error state, and saying it by mail."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from tabard.fsm.state import INPUT_LIMIT
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


@runtime_checkable
class Addressed(Protocol):
    """A mailer that says who gets the mails which name nobody, as ``tabard.mail.Mailer`` does."""

    @property
    def to(self) -> Sequence[str]:
        """Their addresses."""


@runtime_checkable
class Finds(Protocol):
    """Templates that can be asked whether there is one, as ``tabard.templates.Templates`` can."""

    def find(self, use: str, name: str) -> object:
        """Raise an error when there is none."""


class ByMail:
    """A ``notify`` that sends a mail. Made by ``by_mail``."""

    def __init__(
        self, mailer: Sends, templates: Renders | None, name: str, values: Mapping[str, object]
    ) -> None:
        catalogue: object = templates
        if isinstance(catalogue, Finds):
            catalogue.find("mail", name)  # now, and not when something has gone wrong already
        self._mailer = mailer
        self._templates = templates
        self._name = name
        self._values = values

    @property
    def nobody(self) -> bool:
        """Whether a mail that names nobody would go to nobody."""
        return isinstance(self._mailer, Addressed) and not self._mailer.to

    def __call__(self, notice: Notice) -> None:
        """Send it. A template that cannot be rendered does not keep it back: it is sent in plain words then."""
        steps = notice.trace.steps[-TOLD:]
        if self._templates is None:
            self._mailer.send(to=notice.to, subject=_subject(notice), text=_text(notice, steps))
            return
        given = {
            **self._values,
            "machine": notice.trace.machine,
            "state": notice.state,
            "run": notice.trace.run,
            "host": notice.host,
            "steps": [step._asdict() for step in steps],
        }
        try:
            mail = self._templates.mail(self._name, **given)
        except Exception as error:
            text = f"{_text(notice, steps)}\nThe template of this mail cannot be used: {error}\n"
            self._mailer.send(to=notice.to, subject=_subject(notice), text=text)
            told_by = logging.getLogger("tabard.fsm")
            told_by.exception("%s: the mail about %s is in plain words", notice.trace.machine, notice.state)
            return
        self._mailer.send(to=notice.to, subject=mail.subject, text=mail.text, html=mail.html)


def by_mail(
    mailer: Sends, templates: Renders | None = None, name: str = "state-machine", /, **values: object
) -> Notify:
    """A ``notify`` that sends a mail: plain words, or those of the mail template ``name``.

    The template is given ``values``, and ``machine``, ``state``, ``run``, ``host`` and ``steps``, each with the
    fields of a Step. Raises TemplateError when there is no such template.
    """
    return ByMail(mailer, templates, name, values)


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
    given = f"error {step.error}" if step.input is None else f"input {_cut(step.input)!r}"
    by = " (default)" if step.by == "default" else ""
    to = step.to or ("the end" if step.by == "final" else "nowhere")
    return f"{step.number}. {step.state}: {given} -> {to}{by}, {step.seconds:.3g} s"


def _cut(text: str) -> str:
    """An input that leads nowhere can be anything, a whole page for example."""
    return text if len(text) <= INPUT_LIMIT else f"{text[: INPUT_LIMIT - 3]}..."
