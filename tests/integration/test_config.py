"""Configurations of real processes: the lock, SIGHUP, forks, two lines and no agent."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Self

import pytest

from tabard.errors import AlreadyRunning
from tabard.locks import held, hold
from tests.integration.upping import environment

DEADLINE = 30.0


class App:
    """A Python program with a configuration, which says what it does line by line."""

    def __init__(self, folder: Path, code: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", textwrap.dedent(code)],
            cwd=folder,
            env=environment(folder / "home", **env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._said = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def line(self) -> str:
        """The next line it says."""
        assert self.process.stdout is not None
        while b"\n" not in self._said:
            assert select.select([self.process.stdout], [], [], DEADLINE)[0], "it says nothing"
            data = os.read(self.process.stdout.fileno(), 65_536)
            assert data, self.end()
            self._said += data
        line, _, self._said = self._said.partition(b"\n")
        return line.decode()

    def end(self) -> tuple[int, str]:
        """Close its input, and wait: exit code and standard error."""
        _, error = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, error


LOCKED = """
    import sys, tabard.config
    config = tabard.config.Config("shop", stage="TESTING", lock=True, logging=False)
    print("runs", flush=True)
    sys.stdin.read()
"""


def lock_file(folder: Path) -> Path:
    """Where the lock of these programs is."""
    return folder / "home" / "run" / "applications" / "shop_t.lock"


def test_a_second_process_is_refused_and_told_which_is_the_first(tmp_path: Path) -> None:
    """Until the first one ends, in whatever way; then the file is still there and keeps nobody out."""
    with App(tmp_path, LOCKED) as first:
        assert first.line() == "runs"
        with App(tmp_path, LOCKED) as second:
            code, error = second.end()
            assert code != 0
            assert f"shop_t is already running as process {first.process.pid}" in error
        assert held(lock_file(tmp_path)) == first.process.pid
        first.process.kill()
        first.process.wait()
    assert lock_file(tmp_path).read_text() == f"{first.process.pid}\n"
    with App(tmp_path, LOCKED) as third:
        assert third.line() == "runs"
        assert third.end()[0] == 0
    assert lock_file(tmp_path).exists()


def test_a_stale_file_with_the_number_of_a_living_process_refuses_nobody(tmp_path: Path) -> None:
    """Process ids are given again: only the lock counts. A lock that another holds is left alone."""
    lock_file(tmp_path).parent.mkdir(parents=True)
    lock_file(tmp_path).write_text(f"{os.getpid()}\n")
    with App(tmp_path, LOCKED) as app:
        assert app.line() == "runs"
    with hold(lock_file(tmp_path), "somebody"):
        inode = lock_file(tmp_path).stat().st_ino
        with App(tmp_path, LOCKED) as refused:
            assert f"already running as process {os.getpid()}" in refused.end()[1]
        assert (lock_file(tmp_path).stat().st_ino, held(lock_file(tmp_path))) == (inode, os.getpid())


def test_other_stages_and_homes_are_other_instances(tmp_path: Path) -> None:
    """And a lock can be a file of one's own."""
    path = tmp_path / "own.lock"
    with App(tmp_path, LOCKED) as app:
        assert app.line() == "runs"
        with App(tmp_path, LOCKED.replace("TESTING", "PRODUCTION")) as other:
            assert other.line() == "runs"
        with App(tmp_path, LOCKED, TABARD_HOME=str(tmp_path / "elsewhere")) as other:
            assert other.line() == "runs"
        with App(tmp_path, LOCKED.replace("lock=True", f"lock={str(path)!r}")) as other:
            assert other.line() == "runs"
            with pytest.raises(AlreadyRunning) as caught, hold(path):
                pass
            assert caught.value.pid == other.process.pid


