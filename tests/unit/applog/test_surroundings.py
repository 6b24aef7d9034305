"""Nothing reaches the application: bad disks, missing permissions, signals, recursion, a dying interpreter."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tabard.applog import LogHandler, delivery, shipper
from tabard.applog.capture import capture
from tabard.applog.localfile import LocalFile, line_of
from tabard.applog.record import Speaker, row_of
from tabard.applog.spool import Spool
from tabard.errors import UsageError
from tabard.home import Home
from tabard.intake_frames import RECORDS, SPILL, frame
from tabard.records import LOG_INDEX
from tests.unit.applog.programs import MESSAGE, run, speaking, spooled
from tests.unit.ground.listening import Listener


def test_the_package_hands_its_names_on_lazily(home: Home) -> None:
    """``import tabard`` loads nothing of it; an unknown name is an error as for any module."""
    done = run(
        "import sys, tabard; assert 'tabard.applog' not in sys.modules; assert 'setup_logging' in dir(tabard)\n"
        "tabard.LogHandler; assert 'tabard.applog' in sys.modules\n"
        "try: tabard.nothing\nexcept AttributeError as error: print(error)\n",
        home,
    )
    assert done.stdout == "module 'tabard' has no attribute 'nothing'\n", done.stderr


def test_an_application_is_not_made_to_load_settings_or_the_network(home: Home) -> None:
    """Two lines cost what they need."""
    done = run(
        "import sys, tabard; tabard.setup_logging('shop')\n"
        "print([name for name in ('zmq', 'psutil', 'tabard.settings', 'tomllib', 'click') if name in sys.modules])",
        home,
    )
    assert done.stdout == "[]\n", done.stderr


def test_a_home_that_cannot_be_made_disturbs_nobody(home: Home, handlers: Any) -> None:
    """Nothing can be written; the records that are lost are counted."""
    home.path.write_text("in the way")
    handler = handlers()
    log = speaking(handler)
    for number in range(100):
        log.info("%d", number)
    assert not handler.wait(0.1)
    assert handler.state()["connected"] is False


@pytest.mark.parametrize("given", [{}, {"file": "never"}, {"spool_bytes": 0}])
def test_a_home_made_by_an_application_is_for_its_user_alone(
    home: Home, handlers: Any, given: dict[str, Any]
) -> None:
    """As one that an agent makes: settings with secrets will be in it."""
    before = os.umask(0o022)
    try:
        handler = handlers(**given)
        speaking(handler).info("a")
        handler.close()
    finally:
        os.umask(before)
    made = {path.name: oct(path.stat().st_mode & 0o777) for path in (home.path, *home.path.iterdir())}
    assert len(made) > 1
    assert set(made.values()) == {"0o700"}


def test_a_full_disk_disturbs_nobody(home: Home) -> None:
    """No file may grow beyond 8 KiB: what fits is whole, what does not waits in memory, nothing is raised."""
    done = run(
        "import logging, resource, tabard\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "handler = tabard.setup_logging('shop', exit_wait=0.1)\n"
        "for n in range(2000):\n    logging.info('number %d', n)\n    if n % 50 == 0: handler.wait(0.01)\n",
        home,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (name,) = os.listdir(home.spool)
    assert name.endswith(SPILL)
    assert 0 < (home.spool / name).stat().st_size <= 8192


def test_closed_standard_streams_disturb_nobody(home: Home) -> None:
    """Like those of a daemon."""
    done = run(
        "import os, logging, tabard\nfor fd in (0, 1, 2): os.close(fd)\n"
        "tabard.setup_logging('shop', exit_wait=0.1); logging.info('a'); logging.info('%d', 'x')\n",
        home,
    )
    assert done.returncode == 0
    assert len((home.log / "shop.log").read_text().splitlines()) == 2


def test_what_is_logged_from_a_signal_handler_cannot_deadlock(home: Home) -> None:
    """It may come in the middle of another call, also while the thread is woken."""
    done = run(
        "import logging, signal, tabard, time\n"
        "handler = tabard.setup_logging('shop', exit_wait=0.1)\n"
        "count = [0]\n"
        "def tick(*_): logging.info('tick'); count[0] += 1\n"
        "signal.signal(signal.SIGALRM, tick); signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\n"
        "n = 0\n"
        "while count[0] < 500: logging.info('n %d', n); n += 1; time.sleep(0)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0); assert handler.wait(30)\n"
        "print(count[0] >= 500, handler.state()['lost'])\n",
        home,
    )
    assert (done.returncode, done.stdout) == (0, "True 0\n"), done.stderr


def test_the_thread_takes_no_signals_that_the_application_waits_for(home: Home) -> None:
    """A program that blocks a signal and waits for it gets it."""
    done = run(
        "import logging, os, signal, tabard\n"
        "handler = tabard.setup_logging('shop', exit_wait=0.1); logging.info('x'); handler.wait(30)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}); os.kill(os.getpid(), signal.SIGTERM)\n"
        "print(signal.sigwait({signal.SIGTERM}).name)\n",
        home,
    )
    assert (done.returncode, done.stdout) == (0, "SIGTERM\n"), done.stderr


def test_an_agent_that_goes_away_does_not_end_a_program_with_sigpipe(home: Home, handlers: Any) -> None:
    """Many command line programs have SIGPIPE at its default."""
    home.ensure()
    listener = Listener(home.socket("intake.sock"))
    code = (
        "import logging, signal, tabard\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
        "handler = tabard.setup_logging('shop', exit_wait=1)\n"
        "for n in range(50): logging.info('%d', n); handler.wait(0.05)\n"
    )
    try:
        listener.hang_up_before = {2, 5, 9}
        done = run(code, home)
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        listener.close()


def test_signals_are_left_alone_where_threads_are_green(home: Home, handlers: Any) -> None:
    """There the thread of logging is the application's only one, and it must go on hearing of signals."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    handler = handlers()
    handler._shipper._ended = True
    handler._shipper._run_apart()  # as gevent runs what a thread was started for
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_the_thread_waits_with_a_lock_of_the_time_when_it_starts(
    home: Home, handlers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that makes its threads green after the fork would stand still with a lock from before."""
    handler = handlers()
    made: list[Any] = []
    lock = threading.Lock

    def patched() -> Any:
        made.append(lock())
        return made[-1]

    monkeypatch.setattr(threading, "Lock", patched)
    speaking(handler).info("a")
    assert handler.wait(30)
    assert any(handler._shipper._bell is found for found in made)


def test_one_thread_is_started_though_a_signal_handler_logs_meanwhile(
    home: Home, handlers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them would send each other's frames."""
    handler = handlers()
    log = speaking(handler)
    started = []
    start = threading.Thread.start

    def interrupted(self: threading.Thread) -> None:
        started.append(self)
        if len(started) == 1:
            log.info("from the signal handler")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    log.info("a")
    assert handler.wait(30)
    assert len(started) == 1
    assert spooled(home) == ["a", "from the signal handler"]


def test_a_process_that_can_start_no_thread_delivers_at_its_end(
    home: Home, handlers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then `close` does the thread's work."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    handler = handlers()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    log = speaking(handler)
    log.info("a")
    log.info("b")
    handler.close()
    assert [line.rpartition(" ")[2] for line in (home.log / "shop.log").read_text().splitlines()] == [
        "a",
        "b",
    ]
    assert len(os.listdir(home.spool)) == 1


def test_what_the_thread_itself_causes_to_be_logged_does_not_go_round(
    home: Home, handlers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A patched library that logs each write would otherwise feed itself for ever."""
    handler = handlers()
    log = speaking(handler)
    written = LocalFile.write

    def chatty(self: LocalFile, rows: Any) -> None:
        log.info("written")
        written(self, rows)

    monkeypatch.setattr(LocalFile, "write", chatty)
    log.info("once")
    assert handler.wait(30)
    assert handler.wait(30)
    assert [line.rpartition(" ")[2] for line in (home.log / "shop.log").read_text().splitlines()] == ["once"]


def test_a_full_queue_loses_the_newest_and_says_how_many(
    home: Home, handlers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application that is faster than its own thread for long."""
    home.ensure()
    listener = Listener(home.socket("intake.sock"))
    try:
        handler = handlers()
        log = speaking(handler)
        queue = handler._shipper.queue
        handler._shipper.asleep = False  # nobody is woken
        for number in range(shipper.MOST_QUEUED + 7):
            log.info("%d", number)
        assert (len(queue), handler.state()["lost"]) == (shipper.MOST_QUEUED, 7)
        handler._shipper.wake()
        records = listener.wait_for(shipper.MOST_QUEUED + 1)
    finally:
        listener.close()
    messages = [record[MESSAGE] for record in records]
    said = next(record for record in records if "were lost" in record[MESSAGE])
    assert said[MESSAGE] == "7 records of this process were lost"
    assert json.loads(said[LOG_INDEX["attributes"]]) == {"lost": 7}
    assert [message for message in messages if message.isdigit()] == [
        str(n) for n in range(shipper.MOST_QUEUED)
    ]


def losses(home: Home) -> list[int]:
    """How many records each line of the local file says were lost."""
    text = "".join(path.read_text() for path in home.log.glob("shop.log*"))
    return [
        int(line_end(line).split()[0])
        for line in text.splitlines()
        if line.endswith(" records of this process were lost")
    ]


@pytest.mark.parametrize("file", ["absent", "always"])
def test_people_read_of_a_loss_though_there_is_neither_an_agent_nor_room(
    home: Home, handlers: Any, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """While the process runs, in few lines that count each loss once; the end tells the rest."""
    monkeypatch.setattr(delivery, "MOST_HELD", 4_000)
    monkeypatch.setattr(shipper, "SAY_EVERY", 1e9)
    home.ensure()
    handler = handlers(spool_bytes=3_000, file=file)
    log = speaking(handler)
    number = 0
    while not losses(home):
        number += 1
        log.info("%d", number)
        handler.wait(0.01)
        assert number < 5_000, "nothing is said"
    for _ in range(300):
        number += 1
        log.info("%d", number)
        handler.wait(0.001)
    assert len(losses(home)) == 1
    handler.close()
    said = losses(home)
    kept = [message for message in spooled(home) if message.isdigit()]
    assert sum(said) + len(kept) == number


def test_people_and_the_agent_read_of_the_same_loss_once_each(
    home: Home, handlers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the file has said is not said there again when an agent is told."""
    monkeypatch.setattr(delivery, "MOST_HELD", 4_000)
    monkeypatch.setattr(delivery, "FIRST_RETRY", 0.01)
    home.ensure()
    handler = handlers(spool_bytes=0)
    log = speaking(handler)
    number = 0
    while not losses(home):
        number += 1
        log.info("%d", number)
        handler.wait(0.01)
        assert number < 5_000, "nothing is said"
    listener = Listener(home.socket("intake.sock"))
    try:
        while not any("were lost" in record[MESSAGE] for record in listener.wait_for(1)):
            number += 1
            log.info("%d", number)
            handler.wait(1)
        assert handler.wait(30)
        messages = [record[MESSAGE] for record in listener.records]
    finally:
        listener.close()
    handler.close()
    told = [int(message.split()[0]) for message in messages if "were lost" in message]
    assert sum(told) == sum(losses(home)) == number - sum(message.isdigit() for message in messages)


def test_what_comes_in_the_last_moment_of_closing_is_kept(home: Home, handlers: Any) -> None:
    """From another thread, when the queue was looked into for the last time and nobody has to be woken yet."""
    handler = handlers()
    log = speaking(handler)
    log.info("a")
    handler._shipper.close()
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "b", None, None)
    handler._shipper.queue.append(capture(record))
    handler.close()
    assert handler.wait(30)
    assert spooled(home) == ["a", "b"]


def test_filters_decide_and_may_replace(home: Home, handlers: Any) -> None:
    """As with every handler."""
    handler = handlers(file="always")
    log = speaking(handler)
    handler.addFilter(lambda record: record.levelno >= logging.WARNING)
    log.info("no")
    log.warning("yes")
    assert handler.wait(30)
    assert [line.rpartition(" ")[2] for line in (home.log / "shop.log").read_text().splitlines()] == ["yes"]


@pytest.mark.parametrize(
    "given",
    [{"file": "often"}, {"exit_wait": -1}, {"file_bytes": "2 MB"}, {"file_count": -1}, {"file_count": 2.5}],
)
def test_what_cannot_be_meant_is_said_at_once(home: Home, given: dict[str, Any]) -> None:
    """By whoever writes the line, not by whoever runs it at night."""
    with pytest.raises(UsageError):
        LogHandler("shop", home=home, **given)


def test_a_second_set_up_replaces_the_first(home: Home) -> None:
    """Nothing is logged twice."""
    done = run(
        "import logging, tabard\nfirst = tabard.setup_logging('one'); logging.info('a')\n"
        "tabard.setup_logging('two', level='WARNING', exit_wait=0.1); logging.info('b'); logging.warning('c')\n"
        "print(len(logging.getLogger().handlers))\n",
        home,
    )
    assert done.stdout == "1\n", done.stderr
    assert len((home.log / "one.log").read_text().splitlines()) == 1
    assert (home.log / "two.log").read_text().endswith("c\n")


def test_without_a_spool_or_a_file_nothing_is_written(home: Home) -> None:
    """When neither is wanted."""
    done = run(
        "import logging, tabard\ntabard.setup_logging('x', file='never', spool_bytes=0, exit_wait=0.1)\n"
        "logging.info('a')\n",
        home,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not home.path.exists()


# --- the local file and the spool -----------------------------------------------------------------


def rows(*messages: str, created: float | None = None) -> list[Any]:
    """Rows as the thread makes them."""
    made = []
    for message in messages:
        record = logging.LogRecord("x", logging.INFO, __file__, 1, message, None, None)
        if created is not None:
            record.created = created
        made.append(row_of(record, Speaker("s", "acme", user1="u", package="p", version="2"), 1))
    return made


def test_a_line_says_who_and_what() -> None:
    """Time, ids, package and version, level, logger, message; a trace below it."""
    (row,) = rows("hello", created=0.25)
    line = line_of(list(row))
    assert line.endswith(",250 acme u p-2 INFO x: hello\n")


def test_old_files_are_removed_and_an_old_one_is_not_gone_on_with(tmp_path: Path) -> None:
    """By age as well as by size."""
    path = tmp_path / "x.log"
    file = LocalFile(path, most=10_000, files=3, age=3_600)
    file.write(rows("ancient", created=1_000_000_000))
    file.close()
    (tmp_path / "x.log.2").write_text("older")
    os.utime(tmp_path / "x.log.2", (1, 1))
    file = LocalFile(path, most=10_000, files=3, age=3_600)
    file.write(rows("new"))
    file.close()
    assert not (tmp_path / "x.log.2").exists()
    assert "ancient" in (tmp_path / "x.log.1").read_text()
    assert [line.rpartition(" ")[2] for line in path.read_text().splitlines()] == ["new"]


def test_a_line_that_the_disk_cut_off_does_not_spoil_the_next(tmp_path: Path) -> None:
    """When there is room again it begins a line of its own."""
    path = tmp_path / "x.log"
    code = (
        "import resource, signal, sys, tabard.applog\n"
        "from pathlib import Path\n"
        "from tabard.applog.localfile import LocalFile\n"
        "from tests.unit.applog.test_surroundings import rows\n"
        "file = LocalFile(Path(sys.argv[1]), most=10**6, files=3, age=10**6)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"
        "file.write(rows('x' * 200)); assert file.refused == 1\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "file.write(rows('next')); file.write(rows('last'))\n"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True, timeout=60)
    torn, following, last = path.read_text().splitlines()
    assert (len(torn), line_end(following), line_end(last)) == (100, "next", "last")


def line_end(line: str) -> str:
    """The message of a line."""
    return line.rpartition(": ")[2]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_old_files_are_kept_as_said(tmp_path: Path, count: int) -> None:
    """Beside the one that is written; the oldest goes."""
    file = LocalFile(tmp_path / "x.log", most=300, files=count, age=3_600)
    for number in range(40):
        file.write(rows(f"line {number}"))
    file.close()
    assert {path.name for path in tmp_path.iterdir()} == {"x.log", *(f"x.log.{n + 1}" for n in range(count))}
    assert all(path.stat().st_size <= 300 for path in tmp_path.iterdir())
    assert "line 39" in (tmp_path / "x.log").read_text()


def test_a_file_that_somebody_removes_or_renames_is_made_again(tmp_path: Path) -> None:
    """An external logrotate, or an impatient person."""
    file = LocalFile(tmp_path / "x.log", most=10_000, files=3, age=3_600)
    file.write(rows("a"))
    (tmp_path / "x.log").rename(tmp_path / "y")
    file.write(rows("b"))
    file.close()
    assert "b" in (tmp_path / "x.log").read_text()
    assert file.refused == 0


def test_the_spool_is_bounded_over_all_processes(tmp_path: Path) -> None:
    """What others left counts too."""
    (tmp_path / f"old{SPILL}").write_bytes(b"x" * 5_000)
    spool = Spool(tmp_path, "a-1", "a", 10_000)
    data = frame(RECORDS, 1, b"y" * 1_000)
    kept = 0
    while spool.append(kept + 1, data):
        kept += 1
    assert 0 < kept < 5
    assert len(list(spool.frames(0))) == kept
    spool.close()


def test_a_spool_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """What applications log may be confidential."""
    spool = Spool(tmp_path / "spool", "a-1", "a", 10_000)
    assert spool.append(1, frame(RECORDS, 1, b""))
    (path,) = (tmp_path / "spool").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    spool.remove()
    assert list((tmp_path / "spool").iterdir()) == []


def test_names_that_are_no_file_names_are_made_into_some(home: Home) -> None:
    """A service called like a path writes nowhere else."""
    handler = LogHandler("../../etc/x\0\n", home=home, exit_wait=0.0)
    speaking(handler).info("a")
    handler.close()
    assert [path.parent for path in home.log.iterdir()] == [home.log]
    assert [path.parent for path in home.spool.iterdir()] == [home.spool]


def test_a_connection_is_kept_from_one_record_to_the_next(home: Home, handlers: Any) -> None:
    """And let go of when there was none for long."""
    home.ensure()
    listener = Listener(home.socket("intake.sock"))
    try:
        handler = handlers()
        log = speaking(handler)
        for number in range(30):
            log.info("%d", number)
            assert handler.wait(30)
            assert handler.state()["connected"]
        listener.wait_for(30)
        assert len(listener._connections) == 1
    finally:
        listener.close()


def test_a_connection_is_let_go_when_nothing_was_logged_for_long(
    home: Home, handlers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next record opens another."""
    monkeypatch.setattr(shipper, "IDLE", 0.01)
    home.ensure()
    listener = Listener(home.socket("intake.sock"))
    try:
        handler = handlers()
        log = speaking(handler)
        for number in range(3):
            log.info("%d", number)
            assert handler.wait(30)
            while handler.state()["connected"]:
                os.sched_yield()
        assert [record[MESSAGE] for record in listener.wait_for(3)] == ["0", "1", "2"]
        assert len(listener._connections) == 3
        assert len(listener.sources) == 1
    finally:
        listener.close()
