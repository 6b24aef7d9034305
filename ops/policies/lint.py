"""What `tabard check` says of policies: those that cannot hold, and those that contradict what the rosters say of their zones.

A broker fails closed: over a link of which a policy cannot be believed it hands nothing up. So that is an error where the
broker is one of this home, and a warning elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from tabard.errors import SettingsError
from tabard.names import zone_within
from tabard.settings import Finding, Settings

if TYPE_CHECKING:
    from tabard.brokers.policy.document import Policy
    from tabard.brokers.trust.certificates import Certificate
    from tabard.brokers.trust.directory import Directory
    from tabard.brokers.trust.files import Trust

SHOWN: Final = 5
"""Names in one sentence."""


def policy_findings(trust: Trust, settings: Settings, now: int) -> Iterator[Finding]:
    """Nothing where there are no policies; ``now`` in nanoseconds since 1970."""
    from tabard.brokers.policy import document
    from tabard.ops.policies.known import of_zone
    from tabard.ops.policies.rows import UNSIGNED, state_of

    ours = {broker.zone for broker in settings.brokers}
    file = str(trust.home.trust)
    for zone in sorted(trust.directory.rosters()):
        readable, unreadable = of_zone(trust, zone)
        closed = "its brokers hand nothing up over that link"
        for error in unreadable:
            yield _finding(
                file,
                f"a policy of zone {zone} cannot be read: {closed}",
                expected="one that this edition knows",
                found=str(error),
                hint=f"Upgrade the brokers of {zone}, or set the policy again where its authority is: tabard policy set",
                warning=zone not in ours,
            )
        for each in document.newest(tuple(readable)).values():
            policy = each.policy
            if state_of(policy, trust.directory, now) == UNSIGNED:
                yield _finding(
                    file,
                    f"the policy {policy.name} of zone {zone} is not believed: {closed}",
                    expected=f"the signature of an authority of {zone} that holds now",
                    found="that of a key whose certificate has ended, or that was revoked",
                    hint=f"Where the authority of {zone} is: tabard keys renew, or tabard policy set",
                    warning=zone not in ours,
                )
            elif not policy.ended:
                yield from _contradictions(policy, trust.directory, ours, file, now)


def _contradictions(
    policy: Policy, directory: Directory, ours: set[str], file: str, now: int
) -> Iterator[Finding]:
    members = [each for each in directory.every() if directory.holds(each, now)]
    of = f"the policy {policy.name} of zone {policy.zone}"
    if policy.zone not in ours and not any(
        each.role == "broker" and each.zone == policy.zone for each in members
    ):
        yield _finding(
            file,
            f"{of} is applied by nobody: that zone has no broker",
            expected=f"a broker of {policy.zone}",
            found="none in its roster",
            hint=f"Add one: tabard node add HOST --zone {policy.zone} --broker NAME --out FILE",
        )
    if policy.below != policy.zone and not any(
        each.role == "zone" and each.zone == policy.below for each in members
    ):
        yield _finding(
            file,
            f"{of} speaks of a zone that there is not",
            expected=f"a zone right below {policy.zone} that its roster lists",
            found=policy.below,
            hint=f"Add it: tabard zone add {policy.below}, or remove the policy",
        )
    nodes = [each for each in members if each.role == "node" and zone_within(each.zone, policy.below)]
    for key, globs in (("up_nodes", policy.up_nodes), ("down_nodes", policy.down_nodes)):
        for glob in globs:
            if not nodes or any(fnmatchcase(node.name, glob) for node in nodes):
                continue
            yield _finding(
                file,
                f"{of} names nodes that there are not",
                expected=f"a glob that fits a node of {policy.below}: {_some(nodes)}",
                found=f"{key}: {glob!r}",
                hint=f"Correct {key} and set the policy again, or ask for the rosters of the zones below: tabard keys roster",
            )
    yield from _needs(policy, nodes, members, of, file)
    yield from _unreached(policy, nodes, members, of, file)


def _needs(
    policy: Policy, nodes: Sequence[Certificate], members: Sequence[Certificate], of: str, file: str
) -> Iterator[Finding]:
    """Nodes of which nothing passes, though all sinks that their certificates name lie above the link."""
    recorders = [each for each in members if each.role == "recorder"]
    inside = {sink for each in recorders if zone_within(each.zone, policy.below) for sink in each.sinks}
    above = {sink for each in recorders if not zone_within(each.zone, policy.below) for sink in each.sinks}
    held = [
        node
        for node in nodes
        if not policy.up_kinds
        or (policy.up_nodes and not any(fnmatchcase(node.name, glob) for glob in policy.up_nodes))
    ]
    cut = [node for node in held if above.intersection(node.sinks) and not inside.intersection(node.sinks)]
    if cut:
        sinks = sorted({sink for node in cut for sink in above.intersection(node.sinks)})
        yield _finding(
            file,
            f"{of} withholds all logs and samples of nodes whose only sinks are above that link",
            expected=f"a recorder in {policy.below} for them, or something that passes",
            found=f"{_some(cut)}, for sink {', '.join(sinks)}",
            hint="Their records are kept nowhere but in their journals: give them a sink of their own zone, or let them pass",
        )


def _unreached(
    policy: Policy, nodes: Sequence[Certificate], members: Sequence[Certificate], of: str, file: str
) -> Iterator[Finding]:
    """Nodes that are to hand up over the link, and that never hear what the sinks above it have and want."""
    above = {
        sink
        for each in members
        if each.role == "recorder" and not zone_within(each.zone, policy.below)
        for sink in each.sinks
    }
    deaf = [
        node
        for node in nodes
        if above.intersection(node.sinks)
        and (
            "cursors" not in policy.down_kinds
            or (policy.down_nodes and not any(fnmatchcase(node.name, glob) for glob in policy.down_nodes))
        )
    ]
    if deaf:
        sinks = sorted({sink for node in deaf for sink in above.intersection(node.sinks)})
        yield _finding(
            file,
            f"{of} keeps cursors from nodes whose certificates name sinks above that link: they hand up nothing to these",
            expected='"cursors" in down_kinds and a glob in down_nodes for each of them, or certificates without those sinks',
            found=f"{_some(deaf)}, for sink {', '.join(sinks)}",
            hint="Nodes send only what a sink asks for: let its cursors down, or take the sink out of agent.sinks and the certificates",
        )


def _some(members: Sequence[Certificate]) -> str:
    names = sorted({each.name for each in members})
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _finding(file: str, what: str, *, expected: str, found: str, hint: str, warning: bool = True) -> Finding:
    error = SettingsError(what, file=file, expected=expected, found=found, hint=hint)
    return Finding(error, warning)
