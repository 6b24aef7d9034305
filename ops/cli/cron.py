"""``tabard cron``: jobs of a crontab as services."""

from __future__ import annotations

from typing import Final

from tabard.ops.cli.base import Entry
from tabard.ops.cli.group import Group

COMMANDS: Final = {
    "exec": Entry("tabard.ops.cli.cron_exec:cron_exec", "Run a command as a service that is watched."),
    "list": Entry("tabard.ops.cli.cron_list:cron_list", "List the jobs of this home, and how their last runs ended."),
    "forget": Entry("tabard.ops.cli.cron_list:cron_forget", "Forget jobs that are no longer run."),
}  # fmt: skip

cron: Final = Group(
    name="cron",
    table=COMMANDS,
    help="Run the jobs of a crontab as services, and see how they are.",
    examples=[
        ("tabard cron exec backup -- /srv/backup.sh", "In place of /srv/backup.sh in a cron line"),
        ("tabard cron list", "Which jobs there are, when they ran, and which are overdue"),
    ],
)
