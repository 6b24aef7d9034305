"""Commands in three zones joined by ssh: given before, during and after each fault they end in a definite state, and ran at most once.

Each run appends a line to a file that is named for its submission, on the disk of its node; these lines are counted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tabard import files
from tabard.ops.lab import faults, marks, needs
from tabard.ops.lab.plan import KINDS, planned
from tests.conftest import Need
from tests.integration.labbing import HOME, PATIENCE, Tool, await_true
from tests.ports import free_port

DISPATCHER: Final = "hq1"
NODES: Final = ("office1", "office2", "web1", "web2", "mail1", "press1", "press2", "robot1")
"""Those that are commanded: nothing else depends on them."""
PATIENT: Final = ("office1", "office2", "mail1")
"""Their beacons are seldom enough for a command to come twice with the nonce of one."""
FAR: Final = ("web1", "press2", "robot1")
"""Some that are reached over the links that are cut."""
MARKS: Final = "/var/tmp"
ACTION: Final = f"""
[[action]]
name = "mark"
run = ["/bin/sh", "-c", "echo $$ >> {MARKS}/$1", "sh", "{{1}}"]
"""
ENDED: Final = frozenset({"done", "failed", "refused", "expired", "lost", "cancelled"})
HOUR: Final = 3600.0
OF_RUNNING: Final = (
    "commands.starting",
    "commands.written",
    "commands.started",
    "commands.ended",
    "outbox.after_commit",
)
OF_KEEPERS: Final = (
    "commands.keeper_before_claim",
    "commands.keeper_after_claim",
    "commands.keeper_before_result",
)
"""Here not the agent dies, but the process that stands by the command."""
SENDING: Final = ("dispatcher.noted", "dispatcher.sent")
"""Between the commit that says so and the sending, and after it."""
KEPT_FROM: Final = {
    "commands.keeper_before_claim": ("failed", 0),
    "commands.keeper_after_claim": ("lost", 0),
    "commands.keeper_before_result": ("lost", 1),
}
"""How a command ends whose keeper dies there, and how often it ran."""


class Given(NamedTuple):
    """A command."""

    token: str
    node: str
    group: str
    id: str


class Field:
    """A lab whose nodes can be commanded, and all that was commanded in it."""

    def __init__(self, tool: Tool, kind: str) -> None:
        self.tool = tool
        self.place = tool.place
        self.lab = planned(kind)
        self.given: list[Given] = []

    # --- hosts -----------------------------------------------------------------------------

    def equip(self, armed: Mapping[str, str]) -> None:
        """Start hosts anew, each with the fail-points that are armed there ("" for none), and the action for marks."""
        for host, failpoints in armed.items():
            path = self.place.specification(host)
            spec = json.loads(path.read_text(encoding="utf-8"))
            settings = f"{HOME}/tabard.toml"
            if ACTION not in spec["files"][settings]:
                spec["files"][settings] += ACTION
            if host in PATIENT:
                spec["files"][settings] = spec["files"][settings].replace('beacon = "2s"', 'beacon = "5s"')
            spec["environment"]["TABARD_FAILPOINTS"] = failpoints
            files.write_json(path, spec)
            faults.kill(self.place, host, None)
        faults.heal(self.place, None)

    def restarts(self, host: str, service: str) -> int:
        """How often a service of a host was started again since the host was."""
        first = marks.first_of(self.place.mark, host)
        assert first is not None
        return int(faults.services(self.lab, host, first.pid).get(service, {}).get("restarts", 0))

    # --- commands --------------------------------------------------------------------------

    def asked(self, *words: str) -> list[dict[str, Any]]:
        """What a command of the dispatcher's host says; nothing while it cannot say it."""
        ended = self.tool("exec", DISPATCHER, "--", "tabard", *words, "-o", "json")
        return json.loads(ended.stdout) if ended.stdout.strip() else []

    def await_heard(self, *nodes: str, here: bool = True) -> None:
        """Wait until the dispatcher holds these to be there, or away."""
        await_true(
            lambda: (
                {each["node"]: each["here"] for each in self.asked("run", *nodes, "--plan")}
                == dict.fromkeys(nodes, here)
            ),
            f"the dispatcher holds {nodes} to be {'there' if here else 'away'}",
        )

    def give(self, token: str, *nodes: str, expires: str = "6h") -> None:
        """Command a mark, and do not wait."""
        words = ("run", *nodes, "--yes", "--detach", "--expires", expires, "--action", "mark", "-o", "json")
        said = json.loads(self.tool.done("exec", DISPATCHER, "--", "tabard", *words, "--", token))
        assert {each["node"] for each in said} == set(nodes)
        self.given += [Given(token, each["node"], each["group"], each["id"]) for each in said]

    def states(self, *tokens: str) -> dict[tuple[str, str], str]:
        """The state of each command, of these submissions or of all, by token and node."""
        named = {each.id: each for each in self.given if not tokens or each.token in tokens}
        found = {}
        for group in {each.group for each in named.values()}:
            for row in self.asked("commands", "show", group):
                found[named[row["id"]].token, row["node"]] = str(row["state"])
        return found

    def attempts(self, token: str) -> list[int]:
        """How often each command of a submission was sent."""
        group = next(each.group for each in self.given if each.token == token)
        return [int(row["attempts"]) for row in self.asked("commands", "show", group)]

    def await_ended(self, *tokens: str) -> dict[tuple[str, str], str]:
        """Wait until they all have."""
        count = sum(not tokens or each.token in tokens for each in self.given)
        found: dict[tuple[str, str], str] = {}
        end = time.monotonic() + PATIENCE
        while len(found) < count or not ENDED.issuperset(found.values()):
            assert time.monotonic() < end, (
                f"no end: { {name: each for name, each in found.items() if each not in ENDED} }"
            )
            found = self.states(*tokens)
        return found

    def ran(self, token: str, node: str) -> int:
        """How many marks it left."""
        path = self.tool.path(node, f"{MARKS}/{token}")
        return len(path.read_text(encoding="ascii").splitlines()) if path.exists() else 0


