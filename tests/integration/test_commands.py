"""A real agent, a real broker, and a dispatcher with real keys: what is commanded happens once, or is said not to have happened."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tabard.brokers.wire.command import CANCEL, Document, decode_document
from tests.integration.commanding import ENDED, Desk
from tests.integration.upping import wait_for_end

RUNS: Final = '[commands]\naccept = ["actions", "run"]\n'
META: Final = (
    "$(touch {0})",
    "`touch {0}`",
    "; touch {0}",
    "a'b\"c",
    "*",
    "~",
    "\\",
    "a\nb",
    "| cat",
    "é\t",
    "",
    "--",
    "$HOME",
    "&&",
)
"""What a shell would make something of; each is one word."""


@pytest.fixture(name="desk")
def _desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path, RUNS) as desk:
        yield desk


def python(text: str, *words: str) -> tuple[str, ...]:
    """A program."""
    return (sys.executable, "-c", text, *words)


def kinds(desk: Desk, document: Document) -> list[str]:
    """The answers without their data, without output, and without what is only said again since it was sent again."""
    said = [kind.removeprefix("command.") for kind, _ in desk.of(document) if kind != "command.output"]
    return [kind for kind, _ in itertools.groupby(said)]


def test_a_command_runs_and_says_what_its_program_says(desk: Desk) -> None:
    """Accepted, running, output of both kinds, and how it ended; the words arrive one by one."""
    desk.start()
    text = "import sys, os; print(sys.argv[1:]); print(os.getcwd(), 'TABARD_HOME' in os.environ, file=sys.stderr); sys.exit(3)"
    document = desk.document(*python(text, "a b", ""))
    kind, data = desk.do(document)
    assert (kind, data["exit"], data["cut"]) == ("command.failed", 3, 0)
    assert desk.output(document) == b"['a b', '']\n"
    assert desk.output(document, 2).endswith(b" False\n")
    assert kinds(desk, document) == ["accepted", "running", "failed"]
    assert desk.of(document)[0][1]["issuer"] == "ada of hq"
    done = desk.action("ping")
    assert desk.do(done)[0] == "command.done"
    assert kinds(desk, done) == ["accepted", "done"]


@pytest.mark.threat("shell-in-a-command")
def test_metacharacters_arrive_as_they_were_given(desk: Desk, tmp_path: Path) -> None:
    """In every argument of a command line and of a named action; nothing of them is executed."""
    mark = tmp_path / "made"
    words = [word.format(mark) for word in META]
    show = "import sys; sys.stdout.buffer.write('\\0'.join(sys.argv[1:]).encode())"
    argv = json.dumps([*python(show), "{1}", "x{2}y", "{*}"])  # which TOML reads as well
    with desk.home.settings_file.open("a") as file:
        file.write(f'\n[[action]]\nname = "show"\nrun = {argv}\n')
    desk.start()
    run, action = desk.document(*python(show, *words)), desk.action("show", *words)
    assert desk.do(run)[0] == "command.done"
    assert desk.output(run).decode().split("\0") == words
    assert desk.do(action)[0] == "command.done"
    assert desk.output(action).decode().split("\0") == [words[0], f"x{words[1]}y", *words[2:]]
    assert not mark.exists()


def test_what_takes_too_long_is_ended_with_all_that_it_started(desk: Desk, tmp_path: Path) -> None:
    """Also who ignores SIGTERM; and so is what is cancelled."""
    desk.start()
    stubborn = (
        "import os, signal, subprocess, sys, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        " child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        " pathlib.Path(sys.argv[1]).write_text(f'{os.getpid()} {child.pid}'); print('up', flush=True); child.wait()"
    )
    late = desk.document(*python(stubborn, str(tmp_path / "late")), timeout=1.0)
    kind, data = desk.do(late)
    assert (kind, data["reason"]) == ("command.failed", "timeout")
    wait_for_end(*map(int, (tmp_path / "late").read_text().split()))
    unwanted = desk.document(*python(stubborn, str(tmp_path / "unwanted")))
    order = desk.signed(unwanted)
    desk.wait(lambda: desk.output(unwanted), "it runs", [order])
    assert desk.do(desk.document(unwanted.id.hex(), kind=CANCEL))[0] == "command.done"
    kind, data = desk.end_of(unwanted)
    assert (kind, data["by"]) == ("command.cancelled", "ada of hq")
    wait_for_end(*map(int, (tmp_path / "unwanted").read_text().split()))
    again = desk.document(unwanted.id.hex(), kind=CANCEL)
    assert desk.do(again)[1]["reason"] == "it has ended: cancelled"


def test_what_is_cancelled_before_it_comes_does_not_run(desk: Desk, tmp_path: Path) -> None:
    """The way down keeps no order."""
    desk.start()
    document = desk.document("touch", str(tmp_path / "made"))
    assert desk.do(desk.document(document.id.hex(), kind=CANCEL))[0] == "command.done"
    assert desk.do(document)[0] == "command.cancelled"
    assert not (tmp_path / "made").exists()


def test_output_is_bounded_and_what_is_beyond_is_counted(tmp_path: Path) -> None:
    """The program goes on; so does the agent."""
    with Desk(tmp_path, RUNS + 'output = "100KiB"\n') as desk:
        desk.start()
        document = desk.document(*python("print('x' * 300_000, end='')"))
        kind, data = desk.do(document)
        assert (kind, data["cut"]) == ("command.done", 300_000 - 102_400)
        assert desk.output(document) == b"x" * 102_400


def test_what_cannot_be_started_says_why(desk: Desk) -> None:
    """A program that is not there, and one that is none."""
    desk.start()
    kind, data = desk.do(desk.document("/nowhere/at/all"))
    assert kind == "command.failed" and "cannot start: No such file" in data["reason"]


@pytest.mark.threat("more-than-is-accepted")
def test_a_node_takes_named_actions_only_unless_it_says_otherwise(tmp_path: Path) -> None:
    """A command line is refused, which is answered; so is an action that there is none, and one with other arguments."""
    with Desk(tmp_path, '[[action]]\nname = "touch"\nrun = ["touch", "{1}"]\n') as desk:
        desk.start()
        for document in (
            desk.document("touch", str(tmp_path / "made")),
            desk.action("remove", "x"),
            desk.action("touch"),
            desk.action("touch", "a", "b"),
        ):
            kind, data = desk.do(document)
            assert kind == "command.refused"
            assert data["issuer"] == "ada of hq" and data["reason"] and data["expected"]
        assert not (tmp_path / "made").exists()
        assert desk.do(desk.action("touch", str(tmp_path / "made")))[0] == "command.done"
        assert (tmp_path / "made").exists()


@pytest.mark.threat("more-than-is-accepted")
def test_a_node_can_want_others_to_approve(tmp_path: Path) -> None:
    """The issuer's own second signature is none."""
    with Desk(tmp_path, "[commands]\napprovals = 1\n") as desk:
        desk.start()
        kind, data = desk.do(desk.action("ping"), desk.ada)
        assert kind == "command.refused" and "not approved" in data["reason"]
        assert desk.do(desk.action("ping"), desk.bob)[0] == "command.done"


