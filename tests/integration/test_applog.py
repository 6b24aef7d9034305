"""What an application logs is stored once and in order, whatever becomes of the agent or of the application."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.integration.applogging import Rig, numbers
from tests.numbering import difference, differences

TWO_LINES = "import tabard\nhandler = tabard.setup_logging('shop')\nimport logging\nlog = logging.getLogger('shop.orders')\n"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A home without an agent."""
    made = Rig(tmp_path)
    yield made
    made.close()


def test_two_lines_are_enough_and_every_record_says_where_it_comes_from(rig: Rig) -> None:
    """Ids from the environment, version from the metadata, place, exception, stack and extras."""
    rig.start_agent()
    rig.run(
        TWO_LINES + "log.info('paid %s', 7, extra={'order': 7})\n"
        "try: 1 / 0\nexcept ZeroDivisionError: log.exception('broken')\n"
        "log.debug('not at this level')\n",
        PRODUKT_ID="acme",
        SYSTEM_ID="web",
        SUB_SYSTEM_ID="till",
        SUB_SUB_SYSTEM_ID="card",
        USER_SPEC_1="u1",
        USER_SPEC_2="u2",
    )
    first, second = rig.journaled()
    ids = ("product", "system", "subsystem", "subsubsystem", "user1", "user2", "service", "logger", "level")
    assert [first[name] for name in ids] == [
        "acme",
        "web",
        "till",
        "card",
        "u1",
        "u2",
        "shop",
        "shop.orders",
        "INFO",
    ]
    assert (first["message"], json.loads(first["attributes"])) == ("paid 7", {"order": 7})
    assert (first["function"], first["line"], first["module"]) == ("<module>", 5, "<string>")
    assert second["exception"] == "ZeroDivisionError: division by zero"
    assert second["stack"].startswith("Traceback")


def test_package_and_version_come_from_the_metadata(rig: Rig) -> None:
    """Of the package that is named, or of the module that runs; what is given wins."""
    rig.start_agent()
    rig.run(
        "import tabard, logging\n"
        "for given in ({'package': 'msgpack'}, {'package': 'shop', 'version': '1.4'}, {'version': '9'}, {}):\n"
        "    tabard.setup_logging('shop', **given)\n    logging.info('x')\n"
    )
    found = [(record["package"], record["version"]) for record in rig.journaled()]
    assert found == [("msgpack", version("msgpack")), ("shop", "1.4"), (None, "9"), (None, None)]


def test_what_is_logged_without_an_agent_is_in_a_file_and_arrives_later(rig: Rig) -> None:
    """The application ends in order and waits for nobody; an agent that comes afterwards takes it all, once."""
    rig.run(TWO_LINES + "for n in range(3000): log.info('a %d', n)\n")
    lines = (rig.home.log / "shop.log").read_text().splitlines()
    assert len(lines) == 3000
    assert lines[7].endswith("INFO shop.orders: a 7")
    assert len(rig.spooled()) == 1
    rig.start_agent()
    records = rig.journaled()
    assert not differences(numbers(records), {"a": range(3000)})
    assert {record["service"] for record in records} == {"shop"}


def test_an_agent_that_comes_while_the_application_runs_gets_everything_in_order(rig: Rig) -> None:
    """What was put aside comes first, and the application sends it itself."""
    application = rig.start(
        TWO_LINES + "for n in range(1000): log.info('a %d', n)\n"
        "assert handler.wait(30) and handler.state()['spooling']; print('aside', flush=True); input()\n"
        "for n in range(1000, 2000): log.info('a %d', n)\n"
        "while handler.state()['spooling']: handler.wait(0.1)\n"
        "assert handler.state() == {'connected': True, 'spooling': False, 'queued': 0, 'lost': 0}\n"
    )
    assert application.stdout is not None
    assert application.stdout.readline() == "aside\n"
    rig.start_agent()
    _, err = application.communicate("\n", timeout=60)
    assert application.returncode == 0, err
    assert not differences(numbers(rig.journaled()), {"a": range(2000)})


def test_an_agent_killed_again_and_again_costs_nothing(rig: Rig) -> None:
    """Thirty thousand records or more while the agent dies five times: each stored once, in order."""
    rig.start_agent()
    application = rig.start(
        TWO_LINES + "import select, sys, time\n"
        "n = 0\n"
        "while n < 30000 or not select.select([sys.stdin], [], [], 0)[0]:\n"
        "    log.info('a %d', n)\n"
        "    if n % 100 == 0: time.sleep(0.01)\n"
        "    n += 1\n"
        "print(n)\n"
    )
    for _ in range(5):
        with pytest.raises(subprocess.TimeoutExpired):
            application.wait(0.25)
        rig.kill_agent()
        rig.start_agent()
    out, err = application.communicate(timeout=60)
    assert application.returncode == 0, err
    assert not differences(numbers(rig.journaled()), {"a": range(int(out))})


def test_the_end_of_an_application_does_not_wait_longer_than_agreed_for_a_frozen_agent(rig: Rig) -> None:
    """What it could not hand over is in the spool; when the agent goes on, each record is stored once."""
    rig.start_agent()
    assert rig.agent is not None
    application = rig.start(
        "import tabard, logging, time\n"
        "handler = tabard.setup_logging('shop', exit_wait=0.5)\n"
        "for n in range(500): logging.info('a %d', n)\n"
        "assert handler.wait(30)\nprint('there', flush=True)\ninput()\n"
        "for n in range(500, 5000): logging.info('a %d', n)\n"
        "began = time.monotonic(); logging.shutdown(); print(time.monotonic() - began)\n"
    )
    assert application.stdout is not None
    assert application.stdout.readline() == "there\n"
    rig.agent.send_signal(signal.SIGSTOP)
    out, err = application.communicate("\n", timeout=60)
    assert application.returncode == 0, err
    assert len(rig.spooled()) == 1
    print("the end took", out)
    rig.agent.send_signal(signal.SIGCONT)
    assert not differences(numbers(rig.journaled()), {"a": range(5000)})


