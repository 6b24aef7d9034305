"""Contradictions between settings that are each right by themselves.

An error keeps a role from starting, because something would be lost, doubled or never arrive. A warning
is for people: ``tabard check`` shows it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from tabard.names import zone_within
from tabard.settings.actions import lint_actions
from tabard.settings.findings import Finding, error_at
from tabard.settings.schema import Broker
from tabard.settings.tunnels import lint_tunnels
from tabard.settings.values import Origin, Settings

_WILDCARDS: Final = frozenset({"*", "0.0.0.0", "[::]"})  # noqa: S104 -- recognised here, never bound
_LOOPBACK: Final = ("127.", "localhost:", "[::1]:")
_INTAKES: Final = {
    "intake.tcp": "tcp",
    "intake.socket_handler": "tcp",
    "intake.syslog_tcp": "tcp",
    "intake.syslog_udp": "udp",
    "intake.syslog_datagram": "ipc",
    "intake.syslog_stream": "ipc",
    "intake.otlp": "tcp",
}
"""Settings that are addresses of the intake, and how they are spoken to."""
_LEVELS: Final = ("critical", "error", "warning", "info", "debug", "trace")
SYSLOG_FILES: Final = ("/var/log/syslog", "/var/log/messages")
"""Where a syslog daemon writes what the systemd journal has as well."""
_IN_STAGE: Final = re.compile(r"stage\.[^.]+\.")
_LANES: Final = ("up_in", "up_out", "down_in", "down_out")
_USED: Final = ("up", "down", "standby_up", "standby_down", "broker", "standby_broker")


def lint(settings: Settings, broken: Collection[str] = ()) -> tuple[Finding, ...]:
    """Every contradiction found; rules about names that are ``broken`` are left out: their values are not known."""
    places = ("broker", "herald.host", "herald.port", *_INTAKES)
    ends = ("agent.up", "agent.down", "recorder.up", "recorder.down", "recorder.sink", "agent.sinks")
    sizes = ("logs_bytes", "samples_bytes", "segment", "keep_acked", "fsync")
    rules = (
        (_brokers, ("broker",)),
        (_parents, ("broker",)),
        (_zones, ("broker", "node.zone", *ends)),
        (_ways, ("broker", "node.zone", "tunnel", *ends)),
        (lint_tunnels, ("tunnel",)),
        (lint_actions, ("action",)),
        (_binds, (*places, "tunnel")),
        (_exposed, places),
        (_lanes, ends),
        (_journal, tuple(f"journal.{name}" for name in sizes)),
        (_credit, ("recorder.credit_batches", "brokers.hwm")),
        (_names, ("node.name",)),
        (_tails, ("intake.tail",)),
        (_twice, ("intake.journal", "intake.tail_defaults")),
        (_levels, ("retention.logs_age", *(f"retention.{name}_age" for name in _LEVELS))),
    )
    return tuple(
        finding
        for rule, names in rules
        if not any(name in broken for name in names)
        for finding in rule(settings)
    )


def _zones(settings: Settings) -> Iterator[Finding]:
    said = any(settings.str(f"{role}.{name}") for role in ("agent", "recorder") for name in _USED)
    if settings.brokers or said:  # a plain host says nothing of either, and its agent is to stay small
        from tabard.settings.lint_zones import lint_zones

        yield from lint_zones(settings)


def _ways(settings: Settings) -> Iterator[Finding]:
    if settings.brokers:  # few homes describe one, and every role reads this module
        from tabard.settings.lint_ways import lint_ways

        yield from lint_ways(settings)


def broken_keys(findings: Iterable[Finding]) -> frozenset[str]:
    """The settings and tables that errors are about, without the stage and the row they stand in."""
    keys = [_IN_STAGE.sub("", finding.error.key or "") for finding in findings if not finding.warning]
    return frozenset(key.partition("[")[0] for key in keys)


def _against(settings: Settings, key: str, what: str, hint: str, *, warning: bool = False) -> Finding:
    """A finding about a setting, placed where its value came from."""
    return _at(settings.origin(key), key, what, hint, warning=warning)


def _at(origin: Origin, key: str, what: str, hint: str, *, warning: bool = False) -> Finding:
    place = origin.place or "default"
    return Finding(error_at(place, what, key=key, line=origin.line, hint=hint), warning)


def _brokers(settings: Settings) -> Iterator[Finding]:
    seen: set[str] = set()
    for broker, origin in settings.tables["broker"]:
        if broker.name in seen:
            yield _at(origin, "broker", f"two brokers are named {broker.name!r}", "Give each its own name")
        seen.add(broker.name)
        if bool(broker.parent_up) != bool(broker.parent_down):
            yield _at(
                origin,
                f"broker {broker.name}",
                "only one of parent_up and parent_down is given",
                "A parent has both lanes: give both endpoints, or neither",
            )
        yield from _broker_standby(broker, origin)


def _broker_standby(broker: Broker, origin: Origin) -> Iterator[Finding]:
    key = f"broker {broker.name}"
    if bool(broker.standby_up) != bool(broker.standby_down):
        yield _at(
            origin,
            key,
            "only one of standby_up and standby_down is given",
            "A standby has both lanes: give both endpoints, or neither",
        )
    elif broker.standby_up and not (broker.parent or broker.parent_up):
        yield _at(
            origin,
            key,
            "it has a standby of a parent and no parent",
            "Give parent_up and parent_down, or leave standby_up and standby_down out",
        )


def _parents(settings: Settings) -> Iterator[Finding]:
    by_name = {broker.name: broker for broker in settings.brokers}
    for broker, origin in settings.tables["broker"]:
        key = f"broker {broker.name}"
        parent = by_name.get(broker.parent)
        if broker.parent and parent is None and not broker.parent_up:
            known = ", ".join(name for name in by_name if name != broker.name) or "none"
            yield _at(
                origin,
                key,
                f"its parent {broker.parent!r} is not in this file (others here: {known})",
                "Describe that broker, or give parent_up and parent_down",
            )
        elif parent is not None and not zone_within(broker.zone, parent.zone):
            yield _at(
                origin,
                key,
                f"its zone {broker.zone!r} is not in the zone {parent.zone!r} of its parent {parent.name!r}",
                "A parent forwards for its own zone and those below it",
            )
        if _loops(broker, by_name):
            yield _at(
                origin,
                key,
                "it is its own parent, directly or through others",
                'Leave parent = "" at the top of the chain',
            )


def _loops(broker: Broker, by_name: dict[str, Broker]) -> bool:
    parent = by_name.get(broker.parent)
    for _ in by_name:
        if parent is None:
            return False
        if parent.name == broker.name:
            return True
        parent = by_name.get(parent.parent)
    return False


def _endpoints(settings: Settings) -> Iterator[tuple[str, str, Origin]]:
    """Every address this home binds: who, the endpoint, and where that is written."""
    for broker, origin in settings.tables["broker"]:
        for lane, endpoint in zip(
            _LANES, (broker.up_in, broker.up_out, broker.down_in, broker.down_out), strict=True
        ):
            if endpoint:
                yield f"broker {broker.name}.{lane}", endpoint, origin
    for tunnel, origin in settings.tables["tunnel"]:
        for number, forward in enumerate(tunnel.forward, 1):
            if forward.direction == "local" and tunnel.backend != "external":
                yield f"tunnel {tunnel.name}.forward[{number}].listen", f"tcp://{forward.listen}", origin
    for name, scheme in _INTAKES.items():
        if settings[name]:
            yield name, f"{scheme}://{settings[name]}", settings.origin(name)
    host = settings.str("herald.host")
    bracketed = f"[{host}]" if ":" in host else host
    yield "herald.port", f"tcp://{bracketed}:{settings['herald.port']}", settings.origin("herald.port")


def _binds(settings: Settings) -> Iterator[Finding]:
    seen: list[tuple[str, str]] = []
    for who, endpoint, origin in _endpoints(settings):
        other = next((name for name, bound in seen if _collide(endpoint, bound)), None)
        if other is not None:
            yield _at(origin, who, f"{endpoint} is also bound by {other}", "Give each its own port or path")
        seen.append((who, endpoint))


def _collide(one: str, two: str) -> bool:
    """Whether two endpoints cannot both be bound. Two addresses of a host may share a port, a wildcard not."""
    if not one.startswith("tcp://") or not two.startswith("tcp://"):
        return one == two
    (host, _, port), (other_host, _, other_port) = one[6:].rpartition(":"), two[6:].rpartition(":")
    hosts = {host.replace("localhost", "127.0.0.1"), other_host.replace("localhost", "127.0.0.1")}
    return int(port) == int(other_port) and (len(hosts) == 1 or bool(hosts & _WILDCARDS))


def _exposed(settings: Settings) -> Iterator[Finding]:
    for who, endpoint, origin in _endpoints(settings):
        scheme, _, rest = endpoint.partition("://")
        asks = who.startswith("broker ")  # for a key, over TCP
        if scheme in {"tcp", "udp"} and not rest.startswith(_LOOPBACK) and not asks:
            yield _at(
                origin,
                who,
                f"{endpoint} can be reached from other hosts, and nobody is asked who they are",
                "Use a loopback address behind an ssh tunnel",
                warning=True,
            )


def _lanes(settings: Settings) -> Iterator[Finding]:
    for role in ("agent", "recorder"):
        for first, neither in (
            ("", "for the broker of this home"),
            ("standby_", "where there is no standby"),
        ):
            names = (f"{role}.{first}up", f"{role}.{first}down")
            given = [bool(settings.str(name)) for name in names]
            if any(given) and not all(given):
                yield _against(
                    settings,
                    names[given.index(False)],
                    "only one lane has an endpoint",
                    f"Give both {names[0]} and {names[1]}, or neither {neither}",
                )
    # With a broker elsewhere, agent or recorder are for others than each other: a host with an agent only, or another recorder.
    elsewhere = settings.str("agent.up") or settings.str("recorder.up")
    if not elsewhere and settings["recorder.sink"] not in settings.strings("agent.sinks"):
        yield _against(
            settings,
            "recorder.sink",
            f"the agent of this home does not send to {settings['recorder.sink']!r}",
            "Add it to agent.sinks if this host's own records should be stored there",
            warning=True,
        )


def _journal(settings: Settings) -> Iterator[Finding]:
    for stream in ("logs", "samples"):
        name = f"journal.{stream}_bytes"
        if settings.bytes("journal.segment") * 2 > settings.bytes(name):
            yield _against(
                settings,
                "journal.segment",
                f"{name} holds fewer than two segments, so making room would drop nearly everything",
                f"Make segments at most half of {name}",
            )
    if settings.bytes("journal.keep_acked") > settings.bytes("journal.logs_bytes") // 2:
        yield _against(
            settings,
            "journal.keep_acked",
            "more than half of journal.logs_bytes would hold what every sink already has",
            "Lower it",
            warning=True,
        )
    if settings.seconds("journal.fsync") > 1:
        yield _against(
            settings,
            "journal.fsync",
            "a power cut may take more than a second of acknowledged records",
            "100ms costs little",
            warning=True,
        )


def _credit(settings: Settings) -> Iterator[Finding]:
    if settings.int("recorder.credit_batches") * 2 > settings.int("brokers.hwm"):
        yield _against(
            settings,
            "recorder.credit_batches",
            "more than half of brokers.hwm, so backlogged nodes could overrun a broker's queue",
            "Keep it at or below half of the smallest brokers.hwm on the path",
        )


def _names(settings: Settings) -> Iterator[Finding]:
    if settings["node.name"].split(".")[0] in {"localhost", "node"}:
        yield _against(
            settings,
            "node.name",
            f"{settings['node.name']!r} does not tell this node from others",
            "Set node.name",
            warning=True,
        )


def _twice(settings: Settings) -> Iterator[Finding]:
    if settings.str("intake.journal") != "auto" or not settings.flag("intake.tail_defaults"):
        return
    if written := [path for path in SYSLOG_FILES if os.path.exists(path)]:
        yield _against(
            settings,
            "intake.journal",
            f"what a syslog daemon writes into {written[0]} is in the systemd journal, too: it will be stored twice",
            "Set intake.tail_defaults = false, and describe the other files under [[intake.tail]]",
            warning=True,
        )


def _tails(settings: Settings) -> Iterator[Finding]:
    seen: set[str] = set()
    for tail, origin in settings.tables["intake.tail"]:
        if tail.path in seen:
            yield _at(origin, "intake.tail", f"{tail.path} is described twice", "Remove one of them")
        seen.add(tail.path)


def _levels(settings: Settings) -> Iterator[Finding]:
    longest = settings.seconds("retention.logs_age")
    for level in _LEVELS:
        name = f"retention.{level}_age"
        if settings.seconds(name) > longest:
            shown, limit = (
                settings.schema.by_name()[each].show(settings[each]) for each in (name, "retention.logs_age")
            )
            yield _against(
                settings,
                name,
                f"{shown} is longer than retention.logs_age, {limit}, at which every log record is deleted",
                "Make it shorter, or retention.logs_age longer",
            )