@pytest.fixture
def tool(tmp_path: Path, need: Need) -> Iterator[Tool]:
    """A home of the test's own; whatever becomes of the test, its lab is taken away."""
    lacking = needs.missing()
    need.that(not lacking, f"a machine that can build a lab, and this one is without {', '.join(lacking)}")
    found = Tool(tmp_path)
    yield found
    found("down")


def everybody_is_killed(field: Field, points: Mapping[str, str], sending: str) -> None:
    """The dispatcher where it sends, and then each node at a fail-point of its own; both over and over, until they are not any more."""
    field.equip({DISPATCHER: f"{sending}=kill", **{node: f"{at}=kill" for node, at in points.items()}})
    field.await_heard(*NODES)
    field.give("before", *NODES)
    await_true(lambda: field.restarts(DISPATCHER, "dispatcher"), "the dispatcher dies where it sends")
    field.equip({DISPATCHER: ""})
    for node, point in points.items():
        if point not in OF_KEEPERS:
            await_true(lambda node=node: field.restarts(node, "agent"), f"{node} dies at {point}")  # type: ignore[misc]
    kept = {node for node, point in points.items() if point in OF_KEEPERS}
    await_true(
        lambda: ENDED.issuperset(
            state for (_, node), state in field.states("before").items() if node in kept
        ),
        "those without a keeper end",
    )
    others = [node for node in NODES if node not in kept]
    field.give("meanwhile", *others)
    field.equip(dict.fromkeys(NODES, ""))
    field.give("after", *NODES)
    found = field.await_ended()
    for node, point in points.items():
        state, ran = KEPT_FROM.get(point, ("done", 1))
        assert (found["before", node], field.ran("before", node)) == (state, ran), (node, point)
        print(f"{node:<8} killed at {point}: {state}, ran {ran} times", flush=True)


