"""Commands from the command line to a node and back: real processes of one home."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tabard import exits
from tabard.brokers.trust.certificates import OPERATOR
from tabard.brokers.trust.commanding import Issuer, issue_order
from tabard.brokers.trust.files import Trust
from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.wire.command import Document
from tabard.clock import wall
from tabard.consumers.commands.talk import of_order
from tabard.errors import RefusedError, TabardError
from tabard.home import Home
from tabard.ops.commands.client import Client
from tests.integration.brokering import wait_until
from tests.integration.upping import TABARD, Started, environment, tabard

SETTINGS = """
[node]
name = "web1"
zone = "hq"
[agent]
beacon = "1s"
[commands]
accept = ["actions", "run"]
"""
PORT = "18840"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that takes any command."""
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    (path / "tabard.toml").write_text(SETTINGS)
    return path


def heard(home: Path) -> None:
    """Return when the dispatcher knows of the node: it asks again and again, as there is nothing to wait for."""
    said = ""
    for _ in range(200):
        found = tabard(home, "run", "web1", "--plan", "-o", "json")
        if found.returncode == exits.DONE and json.loads(found.stdout)[0]["here"]:
            return
        said = found.stdout + found.stderr
    raise AssertionError(said)


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """What a command printed."""
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def followed(home: Path, group: str) -> dict[str, str]:
    """Of each command of a submission its state, once all have ended."""
    states = {}
    with Client(Home(home)) as client:
        client.ask("follow", id=group)
        for event in client.events():
            if event["event"] == "state":
                states[event["id"]] = event["state"]
    return states


@pytest.mark.threat("dispatcher-makes-no-command")
def test_a_new_home_commands_its_node(home: Path) -> None:
    """Named actions and command lines, with output, exit codes and a history; what was signed wrongly is not taken."""
    with Started(home, "up", "--port", PORT, "--only", "broker,recorder,dispatcher,agent") as up:
        up.wait_for("Tabard runs here")
        heard(home)
        assert tabard(home, "run", "web1", "--action", "ping").returncode == exits.DONE
        words = ("sh", "-c", "echo out; echo err >&2; exit 3", "$(touch x); `id`")
        (row,) = rows(failed := tabard(home, "run", "web1", "-o", "json", "--", *words))
        assert (row["state"], row["exit"], row["stdout"], row["stderr"]) == ("failed", 3, "out\n", "err\n")
        assert failed.returncode == exits.FAILED
        (shown,) = rows(tabard(home, "commands", "show", row["id"][:8], "-o", "json"))
        assert [each["state"] for each in shown["history"]][::4] == ["queued", "failed"]
        assert shown["words"] == list(words)
        refused = tabard(home, "run", "web1", "-o", "json", "--action", "nothing-such")
        assert (refused.returncode, rows(refused)[0]["state"]) == (exits.REFUSED, "refused")
        assert tabard(home, "run", "nobody", "--action", "ping").returncode == exits.WRONG_USE
        assert tabard(home, "run", "web1").returncode == exits.WRONG_USE
        refuses_what_no_operator_signed(home)
        ends_what_runs(home)
        no_database_in_the_command_line(home)


def refuses_what_no_operator_signed(home: Path) -> None:
    """Whoever may open the socket has no command yet."""
    trust = Trust.load(Home(home))
    assert trust is not None
    chain = trust.chain(OPERATOR, "local")
    key = trust.key(OPERATOR, "local")
    assert key is not None
    now = wall()
    for signs, key_id in ((PrivateKey.generate(), key.public.key_id), (PrivateKey.generate(), None)):
        known = key_id or signs.public.key_id
        document = Document(
            os.urandom(16), os.urandom(16), known, "hq", "web1", now, now + 10**10, 5.0, "action", ("ping",)
        )
        with Client(Home(home)) as client, pytest.raises(TabardError):
            client.ask("submit", orders=[of_order(issue_order(document, Issuer(signs, chain)))])
    over = Document(
        os.urandom(16), os.urandom(16), key.public.key_id, "hq", "web1", now - 10**10, now - 1, 5.0, "action", ("ping",)
    )  # fmt: skip
    with Client(Home(home)) as client, pytest.raises(RefusedError, match="has expired already"):
        client.ask("submit", orders=[of_order(issue_order(over, Issuer(key, chain)))])


def ends_what_runs(home: Path) -> None:
    """A cancellation reaches the node, and the command ends as cancelled."""
    (row,) = rows(tabard(home, "run", "web1", "--detach", "-o", "json", "--", "sleep", "1000"))
    with Client(Home(home)) as client:
        client.ask("follow", id=row["group"])
        assert any(event.get("state") == "running" for event in client.events())
    (cancelled,) = rows(tabard(home, "commands", "cancel", row["id"], "-o", "json"))
    assert cancelled["did"] == "its node is told"
    assert followed(home, row["group"]) == {row["id"]: "cancelled"}