WATCHING = """
    import os, signal, sys, tabard.config as c
    signal.signal(signal.SIGHUP, lambda *_: os.write(1, b"mine\\n"))
    options = [c.Option("a.b", c.Integer(1, 9), 1, "B.", reload=True)]
    config = c.Config("shop", options, logging=False)
    config.reload_on_hangup(lambda outcome: print(
        config["a.b"], outcome.changed, "refused" if outcome.error else "taken", flush=True))
    print("runs", flush=True)
    for _ in sys.stdin:
        print("works", config["a.b"], flush=True)
    config.close()
    signal.raise_signal(signal.SIGHUP)
"""


def test_a_hangup_reloads_and_the_handler_of_before_is_called(tmp_path: Path) -> None:
    """New values and what changed; a broken file is refused and the values stay; then all is as it was before."""
    file = tmp_path / "shop.toml"
    with App(tmp_path, WATCHING) as app:
        assert app.line() == "runs"
        file.write_text("[a]\nb = 2\n")
        app.process.send_signal(signal.SIGHUP)
        assert {app.line(), app.line()} == {"2 ('a.b',) taken", "mine"}
        file.write_text("[a]\nb = 10\n")
        app.process.send_signal(signal.SIGHUP)
        assert {app.line(), app.line()} == {"2 () refused", "mine"}
        assert app.process.stdin is not None
        app.process.stdin.write("go\n")
        app.process.stdin.flush()
        assert app.line() == "works 2"
        app.process.stdin.close()
        app.process.stdin = None
        assert app.line() == "mine"
        code, error = app.end()
        assert code == 0
        assert "keeps its configuration" in error
        assert f"{file}, line 2: a.b: wrong value" in error


def test_without_being_asked_for_a_hangup_does_what_it_always_did(tmp_path: Path) -> None:
    """The signal belongs to the application."""
    code = WATCHING.replace('signal.signal(signal.SIGHUP, lambda *_: os.write(1, b"mine\\n"))', "")
    code = code.replace("config.reload_on_hangup(", "print.__class__ and (lambda *_: None)(")
    with App(tmp_path, code) as app:
        assert app.line() == "runs"
        app.process.send_signal(signal.SIGHUP)
        assert app.end()[0] == -signal.SIGHUP


def test_many_hangups_in_the_middle_of_work_break_nothing(tmp_path: Path) -> None:
    """The main thread logs all the time while reloads log too: nothing hangs, and the last file holds."""
    code = """
        import logging, sys, tabard.config as c
        options = [c.Option("a.b", c.Integer(1, 999), 1, "B.", reload=True)]
        config = c.Config("shop", options)
        config.reload_on_hangup()
        print("runs", flush=True)
        while config["a.b"] < 999:
            logging.getLogger("work").info("step %d", config["a.b"])
        print("done", flush=True)
    """
    file = tmp_path / "shop.toml"
    with App(tmp_path, code) as app:
        assert app.line() == "runs"
        for number in range(2, 150):
            (tmp_path / "new").write_text(f"[a]\nb = {number}\n")
            (tmp_path / "new").replace(file)
            app.process.send_signal(signal.SIGHUP)
        file.write_text("[a]\nb = 999\n")
        app.process.send_signal(signal.SIGHUP)
        assert app.line() == "done"
        assert app.end() == (0, "")


def test_a_forked_child_hears_it_too(tmp_path: Path) -> None:
    """Each process reads for itself, also while its parent does not."""
    code = """
        import os, sys, threading, tabard.config as c
        options = [c.Option("a.b", c.Integer(1, 9), 1, "B.", reload=True)]
        config = c.Config("shop", options, logging=False)
        heard = threading.Event()
        def hear(outcome):
            os.write(1, b"%d %d\\n" % (os.getpid(), config["a.b"]))
            heard.set()
        config.reload_on_hangup(hear)
        child = os.fork()
        if child == 0:
            os.write(1, b"%d\\n" % os.getpid())  # Python forgets what comes while it forks
            heard.wait(60)
            config.close()
            os._exit(0)
        sys.stdin.read()
        os.waitpid(child, 0)
    """
    with App(tmp_path, code) as app:
        child = int(app.line())
        (tmp_path / "shop.toml").write_text("[a]\nb = 2\n")
        os.kill(child, signal.SIGHUP)
        assert app.line() == f"{child} 2"
        app.process.send_signal(signal.SIGHUP)
        assert app.line() == f"{app.process.pid} 2"
        assert app.end() == (0, "")


