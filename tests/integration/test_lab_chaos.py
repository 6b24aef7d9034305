"""Three zones joined by ssh, broken in every way that a lab can break: each record is stored exactly once, or an exact gap says that it is not."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tabard.ops.lab import faults, needs
from tabard.ops.lab.plan import KINDS, Lab, Tunnel, planned
from tests.conftest import Need
from tests.integration.labbing import CARD, FIFTH, HOME, Speakers, Tool, await_true, counts, fields
from tests.ports import free_port

EACH: Final = 120
"""Records that a node says at a time."""
DAYS: Final = 2 * 86_400.0
BOUNDED: Final = "press2"
"""The node whose journal is too small for what it says while nobody hears it: what it drops is a gap."""
BIG: Final = 4_096
MANY: Final = 900
"""Bytes of the records that are too many for it, and how many: three times what there is room for."""
SPEAKING: Final = ("office1", "dmz1", "web1", "web2", "mail1", "plant1", "press1", BOUNDED)
PLANT: Final = ("plant1", "press1", BOUNDED)
DMZ: Final = ("dmz1", "web1", "mail1")
WITHHOLDING: Final = "mail1"
"""The node of whose records one in five may not pass from its zone into hq."""
REDACTED: Final = "[redacted]"
"""What stands in place of one field of all that comes out of the plant."""
POLICIES: Final = {
    ("edge", "hq", "hq/dmz"): f"""[[withhold]]\nnode = "{WITHHOLDING}"\nuser1 = "{FIFTH}"\n""",
    ("card", "hq/dmz", "hq/dmz/plant"): """[[redact]]\nfield = "user2"\n""",
}
SEED: Final = int(os.environ.get("LAB_SEED", "5"))
LONG_SEEDS: Final = range(100, 100 + max(1, int(os.environ.get("SEEDS", "20000")) // 5000))


class Scene:
    """A lab whose tunnels are of one kind, with a source in each of some nodes."""

    def __init__(self, tool: Tool, kind: str, speakers: Speakers, chance: random.Random) -> None:
        self.tool = tool
        self.place = tool.place
        self.lab: Lab = planned(kind)
        self.speakers = speakers
        self.chance = chance

    def say(self, *nodes: str) -> None:
        """Have them accept some records."""
        self.speakers.say(nodes, EACH)

    def arrive(self, *nodes: str) -> None:
        """Have them accept some records, and wait until these are stored: there is a way."""
        self.say(*nodes)
        self.speakers.await_stored(node for node in nodes if node != BOUNDED)

    def above(self, node: str) -> list[Tunnel]:
        """The tunnels on the links of a host with the zone above it."""
        return [each for each in self.lab.tunnels if each.name.startswith(f"{node}-")]

    def states(self, tunnels: list[Tunnel]) -> set[str]:
        """How tunnels are, as who dials says."""
        found = {host: self.tool.tunnels(host) for host in {each.host for each in tunnels}}
        return {found[each.host].get(each.peer, "none") for each in tunnels}

    def await_up(self, tunnels: list[Tunnel]) -> None:
        """Wait until they all are."""
        try:
            await_true(lambda: self.states(tunnels) == {"up"}, f"up: {[each.name for each in tunnels]}")
        except AssertionError as error:
            said = {host: self.tool.report(host)["tunnels"] for host in {each.host for each in tunnels}}
            raise AssertionError(f"{error}; found {said}") from None


def links_are_cut(scene: Scene) -> None:
    """Both ways of the plant lose every packet for so long that the tunnels give up; then they are healed."""
    links = scene.above("plant1")
    for link in links:
        faults.cut(scene.place, link.name)
    scene.say(*SPEAKING)
    scene.speakers.by_node[BOUNDED].say(MANY, size=BIG)
    await_true(lambda: "up" not in scene.states(links), "the tunnels of the plant notice the cut")
    for link in links:
        faults.heal(scene.place, link.name)
    scene.speakers.await_stored(["press1", "web1", "office1"])


def tunnels_are_killed(scene: Scene) -> None:
    """Every one, while records pass: what keeps it up, or the ssh that somebody else keeps up."""
    for each in scene.chance.sample(scene.lab.tunnels, len(scene.lab.tunnels)):
        scene.say(*scene.chance.sample(SPEAKING, 3))
        service = f"{'ssh' if each.backend == 'external' else 'tunnel'}-{each.peer}"
        faults.kill(scene.place, each.host, service)
    scene.arrive(*SPEAKING)


def a_broker_is_frozen(scene: Scene) -> None:
    """One of the pair: its connections stay, nothing comes out of it, and all goes through the other one."""
    frozen = scene.chance.choice(["dmz1", "dmz2"])
    faults.freeze(scene.place, frozen, "broker")
    scene.arrive(*SPEAKING)
    faults.thaw(scene.place, frozen, "broker")


def one_of_a_pair_is_killed(scene: Scene) -> None:
    """The whole host, as by a power cut, and with it the recorder's process; both come back."""
    gone, nodes = scene.chance.choice([("dmz1", ("web1", "mail1", "press1")), ("dmz2", ("web2", "plant1"))])
    scene.say(*SPEAKING)
    faults.kill(scene.place, gone, None)
    faults.kill(scene.place, "hq1", "recorder")
    scene.arrive(*nodes)
    faults.heal(scene.place, gone)


