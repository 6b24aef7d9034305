"""A node that takes commands in, with a real control stream and real programs: each is answered before it is begun, or nothing happens."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tabard import failpoints
from tabard.agents.commands import deciding, hearing, table
from tabard.agents.commands.deciding import CLOCKS
from tabard.agents.commands.rules import Rules
from tabard.agents.commands.taking import Commands
from tabard.brokers.delivery.refusals import Refusals
from tabard.brokers.loop import Loop
from tabard.brokers.trust import reasons
from tabard.brokers.trust.certificates import OPERATOR
from tabard.brokers.wire.answers import ENDS, RUNNING
from tabard.brokers.wire.body import decode_groups
from tabard.brokers.wire.command import ACTION, CANCEL, Document
from tabard.brokers.wire.messages import Message
from tabard.brokers.wire.streams import CONTROL
from tests.operators import document, somebody
from tests.trustees import NOON
from tests.unit.agents_commands.test_hearing import ME, NONCE, Scene
from tests.unit.agents_commands.test_table import control

EVERY = 10.0
DAY = 86_400 * 10**9


class Clock:
    """Stands still until it is told."""

    seconds = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.seconds

    def wall(self) -> int:
        """Nanoseconds."""
        return NOON


class Node:
    """A node with an outbox in a folder; `restart` forgets what is not on disk."""

    def __init__(self, folder: Path) -> None:
        self.scene = Scene()
        self.folder = folder
        self.clock = Clock()
        self.loop = self.make_loop()
        self.before: list[Commands] = []
        """Of agents that are gone: their keepers are children of this process, as nobody else's."""
        self.counters: Counter[str] = Counter()
        self.rules = Rules(frozenset({"actions", "run"}), {}, 0, 1, 1000)
        self.roomy = True
        self.told = 0
        self.restart()

    def make_loop(self) -> Loop:
        """That of one agent."""
        return Loop()

    def restart(self) -> None:
        """Another agent takes over."""
        self.loop.close()
        self.loop = self.make_loop()
        self.control = control(self.folder / "control")
        self.refusals = Refusals(self.counters)
        self.commands = Commands(
            ME,
            self.folder / "commands",
            self.control,
            self.loop,
            self.clock,
            rules=lambda: self.rules,
            directory=lambda: self.scene.directory,
            unbox=self.scene.key.unbox,
            knows=lambda nonce: nonce == NONCE,
            roomy=lambda: self.roomy,
            refusals=self.refusals,
            counters=self.counters,
            answered=self._answered,
            every=EVERY,
        )
        self.before.append(self.commands)
        self.commands.look_after()

    def _answered(self) -> None:
        self.told += 1

    def document(self, *words: str, **more: Any) -> Document:
        """What ada wants."""
        return document(self.scene.ada)._replace(id=os.urandom(16), words=words, **more)

    def give(self, *words: str, **more: Any) -> Document:
        """Send a command; what was sent."""
        wanted = self.document(*words, **more)
        self.send(wanted)
        return wanted

    def send(self, wanted: Document, **more: Any) -> None:
        """Send it, maybe again."""
        self.commands.take(self.scene.message(self.scene.order(**wanted._asdict()), **more))

    def said(self) -> list[tuple[str, str]]:
        """Kind and id of every answer."""
        return [(kind.removeprefix("command."), data["id"]) for kind, data in self.answers()]

    def answers(self) -> list[tuple[str, dict[str, Any]]]:
        """All answers."""
        found: list[tuple[str, dict[str, Any]]] = []
        for span in self.control.spans():
            seq = 2  # behind the opening
            while seq <= span.last and (batch := self.control.read(span.epoch, seq)) is not None:
                for group in decode_groups(CONTROL, batch.body, batch.header.count):
                    found += [(kind, data) for _time, kind, data in group[3]]
                seq = batch.header.last + 1
        return found

    def kinds(self, wanted: Document) -> list[str]:
        """What was said of one command, without output."""
        return [kind for kind, uid in self.said() if uid == wanted.id.hex() and kind != "output"]

    def turn_until(self, wanted: Document, kind: str) -> None:
        """Let the loop go round until this was said."""
        while kind not in self.kinds(wanted):
            assert not self.kinds(wanted) or self.kinds(wanted)[-1] not in ENDS
            self.loop.turn(10.0)


