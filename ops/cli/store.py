"""``tabard store``: the databases themselves."""

from __future__ import annotations

from typing import Final

from tabard.ops.cli.base import Entry
from tabard.ops.cli.group import Group

COMMANDS: Final = {
    "stats": Entry("tabard.ops.cli.store_stats:store_stats", "Show how much is stored."),
    "quarantine": Entry(
        "tabard.ops.cli.store_quarantine:quarantine", "Look at what the store could not take."
    ),
    "verify": Entry("tabard.ops.cli.store_verify:store_verify", "Verify who signed what is stored."),
    "hold": Entry("tabard.ops.cli.store_hold:hold", "Keep records that must not be deleted."),
    "backup": Entry("tabard.ops.cli.store_backup:store_backup", "Make a backup, while everything runs."),
    "restore": Entry("tabard.ops.cli.store_restore:store_restore", "Put a backup in place of the store."),
    "password": Entry(
        "tabard.ops.cli.store_password:store_password", "Encrypt the password of a store on a server."
    ),
    "index": Entry("tabard.ops.cli.store_index:index", "Look at the search index, build or remove it."),
    "vacuum": Entry("tabard.ops.cli.store_vacuum:store_vacuum", "Give the room of deleted records back."),
    "upgrade": Entry(
        "tabard.ops.cli.store_upgrade:store_upgrade", "Bring the store to this version's schema."
    ),
    "forget": Entry("tabard.ops.cli.store_forget:store_forget", "Erase personal data."),
    "migrate": Entry(
        "tabard.ops.cli.store_migrate:store_migrate", "Move the store to PostgreSQL while it is written."
    ),
}

store: Final = Group(
    name="store",
    table=COMMANDS,
    help="Look after the store.",
    examples=[
        ("tabard store stats", "How much is stored, and since when"),
        ("tabard store backup /backup/store-$(date +%F)", "A copy that can be restored"),
        ("tabard store upgrade", "After a new version of Tabard was installed"),
    ],
)
