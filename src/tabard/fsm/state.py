"""A state: what is done in it, and where each input leads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from tabard.errors import UsageError

NAME_LIMIT: Final = 100
INPUT_LIMIT: Final = 200

Handler = Callable[["State", Any], str]
"""Is called when its state is entered, with the state and the context of the run; returns the next input."""


class State:
    """A state. ``start["ok"] = work`` says that the input ok leads from start to work.

    ``default`` is entered on every input that leads nowhere else, ``on_error`` when the handler raises. ``mail``
    of an error state says who is written to when it is entered: addresses, or True for those of the stage.
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        *,
        initial: bool = False,
        final: bool = False,
        error: bool = False,
        mail: Sequence[str] | bool = False,
        default: State | None = None,
        on_error: State | None = None,
    ) -> None:
        self.name: Final = _text(name, "name of a state", NAME_LIMIT)
        _handler(handler, name)
        self.handler: Final = handler
        self.initial: Final = initial
        self.final: Final = final
        self.error: Final = error
        self.mail: Final[tuple[str, ...] | bool] = mail if isinstance(mail, bool) else _addresses(mail, name)
        for way, target in (("default", default), ("on_error", on_error)):
            if target is not None:
                _state(target, f"{name}, {way}")
        self.default: Final = default
        self.on_error: Final = on_error
        self._inputs: dict[str, State] = {}

    def __setitem__(self, given: str, target: State) -> None:
        """Let the input ``given`` lead to ``target``. Raises UsageError when it leads somewhere already."""
        _text(given, "input", INPUT_LIMIT, where=self.name)
        _state(target, f"{self.name}, input {given!r}")
        if given in self._inputs:
            raise UsageError(
                f"the input {given!r} leads to {self._inputs[given].name} already",
                expected="each input once",
                where=self.name,
            )
        self._inputs[given] = target

    def __repr__(self) -> str:
        return f"State({self.name!r})"

    @property
    def inputs(self) -> Mapping[str, State]:
        """Where each input leads, in the order in which they were said."""
        return MappingProxyType(self._inputs)

    @property
    def help(self) -> str:
        """What the handler's documentation says in its first paragraph."""
        first = (getattr(self.handler, "__doc__", None) or "").strip().partition("\n\n")[0]
        return " ".join(word for word in first.split() if word.isprintable())


def _text(text: str, what: str, limit: int, where: str | None = None) -> str:
    if not isinstance(text, str) or not text.isprintable() or not 0 < len(text) <= limit:
        raise UsageError(
            f"not the {what}" if what != "input" else "not an input",
            expected=f"one line of 1 to {limit} characters",
            found=repr(text)[:limit],
            where=where,
        )
    return text


def _state(target: object, where: str) -> None:
    if not isinstance(target, State):
        raise UsageError("not a state", expected="a State", found=repr(target)[:NAME_LIMIT], where=where)


def _addresses(given: Sequence[str], where: str) -> tuple[str, ...]:
    """Addresses, looked at now and not when the state is entered, in the night it is needed."""
    if isinstance(given, str):
        raise UsageError("not a list of addresses", expected="a list or True", found=repr(given), where=where)
    if not given:
        return ()
    from tabard.mail.addresses import address  # few machines write mail
    from tabard.mail.errors import MailError

    try:
        return tuple(str(address(one)) for one in given)
    except MailError as error:
        raise UsageError(error.what, expected=error.expected, found=error.found, where=where) from error


def _handler(given: object, where: str) -> None:
    if not callable(given):
        expected = "a function of the state and the context"
        raise UsageError("not a handler", expected=expected, found=repr(given)[:NAME_LIMIT], where=where)
