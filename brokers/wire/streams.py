"""The three streams of a node, each with its own sequence, cursor, quota and credit."""

from __future__ import annotations

from typing import Final

CONTROL: Final = 1
LOGS: Final = 2
SAMPLES: Final = 3

STREAM_NAMES: Final = {CONTROL: "control", LOGS: "logs", SAMPLES: "samples"}
STREAM_IDS: Final = {name: number for number, name in STREAM_NAMES.items()}