@pytest.fixture(name="node")
def _node(tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "control").mkdir()
    node = Node(tmp_path)
    yield node
    failpoints.arm("")
    node.loop.close()
    for commands in node.before:
        for watched in commands.runner._watched.values():
            watched.kept.end()
            if watched.kept._process is not None:
                watched.kept._process.send_signal(signal.SIGCONT)
            watched.kept.close()


def waits_for(path: Path) -> tuple[str, ...]:
    """A program that goes on once something is written there."""
    os.mkfifo(path)
    return (sys.executable, "-c", "import sys; open(sys.argv[1]).read()", str(path))


def test_what_is_known_is_answered_again_once_in_a_while(node: Node) -> None:
    """As it was, and no more often than a beacon comes."""
    ping = node.give("ping", kind=ACTION)
    assert node.kinds(ping) == ["accepted", "done"]
    for _ in range(5):
        node.send(ping)
    assert node.kinds(ping) == ["accepted", "done"]
    node.clock.seconds += EVERY
    for _ in range(5):
        node.send(ping)
    assert node.kinds(ping) == ["accepted", "done", "done"]


def test_what_strangers_send_is_counted_and_fills_nothing(node: Node) -> None:
    """Nothing is written for it, however much comes; who is said to have sent it is named."""
    foreign = somebody(node.scene.trustees, OPERATOR, "hq/office")
    for _ in range(50):
        node.commands.take(node.scene.message(nonce=b"x" * 8))
        node.commands.take(node.scene.message(node.scene.order(foreign)))
        node.commands.take(Message(b"", b"", node.scene.message().head, b"", b"", b""))
    assert node.answers() == []
    assert node.counters[f"command ignored: {hearing.UNKNOWN_NONCE}"] == 50
    assert node.counters[f"refused command: {reasons.EXCEEDS}"] == 50
    assert node.counters["malformed command"] == 50
    assert node.refusals.why(node.clock.monotonic(), "dispatcher desk") == reasons.EXCEEDS


def test_without_room_for_its_answers_nothing_is_accepted(node: Node) -> None:
    """It is not answered either, so its dispatcher sends it again."""
    node.roomy = False
    wanted = node.give("true")
    assert node.answers() == []
    assert node.counters["command put off"] == 1
    node.roomy = True
    node.send(wanted)
    node.turn_until(wanted, "done")


@pytest.mark.threat("replayed-command")
def test_what_the_disk_refuses_is_not_begun(node: Node, tmp_path: Path) -> None:
    """Neither before it is accepted, nor before it is written down that it is begun; and once the disk is well it is begun once."""
    mark = tmp_path / "marks"
    words = (sys.executable, "-c", f"open({str(mark)!r}, 'a').write('x')")
    failpoints.arm("outbox.before_commit=error")
    wanted = node.give(*words)
    assert node.answers() == []
    failpoints.arm("")
    node.commands.look_after()
    failpoints.arm("outbox.before_commit=error@2")
    node.send(wanted)
    assert node.kinds(wanted) == ["accepted"]
    assert not mark.exists() and node.commands.runner.running == 0
    failpoints.arm("")
    node.commands.look_after()
    node.turn_until(wanted, "done")
    assert mark.read_text() == "x"


def test_what_waits_is_begun_as_the_settings_and_the_clock_are_then(node: Node, tmp_path: Path) -> None:
    """One has expired meanwhile, the other is not accepted any more."""
    first = node.give(*waits_for(tmp_path / "go"))
    short = node.give("true", expires=NOON + 10**9)
    long = node.give("true")
    node.rules = node.rules._replace(accept=frozenset())
    node.clock.seconds += 2.0
    node.turn_until(first, "running")
    (tmp_path / "go").write_text("")
    node.turn_until(long, "refused")
    assert node.kinds(first) == ["accepted", "running", "done"]
    assert node.kinds(short) == ["accepted", "expired"]


def test_what_ran_when_the_host_was_started_anew_is_lost(node: Node, tmp_path: Path) -> None:
    """Nobody knows how far it came, so it is not begun again; what had only been accepted is."""
    first = node.give(*waits_for(tmp_path / "go"))
    second = node.give("true")
    node.turn_until(first, "running")
    with node.control.transaction() as db:
        db.execute("UPDATE command SET boot = 'another' WHERE state = 'running'")
    node.control.close()
    node.restart()
    node.turn_until(second, "done")
    assert node.kinds(first) == ["accepted", "running", "lost"]
    assert node.kinds(second) == ["accepted", "running", "done"]


