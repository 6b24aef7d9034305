"""What every command shares: lazy loading, ``--home``, worked examples in the help, a pipe that closes."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from tabard.home import Home, default_home


class Entry(NamedTuple):
    """One row of the table of commands."""

    target: str
    """``module:attribute`` of a ``Command``."""
    summary: str
    """The first sentence of its help, shown without importing it."""


class ReaderGone(Exception):
    """Raised when standard output is a pipe whose reader has left, as in ``tabard logs | head``."""


class HomeType(click.ParamType[Home]):
    """A home directory."""

    name = "directory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Home:
        """The home of a path."""
        if value == "":  # a variable of a script that is not set: not the directory it happens to be in
            self.fail("expected a directory, found an empty name", param, ctx)
        return value if isinstance(value, Home) else Home(value)

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Let the shell complete directories."""
        return [CompletionItem(incomplete, type="dir")]


def home_option() -> click.Option:
    """``--home``, before the command or after it; the later one counts."""
    return click.Option(
        ["--home"],
        type=HomeType(),
        metavar="DIR",
        help="Home directory of this Tabard.  [default: TABARD_HOME, else ~/.tabard]",
    )


class Command(click.Command):
    """A command: takes ``--home`` and passes it on as ``home``; its help ends in ``examples``.

    ``examples`` are (command line, what it does). ``audited`` is the kind of its entry in the audit, if what it does has to be
    answered for.
    """

    def __init__(
        self, *args: Any, examples: Sequence[tuple[str, str]], audited: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(home_option())
        self.examples = examples
        self.audited = audited

    def invoke(self, ctx: click.Context) -> Any:
        """Run with the home that was given here, before the command, or by the environment."""
        if ctx.params["home"] is None:
            ctx.params["home"] = ctx.find_root().params.get("home") or Home(default_home(os.environ))
        if self.audited and not (ctx.params.get("dry_run") or ctx.params.get("plan")):
            from tabard.ops.cli.accounted import accounted

            run = super().invoke
            return accounted(ctx.params["home"], self.audited, ctx.params, lambda: run(ctx))
        return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The worked examples."""
        write_examples(self.examples, formatter)
        super().format_epilog(ctx, formatter)


class Root(click.Group):
    """The command without a name. Imports a command's module only when that command is used."""

    def __init__(
        self, *, table: Mapping[str, Entry], examples: Sequence[tuple[str, str]], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.examples = examples

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """All names, in the table's order."""
        return list(self.table)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """The command, imported now; None when the table has no such name."""
        entry = self.table.get(name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.target} is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest the nearest name."""
        name = args[0]
        if name not in self.table and not name.startswith("-"):
            import difflib  # only on the way to an error

            close = difflib.get_close_matches(name, self.table, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"'{ctx.command_path} --help' lists them."
            ctx.fail(f"There is no command '{name}'. {hint}")
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the command line; ``--help`` and ``--version`` are printed here. Raises ReaderGone."""
        with _reader_may_leave():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command and write out what it printed. Raises ReaderGone."""
        with _reader_may_leave():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Command names from the table, without importing any of them."""
        names = [
            CompletionItem(name, help=entry.summary)
            for name, entry in self.table.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands with their summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.table.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The worked examples."""
        write_examples(self.examples, formatter)
        super().format_epilog(ctx, formatter)


def command(
    name: str, examples: Sequence[tuple[str, str]], **kwargs: Any
) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a ``Command``. It gets ``home`` beside its own options and returns an exit code or None."""
    return click.command(name, **{"cls": Command, "examples": examples, **kwargs})


def write_examples(examples: Sequence[tuple[str, str]], formatter: click.HelpFormatter) -> None:
    """Command lines as one would type them, each below what it does."""
    with formatter.section("Examples"):
        for line, meaning in examples:
            formatter.write_text(f"# {meaning}")
            formatter.write(f"{'':{formatter.current_indent}}$ {line}\n")


@contextlib.contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Raises ReaderGone rather than BrokenPipeError, which click would turn into a failure."""
    try:
        yield
    except BrokenPipeError as error:
        if not _reader_is_gone():
            raise
        # What is still buffered must not fail a second time when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ReaderGone from error


def _reader_is_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))
