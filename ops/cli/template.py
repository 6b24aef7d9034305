"""``tabard template``: the templates of this host's applications."""

from __future__ import annotations

from typing import Final

from tabard.ops.cli.base import Entry
from tabard.ops.cli.group import Group

COMMANDS: Final = {
    "list": Entry("tabard.ops.cli.template_list:template_list", "List the templates and what is wrong with them."),
    "preview": Entry("tabard.ops.cli.template_preview:template_preview", "Show what a template would say."),
}  # fmt: skip

template: Final = Group(
    name="template",
    table=COMMANDS,
    help="Look at templates for mail, commands and log messages.",
    examples=[
        ("tabard template list", "Which there are, in which languages, and what they need"),
        ("tabard template preview job-failed --set job=import", "What this mail would say"),
    ],
)
