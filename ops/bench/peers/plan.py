"""When what is struck: drawn from a seed, the same for every peer, carried out on all of them at the same moments."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Any, Final, NamedTuple


class Part(StrEnum):
    """Which side of a peer."""

    RECEIVER = "receiver"
    """What takes the records from the network, beyond the host of the application."""
    SINK = "sink"
    """The process that writes the store: the database server where there is one, else who writes the file."""


class Blow(StrEnum):
    """What is done to it."""

    KILL = "kill"
    """Killed without a word, and started again after the time."""
    HANG = "hang"
    """Stopped for the time, then it goes on."""
    HANG_AND_KILL = "hang and kill"
    """Stopped for the time, then killed and started again at once."""


class Strike(NamedTuple):
    """One line of the plan; times in seconds."""

    after: float
    """Peace before it."""
    part: Part
    blow: Blow
    lasting: float


class Plan(NamedTuple):
    """A whole schedule."""

    seed: int
    strikes: tuple[Strike, ...]
    peace: float
    """After the last strike, before the application ends."""

    @property
    def seconds(self) -> float:
        """How long records flow, at least: what takes long to start again makes it longer for all."""
        return sum(strike.after + strike.lasting for strike in self.strikes) + self.peace

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "seed": self.seed,
            "seconds": round(self.seconds, 2),
            "strikes": [
                {
                    "after": strike.after,
                    "part": str(strike.part),
                    "blow": str(strike.blow),
                    "seconds": strike.lasting,
                }
                for strike in self.strikes
            ],
        }


PEACE: Final = 2.0
"""Seconds between two strikes, about; before the first and after the last too."""


def make_plan(seed: int, lasting: float, times: int = 1, peace: float = PEACE) -> Plan:
    """Every blow to both parts, `times` times, in an order of the seed's; each lasts about `lasting` seconds."""
    chance = random.Random(seed)
    blows = [(part, blow) for part in Part for blow in Blow] * times
    chance.shuffle(blows)
    strikes = [
        Strike(
            round(peace * chance.uniform(0.7, 1.3), 2),
            part,
            blow,
            round(lasting * chance.uniform(0.8, 1.2), 2),
        )
        for part, blow in blows
    ]
    return Plan(seed, tuple(strikes), peace)
