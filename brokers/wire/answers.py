"""The words in which a node says what became of a command: states, and the kinds of the control records that say them.

Who answers and who reads it have them from here. Nothing else is imported, since the command line reads this too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ACCEPTED: Final = "accepted"
"""Durable at its node, and not begun."""
RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"
EXPIRED: Final = "expired"
REFUSED: Final = "refused"
LOST: Final = "lost"
CANCELLED: Final = "cancelled"
TAKEN: Final = (ACCEPTED, RUNNING)
"""Of these an end follows."""
ENDS: Final = (DONE, FAILED, EXPIRED, REFUSED, LOST, CANCELLED)
"""After these nothing follows but the same again."""

KINDS: Final[Mapping[str, str]] = {state: f"command.{state}" for state in (*TAKEN, *ENDS)}
"""The kind of the control record that says a state."""
STATE_OF: Final[Mapping[str, str]] = {kind: state for state, kind in KINDS.items()}
"""The state that a control record of a kind says."""
OUTPUT: Final = "command.output"
"""The kind of a control record that says no state: a piece of what the program wrote."""
