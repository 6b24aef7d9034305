"""Who says of a batch that a policy changed it, as readers of the store are told."""

from __future__ import annotations

from typing import NamedTuple


class Attestation(NamedTuple):
    """Who says of a batch that a policy changed it: a broker of the zone whose policy it is."""

    zone: str
    policy: str
    """``ID@NUMBER``."""
    broker: str
