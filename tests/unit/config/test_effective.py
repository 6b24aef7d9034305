"""What is shown of a configuration, and the digest by which two of them are compared."""

from __future__ import annotations

import json
import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.config import Option, Text
from tabard.errors import SettingsError
from tabard.home import Home
from tabard.settings.effective import KEY_FILE, LONGEST_VALUE, MOST_TEXT, bounded, effective, key_of, tag
from tabard.settings.schema import Schema
from tabard.settings.values import Origin, Values

SECRET = "hunter2-hunter2"
URL = f"postgres://shop:{SECRET}@db1/shop"


def values(given, secret=()):
    """Values of text options of those names."""
    rows = tuple(
        Option(name, Text(empty=True, limit=100_000), "", "x", secret=name in secret) for name in given
    )
    return Values(Schema({}, rows, (), {}), {name: (value, Origin("x")) for name, value in given.items()}, {})


@given(
    st.dictionaries(st.text("abc.", min_size=1, max_size=5), st.text(max_size=5), max_size=6), st.randoms()
)
def test_the_digest_does_not_depend_on_the_order(given, rng):
    """Nor on the layer a value came from."""
    items = list(given.items())
    rng.shuffle(items)
    assert effective(values(given)).digest == effective(values(dict(items))).digest


@given(
    st.dictionaries(st.sampled_from("abcd"), st.text(max_size=3)),
    st.dictionaries(st.sampled_from("abcd"), st.text(max_size=3)),
)
def test_different_values_have_different_digests(one, other):
    """Also when the same characters are split among names and values in another way."""
    assert (effective(values(one)).digest == effective(values(other)).digest) == (one == other)


@pytest.mark.parametrize("key", [None, b"k" * 32])
def test_secrets_differ_in_the_digest_and_are_nowhere_in_it(key):
    """By declaration, by a password within a URL; what is masked cannot stand for what is not."""
    one = effective(values({"a": "1", "b": SECRET, "c": URL}, secret="b"), key)
    other = effective(values({"a": "1", "b": SECRET + "!", "c": URL}, secret="b"), key)
    third = effective(values({"a": "1", "b": SECRET, "c": URL.replace(SECRET, "else")}, secret="b"), key)
    assert len({one.digest, other.digest, third.digest}) == 3
    assert one.values == other.values == {"a": "1", "b": "********", "c": "postgres://shop:***@db1/shop"}
    assert set(one.secrets) == {"b", "c"}
    assert SECRET not in repr(one) + json.dumps(bounded(one))
    tagged = one.secrets["b"]
    assert effective(values({"a": "1", "b": tagged, "c": URL}), key).digest != one.digest


def test_a_secret_that_is_not_set_is_no_secret():
    """It is seen that nothing is there."""
    found = effective(values({"b": ""}, secret="b"))
    assert (found.values, found.secrets) == ({"b": ""}, {})


def test_the_same_word_under_two_names_has_two_tags():
    """Or one known secret would show where else it is used. Keys change every tag, and are told apart."""
    assert tag("a", SECRET, None) != tag("b", SECRET, None)
    assert tag("a", SECRET, b"k" * 16) != tag("b", SECRET, b"k" * 16)
    rules = {effective(values({}), key).rule for key in (None, b"k" * 16, b"l" * 16)}
    assert len(rules) == 3
    assert "salted" in rules


def test_a_digest_is_the_same_tomorrow():
    """It is compared with what was stored by older versions: the rule must not change unnoticed."""
    found = effective(values({"b": "2", "a": "ä", "s": SECRET}, secret="s"))
    assert (found.digest, found.secrets["s"]) == ("77c7b3802552b92ec503fd4d770edbc3", "4a69b1454094b71e")
    keyed = effective(values({"s": SECRET}, secret="s"), b"0123456789abcdef")
    assert (keyed.digest, keyed.rule) == ("08a2d7c94298b6ed7daeeb2bd5690791", "keyed:9161cddb")


def test_the_key_is_read_from_the_home(tmp_path):
    """None is there: the salted rule. Too short, or open to everybody: an error that says what to do."""
    home = Home(tmp_path)
    assert key_of(home) is None
    path = tmp_path / KEY_FILE
    path.write_bytes(b"0123456789abcdef\n")
    os.chmod(path, 0o600)
    assert key_of(home) == b"0123456789abcdef"
    os.chmod(path, 0o604)
    with pytest.raises(SettingsError, match="chmod 600"):
        key_of(home)
    path.write_bytes(b"short")
    os.chmod(path, 0o600)
    with pytest.raises(SettingsError, match="expected at least 16 bytes, found 5 bytes"):
        key_of(home)


def test_a_record_carries_a_bounded_part():
    """Long values are cut, many are left out and counted; the digest is that of all of them."""
    rng = random.Random(5)
    many = {f"s{i}.k": "€" * rng.randrange(1500) for i in range(500)}
    found = effective(values({**many, "a.secret": SECRET}, secret=("a.secret",)))
    part = bounded(found)
    assert max(map(len, part["values"].values())) == LONGEST_VALUE
    assert len(part["values"]) + part["left_out"] == 501
    assert 0 < part["left_out"] < 501
    assert part["secrets"] == {"a.secret": found.secrets["a.secret"]}
    assert len(json.dumps(part)) < MOST_TEXT + 1_000
    ends = {bounded(effective(values({"a": "x" * 300 + end})))["values"]["a"] for end in ("1", "2")}
    assert len(ends) == 2, "values that differ where they are cut would be shown as the same"
    assert all(len(end) == LONGEST_VALUE for end in ends)
    assert part["digest"] != bounded(effective(values({**many, "s9.k": "other"})))["digest"]