def servers_have_other_host_keys(scene: Scene) -> None:
    """They are refused, loudly; nothing passes; what was said waits, and arrives once the new keys are accepted."""
    tunnels = scene.above("plant1")
    peers = sorted({each.peer for each in tunnels})
    for peer in peers:
        faults.hostkey(scene.place, peer)
    refused = {"silent"} if tunnels[0].backend == "external" else {"refused"}  # whose ssh says so to nobody
    if len({each.kind for each in tunnels}) > 1:
        refused |= {"silent", "refused"}
    await_true(lambda: scene.states(tunnels) == refused, f"the tunnels to {peers} are {refused}")
    before = counts(scene.tool)
    scene.say(*PLANT)
    for host in {each.host for each in tunnels if each.backend != "external"}:
        wrong = " ".join(fault["what"] for fault in scene.tool.report(host)["faults"])
        assert "host key is not the one that is known" in wrong
    after = counts(scene.tool)
    assert [after.get(node) for node in PLANT] == [before.get(node) for node in PLANT]
    for peer in peers:
        assert scene.tool.rows()[peer]["faults"] == ["another host key"]
        faults.accept(scene.place, peer)
    scene.await_up(tunnels)
    scene.speakers.await_stored(["press1", "plant1"])


def clocks_are_days_off(scene: Scene) -> None:
    """One ahead, and that of a broker's host behind: no certificate is refused for it, nothing is lost, and both are called faults."""
    for node, off in (("web1", DAYS), ("plant1", -DAYS)):
        faults.clock(scene.place, node, off)
        scene.speakers.by_node[node].off = off
    scene.arrive(*SPEAKING)

    def told() -> bool:
        said = " ".join(fault["what"] for fault in scene.tool.report("hq1")["faults"])
        return all(
            f"the clock of node {node}" in said and f"2.0 d {how}" in said
            for node, how in (("web1", "ahead of"), ("plant1", "behind"))
        )

    await_true(told, "both clocks are faults")
    for node in ("web1", "plant1"):
        faults.heal(scene.place, node)
        scene.speakers.by_node[node].off = 0.0
    scene.arrive("web1", "plant1")


def disks_are_full(scene: Scene) -> None:
    """That of a node, which takes nothing in any more, and that of the store; both go on when there is room."""
    for node in ("web2", "hq1"):
        faults.fill(scene.place, node)
    scene.speakers.by_node["web2"].say(50, size=BIG, accepted=False)
    scene.say("web1", "press1", "office1")
    await_true(
        lambda: all(scene.tool.report(node)["faults"] for node in ("web2", "hq1")),
        "both say that it is wrong",
    )
    for node in ("web2", "hq1"):
        faults.heal(scene.place, node)
    scene.speakers.by_node["web2"].finish()
    scene.speakers.await_stored(["web1", "web2", "press1", "office1"])


def a_link_is_slow(scene: Scene) -> None:
    """Nothing is given up for it."""
    link = scene.chance.choice(scene.lab.tunnels).name
    faults.slow(scene.place, link, 0.15, 256 << 10)
    scene.arrive(*SPEAKING)
    faults.heal(scene.place, link)


ROUNDS: Final[tuple[Callable[[Scene], None], ...]] = (
    links_are_cut,
    tunnels_are_killed,
    a_broker_is_frozen,
    one_of_a_pair_is_killed,
    servers_have_other_host_keys,
    clocks_are_days_off,
    disks_are_full,
    a_link_is_slow,
)


@pytest.fixture
def tool(tmp_path: Path, need: Need) -> Iterator[Tool]:
    """A home of the test's own; whatever becomes of the test, its lab is taken away."""
    lacking = needs.missing()
    need.that(not lacking, f"a machine that can build a lab, and this one is without {', '.join(lacking)}")
    found = Tool(tmp_path)
    yield found
    found("down")


