"""Operators, dispatchers and what they sign, to test with; and a node that hears them."""

from __future__ import annotations

from tabard.brokers.trust.certificates import RECORDER, issue
from tabard.brokers.trust.commanding import Issuer
from tabard.brokers.wire.command import RUN, Document
from tests.trustees import NOON, YEAR, Trustees

ZONE_OF_NODE = "hq/dmz"


def somebody(
    trustees: Trustees, role: str, zone: str, name: str = "ada", *, commands: bool = True, until: int = YEAR
) -> Issuer:
    """A key and its chain."""
    key, authority = trustees.key(), trustees.zone(zone)
    sinks = ("main",) if role == RECORDER else ()
    said = trustees.certificate(role, name, zone, key, authority, sinks, until)
    return Issuer(key, (*trustees.chains[zone], issue(said._replace(commands=commands), authority, key)))


def document(issuer: Issuer, zone: str = ZONE_OF_NODE) -> Document:
    """One that `issuer` may sign."""
    return Document(
        b"i" * 16,
        b"g" * 16,
        issuer.key.public.key_id,
        zone,
        "web1",
        NOON,
        NOON + 10**12,
        5.0,
        RUN,
        ("id",),
    )
