"""What a role logs reaches the agent; without an agent it reaches a file, and nothing ever blocks or raises."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard.applog import IntakeHandler, sender
from tabard.applog.record import TEXT_LIMIT, row_of
from tabard.home import Home
from tabard.records import LOG_INDEX
from tests.unit.ground.listening import Listener

MESSAGE = LOG_INDEX["message"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with its rooms."""
    return Home(tmp_path / "h").ensure()


@pytest.fixture
def handler(home: Home) -> Iterator[IntakeHandler]:
    """A handler of the role ``recorder``, closed afterwards."""
    made = IntakeHandler("recorder", home)
    yield made
    made.close()


def speaking(handler: IntakeHandler) -> logging.Logger:
    """A logger of nobody else, that speaks through ``handler``."""
    logger = logging.Logger("tabard.test")  # noqa: LOG001 -- one that ends with the test
    logger.addHandler(handler)
    return logger


@pytest.fixture
def log(handler: IntakeHandler) -> logging.Logger:
    """A logger that speaks through the handler only."""
    return speaking(handler)


def test_records_reach_the_agent_with_everything_known(home: Home, log: logging.Logger) -> None:
    """Place, level, trace and extras arrive in the layout of log records."""
    listener = Listener(home.socket("intake.sock"))
    try:
        log.info("hello %s", "world", extra={"zone": "hq"})
        try:
            dict[str, int]()["k"]
        except KeyError:
            log.exception("failed")
        first, second = listener.wait_for(2)
    finally:
        listener.close()
    said = {name: first[position] for name, position in LOG_INDEX.items()}
    assert said["message"] == "hello world"
    assert (said["severity"], said["level"], said["service"]) == (9, "INFO", "tabard-recorder")
    assert (said["module"], said["process"]) == ("test_applog", os.getpid())
    assert json.loads(said["attributes"]) == {"zone": "hq"}
    assert second[LOG_INDEX["exception"]] == "KeyError: 'k'"
    assert "Traceback" in second[LOG_INDEX["stack"]]


def test_without_an_agent_the_file_has_the_records_and_the_agent_gets_them_later(
    home: Home, log: logging.Logger, handler: IntakeHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that was said before the agent came is missing, and it comes once."""
    monkeypatch.setattr(sender, "FIRST_RETRY", 0.01)
    for number in range(40):
        log.warning("early %d", number)
    while not (home.log / "recorder.log").exists():
        os.sched_yield()
    listener = Listener(home.socket("intake.sock"))
    try:
        log.warning("late")
        records = listener.wait_for(41)
    finally:
        listener.close()
    assert [record[MESSAGE] for record in records] == [*(f"early {number}" for number in range(40)), "late"]
    assert "WARNING tabard.test: early 0" in (home.log / "recorder.log").read_text()


def test_a_broken_connection_loses_and_doubles_nothing(home: Home, log: logging.Logger) -> None:
    """Frames that were under way are sent again; the agent knows those it has."""
    listener = Listener(home.socket("intake.sock"))
    listener.hang_up_before = {2, 5}
    try:
        for number in range(200):
            log.info("%d", number)
        records = listener.wait_for(200)
    finally:
        listener.close()
    assert [record[MESSAGE] for record in records] == [str(number) for number in range(200)]


def test_the_last_words_are_waited_for(home: Home) -> None:
    """Closing hands over what is left."""
    listener = Listener(home.socket("intake.sock"))
    try:
        handler = IntakeHandler("broker", home)
        log = speaking(handler)
        for number in range(100):
            log.info("%d", number)
        handler.close()
        assert len(listener.records) == 100
        log.info("after the end")
    finally:
        listener.close()
    assert len(listener.records) == 100


def test_without_an_agent_the_last_words_are_in_the_file(home: Home) -> None:
    """A role that ends alone leaves its reason behind, and ends without waiting for anybody."""
    handler = IntakeHandler("agent", home, closing=0)
    log = speaking(handler)
    log.critical("no space left")
    handler.close()
    assert "CRITICAL tabard.test: no space left" in (home.log / "agent.log").read_text()


def test_memory_is_bounded_and_the_loss_is_confessed(
    home: Home, log: logging.Logger, handler: IntakeHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound the oldest go; the agent is told how many."""
    monkeypatch.setattr(sender, "KEPT", 10)
    monkeypatch.setattr(sender, "FIRST_RETRY", 0.01)
    for number in range(100):
        log.info("%d", number)
    listener = Listener(home.socket("intake.sock"))
    try:
        records = listener.wait_for(11)
    finally:
        listener.close()
    messages = [record[MESSAGE] for record in records]
    lost = next(message for message in messages if "were lost" in message)
    kept = [message for message in messages if message.isdigit()]
    assert int(lost.split()[0]) + len(kept) == 100
    assert kept == [str(number) for number in range(100 - len(kept), 100)]


def test_nothing_raises_into_the_role(home: Home, log: logging.Logger, handler: IntakeHandler) -> None:
    """Wrong arguments, values without a text, lone surrogates, a log directory that is gone."""

    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("no words")

        __repr__ = __str__

    home.log.rmdir()
    log.info(*("%d and %d", 1))
    log.info(Mute())
    log.info("x", extra={"mute": Mute()})
    log.info("\ud800")
    listener = Listener(home.socket("intake.sock"))
    try:
        messages = [record[MESSAGE] for record in listener.wait_for(3)]
    finally:
        listener.close()
    assert "'%d and %d' with 1 arguments that do not fit" in messages
    assert any("were lost" in message for message in messages)


def test_long_texts_are_cut_and_say_so() -> None:
    """One record cannot fill the memory that is there for a thousand."""
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "a" * (TEXT_LIMIT + 7), None, None)
    record.extra = "b" * TEXT_LIMIT
    row = row_of(record, "agent")
    assert row[MESSAGE].endswith("... (7 more characters)")
    assert json.loads(row[LOG_INDEX["attributes"]]) == {"too long": ["extra"]}


