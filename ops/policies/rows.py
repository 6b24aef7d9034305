"""Policies as rows for people and programs, and in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from tabard.brokers.policy.document import DOWN_KINDS, KINDS, Policy
from tabard.ops.keys import time_of
from tabard.ops.output import Row
from tabard.records import severity_name
from tabard.units import format_size

if TYPE_CHECKING:
    from tabard.brokers.trust.directory import Directory

LIST: Final = ("policy", "zone", "below", "state", "made", "up_kinds", "up_nodes", "up_level", "withhold", "redact",
               "rate", "down_kinds", "down_nodes", "says", "signed_by")  # fmt: skip
TABLE: Final = ("policy", "zone", "below", "state", "says")
HOLDS: Final = "holds"
ENDED: Final = "removed"
UNREADABLE: Final = "unreadable"
UNSIGNED: Final = "not believed"
"""States: the authority's key that signed it does not hold now."""


def row(policy: Policy, state: str) -> Row:
    """A row of `LIST`."""
    from tabard.brokers.trust.keys import shown_id

    return {
        "policy": policy.name,
        "zone": policy.zone,
        "below": policy.below,
        "state": state,
        "made": time_of(policy.time),
        "up_kinds": list(policy.up_kinds),
        "up_nodes": list(policy.up_nodes),
        "up_level": policy.up_level,
        "withhold": [dict(matcher) for matcher in policy.withhold],
        "redact": [rule._asdict() for rule in policy.redact],
        "rate": policy.rate,
        "down_kinds": list(policy.down_kinds),
        "down_nodes": list(policy.down_nodes),
        "says": says(policy),
        "signed_by": shown_id(policy.issuer) if policy.issuer else None,
    }


def says(policy: Policy) -> str:
    """What passes, in a few words."""
    if policy.ended:
        return "everything passes"
    return "; ".join(_parts(policy)) or "everything passes"


def _parts(policy: Policy) -> Iterator[str]:
    kinds = [kind for kind in KINDS if kind in policy.up_kinds]
    if len(kinds) < len(KINDS):
        yield f"only {kinds[0]} pass" if kinds else "neither logs nor samples pass"
    if policy.up_nodes:
        yield f"only of {', '.join(policy.up_nodes)}"
    if policy.up_level:
        yield f"logs from {severity_name(policy.up_level) or policy.up_level} on"
    if policy.withhold:
        yield f"{len(policy.withhold)} {'rule withholds' if len(policy.withhold) == 1 else 'rules withhold'}"
    if policy.redact:
        yield f"{len(policy.redact)} {'rule redacts' if len(policy.redact) == 1 else 'rules redact'}"
    if policy.rate:
        yield f"at most {format_size(policy.rate)} a second"
    if set(policy.down_kinds) != set(DOWN_KINDS):
        yield f"down only {policy.down_kinds[0]}" if policy.down_kinds else "nothing down"
    if policy.down_nodes:
        yield f"down only to {', '.join(policy.down_nodes)}"


def state_of(policy: Policy, directory: Directory, now: int) -> str:
    """Whether it holds now, as this home sees it."""
    from tabard.errors import TrustError

    authority = directory.by_key(policy.issuer)
    if authority is None or (authority.role, authority.zone) != ("zone", policy.zone):
        return UNSIGNED
    try:
        directory.check(authority, now)
    except TrustError:
        return UNSIGNED
    return ENDED if policy.ended else HOLDS
