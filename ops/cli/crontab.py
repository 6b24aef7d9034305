"""``tabard crontab``: the cron lines of this home."""

from __future__ import annotations

from typing import Final

from tabard.ops.cli.base import Entry
from tabard.ops.cli.group import Group

COMMANDS: Final = {
    "print": Entry("tabard.ops.cli.crontab_change:crontab_print", "Print the lines of this home."),
    "install": Entry("tabard.ops.cli.crontab_change:crontab_install", "Put the lines of this home into the crontab."),
    "start": Entry("tabard.ops.cli.crontab_change:crontab_start", "Start now what the lines of this home start."),
    "remove": Entry("tabard.ops.cli.crontab_change:crontab_remove", "Take the lines of this home out of the crontab."),
}  # fmt: skip

crontab: Final = Group(
    name="crontab",
    table=COMMANDS,
    help="Put the roles of this home into the crontab of this user, and take them out.",
    examples=[
        ("tabard crontab print", "What would be in it"),
        ("tabard crontab install --dry-run", "What would change"),
        ("tabard crontab install --mailto ops@example.com", "Let cron keep the roles running"),
    ],
)