@pytest.mark.parametrize(
    ("level", "severity"), [(5, 1), (10, 5), (20, 9), (25, 9), (30, 13), (40, 17), (50, 21), (99, 21)]
)
def test_levels_become_severities(level: int, severity: int) -> None:
    """The numbers are OpenTelemetry's."""
    record = logging.LogRecord("x", level, __file__, 1, "m", None, None)
    assert row_of(record, "agent")[LOG_INDEX["severity"]] == severity


def test_a_forked_child_speaks_for_itself(home: Home, log: logging.Logger) -> None:
    """Web servers fork their workers after logging is set up: the child gets a thread and a source of its own."""
    listener = Listener(home.socket("intake.sock"))
    try:
        log.info("parent")
        listener.wait_for(1)
        code = (
            "import logging, os, sys; from tabard.applog import IntakeHandler; from tabard.home import Home\n"
            "h = IntakeHandler('herald', Home(sys.argv[1])); l = logging.Logger('x'); l.addHandler(h)\n"
            "l.info('master')\n"
            "if os.fork() == 0:\n    l.info('worker'); h.close(); os._exit(0)\n"
            "os.wait(); h.close()\n"
        )
        env = {**os.environ, "PYTHONWARNINGS": "ignore"}
        subprocess.run([sys.executable, "-c", code, str(home.path)], check=True, env=env)
        messages = {record[MESSAGE] for record in listener.wait_for(3)}
    finally:
        listener.close()
    assert messages == {"parent", "master", "worker"}
    assert len(listener.sources) == 3


def test_uncaught_errors_of_any_thread_are_recorded(home: Home) -> None:
    """What ends a role is in its records, with the trace, and still on standard error."""
    listener = Listener(home.socket("intake.sock"))
    code = (
        "import sys, threading; from tabard.applog import setup_role_logging; from tabard.settings import load\n"
        "s = load(sys.argv[1], env={}); setup_role_logging('recorder', s, s.home)\n"
        "t = threading.Thread(target=lambda: 1 / 0, name='t1'); t.start(); t.join()\n"
        "raise LookupError('gone')\n"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code, str(home.path)], capture_output=True, text=True)
        records = listener.wait_for(2)
    finally:
        listener.close()
    assert done.returncode == 1
    assert "LookupError: gone" in done.stderr
    assert [(record[MESSAGE], record[LOG_INDEX["exception"]]) for record in records] == [
        ("the thread t1 ends by an error", "ZeroDivisionError: division by zero"),
        ("the process ends by an error", "LookupError: gone"),
    ]


def test_a_role_that_is_killed_hard_leaves_no_thread_behind(home: Home, handler: IntakeHandler) -> None:
    """A handler that never spoke has no thread; one that did ends it when closed."""
    before = threading.active_count()
    quiet = IntakeHandler("agent", home)
    assert threading.active_count() == before
    quiet.close()
    spoke = IntakeHandler("agent", home, closing=0)
    spoke.handle(logging.makeLogRecord({"msg": "x", "levelno": signal.SIGINT}))
    spoke.close()
    assert threading.active_count() == before
