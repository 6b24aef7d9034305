"""``tabard journal``: what an agent keeps on its host."""

from __future__ import annotations

from typing import Final

from tabard.ops.cli.base import Entry
from tabard.ops.cli.group import Group

journal: Final = Group(
    name="journal",
    table={
        "verify": Entry(
            "tabard.ops.cli.journal_verify:journal_verify", "Verify a journal by itself, also an old one."
        ),
    },
    help="Look at what an agent keeps on its host.",
    examples=[("tabard journal verify /mnt/old/journal", "Is what lies there what its node wrote?")],
)