def test_another_thread_cannot_watch_the_signal(tmp_path: Path) -> None:
    """Python gives signals to the main thread only: the error says what to do."""
    code = """
        import threading, tabard.config as c
        from tabard.errors import UsageError
        config = c.Config("shop", logging=False)
        def watch():
            try:
                config.reload_on_hangup()
            except UsageError as error:
                print(error, flush=True)
        threading.Thread(target=watch).start()
    """
    with App(tmp_path, code) as app:
        assert "by the main thread only" in app.line()


def test_two_lines_are_enough_and_no_agent_is_needed(tmp_path: Path) -> None:
    """The record of the configuration is in the local file, with its version; the masked password is not."""
    (tmp_path / "shop_t.cfg").write_text("[DB]\npassword = hunter2-hunter2\n")
    code = """
        import tabard.config
        config = tabard.config.Config("shop", version="4.2.1")
        print(config.digest, flush=True)
    """
    with App(tmp_path, code, DEV_STAGE="TESTING") as app:
        digest = app.line()
        assert app.end() == (0, "")
    said = "".join(
        path.read_text(errors="replace") for path in (tmp_path / "home").rglob("*") if path.is_file()
    )
    assert f"shop 4.2.1 in TESTING: configuration {digest[:12]} at its start" in said
    assert "hunter2" not in said


def test_the_record_says_the_same_by_way_of_python_s_own_network_handler(tmp_path: Path) -> None:
    """An application that keeps its SocketHandler is known all the same: the agent reads the record as data."""
    import logging
    import logging.handlers
    import time

    from tabard.agents.intake.bridge.logrecord import record_of
    from tabard.agents.intake.bridge.pickled import attributes_of
    from tabard.config import Config
    from tabard.consumers.store import deployed

    sent: list[bytes] = []

    class Wire(logging.handlers.SocketHandler):
        def emit(self, record: logging.LogRecord) -> None:
            sent.append(self.makePickle(record))

    logger = logging.getLogger("tabard.config")
    wire = Wire("localhost", 9)
    logger.addHandler(wire)
    try:
        with Config(
            "shop",
            package="shop.web",
            version="4.2.1",
            stage="TESTING",
            directory=tmp_path,
            home=tmp_path,
            logging=False,
        ):
            pass
    finally:
        logger.removeHandler(wire)
        wire.close()
    said, opaque = attributes_of(sent[0][4:])
    found = deployed.read(record_of(said, time.time_ns()), time.time_ns())
    assert opaque == 0
    assert found is not None
    assert found[:4] == ("shop", "TESTING", "shop.web", "4.2.1")
    assert '"global.logging": "DEBUG"' in found.entries


def test_a_start_that_is_refused_is_recorded_all_the_same(tmp_path: Path) -> None:
    """Cron's mail is read by nobody: why a service does not start is in the log, the second start as information."""
    code = """
        import logging, tabard.config as c
        options = [c.Option("a.b", c.Integer(1, 9), 1, "B.")]
        c.Config("shop", options, stage="TESTING", lock=True)
    """
    log = tmp_path / "home" / "log" / "shop.log"
    file = tmp_path / "shop.toml"
    file.write_text("[a]\nb = 10\n")
    with App(tmp_path, code) as app:
        assert app.end()[0] != 0
    file.unlink()
    assert f"CRITICAL tabard.config: shop cannot start: {file}, line 2: a.b: wrong value" in log.read_text()
    with App(tmp_path, LOCKED) as first:
        assert first.line() == "runs"
        with App(tmp_path, code) as second:
            assert second.end()[0] != 0
    said = "INFO tabard.config: shop is not started a second time: "
    assert said in log.read_text()
    assert f"already running as process {first.process.pid}" in log.read_text()
