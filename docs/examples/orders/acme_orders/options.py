"""What can be configured, and how."""

from __future__ import annotations

from typing import Final

from tabard.config import PATH, Duration, Integer, Option

OPTIONS: Final = (
    Option("import.folder", PATH, None, "Holds `in` with the files *.csv.gz of the shop, `done` and `failed`."),
    Option("import.timeout", Duration("1s", "1h"), "5m", "Longest time that unpacking one file may take.", reload=True),
    Option("import.most", Integer(1, 1_000_000), 10_000, "Most orders of one file.", reload=True),
    Option("import.pause", Duration("1s", "1d"), "5m", "Time between two looks with --watch.", reload=True),
)  # fmt: skip
