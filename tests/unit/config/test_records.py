"""The record of a configuration: at each start and reload, masked, by way of ordinary logging."""

from __future__ import annotations

import json
import logging

import pytest

from tabard.applog.record import Speaker, row_of
from tabard.config import Flag, Integer, Option, Reload, Text
from tabard.errors import SettingsError
from tabard.records import LOG_INDEX

OPTIONS = [
    Option("orders.batch", Integer(1, 1000), 100, "Orders taken at a time.", reload=True),
    Option("orders.dry", Flag(), False, "Whether nothing is done."),
    Option("db.password", Text(), "hunter2-hunter2", "Of the database."),
    Option("db.dsn", Text(empty=True), "", "Where the database is.", secret=True),
]


def said(record):
    """The attribute that makes a record one of a configuration."""
    return vars(record)["configuration"]


def test_a_start_is_a_record(make, heard):
    """Who, in which version, where, with what, and the digest; the fields of the row say so too."""
    config = make(options=OPTIONS, stage="TESTING", package="shop.web", version="4.2.1")
    (record,) = heard
    assert record.levelno == logging.INFO
    assert said(record) == {
        "service": "shop",
        "package": "shop.web",
        "version": "4.2.1",
        "stage": "TESTING",
        "reason": "start",
        "changed": [],
        "restart": [],
        "digest": config.digest,
        "rule": "salted",
        "values": {
            "db.dsn": "",
            "db.password": "********",
            "global.herald_url": "",
            "global.logging": "DEBUG",
            "global.pattern_language": "EN",
            "orders.batch": "100",
            "orders.dry": "false",
        },
        "secrets": {"db.password": config.effective.secrets["db.password"]},
        "left_out": 0,
    }
    row = row_of(record, Speaker("x"), 1)
    fields = {name: row[LOG_INDEX[name]] for name in ("service", "package", "version", "logger", "message")}
    assert fields == {
        "service": "shop",
        "package": "shop.web",
        "version": "4.2.1",
        "logger": "tabard.config",
        "message": f"shop 4.2.1 in TESTING: configuration {config.digest[:12]} at its start, 7 options",
    }
    assert json.loads(row[LOG_INDEX["attributes"]])["configuration"] == said(record)


def test_a_reload_is_a_record_with_what_changed(make, heard, tmp_path):
    """Options that cannot change while it runs keep their value, and the digest is that of what holds."""
    config = make(options=OPTIONS, stage="")
    before = config.digest
    (tmp_path / "shop.toml").write_text("[orders]\nbatch = 7\ndry = true\n", encoding="utf-8")
    outcomes: list[Reload] = []
    outcome = config.reload(outcomes.append)
    assert outcomes == [outcome]
    assert (outcome.changed, outcome.restart, outcome.error) == (("orders.batch",), ("orders.dry",), None)
    assert (config["orders.batch"], config["orders.dry"]) == (7, False)
    assert said(heard[1])["reason"] == "reload"
    assert said(heard[1])["changed"] == ["orders.batch"]
    assert said(heard[1])["digest"] == config.digest != before


def test_a_broken_file_keeps_the_old_values_and_says_so(make, heard, tmp_path):
    """An error record, the callback hears of it, the application goes on."""
    config = make(options=OPTIONS)
    (tmp_path / "shop.toml").write_text("[orders]\nbatch = 7000\n", encoding="utf-8")
    outcomes: list[Reload] = []
    config.reload(outcomes.append)
    assert config["orders.batch"] == 100
    assert isinstance(outcomes[0].error, SettingsError)
    assert heard[1].levelno == logging.ERROR
    assert "line 2: orders.batch: wrong value" in heard[1].getMessage()
    assert not hasattr(heard[1], "configuration")


def test_nothing_new_is_told_to_the_application_as_nothing(make, heard):
    """The record is written all the same: it says that the configuration was looked at."""
    config = make(options=OPTIONS)
    assert config.reload(pytest.fail).changed == ()
    assert [said(record)["reason"] for record in heard] == ["start", "reload"]


def test_what_the_callback_raises_is_recorded(make, heard, tmp_path):
    """The new values hold, and the application is not interrupted."""
    config = make(options=OPTIONS)
    (tmp_path / "shop.toml").write_text("[orders]\nbatch = 7\n", encoding="utf-8")

    def broken(_):
        raise RuntimeError("no time")

    config.reload(broken)
    assert config["orders.batch"] == 7
    assert "RuntimeError" in str(heard[-1].exc_info)


def test_secrets_are_nowhere_to_be_seen(make, heard, tmp_path):
    """Neither in repr, listings, records, nor in errors about the secret itself."""
    word = "hunter2-hunter2"
    config = make(options=OPTIONS, env={"SHOP_DB_DSN": word})
    config.reload()
    assert word not in repr([option._replace(secret=True) for option in OPTIONS])
    shown = repr(config) + repr(config.shown()) + repr(config.effective)
    shown += "".join(record.getMessage() + repr(vars(record)) for record in heard)
    assert word not in shown
    assert (config["db.password"], config["db.dsn"]) == (word, word)
    narrow = [Option("db.password", Text("at most 4 letters", limit=4), "abcd", "Of the database.")]
    for given in ({"env": {"TILL_DB_PASSWORD": word}}, {"arguments": {"db.password": word}}):
        with pytest.raises(SettingsError) as caught:
            make("till", narrow, **given)
        assert word not in str(caught.value)
        assert "expected at most 4 letters, found something else" in str(caught.value)


def test_a_record_is_made_however_high_the_level(make, heard):
    """Without it nobody knows what runs."""
    logging.getLogger("tabard.config").setLevel(logging.ERROR)
    make(options=OPTIONS)
    assert len(heard) == 1


def test_a_record_is_made_after_a_dict_config_that_knows_nothing_of_it(make, heard):
    """By default it disables every logger that is there already; a refused reload is told as well."""
    logging.getLogger("tabard.config").disabled = True
    config = make(options=OPTIONS)
    assert len(heard) == 1
    logging.getLogger("tabard.config").disabled = True
    (config.home.path.parent / "shop.toml").write_text("[orders]\nbatch = 7000\n", encoding="utf-8")
    assert config.reload().error is not None
    assert heard[-1].levelno == logging.ERROR
