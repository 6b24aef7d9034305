"""What policies did, as readers of the store are told: who says of a batch that one changed it, and of what one withholds."""

from __future__ import annotations

from typing import NamedTuple


class Attestation(NamedTuple):
    """Who says of a batch that a policy changed it: a broker of the zone whose policy it is."""

    zone: str
    policy: str
    """``ID@NUMBER``."""
    broker: str


class Withholding(NamedTuple):
    """A policy by which records of nodes in a zone do not come here."""

    zone: str
    """That of the nodes."""
    policy: str
    """``ID@NUMBER``."""
    of: str
    """The zone whose policy it is."""
