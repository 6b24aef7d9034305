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

from tabard.applog import LogHandler, delivery, role_handler
from tabard.home import Home
from tabard.records import LOG_INDEX
from tests.unit.ground.listening import Listener

MESSAGE = LOG_INDEX["message"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with its rooms."""
    return Home(tmp_path / "h").ensure()


@pytest.fixture
def handler(home: Home) -> Iterator[LogHandler]:
    """A handler of the role ``recorder``, closed afterwards."""
    made = role_handler("recorder", home)
    yield made
    made.close()


def speaking(handler: LogHandler) -> logging.Logger:
    """A logger of nobody else, that speaks through ``handler``."""
    logger = logging.Logger("tabard.test")  # noqa: LOG001 -- one that ends with the test
    logger.addHandler(handler)
    return logger


@pytest.fixture
def log(handler: LogHandler) -> logging.Logger:
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
    assert (said["module"], said["process"]) == ("test_role_handler", os.getpid())
    assert json.loads(said["attributes"]) == {"zone": "hq"}
    assert second[LOG_INDEX["exception"]] == "KeyError: 'k'"
    assert "Traceback" in second[LOG_INDEX["stack"]]


def test_without_an_agent_the_file_has_the_records_and_the_agent_gets_them_later(
    home: Home, log: logging.Logger, handler: LogHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that was said before the agent came is missing, and it comes once."""
    monkeypatch.setattr(delivery, "FIRST_RETRY", 0.01)
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
        handler = role_handler("broker", home)
        log = speaking(handler)
        for number in range(100):
            log.info("%d", number)
        handler.close()
        assert len(listener.records) == 100
    finally:
        listener.close()


def test_without_an_agent_the_last_words_are_in_the_file(home: Home) -> None:
    """A role that ends alone leaves its reason behind, and ends without waiting for anybody."""
    handler = role_handler("agent", home, exit_wait=0)
    log = speaking(handler)
    log.critical("no space left")
    handler.close()
    assert "CRITICAL tabard.test: no space left" in (home.log / "agent.log").read_text()


def test_memory_is_bounded_and_the_loss_is_confessed(
    home: Home, log: logging.Logger, handler: LogHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is neither an agent nor room on disk the oldest frames go; the agent is told how many."""
    monkeypatch.setattr(delivery, "MOST_HELD", 4_000)
    monkeypatch.setattr(delivery, "FIRST_RETRY", 0.01)
    home.spool.rmdir()
    home.spool.write_text("in the way")
    for number in range(100):
        log.info("%d", number)
        assert number % 10 or not handler.wait(0.05), "it is not safe"
    listener = Listener(home.socket("intake.sock"))
    try:
        while not any("were lost" in record[MESSAGE] for record in listener.wait_for(1)):
            log.info("more")
            handler.wait(1)
        records = list(listener.records)
    finally:
        listener.close()
    messages = [record[MESSAGE] for record in records]
    lost = next(message for message in messages if "were lost" in message)
    kept = [message for message in messages if message.isdigit()]
    assert int(lost.split()[0]) + len(kept) == 100
    assert kept == [str(number) for number in range(100 - len(kept), 100)]


def test_a_forked_child_speaks_for_itself(home: Home, log: logging.Logger) -> None:
    """Web servers fork their workers after logging is set up: the child gets a thread and a source of its own."""
    listener = Listener(home.socket("intake.sock"))
    try:
        log.info("parent")
        listener.wait_for(1)
        code = (
            "import logging, os, sys; from tabard.applog import role_handler; from tabard.home import Home\n"
            "h = role_handler('herald', Home(sys.argv[1])); l = logging.Logger('x'); l.addHandler(h)\n"
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


def test_a_role_that_is_killed_hard_leaves_no_thread_behind(home: Home, handler: LogHandler) -> None:
    """A handler that never spoke has no thread; one that did ends it when closed."""
    before = threading.active_count()
    quiet = role_handler("agent", home)
    assert threading.active_count() == before
    quiet.close()
    spoke = role_handler("agent", home, exit_wait=0)
    spoke.handle(logging.makeLogRecord({"msg": "x", "levelno": signal.SIGINT}))
    spoke.close()
    assert threading.active_count() == before
