"""What `tabard check` says of a home's keys: whether they can be used, are those of this host, and last; and of policies."""

from __future__ import annotations

from typing import Final

from tabard.errors import SettingsError, TrustError
from tabard.home import Home
from tabard.settings import Finding, Settings

SOON: Final = 30 * 86_400 * 1_000_000_000
"""Nanoseconds before its end from which on a certificate is told of."""


class _At:
    """The time at which keys are judged, so that it is one throughout."""

    def __init__(self, now: int) -> None:
        self._now = now

    def wall(self) -> int:
        """Nanoseconds since 1970."""
        return self._now

    def monotonic(self) -> float:
        """Seconds; nothing here measures a while."""
        return self._now / 1e9


def key_findings(home: Home, settings: Settings, now: int) -> list[Finding]:
    """None for a home without keys; ``now`` in nanoseconds since 1970."""
    from tabard.brokers.trust.certificates import when
    from tabard.brokers.trust.files import Trust

    try:
        trust = Trust.load(home, _At(now))
    except TrustError as error:
        return [_finding(error, warning=False)]
    if trust is None:
        return []
    found = [_finding(fault, warning=True) for fault in trust.faults]
    name, zone = settings.str("node.name"), settings.str("node.zone")
    certificates = [trust.certificate(file.role, file.path) or trust.directory.root for file in trust.owned()]
    if not any(each[:3] == ("node", name, zone) for each in certificates):
        nodes = [str(each) for each in certificates if each.role == "node"]
        wrong = SettingsError(
            "this home has keys, and none of this node: its agent signs nothing, and nobody believes it",
            file=str(home.trust),
            key="node.name",
            expected=f"a key of node {name} of {zone}",
            found=", ".join(nodes) or "no key of a node",
            hint=f"Where the zone's authority is: tabard node add {name} --zone {zone} --out FILE, and here: tabard join FILE",
        )
        found.append(Finding(wrong))
    operator = settings.str("herald.operator")
    if operator and not any(each[:3] == ("operator", operator, each.zone) for each in certificates):
        unsigned = SettingsError(
            "herald gives no commands: the operator that it is to sign for has no key here",
            file=str(home.settings_file),
            key="herald.operator",
            expected=f"a key of operator {operator} in this home",
            found=", ".join(each.name for each in certificates if each.role == "operator") or "none",
            hint=f"Where the zone's authority is: tabard operator add {operator}",
        )
        found.append(Finding(unsigned))
    for each in certificates:
        if trust.directory.holds(each, now) and each.until - now < SOON:
            ending = SettingsError(
                f"the certificate of {each} ends soon",
                file=str(home.trust),
                expected="30 days at least",
                found=when(each.until),
                hint="Where the zone's authority is: tabard keys renew. The new roster comes by itself where this home is connected",
            )
            found.append(Finding(ending, warning=True))
    from tabard.ops.policies.lint import policy_findings

    return [*found, *policy_findings(trust, settings, now)]


def _finding(error: TrustError, *, warning: bool) -> Finding:
    said = SettingsError(
        error.what, file=error.where, expected=error.expected, found=error.found, hint=error.hint
    )
    return Finding(said, warning)