@pytest.mark.threat("expired-command", "replayed-command", "altered-command", "retargeted-command")
def test_what_is_not_to_happen_does_not(desk: Desk, tmp_path: Path) -> None:
    """Expired by the dispatcher's clock, sent again with an old nonce, for another node, around another document, or sealed to another key."""
    mark = tmp_path / "made"
    desk.start()
    assert desk.do(desk.action("ping"))[0] == "command.done"
    desk.beacon()

    words = ("touch", str(mark))
    wanted, another = desk.signed(desk.document(*words)), desk.signed(desk.document(*words, node="web2"))
    good = desk.message(wanted)
    other = desk.message(desk.signed(desk.document(*words)))
    for bad in (
        desk.message(wanted, nonce=bytes(8)),
        desk.message(another),
        good._replace(head=other.head, signature=other.signature),
        good._replace(signature=bytes(64)),
        good._replace(body=good.body[:-1] + bytes([good.body[-1] ^ 1])),
        good._replace(head=good.head[:-1] + bytes([good.head[-1] ^ 1])),
        desk.message(wanted, dispatcher=desk.ada),
        desk.message(wanted._replace(credentials=desk.desk.credentials)),
    ):
        desk.send(bad)
    expired = desk.action("ping")
    order = desk.signed(expired)
    desk.send(desk.message(order, now=expired.expires))
    desk.wait(lambda: desk.of(expired), "the expired one is answered")
    assert desk.of(expired)[0][0] == "command.expired"
    assert desk.do(expired)[0] == "command.expired", "nor does it happen later, by a clock that is behind"
    assert desk.do(desk.action("noop"))[0] == "command.done"
    assert not mark.exists()
    told = {data["id"] for _, data in desk.answers}
    assert not told & {decode_document(order.document).id.hex() for order in (wanted, another)}


@pytest.mark.threat("replayed-command")
def test_the_same_message_again_does_nothing_again(desk: Desk, tmp_path: Path) -> None:
    """At once, with a later nonce, and after the agent was started anew: it is answered from what is remembered."""
    mark = tmp_path / "marks"
    desk.start()
    document = desk.document("sh", "-c", f"echo done >> {mark}")
    order = desk.signed(document)
    assert desk.do(document)[0] == "command.done"
    old = desk.message(order)
    for _ in range(5):
        desk.send(old)
        desk.send(desk.message(order))
    before = len(desk.of(document))
    desk.wait(lambda: len(desk.of(document)) > before, "it is answered again", [order])
    desk.stop()
    desk.start()
    desk.beacon()
    desk.send(old)
    before = len(desk.of(document))
    desk.wait(lambda: len(desk.of(document)) > before, "it is answered again", [order])
    assert desk.of(document)[-1] == desk.end_of(document)
    assert mark.read_text() == "done\n"


