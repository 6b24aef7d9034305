"""A policy as a person writes it: what is read, what is written again, and where each mistake is pointed at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.brokers.policy.document import (
    DOWN_KINDS,
    KINDS,
    MAX_RATE,
    MAX_TEXT,
    TEXT_FIELDS,
    Policy,
    Redaction,
)
from tabard.errors import SettingsError
from tabard.ops.policies.written import as_toml, read_policy

WHOLE = r"""
up_kinds = ["logs"]
up_nodes = ["web*", "gate"]
up_level = "info"
rate = "64KiB"
down_kinds = ["cursors"]
down_nodes = ["web*"]

[[withhold]]
service = "till*"
max_level = "warning"
attribute.customer = "*"

[[withhold]]
node = "web9"

[[redact]]
field = "user1"

[[redact]]
attribute = "card"
with = "(card)"

[[redact]]
pattern = '\d{13,16}'
with = "(number)"
"""


def read(folder: Path, text: str) -> Policy:
    """What a file with that text describes."""
    path = folder / "edge.toml"
    path.write_text(text, encoding="utf-8")
    return read_policy(path, "edge", "hq/dmz", "hq/dmz")


def test_every_key_is_read(tmp_path: Path) -> None:
    """Levels are words or numbers, a rate is a size, all of a matcher has to fit."""
    assert read(tmp_path, WHOLE) == Policy(
        "edge",
        1,
        "hq/dmz",
        "hq/dmz",
        up_kinds=("logs",),
        up_nodes=("web*", "gate"),
        up_level=9,
        withhold=(
            (("service", "till*"), ("max_level", 13), ("attribute.customer", "*")),
            (("node", "web9"),),
        ),
        redact=(
            Redaction("field", "user1"),
            Redaction("attribute", "card", text="(card)"),
            Redaction("pattern", "message", r"\d{13,16}", "(number)"),
        ),
        rate=65_536,
        down_kinds=("cursors",),
        down_nodes=("web*",),
    )


def test_the_example_of_the_page_is_one(tmp_path: Path) -> None:
    """What the page about policies shows can be set as it stands."""
    page = (Path(__file__).parents[3] / "docs/how-to/policies.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```\n(# edge\.toml\n.*?)^```", page, re.MULTILINE | re.DOTALL)
    found = read(tmp_path, text)
    assert (found.up_nodes, found.rate, len(found.withhold), len(found.redact)) == (
        ("web*", "gate"),
        65_536,
        2,
        3,
    )


def test_an_empty_file_lets_everything_pass(tmp_path: Path) -> None:
    """It is a policy all the same, which can be changed later."""
    assert read(tmp_path, "") == Policy("edge", 1, "hq/dmz", "hq/dmz", up_kinds=KINDS)


_PLAIN = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=MAX_TEXT)
_MATCHERS = st.dictionaries(
    st.sampled_from(["node", *TEXT_FIELDS]) | _PLAIN.map(lambda name: f"attribute.{name}"[:MAX_TEXT]),
    _PLAIN,
    min_size=1,
    max_size=4,
)
_REDACTIONS = st.one_of(
    st.builds(Redaction, st.just("field"), st.sampled_from(TEXT_FIELDS), st.just(""), _PLAIN),
    st.builds(Redaction, st.just("attribute"), _PLAIN, st.just(""), _PLAIN),
    st.builds(Redaction, st.just("pattern"), st.sampled_from(TEXT_FIELDS), st.just(r'\d{4}["\\]'), _PLAIN),
)


@given(
    kinds=st.lists(st.sampled_from(KINDS), unique=True),
    nodes=st.lists(_PLAIN, max_size=3),
    level=st.integers(0, 24),
    matchers=st.lists(_MATCHERS, max_size=3),
    redactions=st.lists(_REDACTIONS, max_size=3),
    rate=st.integers(0, MAX_RATE),
    down=st.lists(st.sampled_from(DOWN_KINDS), unique=True),
    reached=st.lists(_PLAIN, max_size=3),
)
def test_what_is_shown_can_be_set_again(
    tmp_path_factory: pytest.TempPathFactory,
    kinds: list[str],
    nodes: list[str],
    level: int,
    matchers: list[dict[str, str]],
    redactions: list[Redaction],
    rate: int,
    down: list[str],
    reached: list[str],
) -> None:
    """Whatever texts it has: quotes, backslashes, signs of other alphabets."""
    made = Policy(
        "edge",
        1,
        "hq/dmz",
        "hq/dmz",
        up_kinds=tuple(kinds),
        up_nodes=tuple(nodes),
        up_level=level,
        withhold=tuple(tuple(each.items()) for each in matchers),
        redact=tuple(redactions),
        rate=rate,
        down_kinds=tuple(down),
        down_nodes=tuple(reached),
    )
    folder = tmp_path_factory.mktemp("policy", numbered=True)
    again = read(folder, "\n".join(as_toml(made)))
    assert again._replace(withhold=()) == made._replace(withhold=())
    # The attributes of a matcher are one table, so they may stand together.
    assert [dict(each) for each in again.withhold] == [dict(each) for each in made.withhold]


@pytest.mark.parametrize(
    ("text", "line", "key", "said"),
    [
        ("up_kind = []", 1, "up_kind", "Did you mean up_kinds?"),
        ('\nup_kinds = ["control"]', 2, "up_kinds", "expected logs and samples"),
        ("up_nodes = 3", 1, "up_nodes", "expected a list of texts"),
        ('down_kinds = ["logs"]', 1, "down_kinds", "expected cursors and commands"),
        ("up_nodes = [3]", 1, "up_nodes", "expected a text in quotes"),
        ('up_level = "loud"', 1, "up_level", "expected one of"),
        ("up_level = 25", 1, "up_level", "expected 0 to 24"),
        ('rate = "fast"', 1, "rate", "expected bytes a second"),
        ("rate = -1", 1, "rate", "expected 0 to"),
        ("withhold = 3", 1, "withhold", "expected tables [[withhold]]"),
        ('[[withhold]]\n[[withhold]]\nnode = "a"', 1, "withhold.1", "at least one field"),
        (
            '[[withhold]]\nmax_level = "info"\nmin_level = "error"',
            2,
            "withhold.1.max_level",
            "expected at least min_level error",
        ),
        ('[[withhold]]\nnode = "a"\nservise = "x"', 3, "withhold.1.servise", "Did you mean service?"),
        ('[[withhold]]\nattribute = "x"', 2, "withhold.1.attribute", "expected a table"),
        ('[[withhold]]\nattribute.a = ""', 2, "withhold.1.attribute.a", "expected 1 to 256 characters"),
        ("[[withhold]]\nmin_level = 99", 2, "withhold.1.min_level", "expected 0 to 24"),
        ('[[redact]]\nwith = "x"', 1, "redact.1", "expected one of field, attribute and pattern"),
        ('[[redact]]\nfield = "user1"\nattribute = "a"', 1, "redact.1", "found field and attribute"),
        ('[[redact]]\nfield = "line"', 1, "redact.1", "expected one of level"),
        ('[[redact]]\nfield = "user1"\nin = "message"', 3, "redact.1.in", "only a pattern"),
        ("[[redact]]\nfield = 'user1'\n[[redact]]\npattern = '(a+)+b'", 4, "redact.2.pattern", "cannot have"),
        ("[[redact]]\npattern = 'x*'", 2, "redact.1.pattern", "fits everywhere"),
        ("up_level = ", 1, None, "not valid TOML"),
    ],
)
def test_a_mistake_is_pointed_at(tmp_path: Path, text: str, line: int, key: str | None, said: str) -> None:
    """By file, line and key, with what was expected and found."""
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    error = caught.value
    assert (error.file, error.line, error.key) == (str(tmp_path / "edge.toml"), line, key)
    assert said in str(error)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Nobody takes it for a policy that lets everything pass."""
    with pytest.raises(SettingsError, match="not found"):
        read_policy(tmp_path / "none.toml", "edge", "hq", "hq")
