"""``tabard config``: with which configuration services run, and what differs between stages."""

from __future__ import annotations

from typing import Final

from tabard.ops.cli.base import Entry
from tabard.ops.cli.group import Group

COMMANDS: Final = {
    "show": Entry("tabard.ops.cli.config_show:config_show", "Show with which configuration services run."),
    "diff": Entry("tabard.ops.cli.config_diff:config_diff", "Compare what runs in two stages."),
    "stages": Entry("tabard.ops.cli.config_stages:config_stages", "List the stages that this home knows."),
}

config: Final = Group(
    name="config",
    table=COMMANDS,
    help="Look at the configurations of services, and at the stages they run in.",
    examples=[
        ("tabard config show --service shop", "What does it run with, on every stage and node?"),
        ("tabard config diff INTEGRATION PRODUCTION", "What differs between the two?"),
    ],
)