def _bound(tool: Tool) -> None:
    """Give one node a journal that is soon full."""
    path = tool.path(BOUNDED, f"{HOME}/tabard.toml")
    text = path.read_text(encoding="utf-8")
    for name, size in (("segment", "64KiB"), ("logs_bytes", "1MiB"), ("keep_acked", "0B")):
        line = next(line for line in text.splitlines() if line.startswith(f"{name} ="))
        text = text.replace(line, f'{name} = "{size}"')
    path.write_text(text, encoding="utf-8")
    faults.kill(tool.place, BOUNDED, "agent")


def _agree(tool: Tool) -> None:
    """Sign two policies where the authority is, and wait until the brokers that apply them know them."""
    for (name, zone, below), text in POLICIES.items():
        tool.path("hq1", f"{HOME}/{name}.toml").write_text(text, encoding="utf-8")
        words = ("policy", "set", name, "--zone", zone, "--below", below, "--file", f"{HOME}/{name}.toml")
        tool.done("exec", "hq1", "--", "tabard", *words)
    roster = f"{HOME}/newest.tabard"
    tool.done("exec", "hq1", "--", "tabard", "keys", "roster", "--out", roster)
    for node in ("dmz1", "dmz2"):
        shutil.copy(tool.path("hq1", roster), tool.path(node, roster))
        tool.done("exec", node, "--", "tabard", "join", roster)

    def applied(node: str, name: str) -> bool:
        said = tool("exec", node, "--", "cat", f"{HOME}/run/broker.{node}.json").stdout
        return name in json.dumps(json.loads(said or "{}").get("policies"))

    for node, name in (("hq1", "edge@1"), ("dmz1", "card@1"), ("dmz2", "card@1")):
        await_true(lambda node=node, name=name: applied(node, name), f"{node} applies {name}")  # type: ignore[misc]


def _endure(tool: Tool, folder: Path, kind: str, seed: int, rounds: int = 1) -> None:
    chance = random.Random(f"{seed} {kind}")
    plan = [each for _ in range(rounds) for each in chance.sample(ROUNDS, len(ROUNDS))]
    names: Mapping[str, object] = {"kind": kind, "seed": seed, "plan": [each.__name__ for each in plan]}
    print(f"LAB_SEED={seed} replays this: {names}")
    tool.done("up", "--port", str(free_port()), "--backend", kind)
    _bound(tool)
    _agree(tool)
    with Speakers(tool, SPEAKING) as speakers:
        scene = Scene(tool, kind, speakers, chance)
        for each in plan:
            began = time.monotonic()
            each(scene)
            print(f"{each.__name__}: {time.monotonic() - began:.0f} s", flush=True)
        faults.heal(tool.place, None)
        for speaker in speakers.by_node.values():
            speaker.finish()
        verdict = speakers.judged(folder, may_lose=frozenset({BOUNDED}))
        assert not verdict.wrong, "\n".join(verdict.wrong)
        assert {name for name, count in verdict.missing.items() if count} == {
            f"s-{BOUNDED}",
            f"s-{WITHHOLDING}",
        }
        assert verdict.withheld[WITHHOLDING] == speakers.by_node[WITHHOLDING].accepted // 5
        assert sum(verdict.withheld.values()) == verdict.withheld[WITHHOLDING]
        cards = {node: {REDACTED if node in PLANT else CARD} for node in SPEAKING}
        assert fields(folder / "copy", "user2") == cards
        # Nothing is missing but what gaps name, and (see the oracle) they name no more than is missing: it is exact, also where
        # a gap that reaches over what was stored says that there may be more.
        losses = verdict.losses[BOUNDED]
        assert sum(loss.count for loss in losses) >= verdict.missing[f"s-{BOUNDED}"]
        assert {(loss.kind, loss.reason, loss.last is None) for loss in losses} == {("gap", "quota", False)}
        scene.await_up(list(scene.lab.tunnels))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kind", [kind if kind == "mixed" else pytest.param(kind, marks=pytest.mark.long) for kind in KINDS]
)
def test_records_cross_three_zones_once_whatever_breaks(tool: Tool, tmp_path: Path, kind: str) -> None:
    """Links, tunnels, brokers, host keys, clocks, disks: what was accepted is stored once, in order, or in an exact gap.

    Every back end carries a link of the mixed lab; labs of one kind alone are for the longer run.
    """
    _endure(tool, tmp_path, kind, SEED)


@pytest.mark.long
@pytest.mark.parametrize("seed", LONG_SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_for_long_too(tool: Tool, tmp_path: Path, kind: str, seed: int) -> None:
    """The same, three times over, in other orders."""
    _endure(tool, tmp_path, kind, seed, rounds=3)
