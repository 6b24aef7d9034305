"""What herald shows of the home it runs in. Who starts herald hands in how to look; herald itself knows the store only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tabard.consumers.zones.facts import Facts


@dataclass(frozen=True)
class Role:
    """A role that runs, or ran once, in this home."""

    name: str
    state: str
    """``running``, ``silent`` (it says nothing any more) or ``stopped``."""
    pid: int | None
    since: int | None
    """When it started, nanoseconds since 1970 UTC."""


@dataclass(frozen=True)
class HomeState:
    """The roles of a home, and what is wrong with them."""

    roles: Sequence[Role]
    faults: Sequence[tuple[str, str]]
    """Where (a role) and what, in words."""
    zones: Facts | None = None
    """What the home knows of its brokers; None where its settings cannot be read."""


Look = Callable[[], HomeState]
"""How the home is at this moment. Raises TabardError when it cannot be looked into."""


def narrowed(look: Look) -> Look:
    """A look for who may see one zone only: whether the recorder writes, since that is what pages go by, and nothing else."""

    def narrow() -> HomeState:
        roles = [Role(each.name, each.state, None, None) for each in look().roles if each.name == "recorder"]
        return HomeState(roles, [])

    return narrow
