"""What is shown of values that hold secrets, and which names mean one."""

from __future__ import annotations

import pytest

from tabard.masking import MASK, command_line, secret_name, visible
from tabard.settings.kinds import Integer, brief
from tabard.settings.schema import Setting
from tabard.settings.table import SETTINGS

HIDDEN = {
    "postgres://shop:hunt@er2@db1/shop": "postgres://shop:***@db1/shop",
    "postgres://shop:hunt/er2@db1/shop": "postgres://shop:***@db1/shop",
    "http://a:hunter2@h1,http://b:hunter2@h2": "http://a:***@h1,http://b:***@h2",
    "https://0a1b2c3d4e5f60718293a4b5hunter2@example.org/1": "https://***@example.org/1",
    "https://hooks.slack.com/services/T0/B0/hunter2": "https://hooks.slack.com/services/***",
    "AccountName=x;AccountKey=hunter2==;EndpointSuffix=y": "AccountName=x;AccountKey=***;EndpointSuffix=y",
    "Server=x;PWD={hunter2;hunter2};Uid=z": "Server=x;PWD=***;Uid=z",
    "host=h password=hunter2,hunter2 dbname=d": "host=h password=*** dbname=d",
    "host=h password='hunt er2' dbname=d": "host=h password=*** dbname=d",
    '{"password": "hunt\\"er2", "user": "x"}': '{"password": ***, "user": "x"}',
    '{"tokens": ["hunter2", "hunter2"], "n": 1}': '{"tokens": ***, "n": 1}',
    "password: hunter2": "password: ***",
    "--password hunter2": "--password ***",
    "Authorization: Basic hunter2": "Authorization: ***",
    "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----": "***",
    "-----BEGIN PRIVATE KEY-----\nhunter2": "***",
}


@pytest.mark.threat("shown-secret")
@pytest.mark.parametrize("text", HIDDEN)
def test_a_secret_inside_of_a_value_is_masked_and_the_rest_stays(text: str) -> None:
    """Connection strings, URLs, JSON, headers, keys; also with what a password should not hold."""
    assert visible(text) == HIDDEN[text]


@pytest.mark.threat("shown-secret")
@pytest.mark.parametrize("text", HIDDEN)
def test_so_it_is_wherever_values_are_shown(text: str) -> None:
    """However short the value is; an error that found it where a number belongs does not say it either."""
    shown = Setting("a.b", SETTINGS[0].kind, "", "x").show(text)
    assert shown == HIDDEN[text]
    assert "hunter2" not in brief(text)


SHOWN = [
    "http://registry:4873/@scope/package",
    "https://user@example.org/path",
    "10:30 to 11:00",
    "the token expired",
    "/etc/app/password_file",
    "mapping: a=b",
]


@pytest.mark.parametrize("text", SHOWN)
def test_what_only_looks_like_one_stays(text: str) -> None:
    """Ports, users without a password, prose."""
    assert visible(text) == text


@pytest.mark.threat("shown-secret")
def test_an_error_never_shows_the_beginning_of_a_secret() -> None:
    """A long value is cut, and what is cut off could be what made the secret known as one."""
    text = "postgres://shop:" + "hunter2" * 20 + "@db1/shop"
    assert "hunter2" not in brief(text)
    assert "hunter2" not in str(Integer(1, 2).refuse(text))


@pytest.mark.parametrize(
    "name", ["db.password", "geheimnis", "account_key", "hmac.key", "x.pin", "creds", "db_admin_pass"]
)
def test_names_that_mean_a_secret(name: str) -> None:
    """In the languages of the estates that are read."""
    assert secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "auth.host",
        "auth.url",
        "token.lifetime",
        "password.min",
        "spin",
        "opinion",
        "sort.key",
        "password_file",
    ],
)
def test_names_about_a_secret_that_are_none(name: str) -> None:
    """Their values are wanted when two stages are compared."""
    assert not secret_name(name)


def test_a_secret_of_zero_is_one_too() -> None:
    """Only what is not set is shown as empty."""
    assert Setting("a.pin", Integer(0, 9999), 1, "x", secret=True).show(0) == "********"


LONG = {
    "a word": "key = " + "a" * 100_000,
    "its parts": "key=" + "a.b-" * 25_000,
    "many words": "pass" * 25_000 + " key=",
    "many values": "password=abcd;" * 9_000,
    "many URLs": "key x://b:" * 10_000,
    "an open quote": 'key="' + "\\" * 100_000,
    "many blanks": "password" + " " * 100_000,
}


@pytest.mark.parametrize("what", LONG)
def test_a_long_text_costs_no_more_than_its_length(what: str) -> None:
    """The square of it would hold an agent up for hours at one long argument: this test would not end."""
    assert len(visible(LONG[what])) <= len(LONG[what])
    assert len(command_line(["app", LONG[what]])) <= 1_024


def test_the_mask_is_what_stands_there() -> None:
    """Nothing of how it is put in is left."""
    assert visible("password=a token=b") == f"password={MASK} token={MASK}"
