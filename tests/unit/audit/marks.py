"""An entry's file that is right but for what a test changes in it."""

from __future__ import annotations

from typing import Final

TRIAL: Final = b'{"uid": "0123456789abcdef", "time": 1, "kind": "a", "who": "ann", "what": {}, "outcome": "done", "detail": ""}'
