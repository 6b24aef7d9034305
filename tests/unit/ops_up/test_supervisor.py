"""The supervisor with small programs as its children: start again, end in order, leave nothing behind."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tabard.brokers.loop import Loop
from tabard.ops.up.plan import Planned
from tabard.ops.up.supervisor import Supervisor

START = "import os, signal, subprocess, sys, time;"
READY = "os.write(int(os.environ['TABARD_READY']), b'ready\\n');"
SLEEPS = "[time.sleep(1) for _ in iter(int, 1)]"
WAITS = START + READY + "signal.pause()"
DEAF = START + "signal.signal(signal.SIGTERM, signal.SIG_IGN);" + READY + SLEEPS


def on_signal(number: str, action: str) -> str:
    """A program that does something when it gets a signal."""
    return f"{START}signal.signal(signal.{number}, lambda *_: {action});{READY}{SLEEPS}"


class Told:
    """A voice that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.on_line: Callable[[str], None] = lambda _line: None

    def note(self, text: str) -> None:
        """What happened as it should."""
        self.lines.append(text)
        self.on_line(text)

    warn = note

    def show(self, text: str) -> None:
        """What is for the terminal alone."""

    def quote(self, child: str, text: str) -> None:
        """What a child printed."""
        self.note(f"{child} | {text}")


