"""Three zones joined by ssh, broken in every way that a lab can break: each record is stored exactly once, or an exact gap says that it is not."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tabard.ops.lab import faults, needs
from tabard.ops.lab.plan import KINDS
from tests.conftest import Need
from tests.integration.labbing import CARD, FIFTH, HOME, Speakers, Tool, await_true, fields, lacking
from tests.integration.labbreaking import BOUNDED, PLANT, ROUNDS, SPEAKING, Scene
from tests.ports import free_port

WITHHOLDING: Final = "mail1"
"""The node of whose records one in five may not pass from its zone into hq."""
REDACTED: Final = "[redacted]"
"""What stands in place of one field of all that comes out of the plant."""
POLICIES: Final = {
    ("edge", "hq", "hq/dmz"): f"""[[withhold]]\nnode = "{WITHHOLDING}"\nuser1 = "{FIFTH}"\n""",
    ("card", "hq/dmz", "hq/dmz/plant"): """[[redact]]\nfield = "user2"\n""",
}
SEED: Final = int(os.environ.get("LAB_SEED", "5"))
FIRST: Final = 100
PER_LAB: Final = 5000
"""Simulated worlds in whose time one lab is broken: what `make long` counts its seeds in."""
LONG_SEEDS: Final = range(FIRST, FIRST + max(1, int(os.environ.get("SEEDS", "20000")) // PER_LAB))


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


def _endure(tool: Tool, folder: Path, kind: str, seed: int, again: str, rounds: int = 1) -> None:
    """Break a lab of that kind; ``again`` is the command that does it once more."""
    chance = random.Random(f"{seed} {kind}")
    plan = [each for _ in range(rounds) for each in chance.sample(ROUNDS, len(ROUNDS))]
    print(
        f"seed {seed}, {kind}: {', '.join(each.__name__ for each in plan)}\nto repeat it: {again}", flush=True
    )
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
        assert sum(loss.count for loss in losses) in lacking(folder / "copy", BOUNDED)
        assert {(loss.kind, loss.reason, loss.last is None) for loss in losses} == {("gap", "quota", False)}
        scene.await_up(scene.lab.tunnels)


def _command(request: pytest.FixtureRequest, variable: str) -> str:
    return f"{variable} python -m pytest -m '' '{request.node.nodeid}'"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kind", [kind if kind == "mixed" else pytest.param(kind, marks=pytest.mark.long) for kind in KINDS]
)
def test_records_cross_three_zones_once_whatever_breaks(
    tool: Tool, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    """Links, tunnels, brokers, host keys, clocks, disks: what was accepted is stored once, in order, or in an exact gap.

    Every back end carries a link of the mixed lab; labs of one kind alone are for the longer run.
    """
    _endure(tool, tmp_path, kind, SEED, _command(request, f"LAB_SEED={SEED}"))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", LONG_SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_for_long_too(
    tool: Tool, tmp_path: Path, request: pytest.FixtureRequest, kind: str, seed: int
) -> None:
    """The same, three times over, in other orders."""
    again = _command(request, f"SEEDS={(seed - FIRST + 1) * PER_LAB}")
    _endure(tool, tmp_path, kind, seed, again, rounds=3)
