"""The pages and the command line agree: what a page tells the reader to type exists, and what exists is told."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest

from tabard.ops.cli import root as tool
from tests.unit.house.text import texts

ROOT: Final = Path(__file__).parents[3]
PAGES: Final = {path: text for path, text in texts(ROOT) if path.suffix == ".md"}
# `tabard ...` at the start of a line, after a prompt, a pipe, an assignment or a cron line's stars, up to what ends
# it for the shell; and the same as inline code.
_TYPED: Final = re.compile(r"(?:^|[|&;] *|\S=\S+ |\* +)(?:\S*/)?(tabard(?: [^|&;>#\n)─]*|$))", re.MULTILINE)
_INLINE: Final = re.compile(r"`(tabard [^`|&;>]+)[^`]*`")
_FENCE: Final = re.compile(r"^```(?:sh|shell|console)?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _typed() -> Iterator[tuple[Path, str]]:
    for path, text in PAGES.items():
        for block in _FENCE.findall(text):
            yield from ((path, line) for line in _TYPED.findall(block))
        yield from ((path, line) for line in _INLINE.findall(text))


LINES: Final = sorted({(str(path), line.strip()) for path, line in _typed()})


@pytest.fixture(scope="module")
def context() -> Iterator[click.Context]:
    with click.Context(tool, info_name="tabard") as context:
        yield context


def _wrong(context: click.Context, words: list[str]) -> str | None:
    """What the tool would not understand of a command line, None when it would."""
    try:
        command: click.Command = tool
        while isinstance(command, click.Group):
            rest = command.make_parser(context).parse_args(list(words))[1]
            if not rest:
                return None
            found = command.get_command(context, rest[0])
            if found is None:
                return f"no such command: {rest[0]}"
            command, words = found, rest[1:]
        command.make_parser(context).parse_args(list(words))
    except click.UsageError as error:
        return error.format_message()
    return None


@pytest.mark.parametrize(("page", "line"), LINES)
def test_what_a_page_says_to_type_is_understood(context: click.Context, page: str, line: str) -> None:
    """The command exists, and so does every option that the page gives it."""
    assert _wrong(context, shlex.split(line)[1:]) is None


def test_every_command_is_on_a_page(context: click.Context) -> None:
    """No command exists that the documentation is silent about."""
    told = "\n".join(PAGES.values())
    assert [name for name in tool.list_commands(context) if not re.search(rf"\btabard {name}\b", told)] == []


def test_the_pages_are_read() -> None:
    """The examples are still found: the README, the tutorial and the how-to pages hold many."""
    assert len(LINES) > 30
    assert ("README.md", "tabard nodes") in LINES
    assert any(line.startswith("tabard agent --cron --home") for _, line in LINES)


@pytest.mark.parametrize("name", tool.list_commands(click.Context(tool)))
def test_help_ends_in_examples(context: click.Context, name: str) -> None:
    """`tabard NAME --help` shows at least one command line to copy."""
    command = tool.get_command(context, name)
    assert command is not None
    page = command.get_help(click.Context(command, info_name=f"tabard {name}", parent=None))
    assert re.search(
        r"^ +(?:\$ )?(?:.*\| *)?tabard ", page.partition("Usage:")[2].partition("\n")[2], re.MULTILINE
    )