def links_are_cut(field: Field) -> None:
    """Silently, every packet; then they are healed."""
    field.await_heard(*FAR)
    field.give("before-the-cut", *FAR)
    for link in ("hq1-dmz1", "hq1-dmz2"):
        faults.cut(field.place, link)
    field.give("in-the-cut", *FAR, "office1")
    await_true(lambda: field.states("in-the-cut")["in-the-cut", "office1"] == "done", "office1 is reached")
    assert not {field.ran("in-the-cut", node) for node in FAR} - {0}
    for link in ("hq1-dmz1", "hq1-dmz2"):
        faults.heal(field.place, link)
    field.give("after-the-cut", *FAR)
    assert set(field.await_ended("before-the-cut", "in-the-cut", "after-the-cut").values()) == {"done"}


def answers_are_held_up(field: Field) -> None:
    """The recorder hangs: nobody knows that the commands were carried out, and all of them are sent once more.

    Each node has to know by itself that it did so.
    """
    field.await_heard(*PATIENT)
    faults.freeze(field.place, DISPATCHER, "recorder")
    field.give("unanswered", *PATIENT)
    await_true(
        lambda: [field.ran("unanswered", node) for node in PATIENT] == [1, 1, 1], "they do it, unheard"
    )
    await_true(lambda: min(field.attempts("unanswered")) > 1, "they are told to do it once more")
    faults.thaw(field.place, DISPATCHER, "recorder")
    field.give("answered", *PATIENT)
    assert set(field.await_ended("unanswered", "answered").values()) == {"done"}
    assert [field.ran("unanswered", node) for node in PATIENT] == [1, 1, 1]
    print(f"sent {field.attempts('unanswered')} times", flush=True)


def one_is_away_for_an_hour(field: Field) -> None:
    """An hour of the dispatcher's clock, while a host is off: one command expires, the other is done when its node is back.

    A beacon that was late may have had the first sent all the same: then its node has to say that it did nothing.
    """
    field.give("before-the-hour", "robot1")
    faults.kill(field.place, "robot1", None)
    field.await_heard("robot1", here=False)
    field.give("short", "robot1", expires="30m")
    field.give("patient", "robot1", expires="6h")
    faults.clock(field.place, DISPATCHER, HOUR)
    faults.heal(field.place, "robot1")
    field.give("after-the-hour", "robot1")
    found = field.await_ended("short", "patient", "after-the-hour")
    assert field.await_ended("before-the-hour")["before-the-hour", "robot1"] in {"done", "lost"}
    assert found == {
        ("short", "robot1"): "expired",
        ("patient", "robot1"): "done",
        ("after-the-hour", "robot1"): "done",
    }


def _endure(tool: Tool, kind: str, points: Mapping[str, str], sending: str) -> None:
    tool.done("up", "--port", str(free_port()), "--backend", kind)
    field = Field(tool, kind)
    began = time.monotonic()
    for each in (
        lambda: everybody_is_killed(field, points, sending),
        lambda: links_are_cut(field),
        lambda: answers_are_held_up(field),
    ):
        each()
        print(f"{time.monotonic() - began:.0f} s", flush=True)
    one_is_away_for_an_hour(field)
    print(f"{time.monotonic() - began:.0f} s", flush=True)
    found = field.await_ended()
    counted = {(each.token, each.node): field.ran(each.token, each.node) for each in field.given}
    print(f"{len(counted)} commands, {sum(counted.values())} runs: {sorted(set(found.values()))}")
    assert max(counted.values()) == 1
    for name, state in found.items():
        allowed = {"done": {1}, "lost": {0, 1}}.get(state, {0})
        assert counted[name] in allowed, (name, state, counted[name])


def _spread(shift: int) -> dict[str, str]:
    """A fail-point for each node, others for another number."""
    points = (*OF_RUNNING, *OF_KEEPERS)
    return {node: points[(place + shift) % len(points)] for place, node in enumerate(NODES)}


@pytest.mark.timeout(400)
def test_commands_run_at_most_once_whatever_breaks(tool: Tool) -> None:
    """Dispatcher and agents killed at every fail-point, links cut, a node away for an hour."""
    _endure(tool, "mixed", _spread(0), SENDING[0])


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("shift", range(1, len(NODES)))
@pytest.mark.parametrize("kind", KINDS)
def test_for_long_too(tool: Tool, kind: str, shift: int) -> None:
    """Every fail-point at every node, over every kind of tunnel."""
    _endure(tool, kind, _spread(shift), SENDING[shift % 2])
