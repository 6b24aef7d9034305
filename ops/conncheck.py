"""What `tabard check` says of connections over TCP and of who is believed: keys that lack, brokers that nobody knows, ends where a key is refused.

What keeps a role from starting is an error; what it would say once it runs, and go on trying, is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from tabard.errors import SettingsError, TabardError, TrustError
from tabard.home import Home
from tabard.settings import Finding, Settings

if TYPE_CHECKING:
    from tabard.brokers.expected import Expected
    from tabard.brokers.trust.certificates import Certificate
    from tabard.brokers.trust.files import Trust

_OTHER: Final = {"up_out": "up_in", "down_in": "down_out", "up_in": "up_out", "down_out": "down_in"}
"""The end of the other side, by the socket that dials it."""


class _Role(NamedTuple):
    """Somebody of this home who speaks TCP."""

    role: str
    name: str
    zone: str
    key: str
    """Where the settings describe it."""
    bound: tuple[str, ...]
    dials: tuple[tuple[str, str, Expected], ...]
    """End of the other side, its address, and which broker is expected there."""

    @property
    def who(self) -> str:
        """For people."""
        return f"a recorder of sink {self.name}" if self.role == "recorder" else f"{self.role} {self.name}"


def connection_findings(home: Home, settings: Settings, now: int) -> list[Finding]:
    """Nothing of a home in which all is in unix sockets and nobody has keys; ``now`` in nanoseconds since 1970."""
    from tabard.brokers.trust.files import Trust

    try:
        roles = list(_roles(settings, home))
        trust = Trust.load(home)
    except (SettingsError, TrustError):  # which is said already
        return []
    if trust is None:
        return [_placed(each, settings) for each in _keyless(home, roles)]
    found = [finding for role in roles for finding in _of(trust, home, role, now)]
    found += [*_sinks(trust, home, settings, now), *_unheard_of(trust, home, settings, now)]
    return [_placed(each, settings) for each in found]


def _placed(finding: Finding, settings: Settings) -> Finding:
    """At the line that describes the role, where there is one; else at the keys."""
    error = finding.error
    tables = {f"broker {broker.name}": origin for broker, origin in settings.tables["broker"]}
    key = error.key or ""
    origin = tables.get(key.partition(".link ")[0])
    if origin is None and not key.startswith("broker ") and key in settings.values:
        origin = settings.origin(key)
    if origin is not None and origin.place:
        error.file, error.line = origin.place, origin.line
    return finding


def _unheard_of(trust: Trust, home: Home, settings: Settings, now: int) -> Iterator[Finding]:
    """Links to a broker that dials by itself, and that no roster knows: it would not be let in, and its rate limits nobody."""
    from tabard.brokers.trust.certificates import BROKER
    from tabard.names import zone_within

    members = [each for each in trust.directory.every() if each.role == BROKER]
    held = [each for each in members if trust.directory.holds(each, now)]
    for broker in settings.brokers:
        below = sorted({each.name for each in held if zone_within(each.zone, broker.zone)} - {broker.name})
        for link in broker.link:
            if link.dials == "peer" and link.peer not in {*below, *(each.name for each in settings.brokers)}:
                yield _finding(
                    home,
                    f"broker {broker.name}.link {link.peer}",
                    f"no roster knows a broker {link.peer} in {broker.zone} or below it: it is not let in",
                    expected=", ".join(below) or f"a broker of {broker.zone} or of a zone below it",
                    found=repr(link.peer),
                    hint="Correct peer, or certify it where its zone's authority is: tabard node add HOST --broker NAME; "
                    "and take in its roster: tabard join FILE",
                )


def _roles(settings: Settings, home: Home) -> Iterator[_Role]:
    from tabard.brokers.topology import agent_ends, broker_peers, brokers, recorder_ends, role_peers

    for plan in brokers(settings, home):
        peers = broker_peers(settings, home, plan.name)
        dialled = [(_OTHER[own], end) for own, end in plan.dialled(plan.parents)]
        bound = tuple(end for end in plan[2:6] if _is_tcp(end))
        yield _Role(
            "broker", plan.name, plan.zone, f"broker {plan.name}", bound, tuple(_expecting(dialled, peers))
        )
    zone = settings.str("node.zone")
    ends = [
        each for pair in agent_ends(settings, home) for each in zip(("up_in", "down_out"), pair, strict=True)
    ]
    dials = tuple(_expecting(ends, role_peers(settings, home, "agent")))
    yield _Role("node", settings.str("node.name"), zone, "agent.up", (), dials)
    if settings.str("recorder.up"):
        ends = [
            each
            for pair in recorder_ends(settings, home)
            for each in zip(("up_out", "down_in"), pair, strict=True)
        ]
        dials = tuple(_expecting(ends, role_peers(settings, home, "recorder")))
        yield _Role("recorder", settings.str("recorder.sink"), zone, "recorder.up", (), dials)


def _expecting(
    ends: Sequence[tuple[str, str]], peers: Mapping[str, Expected]
) -> Iterator[tuple[str, str, Expected]]:
    from tabard.brokers.expected import NOBODY

    yield from ((end, address, peers.get(address, NOBODY)) for end, address in ends if _is_tcp(address))


def _is_tcp(address: str) -> bool:
    return address.startswith("tcp://")


def _keyless(home: Home, roles: Sequence[_Role]) -> Iterator[Finding]:
    speaking = [(role.key, [*role.bound, *(address for _, address, _ in role.dials)]) for role in roles]
    for key, addresses in speaking:
        if addresses:
            yield _finding(
                home,
                key,
                "TCP without keys: the role does not start, since whoever reaches a TCP port could read and write there",
                expected="keys in this home",
                found=f"none, and {addresses[0]}",
                hint="Make them: tabard init. Or take in the file that was made for this host: tabard join FILE",
                warning=False,
            )


def _of(trust: Trust, home: Home, role: _Role, now: int) -> Iterator[Finding]:
    from tabard.brokers import rights
    from tabard.brokers.expected import found, unsaid

    speaks = bool(role.bound or role.dials)
    own = [each for each in _own(trust) if _is_of(each, role)]
    if not own and speaks:
        here = trust.key("zone", role.zone) is not None
        yield _finding(
            home,
            role.key,
            f"no key of {role.who}: it does not start, since it speaks TCP",
            expected=f"a key of {role.who} of {role.zone} in this home",
            found="keys of others only",
            hint="tabard up makes it, since the zone's authority is in this home"
            if here
            else f"Where the authority of {role.zone} is kept: tabard node add; then here: tabard join FILE",
            warning=here,
        )
    reasons = [_why_not(trust, each, now) for each in own]
    if own and all(reasons):
        yield _finding(
            home,
            role.key,
            f"the key of {role.who} does not hold: {reasons[0]}",
            expected="a certificate that holds now",
            found="none",
            hint="Where its zone's authority is: tabard keys renew or rotate; and here: tabard join FILE",
        )
        return
    for end, address, expected in role.dials:
        try:
            broker = found(expected, role.zone, trust.directory, now)[0]
        except TabardError as error:
            yield _finding(
                home,
                role.key,
                f"{error.what}, at {address}",
                expected=error.expected or "",
                found=error.found or "",
                hint=error.hint or "",
            )
            continue
        place, names = unsaid(expected, role.zone, trust.directory, now)
        if names:
            yield _finding(
                home,
                role.key,
                f"which broker of {place} is dialled is not said, at {address}: each of their keys is tried in turn",
                expected=f"{expected.key or 'a setting'} with one of {', '.join(names)}",
                found="no name",
                hint="Name the broker that is at this address",
            )
        refused = rights.refusal(end, own[0], broker.zone) if own else None
        if refused is not None:
            yield _finding(
                home,
                role.key,
                f"the {broker} will refuse {role.who} at {address}, its {end}: {refused}",
                expected=_MAY[end].format(broker.zone),
                found=f"{own[0]}",
                hint="See who may connect where in docs/protocol.md, Connections; correct the zone, the broker's name or the address",
            )


_MAY: Final = {
    "up_in": "a node or broker of {} or of a zone below it",
    "down_out": "a node or broker of {} or of a zone below it",
    "up_out": "a recorder or broker of {} or of a zone above it",
    "down_in": "a recorder or broker of {} or of a zone above it",
}


def _sinks(trust: Trust, home: Home, settings: Settings, now: int) -> Iterator[Finding]:
    """Sinks that the agent sends to, and whose cursors its certificate does not let it believe."""
    node = ("node", settings.str("node.name"), settings.str("node.zone"))
    held = [each for each in _own(trust) if each[:3] == node and not _why_not(trust, each, now)]
    lacking = [
        sink for sink in settings.strings("agent.sinks") if not any(sink in each.sinks for each in held)
    ]
    if held and lacking:
        yield _finding(
            home,
            "agent.sinks",
            f"the certificate of this node does not name {', '.join(map(repr, lacking))}: it believes no cursor of it, so records wait",
            expected="sinks that its certificate names",
            found=", ".join(sorted({sink for each in held for sink in each.sinks})) or "none",
            hint="Where the zone's authority is: tabard node add with --honours, and here: tabard join FILE",
        )


def _own(trust: Trust) -> list[Certificate]:
    return [file.certificate for file in trust.owned() if file.certificate is not None]


def _is_of(own: Certificate, role: _Role) -> bool:
    if role.role == "recorder":
        return own.role == role.role and role.name in own.sinks
    return own[:3] == (role.role, role.name, role.zone)


def _why_not(trust: Trust, own: Certificate, now: int) -> str:
    """Why a certificate of this home does not hold; empty when it does, or one of the same key that was renewed."""
    try:
        trust.directory.check(own, now)
    except TrustError as error:
        renewed = trust.directory.by_curve(own.key.curve, now)
        return "" if renewed is not None and renewed[:3] == own[:3] else error.what
    return ""


def _finding(
    home: Home, key: str, what: str, *, expected: str, found: str, hint: str, warning: bool = True
) -> Finding:
    said = SettingsError(what, file=str(home.trust), key=key, expected=expected, found=found, hint=hint)
    return Finding(said, warning)
