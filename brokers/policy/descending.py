"""What may descend over the links of a zone: told by kind and node, without a look at whom it is from.

Only where a policy says something of it is a message opened at all. What is no cursor of a sink, and is to a node, counts as a command:
so one that says `down_kinds = ["cursors"]` holds back whatever else a later edition may send.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tabard.brokers.policy.document import COMMANDS, CURSORS
from tabard.brokers.policy.laws import Law, Laws
from tabard.brokers.wire import topics
from tabard.brokers.wire.messages import decode_cursor
from tabard.errors import WireError
from tabard.names import zone_within


def held_back(laws: Laws, is_local: Callable[[str], bool], frames: Sequence[bytes]) -> str | None:
    """The kind of a message that may not descend; None for one that may. Its topic is well-formed."""
    target = topics.parse_down(frames[0])
    kind, sink = _told(target, frames)
    if (
        laws.blind
    ):  # nobody can tell: what sinks have and want is let down, since the control stream rests on it
        return None if kind == CURSORS else kind
    local = bool(sink) and is_local(sink)
    return kind if any(_holds(law, laws.zone, target, kind, local=local) for law in laws.lowering) else None


def _told(target: tuple[str, str] | None, frames: Sequence[bytes]) -> tuple[str, str]:
    if target is None:
        return CURSORS, frames[0].split(b"/")[1].decode("ascii", "replace")
    try:
        return CURSORS, decode_cursor(frames[2]).sink
    except WireError:
        return COMMANDS, ""


def _holds(law: Law, zone: str, target: tuple[str, str] | None, kind: str, *, local: bool) -> bool:
    """A hello goes to all below at once, so only the policy of the link upwards can hold it back."""
    policy = law.rules.policy
    if policy.below == zone and local:
        return False
    if target is None:
        return policy.below == zone and kind not in policy.down_kinds
    if not zone_within(target[0], policy.below):
        return False
    return kind not in policy.down_kinds or not law.rules.reaches(target[1])
