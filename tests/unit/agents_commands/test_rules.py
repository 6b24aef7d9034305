"""Named actions: places for arguments, and what of the settings is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.agents.commands.deciding import check_approvals
from tabard.agents.commands.rules import Rules, filled
from tabard.brokers.trust.certificates import OPERATOR
from tabard.brokers.wire.command import ACTION
from tabard.errors import RefusedError
from tabard.home import Home
from tabard.settings import examine, load
from tests.operators import document, somebody
from tests.trustees import Trustees

ADA = somebody(Trustees(), OPERATOR, "hq")
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
    file = str(tmp_path / "tabard.toml")
    assert rules == Rules(frozenset({"actions"}), {}, 0, 4, 1 << 20, file=file)


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
        ('[[action]]\nname = "a"\nrun = ["x", "{1}"]\nargs = ["["]\n', "args"),
        ('[[action]]\nname = "a"\nrun = ["x", "{1}"]\nargs = [""]\n', "args"),
        (
            '[[action]]\nname = "a"\nrun = ["x", "{1}"]\nargs = ["(a+)+b"]\n',
            "without a repeat behind a group",
        ),
        ('[[action]]\nname = "a"\nrun = ["x", "{1}", "{*}"]\nargs = ["a"]\n', "2 places, and args has 1"),
        ('[[action]]\nname = "a"\nrun = ["x"]\nargs = ["a"]\n', "0 places, and args has 1"),
        ('[[action]]\nname = "a"\n', "run"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, part: str) -> None:
    """At `tabard check`, and before a role starts."""
    home = written(tmp_path, text)
    said = [str(each.error) for each in examine(home.path, env={}).findings if not each.warning]
    assert len(said) == 1 and part in said[0], said


@pytest.mark.threat("more-than-is-accepted")
@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["web", "1"], 0),
        (["web-2.example", "12", "34"], 0),
        (["web"], 2),
        (["web; reboot", "1"], 1),
        (["--force", "1"], 1),
        (["web\n", "1"], 1),
        (["", "1"], 1),
        (["w" * 255, "1"], 0),
        (["w" * 256, "1"], 1),
        (["web", "1", "2x"], 3),
        (["x", "1"], 1),
    ],
)
def test_arguments_are_what_the_settings_let_them_be(
    tmp_path: Path, arguments: list[str], wrong: int
) -> None:
    """Each as a whole, in the order of the places; what does not fit is refused, with what was expected and found."""
    text = '[[action]]\nname = "a"\nrun = ["x", "{2}", "{1}", "{*}"]\nargs = ["[a-z][a-z0-9.-]+", "[0-9]+", "[0-9]+"]\n'
    rules = Rules.of(load(written(tmp_path, text).path, env={}))
    meant = document(ADA)._replace(kind=ACTION, words=("a", *arguments))
    if not wrong:
        assert rules.words(meant) == ("x", arguments[1], arguments[0], *arguments[2:])
        return
    with pytest.raises(RefusedError) as refused:
        rules.words(meant)
    assert refused.value.expected and refused.value.found
    if len(arguments) > 1:
        assert f"argument {wrong} of the action a does not fit" in refused.value.what


@pytest.mark.parametrize("pattern", [r"[(a)+]+", r"\)+", r"(a|b)?", r"[])+]", r"(?:www\.)?[a-z]+"])
def test_what_only_looks_like_a_repeat_of_a_group_is_none(tmp_path: Path, pattern: str) -> None:
    """In a class or escaped."""
    home = written(tmp_path, f'[[action]]\nname = "a"\nrun = ["x", "{{1}}"]\nargs = [\'{pattern}\']\n')
    assert Rules.of(load(home.path, env={})).limits["a"][0].pattern == pattern


@pytest.mark.threat("more-than-is-accepted")
def test_who_is_refused_is_told_which_setting_of_which_file_says_so(tmp_path: Path) -> None:
    """On that node: nobody has to guess where to look."""
    rules = Rules.of(load(written(tmp_path, "").path, env={}))
    file = str(tmp_path / "tabard.toml")
    for wanted, setting in (
        (document(ADA), "commands.accept"),
        (document(ADA)._replace(kind=ACTION, words=("nope",)), "[[action]]"),
    ):
        with pytest.raises(RefusedError) as raised:
            rules.words(wanted)
        assert setting in raised.value.what and f"{file} there" in raised.value.what
    with pytest.raises(RefusedError) as raised:
        check_approvals(rules._replace(approvals=1), lambda: 0)
    assert f"commands.approvals in {file} there" in raised.value.what
