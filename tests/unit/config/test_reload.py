"""Reading a configuration again: what stays, what comes and goes, and what is refused."""

from __future__ import annotations

import logging
import os
import signal
import threading

import pytest

from tabard.config import Duration, Integer, Option
from tabard.errors import SettingsError

OPTIONS = [
    Option("orders.batch", Integer(1, 1000), 100, "Orders taken at a time.", reload=True),
    Option("orders.pause", Duration("1s", "1h"), "5s", "Time between two looks."),
]


def test_the_stage_stays_whatever_the_home_says_meanwhile(make, tmp_path):
    """Its lock and its files are those of the stage it was started in; another's values are never taken."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "tabard.toml").write_text('[node]\nstage = "TESTING"\n', encoding="utf-8")
    (tmp_path / "shop_t.cfg").write_text("[A]\nb = tried\n", encoding="utf-8")
    (tmp_path / "shop.cfg").write_text("[A]\nb = live\n", encoding="utf-8")
    config = make()
    assert (config.name, config["a.b"]) == ("shop_t", "tried")
    (home / "tabard.toml").write_text('[node]\nstage = "PRODUCTION"\n', encoding="utf-8")
    assert config.reload().changed == ()
    assert (config.stage.name, config.name, config["a.b"]) == ("TESTING", "shop_t", "tried")


def test_keys_of_an_old_file_come_and_go_with_it(make, tmp_path):
    """Nobody declared them, so none of them waits for a restart."""
    file = tmp_path / "shop_t.cfg"
    file.write_text("[A]\nb = 1\n", encoding="utf-8")
    config = make(stage="TESTING")
    assert "a.b" in config
    file.write_text("[C]\nd = 2\n", encoding="utf-8")
    outcome = config.reload()
    assert (set(outcome.changed), outcome.restart) == ({"a.b", "c.d"}, ())
    assert ("a.b" in config, "c.d" in config, "c.d" in list(config)) == (False, True, True)


@pytest.mark.parametrize("left", [None, ""])
def test_a_file_that_is_gone_or_empty_is_refused(make, heard, tmp_path, left):
    """It may be about to be written: the values do not fall back to the defaults in that instant."""
    file = tmp_path / "shop.toml"
    file.write_text("[orders]\nbatch = 7\n", encoding="utf-8")
    config = make(options=OPTIONS)
    if left is None:
        file.unlink()
    else:
        file.write_text(left, encoding="utf-8")
    assert isinstance(config.reload().error, SettingsError)
    assert config["orders.batch"] == 7
    assert "shop.toml: is gone, or empty now" in heard[-1].getMessage()
    file.write_text("[orders]\nbatch = 8\n", encoding="utf-8")
    assert config.reload().changed == ("orders.batch",)


def test_what_waits_for_a_restart_is_in_the_record(make, heard, tmp_path):
    """Else whoever sent the signal believes that everything new holds."""
    config = make(options=OPTIONS)
    (tmp_path / "shop.toml").write_text('[orders]\npause = "9s"\n', encoding="utf-8")
    config.reload()
    assert vars(heard[-1])["configuration"]["restart"] == ["orders.pause"]
    assert heard[-1].getMessage().endswith("; new only after a restart: orders.pause")


def test_the_next_hangup_is_heard_after_one_that_failed(make, heard, tmp_path):
    """A check of the application's own that breaks is recorded, and ends nothing but that one reload."""
    looks = []

    def look(_values):
        looks.append(1)
        if len(looks) == 2:
            raise TypeError("a slip in the check")

    told = threading.Event()
    failed = threading.Event()
    config = make(options=OPTIONS, validate=look)
    config.reload_on_hangup(lambda _outcome: told.set())

    class Ears(logging.Handler):
        def emit(self, record):
            if record.exc_info:
                failed.set()

    ears = Ears()
    logging.getLogger("tabard.config").addHandler(ears)
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        assert failed.wait(30)
    finally:
        logging.getLogger("tabard.config").removeHandler(ears)
    (tmp_path / "shop.toml").write_text("[orders]\nbatch = 8\n", encoding="utf-8")
    os.kill(os.getpid(), signal.SIGHUP)
    assert told.wait(30)
    assert config["orders.batch"] == 8
