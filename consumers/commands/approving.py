"""Commands that need the word of more operators than their issuer: how many, and whose word counts. Pure.

A dispatcher holds a command until it has them. What a node wants itself is its own setting; a dispatcher that holds nothing gets a refusal from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabard.brokers.trust.commanding import approvers, check_issuer
from tabard.brokers.trust.directory import Directory
from tabard.brokers.wire.command import MAX_APPROVALS, Approval, Document, Order
from tabard.errors import RefusedError
from tabard.names import zone_within


def needs_of(entries: Sequence[str]) -> dict[str, int]:
    """What the setting `dispatcher.approvals` says: of each zone how many, for it and below."""
    pairs = (entry.rpartition("=") for entry in entries)
    return {zone: int(number) for zone, _, number in pairs}


def needed(needs: Mapping[str, int], zone: str) -> int:
    """How many operators besides its issuer have to approve a command for a node of `zone`. Taking one back needs none."""
    return max((number for above, number in needs.items() if zone_within(zone, above)), default=0)


def with_approval(
    directory: Directory, order: Order, document: Document, approval: Approval, now: int
) -> tuple[Order, str]:
    """The order with one more approval, and whose it is. Raises RefusedError, WireError, TrustError."""
    issuer = check_issuer(directory, document.zone, order, document, now)
    before = approvers(directory, document.zone, order, issuer, now)
    if len(order.approvals) >= MAX_APPROVALS:
        raise RefusedError(
            "no more approvals are taken", expected=f"at most {MAX_APPROVALS}", found=document.id.hex()
        )
    more = order._replace(approvals=(*order.approvals, approval))
    after = approvers(directory, document.zone, more, issuer, now)
    if len(after) == len(before):
        raise RefusedError(
            "this operator's word is there already",
            expected=f"one besides {', '.join(str(each) for each in (issuer, *before))}",
            found="the same again",
            where=document.id.hex(),
        )
    return more, str(after[-1])
