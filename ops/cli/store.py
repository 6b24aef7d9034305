"""``tabard store``: the databases themselves."""

from __future__ import annotations

from typing import Final

from tabard.ops.cli.base import Entry
from tabard.ops.cli.group import Group

COMMANDS: Final = {
    "upgrade": Entry(
        "tabard.ops.cli.store_upgrade:store_upgrade", "Bring the store to this version's schema."
    ),
}

store: Final = Group(
    name="store",
    table=COMMANDS,
    help="Look after the store.",
    examples=[("tabard store upgrade", "After a new version of Tabard was installed")],
)