POINTS: Final = (
    *((f"outbox.{where}_commit", times) for where in ("before", "after") for times in range(1, 7)),
    ("commands.starting", 1),
    ("commands.written", 1),
    ("commands.started", 1),
    ("commands.ended", 1),
)
"""With how often they are passed before: of the outbox from the agent's first record to the end of the command."""


@pytest.mark.threat("replayed-command")
@pytest.mark.parametrize(("point", "times"), POINTS)
def test_an_agent_killed_anywhere_runs_a_command_once(tmp_path: Path, point: str, times: int) -> None:
    """Each run leaves a mark; the agent that is started after it ends the command, and says how."""
    mark = tmp_path / "marks"
    with Desk(tmp_path, RUNS) as desk:
        desk.start(f"{point}=kill@{times}")
        document = desk.document("sh", "-c", f"echo $$ >> {mark}; echo said")
        order = desk.signed(document)
        assert desk.agent is not None
        process = desk.agent.process
        desk.wait(lambda: desk.of(document) or process.poll() is not None, "an answer, or its end", [order])
        desk.wait(lambda: process.poll() is not None, "its end", [order])
        assert desk.end_of_agent() == -signal.SIGKILL
        desk.start()
        desk.wait(lambda: [kind for kind, _ in desk.of(document) if kind in ENDED], "an end", [order])
        assert desk.end_of(document)[0] == "command.done"
        assert len(mark.read_text().splitlines()) == 1
        assert desk.output(document) == b"said\n"
        desk.wait(lambda: not os.listdir(desk.home.journal / "commands"), "nothing of it is left")


@pytest.mark.parametrize(
    ("point", "ran", "kind"),
    [
        ("commands.keeper_before_claim", 0, "command.failed"),
        ("commands.keeper_after_claim", 0, "command.lost"),
        ("commands.keeper_before_result", 1, "command.lost"),
    ],
)
def test_with_its_keeper_killed_a_command_ends_in_a_definite_state(
    tmp_path: Path, point: str, ran: int, kind: str
) -> None:
    """It did not run, and that is known; or nobody knows, and that is said. It is not tried again, however often it comes."""
    mark = tmp_path / "marks"
    with Desk(tmp_path, RUNS) as desk:
        desk.start(f"{point}=kill")
        document = desk.document("sh", "-c", f"echo $$ >> {mark}")
        assert desk.do(document)[0] == kind
        before = len(desk.of(document))
        desk.wait(lambda: len(desk.of(document)) > before, "it is answered again", [desk.signed(document)])
        assert desk.of(document)[-1][0] == kind
        assert (len(mark.read_text().splitlines()) if mark.exists() else 0) == ran
        desk.wait(lambda: not os.listdir(desk.home.journal / "commands"), "nothing of it is left")


def test_a_command_outlives_its_agent(desk: Desk, tmp_path: Path) -> None:
    """Killed while it runs, and started again: the rest of the output comes, and the exit code."""
    desk.start()
    go = tmp_path / "go"
    os.mkfifo(go)
    document = desk.document(
        *python("import sys; print('one', flush=True); print(open(sys.argv[1]).read())", str(go))
    )
    desk.wait(lambda: desk.output(document), "it runs", [desk.signed(document)])
    assert desk.agent is not None
    desk.agent.signal(signal.SIGKILL)
    desk.end_of_agent()
    desk.start()
    desk.beacon()
    go.write_text("two")
    kind, data = desk.end_of(document)
    assert (kind, data["exit"]) == ("command.done", 0)
    assert desk.output(document) == b"one\ntwo\n"
    assert kinds(desk, document) == ["accepted", "running", "done"]


def test_with_its_keeper_gone_it_is_lost_and_ended(desk: Desk) -> None:
    """Nobody would end it in time any more."""
    desk.start()
    document = desk.document(
        *python("import os, time; print(os.getpid(), os.getppid(), flush=True); time.sleep(600)")
    )
    desk.wait(lambda: desk.output(document), "it runs", [desk.signed(document)])
    program, keeper = map(int, desk.output(document).split())
    os.kill(keeper, signal.SIGKILL)
    assert desk.end_of(document)[0] == "command.lost"
    wait_for_end(program)


def test_others_wait_for_their_turn(tmp_path: Path) -> None:
    """No more than `commands.max_running` at a time, in the order in which they were accepted; one that waits can be cancelled."""
    with Desk(tmp_path, RUNS + "max_running = 1\n") as desk:
        desk.start()
        go = tmp_path / "go"
        os.mkfifo(go)
        first = desk.document("cat", str(go))
        desk.wait(lambda: "running" in kinds(desk, first), "it runs", [desk.signed(first)])
        later = [desk.document("true") for _ in range(3)]
        for document in later:
            desk.accept(document)
        assert [kinds(desk, document) for document in later] == [["accepted"]] * 3
        assert desk.do(desk.document(later[1].id.hex(), kind=CANCEL))[0] == "command.done"
        go.write_text("")
        ends = [desk.end_of(document)[0] for document in (first, *later)]
        assert ends == ["command.done", "command.done", "command.cancelled", "command.done"]
