"""Why something is not believed, one word for each kind: what refusals are counted by."""

from __future__ import annotations

from typing import Final

MALFORMED: Final = "malformed"
"""It is not what it should be: wrong bytes, sizes, types or names."""
FORGED: Final = "forged"
"""A signature does not fit."""
FOREIGN: Final = "foreign"
"""Nothing leads from it to the pinned root."""
EXCEEDS: Final = "exceeds"
"""An authority spoke for what does not lie in its zone, or for a role that it cannot give."""
EARLY: Final = "early"
"""It is not valid yet, by this host's clock."""
EXPIRED: Final = "expired"
"""It is not valid any more, by this host's clock."""
REVOKED: Final = "revoked"
"""Its key, or one above it, was revoked."""
REMOVED: Final = "removed"
"""Its name was taken out of the zone."""
CROWDED: Final = "crowded"
"""There are more than can be kept."""
CONTRADICTS: Final = "contradicts"
"""An authority said two different things under one number."""
UNSAFE: Final = "unsafe"
"""Other users could have read or written the file."""

REASONS: Final = (
    MALFORMED, FORGED, FOREIGN, EXCEEDS, EARLY, EXPIRED, REVOKED, REMOVED, CROWDED, CONTRADICTS, UNSAFE,
)  # fmt: skip

VOID: Final = frozenset({MALFORMED, FORGED, REVOKED, REMOVED})
"""Why a roster says nothing, whatever its number; what is refused for another reason may hold later, or elsewhere."""
