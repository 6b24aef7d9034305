"""Named actions: places for arguments, and what of the settings is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.agents.commands.rules import Rules, filled
from tabard.errors import RefusedError
from tabard.home import Home
from tabard.settings import examine, load

NASTY = ["a b", "{2}", "$(x); `y`", "", "\\1", "{*}", "--force"]


@pytest.mark.threat("shell-in-a-command")
def test_arguments_stay_within_their_words() -> None:
    """Whatever they contain; what stands in one is not a place for another."""
    assert filled("x", ("run", "{1}", "-{1}-{2}", "{*}", "{}"), NASTY) == (
        "run",
        "a b",
        "-a b-{2}",
        *NASTY[2:],
        "{}",
    )


@pytest.mark.parametrize(
    ("template", "count", "may"),
    [
        (("a",), 0, True),
        (("a",), 1, False),
        (("a", "{1}"), 0, False),
        (("a", "{1}"), 1, True),
        (("a", "{1}"), 2, False),
        (("a", "{*}"), 0, True),
        (("a", "{*}"), 5, True),
        (("a", "{1}", "{*}"), 0, False),
        (("a", "{1}", "{*}"), 3, True),
        (("a", "x{*}"), 1, False),
    ],
)
def test_the_number_of_arguments_is_that_of_the_places(
    template: tuple[str, ...], count: int, *, may: bool
) -> None:
    """None is dropped, and none is made up."""
    try:
        filled("x", template, ["word"] * count)
    except RefusedError:
        assert not may
    else:
        assert may


def written(folder: Path, text: str) -> Home:
    """A home with these settings."""
    home = Home(folder).ensure()
    home.settings_file.write_text(text)
    return home


def test_the_default_is_named_actions_without_approval(tmp_path: Path) -> None:
    """And only those that are built in."""
    rules = Rules.of(load(written(tmp_path, "").path, env={}))
    assert rules == Rules(frozenset({"actions"}), {}, 0, 4, 1 << 20)


def test_what_the_settings_say(tmp_path: Path) -> None:
    """A word may stand twice in a program."""
    text = '[commands]\naccept = []\napprovals = 2\n[[action]]\nname = "a"\nrun = ["x", "-v", "-v", "{1}"]\n'
    rules = Rules.of(load(written(tmp_path, text).path, env={}))
    assert (rules.accept, rules.approvals) == (frozenset(), 2)
    assert rules.actions == {"a": ("x", "-v", "-v", "{1}")}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('[commands]\naccept = ["all"]\n', "accept"),
        ('[[action]]\nname = "a"\nrun = ["x"]\n' * 2, "two actions are named 'a'"),
        ('[[action]]\nname = "a"\nrun = ["x", "{2}"]\n', "no place for argument 1"),
        ('[[action]]\nname = "a"\nrun = ["", "x"]\n', "its program has no name"),
        ('[[action]]\nname = "../a"\nrun = ["x"]\n', "name"),
        ('[[action]]\nname = "a"\nrun = []\n', "run"),
        ('[[action]]\nname = "a"\n', "run"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, part: str) -> None:
    """At `tabard check`, and before a role starts."""
    home = written(tmp_path, text)
    said = [str(each.error) for each in examine(home.path, env={}).findings if not each.warning]
    assert len(said) == 1 and part in said[0], said