class Rig:
    """Supervises one program for each planned role."""

    def __init__(self, loop: Loop, programs: Mapping[str, str], patience: float = 10.0) -> None:
        self.loop = loop
        self.voice = Told()
        self.children: Mapping[str, Any] = {}
        self.reload: tuple[bool, str] = (True, "nothing changed")
        self.all_ready: Callable[[], None] = lambda: None
        self.supervisor = Supervisor(
            [Planned(name, (name.partition(".")[0],)) for name in programs],
            lambda planned: [sys.executable, "-c", programs[planned.name]],
            loop,
            self.voice,  # type: ignore[arg-type]
            on_ready=self._on_ready,
            on_change=lambda children: setattr(self, "children", children),
            reload=lambda: self.reload,
            patience=patience,
        )

    def _on_ready(self) -> None:
        self.all_ready()

    def pid(self, name: str) -> int:
        """The process of a child."""
        pid = self.children[name]["pid"]
        assert isinstance(pid, int)
        return pid

    def signal_when(self, part: str, number: int, pid: Callable[[], int] = os.getpid) -> None:
        """Send a signal, once, when a line with `part` is said."""

        def look(line: str) -> None:
            if part in line:
                self.voice.on_line = lambda _line: None
                os.kill(pid(), number)

        self.voice.on_line = look


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A loop that gives the signals back."""
    loop = Loop()
    yield loop
    loop.close()


def test_children_end_in_the_order_in_which_they_hand_on(loop: Loop) -> None:
    """SIGTERM to the supervisor ends the agent first, then the brokers outermost first, the recorder, herald."""
    says = on_signal("SIGTERM", "(print('bye', flush=True), sys.exit())")
    names = ["broker.b1", "broker.b2", "recorder", "agent", "herald"]
    rig = Rig(loop, dict.fromkeys(names, says))
    rig.all_ready = lambda: os.kill(os.getpid(), signal.SIGTERM)
    rig.supervisor.run()
    expected = ["agent", "broker.b1", "broker.b2", "recorder", "herald"]
    assert [line for line in rig.voice.lines if line.endswith("bye")] == [
        f"{name} | bye" for name in expected
    ]


def test_a_child_that_dies_is_started_again_and_it_is_said(loop: Loop) -> None:
    """A child is killed: one line for the end, one for the new process, and the others are left alone."""
    rig = Rig(loop, {"broker.b1": WAITS, "recorder": WAITS})
    before: dict[str, int] = {}

    def kill() -> None:
        before.update({name: rig.pid(name) for name in rig.children})
        rig.signal_when("runs again", signal.SIGTERM)
        os.kill(rig.pid("recorder"), signal.SIGKILL)

    rig.all_ready = kill
    rig.supervisor.run()
    after = {name: child["restarts"] for name, child in rig.children.items()}
    assert rig.voice.lines[0] == "recorder was ended by SIGKILL; it starts again in 250ms"
    assert rig.voice.lines[1].startswith("recorder runs again as process ")
    assert not rig.voice.lines[1].endswith(f" {before['recorder']}")
    assert after == {"broker.b1": 0, "recorder": 1}


def test_the_last_words_of_a_child_are_repeated(loop: Loop) -> None:
    """What a child printed before it ended is in the line about its end; longer and longer waits follow."""
    rig = Rig(loop, {"recorder": "import sys; print('first'); sys.exit('tabard: no disk')"})
    rig.signal_when("in 500ms", signal.SIGTERM)
    rig.supervisor.run()
    ends = [line for line in rig.voice.lines if "starts again" in line]
    assert ends == [
        "recorder ended with exit code 1 (no disk); it starts again in 250ms",
        "recorder ended with exit code 1 (no disk); it starts again in 500ms",
    ]
    assert "recorder | first" in rig.voice.lines


def test_a_program_that_is_not_there_is_tried_again(loop: Loop) -> None:
    """A child that cannot even be started is said and planned again, and does not end the supervisor."""
    rig = Rig(loop, {"recorder": WAITS})
    rig.supervisor._command = lambda _planned: ["/nonexistent/program"]
    rig.signal_when("cannot be started", signal.SIGTERM)
    rig.supervisor.run()
    said = "recorder cannot be started: [Errno 2] No such file or directory: '/nonexistent/program'"
    assert rig.voice.lines == [f"{said}; next attempt in 250ms"]


def test_what_a_dead_child_started_is_swept_up(loop: Loop) -> None:
    """A worker process of a killed child does not keep its port: it is killed before the child starts again."""
    worker = (
        "w = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
        "print(w.pid, flush=True);"
    )
    rig = Rig(loop, {"herald": START + READY + worker + "signal.pause()"})
    workers: list[int] = []

    def line(text: str) -> None:
        if text.startswith("herald | "):
            workers.append(int(text.removeprefix("herald | ")))
            if len(workers) == 1:
                os.kill(rig.pid("herald"), signal.SIGKILL)
            else:
                os.kill(os.getpid(), signal.SIGTERM)

    rig.voice.on_line = line
    rig.supervisor.run()
    assert len(workers) == 2
    for pid in workers:
        wait_for_end(pid)


def test_a_child_that_does_not_end_is_killed(loop: Loop) -> None:
    """One that ignores SIGTERM costs its share of the time; then it is killed and said so, and the rest end well."""
    rig = Rig(loop, {"agent": DEAF, "recorder": WAITS}, patience=3)
    rig.all_ready = lambda: os.kill(os.getpid(), signal.SIGTERM)
    rig.supervisor.run()
    rig.supervisor.tell()
    assert rig.voice.lines == ["agent does not end and is killed"]
    assert all(child["pid"] is None for child in rig.children.values())


def test_a_frozen_child_is_killed(loop: Loop) -> None:
    """SIGSTOP keeps a process from hearing SIGTERM, not from being killed."""
    rig = Rig(loop, {"recorder": WAITS}, patience=0.3)

    def freeze() -> None:
        os.kill(rig.pid("recorder"), signal.SIGSTOP)
        os.waitid(os.P_PID, rig.pid("recorder"), os.WSTOPPED | os.WNOWAIT)
        os.kill(os.getpid(), signal.SIGTERM)

    rig.all_ready = freeze
    rig.supervisor.run()
    assert rig.voice.lines == ["recorder does not end and is killed"]


def test_a_second_ctrl_c_does_not_wait(loop: Loop) -> None:
    """Who presses Ctrl-C twice wants it over: what still runs is killed at once."""
    rig = Rig(loop, {"agent": on_signal("SIGTERM", "print('asked', flush=True)")}, patience=3600)
    rig.all_ready = lambda: os.kill(os.getpid(), signal.SIGINT)
    rig.signal_when("agent | asked", signal.SIGINT)
    rig.supervisor.run()
    assert rig.voice.lines == ["agent | asked", "agent does not end and is killed"]


def test_sighup_reaches_every_role(loop: Loop) -> None:
    """All of them get it, and what changed and what needs a restart is said."""
    hears = on_signal("SIGHUP", "print('read again', flush=True)")
    rig = Rig(loop, dict.fromkeys(["broker.b1", "recorder", "herald"], hears))
    rig.reload = (True, "log.level changed; herald.port needs a restart")
    rig.all_ready = lambda: os.kill(os.getpid(), signal.SIGHUP)
    heard: set[str] = set()

    def end(line: str) -> None:
        heard.add(line)
        if len(heard) == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    rig.voice.on_line = end
    rig.supervisor.run()
    said = "settings are read again by broker.b1, recorder, herald: log.level changed; herald.port needs a restart"
    assert heard == {said, *(f"{name} | read again" for name in ("broker.b1", "recorder", "herald"))}


def test_sighup_waits_for_a_role_that_only_starts(loop: Loop, tmp_path: Path) -> None:
    """It may have read the old settings already: it is told as soon as it is ready, and not killed before."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    hears = on_signal("SIGHUP", "print('read again', flush=True)")
    rig = Rig(loop, {"recorder": f"print('here', flush=True); open({str(gate)!r}).read(); {hears}"})

    def go_on(line: str) -> None:
        if line.endswith("| here"):
            os.kill(os.getpid(), signal.SIGHUP)
        elif line.startswith("settings are read again by recorder"):
            gate.write_text("go")
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    rig.voice.on_line = go_on
    rig.supervisor.run()
    assert rig.voice.lines[-1] == "recorder | read again"


def test_broken_settings_are_not_handed_on(loop: Loop) -> None:
    """With an error in the file nobody is told to read it, and the error is said."""
    rig = Rig(loop, {"recorder": WAITS})
    rig.reload = (False, "tabard.toml, line 1: wrong")
    rig.all_ready = lambda: os.kill(os.getpid(), signal.SIGHUP)
    rig.signal_when("wrong", signal.SIGTERM)
    rig.supervisor.run()
    assert rig.voice.lines == ["settings not read again: tabard.toml, line 1: wrong"]


def wait_for_end(pid: int) -> None:
    """Return when there is no such process any more."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([descriptor], [], [])
    finally:
        os.close(descriptor)
