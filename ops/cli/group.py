"""Commands that have commands of their own, such as ``tabard sink list``."""

from __future__ import annotations

from typing import Any

import click

from tabard.ops.cli.base import Root, home_option


class Group(Root):
    """A named group. Takes ``--home`` before its command's name too; ``default`` names the command to run without one."""

    def __init__(self, *, default: str | None = None, **kwargs: Any) -> None:
        super().__init__(params=[home_option()], **kwargs)
        self._default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put in the default command where none is named, and pass ``--home`` on to the command."""
        named = any(word in self.table or word in ctx.help_option_names for word in args)
        if self._default is not None and not named:
            args = [self._default, *args]
        rest = super().parse_args(ctx, args)
        if ctx.params["home"] is not None:
            ctx.find_root().params["home"] = ctx.params["home"]
        return rest
