"""``tabard host``: hosts that are looked after from here, over ssh. Without a word after it, it lists them."""

from __future__ import annotations

from typing import Final

from tabard.ops.cli.base import Entry
from tabard.ops.cli.group import Group

COMMANDS: Final = {
    "install": Entry("tabard.ops.cli.host_install:host_install", "Make hosts that ssh reaches nodes of a zone."),
    "list": Entry("tabard.ops.cli.host_list:host_list", "List the hosts that were installed from here."),
    "upgrade": Entry("tabard.ops.cli.host_upgrade:host_upgrade", "Bring another release to hosts, in batches."),
    "rollback": Entry("tabard.ops.cli.host_rollback:host_rollback", "Take hosts back to the release that they ran before."),
    "uninstall": Entry("tabard.ops.cli.host_uninstall:host_uninstall", "Take Tabard off hosts, and leave nothing."),
}  # fmt: skip

host: Final = Group(
    name="host",
    table=COMMANDS,
    default="list",
    help="Install Tabard on hosts that ssh reaches, and look after it there.\n\nThose hosts need no registry, only Python.",
    examples=[
        ("tabard host install root@web1 --zone hq", "What it takes goes there through ssh"),
        ("tabard host list", "What runs where, as far as is known here"),
        ("tabard host uninstall web1", "Nothing of it is left there"),
    ],
)