def no_database_in_the_command_line(home: Path) -> None:
    """It would take longer to load than the answer takes."""
    code = (
        "import sys; from tabard.ops import cli; code = cli.run(['run', 'web1', '--action', 'ping']);"
        " sys.exit(code or any(name in sys.modules for name in ('sqlalchemy', 'psycopg2', 'zmq')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(home), check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.threat("more-than-is-accepted")
def test_a_command_is_held_until_another_operator_approves_it(home: Path) -> None:
    """Nobody approves their own, nor twice, nor what has ended; who acts is in the audit, refused or not."""
    with (home / "tabard.toml").open("a") as settings:
        settings.write('approvals = 1\n[dispatcher]\napprovals = ["hq=2", "lab=1"]\n')
    with Started(home, "up", "--port", PORT, "--only", "broker,recorder,dispatcher,agent") as up:
        up.wait_for("Tabard runs here")
        for name in ("bob", "eve"):
            assert tabard(home, "operator", "add", name).returncode == exits.DONE
        heard(home)
        (planned,) = rows(tabard(home, "run", "web1", "--plan", "-o", "json"))
        assert planned["approvals"] == 2
        (row,) = rows(given := tabard(home, "run", "web1", "--as", "local", "-o", "json", "--", "true"))
        assert (given.returncode, row["state"]) == (exits.PARTLY, "queued")
        assert "approval of 2 more operators" in row["reason"]

        def approve(name: str, *words: str) -> subprocess.CompletedProcess[str]:
            return tabard(home, "commands", "approve", row["id"][:8], "--as", name, "-o", "json", *words)

        assert approve("local", "--yes").returncode == exits.REFUSED
        unasked = approve("bob")
        assert unasked.returncode == exits.WRONG_USE and "true" in unasked.stderr
        (first,) = rows(approve("bob", "--yes"))
        assert (first["state"], first["approved"]) == ("queued", 1)
        assert "approval of 1 more operator:" in first["reason"]
        assert approve("bob", "--yes").returncode == exits.REFUSED
        (second,) = rows(approve("eve", "--yes"))
        assert (second["approved"], second["reason"]) == (2, "")
        assert followed(home, row["group"]) == {row["id"]: "done"}
        assert approve("bob", "--yes").returncode == exits.REFUSED
        (shown,) = rows(tabard(home, "commands", "show", row["id"], "-o", "json"))
        assert [each["reason"] for each in shown["history"] if "approved" in each["reason"]] == [
            "approved by operator bob of hq",
            "approved by operator eve of hq",
        ]
        assert tabard(home, "operator", "revoke", "eve").returncode == exits.DONE
        given_by_eve = ("run", "web1", "--detach", "--as", "eve", "--action", "ping")
        wait_until(lambda: tabard(home, *given_by_eve).returncode == exits.REFUSED, "eve is refused")
        wanted = {("command.run", "partly"), ("command.approve", "done"), ("command.approve", "refused")}
        wait_until(lambda: wanted <= acts(home), "all of it is in the audit")


def acts(home: Path) -> set[tuple[str, str]]:
    """What was done here, and how it ended, by the audit."""
    found = rows(tabard(home, "audit", "-n", "1000", "-o", "json"))
    return {(each["kind"], each["outcome"]) for each in found}


def test_a_node_that_is_away_gets_it_when_it_is_back(home: Path) -> None:
    """Queued is said at once; one whose time is over meanwhile is expired, and one that is withdrawn never comes."""
    with Started(home, "up", "--port", PORT, "--only", "broker,recorder,dispatcher") as up:
        up.wait_for("Tabard runs here")
        with Started(home, "agent"):
            heard(home)
        plans = (rows(tabard(home, "run", "web1", "--plan", "-o", "json"))[0] for _ in range(200))
        assert any(not plan["here"] for plan in plans)  # its last beacon is old by now
        queued = tabard(home, "run", "web1", "-o", "json", "--action", "ping")
        (later,) = rows(queued)
        assert (queued.returncode, later["state"]) == (exits.PARTLY, "queued")
        assert "away" in later["reason"]
        (short,) = rows(tabard(home, "run", "web1", "-o", "json", "--expires", "1s", "--action", "ping"))
        (back,) = rows(tabard(home, "run", "web1", "-o", "json", "--action", "ping"))
        (withdrawn,) = rows(tabard(home, "commands", "cancel", back["id"], "-o", "json"))
        assert (withdrawn["did"], withdrawn["state"]) == ("withdrawn", "cancelled")
        assert followed(home, short["group"]) == {short["id"]: "expired"}
        with Started(home, "agent"):
            assert followed(home, later["group"]) == {later["id"]: "done"}
            assert followed(home, back["group"]) == {back["id"]: "cancelled"}


@pytest.mark.parametrize("point", ["dispatcher.noted", "dispatcher.sent"])
def test_a_dispatcher_that_is_killed_runs_nothing_twice(home: Path, point: str, tmp_path: Path) -> None:
    """Between commit and send, and after it: the next one sends again, and the command leaves one mark."""
    mark = tmp_path / "mark"
    with Started(home, "up", "--port", PORT, "--only", "broker,recorder,agent") as up:
        up.wait_for("Tabard runs here")
        dying = Started(home, "dispatcher", TABARD_FAILPOINTS=f"{point}=kill")
        heard(home)
        line = ["run", "web1", "--detach", "-o", "json", "--", "sh", "-c", f"echo ran >> {mark}"]
        (row,) = rows(tabard(home, *line))
        assert dying.rest() == -signal.SIGKILL
        with Started(home, "dispatcher"):
            heard(home)
            assert followed(home, row["group"]) == {row["id"]: "done"}
    assert mark.read_text() == "ran\n"


def test_another_hosts_dispatcher_is_spoken_to_through_a_pipe(home: Path) -> None:
    """What ssh runs there: lines in, lines out, until either side ends."""
    with Started(home, "up", "--port", PORT, "--only", "broker,recorder,dispatcher,agent") as up:
        up.wait_for("Tabard runs here")
        heard(home)
        pipe = subprocess.Popen(
            [*TABARD, "dispatcher", "--stdio"],
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert pipe.stdin is not None
        assert pipe.stdout is not None
        pipe.stdin.write(b'{"op": "resolve", "targets": ["web1"]}\n{"op": "nonsense"}\n')
        pipe.stdin.flush()
        assert json.loads(pipe.stdout.readline())["nodes"][0]["node"] == "web1"
        assert json.loads(pipe.stdout.readline())["ok"] is False
        pipe.stdin.close()
        assert pipe.wait() == 0
        pipe.stdout.close()
