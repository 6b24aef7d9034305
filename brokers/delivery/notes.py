"""What a node keeps of its sinks over a restart: who is retired, by whose word, and which it has ever met.

Nothing of a cursor is in here. A retirement is: it says that nobody will ever ask again, so it has to hold when the
sink is gone for good, and when the agent starts anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

BY_NODE: Final = "node"
"""Said in the home of the node: it holds whatever the sink says."""
BY_SINK: Final = "sink"
"""Said by the sink itself, which may take it back."""


class Retirement(NamedTuple):
    """The end of a sink, as one node knows it."""

    by: str
    """`BY_NODE` or `BY_SINK`."""
    who: str
    """Who said so, for people."""
    since: int
    """When, nanoseconds since 1970 UTC by the clock of whoever said it."""

    def goes_before(self, known: Retirement) -> bool:
        """Whether it takes the place of what is known already: the node's word does, of the sink's."""
        return self.by == BY_NODE and known.by == BY_SINK


class SinkNotes(Protocol):
    """Durable notes on sinks. Changes raise JournalError when the disk refuses; nothing is changed then."""

    def retired(self) -> Mapping[str, Retirement]:
        """The sinks that are retired."""
        ...

    def retire(self, sink: str, retirement: Retirement) -> None:
        """Note that a sink is retired; the first word on it stays, but that of this node goes before the sink's."""
        ...

    def restore(self, sink: str, who: str) -> None:
        """Note that it is retired no more."""
        ...

    def met(self, sink: str) -> bool:
        """Whether the sink ever said that it has stored something of this node."""
        ...

    def meet(self, sink: str) -> None:
        """Note that it has."""
        ...


class MemoryNotes:
    """Notes that last as long as the process: for who keeps no journal."""

    def __init__(self) -> None:
        self._retired: dict[str, Retirement] = {}
        self._met: set[str] = set()

    def retired(self) -> Mapping[str, Retirement]:
        """See `SinkNotes`."""
        return self._retired

    def retire(self, sink: str, retirement: Retirement) -> None:
        """See `SinkNotes`."""
        known = self._retired.get(sink)
        if known is None or retirement.goes_before(known):
            self._retired[sink] = retirement

    def restore(self, sink: str, who: str) -> None:
        """See `SinkNotes`."""
        del who
        self._retired.pop(sink, None)

    def met(self, sink: str) -> bool:
        """See `SinkNotes`."""
        return sink in self._met

    def meet(self, sink: str) -> None:
        """See `SinkNotes`."""
        self._met.add(sink)
