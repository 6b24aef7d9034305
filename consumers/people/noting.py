"""The one place where it is said what people did: each login, each refusal, each change.

It is a log record of the service that did it, with what happened as attributes. Whoever keeps these for good takes them up here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from tabard import audit
from tabard.errors import HomeError
from tabard.home import Home

LOGGER: Final = "tabard.audit"

LOGIN: Final = "login"
LOGOUT: Final = "logout"
REFUSED: Final = "refused"
CHANGE: Final = "change"
COMMAND: Final = "command"


class Event(NamedTuple):
    """What happened. Never with a secret in it."""

    kind: str
    """`LOGIN`, `LOGOUT`, `REFUSED`, `CHANGE` or `COMMAND`."""
    who: str
    """The name that was used, of an account or not; "" for nobody."""
    where: str
    """The address that it came from, or the host whose user it was."""
    what: str
    """In words."""
    about: str = ""
    """The account that was changed."""

    @property
    def message(self) -> str:
        """As a log record says it."""
        return f"{self.kind}: {self.who or 'nobody'} from {self.where or 'an unknown address'}: {self.what}"

    @property
    def attributes(self) -> dict[str, str]:
        """As a log record has it for programs."""
        said = {
            "kind": self.kind,
            "who": self.who,
            "from": self.where,
            "what": self.what,
            "about": self.about,
        }
        return {f"people.{name}": value for name, value in said.items() if value}

    @property
    def encoded(self) -> str:
        """The attributes as JSON."""
        return json.dumps(self.attributes, ensure_ascii=False)


Note = Callable[[Event], None]
"""Takes one up."""


def note(event: Event) -> None:
    """Say it by the log of this process."""
    level = logging.WARNING if event.kind == REFUSED else logging.INFO
    logging.getLogger(LOGGER).log(level, "%s", event.message, extra=event.attributes)


def accounting(home: Home) -> Note:
    """What says it by the log, and accounts for it in the audit of a home."""

    def both(event: Event) -> None:
        note(event)
        what = {"from": event.where, "what": event.what, "about": event.about}
        outcome = audit.REFUSED if event.kind == REFUSED else audit.DONE
        try:
            audit.note(home, f"people.{event.kind}", what, who=event.who or "nobody", outcome=outcome)
        except HomeError as error:  # it has happened: all that is left is to say so
            logging.getLogger(LOGGER).error("%s", error)

    return both
