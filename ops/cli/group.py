"""Commands that have commands of their own, such as ``tabard sink list``."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from tabard.ops.cli.base import Root, home_option


class Group(Root):
    """A named group. Takes ``--home`` before its command's name too; ``default`` names the command to run without one."""

    def __init__(self, *, default: str | None = None, **kwargs: Any) -> None:
        super().__init__(params=[home_option()], **kwargs)
        self._default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put in the default command where none is named, and pass ``--home`` on to the command."""
        completing = ctx.resilient_parsing and not args  # `shell_complete` has both, names and options
        if self._default is not None and not completing and not self._names_a_command(ctx, args):
            args = [self._default, *args]
        rest = super().parse_args(ctx, args)
        if ctx.params["home"] is not None:
            ctx.find_root().params["home"] = ctx.params["home"]
        return rest

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Command names, and what the default command takes."""
        found = super().shell_complete(ctx, incomplete)
        command = self.get_command(ctx, self._default or "")
        if command is None:
            return found
        inner = command.make_context(self._default, [], parent=ctx, resilient_parsing=True)
        known = {item.value for item in found}
        return found + [item for item in command.shell_complete(inner, incomplete) if item.value not in known]

    def _names_a_command(self, ctx: click.Context, args: list[str]) -> bool:
        """Whether a word stands there that is no option and no option's value, be it a command's name or not."""
        command = self.get_command(ctx, self._default or "")
        options = [
            option for option in (command.params if command else ()) if isinstance(option, click.Option)
        ]
        with_value = {name for option in options if not option.is_flag for name in option.opts}
        words = iter(args)
        for word in words:
            if word in ctx.help_option_names:
                return True
            if word in with_value:
                next(words, None)
            elif not word.startswith("-"):
                return True
        return False