@pytest.mark.threat("replayed-command")
def test_with_its_memory_lost_a_node_begins_nothing_of_before(node: Node) -> None:
    """It says that it does not know; what is issued later is as ever."""
    old = node.document("true", expires=NOON + 10**13)
    with node.control.transaction() as db:
        db.execute("UPDATE command_memory SET since = NULL")
    node.send(old)
    assert node.kinds(old) == ["lost"]
    new = node.document("ping", kind=ACTION, issued=NOON + 10**12, expires=NOON + 10**13)
    node.send(new, now=NOON + 10**12)
    assert node.kinds(new) == ["accepted", "done"]


def test_a_cancellation_is_answered_for_both(node: Node, tmp_path: Path) -> None:
    """Of one that waits at once, of one that runs when it has ended, of one that is over as failed."""
    first = node.give(*waits_for(tmp_path / "go"))
    second = node.give("true")
    node.turn_until(first, "running")
    for wanted in (second, first):
        assert node.kinds(node.give(wanted.id.hex(), kind=CANCEL)) == ["accepted", "done"]
    assert node.kinds(second) == ["accepted", "cancelled"]
    node.turn_until(first, "cancelled")
    assert node.kinds(node.give(first.id.hex(), kind=CANCEL)) == ["accepted", "failed"]
    with node.control.transaction() as db:
        assert table.count(db, table.WAITING) == table.count(db, RUNNING) == 0


def test_an_end_says_how_many_parts_of_output_there_are(node: Node) -> None:
    """Those that were sent of this command; none where nothing ran."""
    talking = node.give(sys.executable, "-c", "import sys; print(1); print(2, file=sys.stderr)")
    silent = node.give("ping", kind=ACTION)
    refused = node.give("nothing", kind=ACTION)
    node.turn_until(talking, "done")
    ends = {data["id"]: data["parts"] for _, data in node.answers() if "parts" in data}
    sent = [data["n"] for kind, data in node.answers() if kind == "command.output"]
    assert sent == [1, 2]
    assert ends == {talking.id.hex(): 2, silent.id.hex(): 0, refused.id.hex(): 0}


def stopped_keeper(
    node: Node, monkeypatch: pytest.MonkeyPatch, point: str, *words: str
) -> tuple[Document, int]:
    """A command whose keeper stands still at a fail-point, and that keeper."""
    monkeypatch.setenv("TABARD_FAILPOINTS", f"{point}=stop")
    wanted = node.give(*words)
    process = node.commands.runner._watched[wanted.id].kept._process
    assert process is not None
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    return wanted, process.pid


KEPT_STILL = ("commands.keeper_before_claim", "commands.keeper_after_claim")


@pytest.mark.parametrize("point", KEPT_STILL)
def test_what_is_cancelled_before_its_program_is_begun_never_begins(
    node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, point: str
) -> None:
    """Its keeper is there already: told before it begins, it begins nothing, and says how it ended."""
    wanted, pid = stopped_keeper(node, monkeypatch, point, "touch", str(tmp_path / "made"))
    assert node.kinds(node.give(wanted.id.hex(), kind=CANCEL)) == ["accepted", "done"]
    os.kill(pid, signal.SIGCONT)
    node.turn_until(wanted, "cancelled")
    assert node.kinds(wanted) == ["accepted", "cancelled"]
    assert not (tmp_path / "made").exists()


