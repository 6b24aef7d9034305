"""``tabard sink``: the sinks that records go to. Without a word after it, it lists them."""

from __future__ import annotations

from typing import Final

import click

from tabard.ops.cli.base import Entry, Root, home_option

COMMANDS: Final = {
    "list": Entry("tabard.ops.cli.sink_list:sink_list", "List the sinks and how far each is behind."),
}


class _Sinks(Root):
    """The group, of which ``list`` is the command that need not be named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read ``tabard sink -o json`` as ``tabard sink list -o json``."""
        if not any(word in self.table or word in ctx.help_option_names for word in args):
            args = ["list", *args]
        rest = super().parse_args(ctx, args)
        if ctx.params["home"] is not None:
            ctx.find_root().params["home"] = ctx.params["home"]
        return rest


sink: Final = _Sinks(
    name="sink",
    table=COMMANDS,
    params=[home_option()],
    help="Look at the sinks that records go to.",
    examples=[("tabard sink list", "Every sink that this home knows of")],
)
