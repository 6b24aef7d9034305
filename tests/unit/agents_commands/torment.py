"""A world in which everything that carries out commands is killed, at any place and in any order, drawn from a seed.

What is real: the agent's part with its database, the keepers, and their files. What is not: time, processes, and the programs, which only count
how often they are begun. Each keeper is a thread that goes on from one place to the next when it is told to, so nothing happens by chance.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tabard import failpoints, files
from tabard.agents.commands import keeper, keeping, runner
from tabard.brokers.loop import Loop
from tabard.brokers.wire.answers import ENDS
from tabard.brokers.wire.command import CANCEL, Document
from tabard.shell import process
from tests.unit.agents_commands.test_taking import EVERY, Node

PIDS: Final = range(2, 8)
"""So few that they are used again at once."""
STEPS: Final = 120
ROUNDS: Final = 400


class Killed(BaseException):
    """Raised in whoever is killed."""


class Keeper(threading.Thread):
    """A keeper, which goes on to its next place when it is told to."""

    def __init__(self, world: World, folder: keeping.Folder) -> None:
        super().__init__(daemon=True)
        self.world = world
        self.folder = folder
        self.pid = world.spawn("keeper")
        self.asked = keeper.Asked()
        self.go = threading.Semaphore(0)
        self.killed = self.ended = False
        self.told = False
        """A signal waits to be delivered."""
        reader, self.writer = os.pipe()
        os.set_blocking(self.writer, False)
        os.set_blocking(reader, False)
        self.stdout = os.fdopen(reader, "rb", 0)
        self.returncode: int | None = None
        self.start()

    def run(self) -> None:
        """What the process does."""
        self.go.acquire()
        try:
            with contextlib.suppress(OSError, Killed):
                if not self.killed:
                    keeper.keep(self.folder.path, self.say, self.asked)
        finally:
            os.close(self.writer)
            self.ended = True
            self.returncode = 0
            self.world.processes.pop(self.pid, None)
            self.world.back.release()

    def say(self, word: bytes) -> None:
        """To its agent."""
        with contextlib.suppress(OSError):
            os.write(self.writer, word)

    def pause(self) -> None:
        """Anything may happen here before it goes on."""
        self.world.back.release()
        self.go.acquire()
        if self.killed:
            raise Killed
        if self.told:
            self.told = False
            self.asked.note()

    def step(self) -> None:
        """Let it go on to its next place."""
        if not self.ended:
            self.go.release()
            self.world.back.acquire()

    def kill(self) -> None:
        """With SIGKILL."""
        self.killed = True
        while not self.ended:
            self.step()

    # --- what the agent holds of it --------------------------------------------------------

    def poll(self) -> int | None:
        """As `subprocess.Popen`."""
        return self.returncode

    def wait(self) -> int:
        """As `subprocess.Popen`."""
        return 0


class VirtualLoop(Loop):
    """One whose time goes on when it is told to."""

    seconds = 0.0

    def now(self) -> float:
        """Seconds."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds
        self.turn(0.0)