def test_what_is_cancelled_before_it_is_begun_stays_so_over_a_start_of_the_agent(
    node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its keeper had not begun it, so it could wait for its turn again; but it is not wanted any more."""
    wanted, pid = stopped_keeper(node, monkeypatch, KEPT_STILL[0], "touch", str(tmp_path / "made"))
    with node.control.transaction() as db:
        table.cancelled_by(db, wanted.id, "ada of hq")
    node.control.close()
    node.restart()
    assert node.kinds(wanted) == ["accepted", "cancelled"]
    os.kill(pid, signal.SIGCONT)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not (tmp_path / "made").exists()


def test_what_is_cancelled_and_loses_its_keeper_before_it_is_begun_is_cancelled(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not begun, and that is known."""
    wanted, pid = stopped_keeper(node, monkeypatch, KEPT_STILL[0], "true")
    node.give(wanted.id.hex(), kind=CANCEL)
    os.kill(pid, signal.SIGKILL)
    node.turn_until(wanted, "cancelled")
    assert node.kinds(wanted) == ["accepted", "cancelled"]


def test_a_cancellation_while_the_end_is_written_down_disturbs_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program had ended by itself, and that is what is said."""
    wanted, pid = stopped_keeper(node, monkeypatch, "commands.keeper_before_result", "true")
    node.give(wanted.id.hex(), kind=CANCEL)
    os.kill(pid, signal.SIGCONT)
    node.turn_until(wanted, "done")
    assert node.kinds(wanted) == ["accepted", "running", "done"]


def test_how_it_ended_is_said_once_the_disk_takes_it(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else knows it, so its keeper tries again."""
    monkeypatch.setenv("TABARD_FAILPOINTS", "commands.keeper_before_result=error")
    wanted = node.give("true")
    node.turn_until(wanted, "done")


def test_a_program_can_be_interrupted(node: Node) -> None:
    """What its keeper does not listen to is not ignored by the program."""
    text = "import signal, sys; sys.exit(signal.getsignal(signal.SIGHUP) != signal.SIG_DFL)"
    node.turn_until(node.give(sys.executable, "-c", text), "done")


@pytest.mark.threat("revoked-operator")
@pytest.mark.parametrize("restarted", [False, True])
def test_what_waits_is_not_begun_when_its_operator_was_revoked_meanwhile(
    node: Node, tmp_path: Path, *, restarted: bool
) -> None:
    """It was accepted when the operator was believed; also when no dispatcher was heard since the agent was started."""
    first = node.give(*waits_for(tmp_path / "go"))
    second = node.give("touch", str(tmp_path / "made"))
    node.turn_until(first, "running")
    assert node.scene.directory is not None
    node.scene.directory.take_roster(node.scene.trustees.revoke(node.scene.ada.key.public.key_id), NOON)
    if restarted:
        node.control.close()
        node.restart()
    (tmp_path / "go").write_text("")
    node.turn_until(second, "refused")
    assert node.kinds(first) == ["accepted", "running", "done"]
    (refused,) = [data for kind, data in node.answers() if kind == "command.refused"]
    assert "revoked" in refused["reason"]
    assert not (tmp_path / "made").exists()


@pytest.mark.threat("revoked-operator")
def test_what_waits_is_not_begun_in_a_home_without_keys(node: Node, tmp_path: Path) -> None:
    """They were taken away: nobody is believed any more."""
    first = node.give(*waits_for(tmp_path / "go"))
    second = node.give("true")
    node.turn_until(first, "running")
    node.scene.directory = None
    (tmp_path / "go").write_text("")
    node.turn_until(second, "refused")


@pytest.mark.threat("more-than-is-accepted")
def test_what_waits_is_not_begun_when_it_needs_an_approval_by_now(node: Node, tmp_path: Path) -> None:
    """The settings of the moment count, not those of when it was accepted."""
    first = node.give(*waits_for(tmp_path / "go"))
    second = node.give("touch", str(tmp_path / "made"))
    node.turn_until(first, "running")
    node.rules = node.rules._replace(approvals=1)
    (tmp_path / "go").write_text("")
    node.turn_until(second, "refused")
    assert not (tmp_path / "made").exists()


def rows(node: Node) -> int:
    """How many commands are remembered."""
    with node.control.transaction() as db:
        return table.count(db)


def test_what_is_never_begun_anyway_takes_no_room(node: Node) -> None:
    """What has expired, and what may have been executed: that is decided anew each time, with the same end."""
    expired = node.document("true")
    for _ in range(2):
        node.send(expired, now=expired.expires)
        node.clock.seconds += EVERY
    node.send(expired)
    assert node.kinds(expired) == ["expired"] * 3, "also by a clock that went back"
    with node.control.transaction() as db:
        db.execute("UPDATE command_memory SET since = NULL")
    lost = node.document("true", expires=expired.expires + 1)
    for _ in range(2):
        node.send(lost)
        node.clock.seconds += EVERY
    assert node.kinds(lost) == ["lost", "lost"]
    assert rows(node) == 0


def test_a_full_node_cancels_and_answers_nothing_it_cannot_remember(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when its control stream is half full: an end of what runs makes room."""
    running = node.give(*waits_for(tmp_path / "go"))
    node.turn_until(running, "running")
    monkeypatch.setattr(deciding, "MOST_KEPT", 1)
    monkeypatch.setattr(deciding, "MOST_ANSWERED", 1)
    node.roomy = False
    put_off = node.give("ping", kind=ACTION)
    assert node.kinds(put_off) == []
    assert node.counters["command put off"] == 1
    assert node.kinds(node.give(running.id.hex(), kind=CANCEL)) == ["accepted", "done"]
    node.turn_until(running, "cancelled")


def test_what_was_cancelled_before_it_came_stays_so_as_long_as_it_can_come(
    node: Node, tmp_path: Path
) -> None:
    """However soon the cancellation itself expires; and once it has come, no longer than it can come again."""
    late = node.document("touch", str(tmp_path / "made"), expires=NOON + 300 * DAY)
    node.give(late.id.hex(), kind=CANCEL, expires=NOON + 10**9)
    node.send(node.document("noop", kind=ACTION), now=NOON + 299 * DAY)
    node.send(late, now=NOON + 299 * DAY)
    node.commands.look_after()
    assert node.kinds(late) == ["cancelled"] * 2
    node.send(node.document("ping", kind=ACTION, expires=late.expires + 5), now=late.expires)
    assert rows(node) == 1


def test_of_one_that_it_does_not_know_a_node_says_what_it_has_forgotten(node: Node) -> None:
    """Whether it ever was there is for a dispatcher to tell, which knows when it expired."""
    old = node.give("ping", kind=ACTION, expires=NOON + 10**9)
    node.give(old.id.hex(), kind=CANCEL)
    assert node.kinds(old)[-1] == "done"
    node.send(
        node.document("ping", kind=ACTION), now=NOON + 10**9
    )  # by that it has expired, and is forgotten
    node.give(old.id.hex(), kind=CANCEL)
    kind, data = [(kind, data) for kind, data in node.answers() if data["id"] == old.id.hex()][-1]
    assert (kind, data["forgotten"]) == ("command.cancelled", old.expires)


def test_what_may_have_run_is_not_said_to_be_cancelled(node: Node) -> None:
    """Where the node lost what it knew of that."""
    with node.control.transaction() as db:
        db.execute("UPDATE command_memory SET since = ?", (NOON - 10**12,))
    old = node.document("true", issued=NOON - 2 * 10**12)
    assert node.kinds(node.give(old.id.hex(), kind=CANCEL)) == ["accepted", "done"]
    assert node.kinds(old) == ["lost"]


@pytest.mark.threat("replayed-command")
def test_a_clock_at_zero_does_not_bring_back_what_may_have_run(node: Node) -> None:
    """The host's own clock counts as well."""
    with node.control.transaction() as db:
        db.execute("UPDATE command_memory SET since = NULL")
    old = node.document("true")
    node.send(old, now=NOON - 10**9 - CLOCKS)
    assert node.kinds(old) == ["lost"]
    again = node.document("true", issued=NOON + CLOCKS)
    node.send(again)
    assert node.kinds(again) == ["lost"]


@pytest.mark.threat("replayed-command")
@pytest.mark.parametrize("times", range(1, 5))
def test_what_the_disk_took_though_it_seemed_to_refuse_it_counts(
    node: Node, tmp_path: Path, times: int
) -> None:
    """As when what is noted behind a commit finds no room. It runs once, ends, and no part of its output has the number of another."""
    mark = tmp_path / "marks"
    words = (sys.executable, "-c", f"open({str(mark)!r}, 'a').write('x'); print('said')")
    failpoints.arm(f"outbox.after_commit=error@{times}")
    wanted = node.give(*words)
    node.clock.seconds += EVERY
    while "done" not in node.kinds(wanted):
        node.commands.look_after()
        node.loop.turn(0.05)
    assert mark.read_text() == "x"
    said = [data for kind, data in node.answers() if kind == "command.output"]
    assert [(data["n"], data["data"]) for data in said] == [(1, b"said\n")]


def test_each_answer_is_told_at_once(node: Node) -> None:
    """So that it is sent without waiting for anything."""
    before = node.told
    node.give("ping", kind=ACTION)
    assert node.told == before + 1