def test_an_application_that_is_killed_loses_at_most_what_was_in_memory(rig: Rig) -> None:
    """What had been put aside is taken in from its file: all up to some number, none twice."""
    application = rig.start(
        TWO_LINES + "for n in range(2000): log.info('a %d', n)\n"
        "assert handler.wait(30)\nprint('safe', flush=True)\n"
        "for n in range(2000, 10**9): log.info('a %d', n)\n"
    )
    assert application.stdout is not None
    assert application.stdout.readline() == "safe\n"
    application.kill()
    application.wait()
    rig.start_agent()
    found = numbers(rig.journaled())["a"]
    assert not difference(found, range(len(found)))
    assert len(found) >= 2000


def test_what_a_frozen_agent_has_not_answered_survives_the_application(rig: Rig) -> None:
    """The agent is not given up, and what it was sent is in the spool nevertheless; each record is stored once."""
    rig.start_agent()
    assert rig.agent is not None
    application = rig.start(
        TWO_LINES + "for n in range(500): log.info('a %d', n)\n"
        "assert handler.wait(30)\nprint('there', flush=True)\ninput()\n"
        "for n in range(500, 1000): log.info('a %d', n)\n"
        "print(handler.wait(30), handler.state()['connected'], flush=True)\ninput()\n"
    )
    assert application.stdin is not None
    assert application.stdout is not None
    assert application.stdout.readline() == "there\n"
    rig.agent.send_signal(signal.SIGSTOP)
    application.stdin.write("\n")
    application.stdin.flush()
    assert application.stdout.readline() == "True True\n"
    application.kill()
    application.wait()
    rig.agent.send_signal(signal.SIGCONT)
    assert not differences(numbers(rig.journaled()), {"a": range(1000)})


def test_threads_keep_their_order(rig: Rig) -> None:
    """Eight threads at once: each one's records are in its own order, each once."""
    rig.start_agent()
    rig.run(
        TWO_LINES + "import threading\n"
        "def speak(name):\n    for n in range(1000): log.info('%s %d', name, n)\n"
        "threads = [threading.Thread(target=speak, args=(f't{i}',)) for i in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
    )
    assert not differences(numbers(rig.journaled()), {f"t{name}": range(1000) for name in range(8)})


def test_two_processes_of_one_service_do_not_disturb_each_other(rig: Rig) -> None:
    """Without an agent they share the local file, which is turned over; each has a spool file of its own."""
    code = (
        "import sys, tabard, logging\ntabard.setup_logging('shop', file_bytes=20_000, file_count=50)\n"
        "for n in range(1000): logging.info(f'{NAME} %d', n)\n"
    )
    started = [rig.start(code.replace("{NAME}", name)) for name in ("one", "two")]
    for application in started:
        application.communicate(timeout=60)
        assert application.returncode == 0
    assert len(rig.spooled()) == 2
    files = list(rig.home.log.glob("shop.log*"))
    assert len(files) > 3
    assert max(path.stat().st_size for path in files) <= 60_000  # one may write while the other looks
    assert sum(len(path.read_text().splitlines()) for path in files) == 2000
    rig.start_agent()
    assert not differences(numbers(rig.journaled()), {"one": range(1000), "two": range(1000)})


def test_a_handler_is_named_in_a_dictconfig(rig: Rig) -> None:
    """As any handler of the standard library, with its arguments."""
    rig.start_agent()
    rig.run(
        "import logging.config\n"
        "logging.config.dictConfig({'version': 1, 'handlers': {'t': {'class': 'tabard.LogHandler', 'service': 'shop',"
        " 'level': 'WARNING', 'product': 'acme'}}, 'root': {'handlers': ['t'], 'level': 'DEBUG'}})\n"
        "logging.info('no'); logging.error('yes')\n"
    )
    (record,) = rig.journaled()
    assert (record["message"], record["service"], record["product"]) == ("yes", "shop", "acme")


def test_warnings_and_uncaught_exceptions_are_recorded_when_asked_for(rig: Rig) -> None:
    """And are still shown where they would have been."""
    rig.start_agent()
    application = rig.start(
        "import tabard, threading, warnings\ntabard.setup_logging('shop', warnings=True, uncaught=True)\n"
        "warnings.warn('old')\n"
        "t = threading.Thread(target=lambda: 1 / 0, name='t1'); t.start(); t.join()\nraise LookupError('gone')\n",
        PYTHONWARNINGS="always",
    )
    _, err = application.communicate(timeout=60)
    assert application.returncode == 1
    assert "LookupError: gone" in err
    warned, thread, process = rig.journaled()
    assert "UserWarning: old" in warned["message"]
    assert (thread["message"], thread["exception"]) == (
        "the thread t1 ends by an error",
        "ZeroDivisionError: division by zero",
    )
    assert (process["message"], process["exception"]) == ("the process ends by an error", "LookupError: gone")


def test_only_what_is_asked_for_is_recorded_of_warnings_and_errors(rig: Rig) -> None:
    """By default neither hook is touched."""
    rig.run(
        "import sys, tabard\nhook = sys.excepthook\ntabard.setup_logging('shop')\nassert sys.excepthook is hook\n"
    )