class World(Node):
    """A node, its processes and its disk."""

    loop: VirtualLoop

    def __init__(self, folder: Path, seed: int, patch: pytest.MonkeyPatch) -> None:
        self.rng = random.Random(seed)
        self.back = threading.Semaphore(0)
        self.keepers: list[Keeper] = []
        self.processes: dict[int, tuple[str, str]] = {}
        """What runs under a number, and when that began."""
        self.ticks = 0
        self.boot = 1
        self.seconds = 0.0
        self.calm = True
        """Nothing fails."""
        self.full = False
        self.ran: Counter[str] = Counter()
        self.wanted: list[Document] = []
        self.wrong: list[str] = []
        self._patch(patch)
        super().__init__(folder)

    def make_loop(self) -> VirtualLoop:
        """That of one agent."""
        loop = VirtualLoop()
        loop.seconds = self.seconds
        return loop

    def _patch(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(failpoints, "hit", self._hit)
        write, removed = files.write_json, files.remove_folder

        def write_json(path: Path, content: dict[str, Any]) -> None:
            self._place()
            if self.full and self.rng.random() < 0.5:
                raise OSError(errno.ENOSPC, "no room")
            write(path, content)
            self._place()

        def remove_folder(path: Path) -> None:
            if path.is_dir():
                for name in sorted(os.listdir(path), key=lambda _name: self.rng.random()):
                    files.remove(path / name)
                    self._place()
            removed(path)

        patch.setattr(files, "write_json", write_json)
        patch.setattr(files, "remove_folder", remove_folder)
        patch.setattr(files, "sync", lambda _path: None)
        patch.setattr(process, "run", self._run)
        patch.setattr(time, "sleep", lambda _seconds: self._place())
        patch.setattr(keeper, "myself", self._myself)
        for module in (keeper, keeping):
            patch.setattr(module, "began", self.began)
        for module in (keeper, keeping, runner):
            patch.setattr(module, "boot_id", lambda: f"boot {self.boot}")
        patch.setattr(os, "kill", self._signal)
        patch.setattr(os, "killpg", self._signal)
        patch.setattr(keeping.Kept, "start", self._start)

    # --- processes -------------------------------------------------------------------------

    def spawn(self, what: str) -> int:
        """A number for a new process, maybe one that was another's before."""
        self.ticks += 1
        free = [pid for pid in PIDS if pid not in self.processes] or [max(self.processes) + 1]
        pid = self.rng.choice(free)
        self.processes[pid] = (what, str(self.ticks))
        return pid

    def began(self, pid: int) -> str:
        """As `keeper.began`."""
        return self.processes.get(pid, ("", ""))[1]

    def _myself(self) -> keeper.Keeper:
        thread = threading.current_thread()
        assert isinstance(thread, Keeper)
        return keeper.Keeper(thread.pid, self.began(thread.pid), f"boot {self.boot}")

    def _signal(self, pid: int, number: int) -> None:
        what = self.processes.get(pid, ("", ""))[0]
        if not what:
            raise ProcessLookupError
        if what == "other":
            self.wrong.append("somebody else's process was ended")
        elif what == "program":
            del self.processes[pid]
        for each in self.keepers:
            if each.pid == pid and not each.ended and number == signal.SIGTERM:
                each.told = True

    def _start(self, folder: keeping.Folder) -> keeping.Kept:
        if self.full and self.rng.random() < 0.3:
            raise OSError(errno.EAGAIN, "no process")
        self.keepers.append(made := Keeper(self, folder))
        return keeping.Kept(folder, made, None)  # type: ignore[arg-type]

    def _run(
        self, words: list[str], *, env: dict[str, str], started: Callable[..., None],
        take_out: Callable[[bytes], None], take_err: Callable[[bytes], None], **_: Any,
    ) -> process.Ending:  # fmt: skip
        """A program that says something and ends, unless it is ended."""
        self._place()
        uid = env["TABARD_COMMAND"]
        self.ran[uid] += 1
        pid = self.spawn("program")
        try:
            self._place()
            started(pid, None)
            for _part in range(self.rng.randrange(4)):
                self._place()
                said = self.rng.randbytes(self.rng.choice((1, 5, 40)))
                self.rng.choice((take_out, take_err))(said)
            self._place()
        except Killed:
            raise  # it goes on without its keeper
        except BaseException:
            self.processes.pop(pid, None)
            raise
        self.processes.pop(pid, None)
        return process.Ending(self.rng.choice((0, 0, 3, -9)), timed_out=False, held=False)

    # --- places ----------------------------------------------------------------------------

    def _place(self) -> None:
        thread = threading.current_thread()
        if isinstance(thread, Keeper):
            thread.pause()
            return
        while not self.calm and self.rng.random() < 0.3:
            self.step_one()
        if not self.calm and self.rng.random() < 0.02:
            raise Killed

    def _hit(self, name: str) -> None:
        self._place()
        if not self.full or self.rng.random() < 0.7:
            return
        if name.startswith("outbox.") or name == keeper.BEFORE_RESULT:
            raise OSError(errno.ENOSPC, "no room")

    def step_one(self) -> None:
        """Let some keeper go on."""
        going = [each for each in self.keepers if not each.ended]
        if going:
            self.rng.choice(going).step()

    # --- what happens ----------------------------------------------------------------------

    def agent(self, does: Callable[[], None]) -> None:
        """The agent does something, and is started anew when it is killed by it."""
        try:
            does()
        except Killed:
            self.kill_agent()

    def kill_agent(self) -> None:
        """And start the next one, until one gets through."""
        while True:
            for each in self.keepers:
                each.stdout.close()
            if self.control._outbox is not None:
                self.control._outbox._database.close()  # nothing is written any more, as by an end in order
            try:
                self.restart()
            except Killed:
                continue
            return

    def cut_power(self) -> None:
        """Nothing runs any more, and of the files of commands anything may be gone."""
        for each in self.keepers:
            each.kill()
        self.processes.clear()
        self.boot += 1
        for path in sorted(self.folder.glob("commands/*")):
            if self.rng.random() < 0.3:
                shutil.rmtree(path)
                continue
            for file in sorted(path.iterdir()):
                lost = self.rng.random()
                if lost < 0.3:
                    file.unlink()
                elif lost < 0.5:
                    file.write_bytes(file.read_bytes()[: self.rng.randrange(20)])
        self.kill_agent()

    def torment(self) -> None:
        """All of it, by chance."""
        self.calm = False
        happenings: list[tuple[Callable[[], None], int]] = [
            (self.step_one, 40),
            (lambda: self.agent(self.pass_time), 30),
            (lambda: self.agent(self.send_one), 12),
            (lambda: self.agent(self.cancel_one), 3),
            (self.kill_agent, 3),
            (self.kill_keeper, 2),
            (self.toggle_full, 3),
            (self.begin_other, 3),
            (self.cut_power, 1),
        ]
        does, weights = zip(*happenings, strict=True)
        for _ in range(STEPS):
            self.rng.choices(does, weights)[0]()
        self.settle()

    def pass_time(self) -> None:
        """Some of it."""
        seconds = self.rng.choice((0.05, 0.3, 1.5))
        self.seconds += seconds
        self.clock.seconds += seconds
        self.commands.look_after()
        self.loop.advance(seconds)

    def send_one(self) -> None:
        """A new one, or one of before, again."""
        if len(self.wanted) < 4 and self.rng.random() < 0.6:
            self.wanted.append(self.document("program"))
        if self.wanted:
            self.clock.seconds += EVERY
            self.send(self.rng.choice(self.wanted))

    def cancel_one(self) -> None:
        """One that was sent."""
        if self.wanted:
            self.give(self.rng.choice(self.wanted).id.hex(), kind=CANCEL)

    def kill_keeper(self) -> None:
        """One that goes on."""
        going = [each for each in self.keepers if not each.ended]
        if going:
            self.rng.choice(going).kill()

    def toggle_full(self) -> None:
        """The disk is full, or has room again."""
        self.full = not self.full

    def begin_other(self) -> None:
        """Somebody else's process, or the end of one."""
        others = [pid for pid, (what, _) in self.processes.items() if what == "other"]
        if others and self.rng.random() < 0.5:
            del self.processes[self.rng.choice(others)]
        elif len(others) < 3:
            self.spawn("other")

    def settle(self) -> None:
        """Nothing fails any more, and the dispatcher sends again what has no end."""
        self.calm, self.full = True, False
        for _ in range(ROUNDS):
            self.pass_time()
            for going in list(self.keepers):
                going.step()
            if all(self.ends(each) for each in self.wanted) and not self.commands.runner.running:
                break
            for each in self.wanted:
                if not self.ends(each):
                    self.clock.seconds += EVERY
                    self.send(each)
        else:
            self.wrong.append("a command without an end")

    def close(self) -> None:
        """End all threads."""
        for each in self.keepers:
            each.kill()
            each.stdout.close()

    # --- what has to hold ------------------------------------------------------------------

    def ends(self, wanted: Document) -> list[str]:
        """The ends that were said of one."""
        return [kind for kind in self.kinds(wanted) if kind in ENDS]

    def check(self) -> list[str]:
        """What is wrong."""
        return [*self.wrong, *(found for each in self.wanted for found in self._check(each))]

    def _check(self, wanted: Document) -> Iterator[str]:
        uid = wanted.id.hex()
        ran, ends = self.ran[uid], self.ends(wanted)
        if ran > 1:
            yield f"ran {ran} times: {self.kinds(wanted)}"
        if len(set(ends)) > 1:
            yield f"ended in several ways: {ends}"
        if self.kinds(wanted)[-1:] != ends[-1:]:
            yield f"goes on after its end: {self.kinds(wanted)}"
        said = [(kind, data) for kind, data in self.answers() if data["id"] == uid]
        ended = [data for kind, data in said if kind.removeprefix("command.") in ENDS]
        begun = not ended or "cannot start" not in str(ended[0].get("reason"))
        if ends and ends[0] in {"done", "failed"} and begun != bool(ran):
            yield f"{ended[0]}, and ran {ran} times"
        if ends and ends[0] in {"refused", "expired"} and ran:
            yield f"{ends[0]}, and ran"
        parts = [data["n"] for kind, data in said if kind == "command.output"]
        if parts != list(range(1, len(parts) + 1)) or (ended and ended[0]["parts"] != len(parts)):
            yield f"parts {parts} of {ended[:1]}"
