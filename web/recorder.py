"""Whether the recorder still writes: while it does not, a page is a picture of the past, and no node is to blame for it."""

from __future__ import annotations

from tabard.errors import TabardError
from tabard.web.silence import Silence, overdue, silence_of
from tabard.web.site import site


def silence() -> Silence | None:
    """How the recorder is silent; None while it is not, or while it says itself that it runs."""
    newest = site().reader.newest_beacon()
    age = overdue(newest, site().clock.wall())
    return None if age == 0 else silence_of(newest, age, _recorder())


def _recorder() -> str | None:
    """The state of the recorder of this home; None when there is none, or nobody to ask."""
    look = site().look
    if look is None:
        return None
    try:
        roles = look().roles
    except TabardError:
        return None
    return next((role.state for role in roles if role.name == "recorder"), None)
