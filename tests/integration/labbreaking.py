"""Everything that a lab can break, one round each: the fault is done, its effect is seen, it is undone, and records go on."""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from tabard.ops.lab import faults, marks
from tabard.ops.lab.plan import Lab, Tunnel, planned
from tests.integration.labbing import Speakers, Tool, await_true, counts

EACH: Final = 120
"""Records that a node says at a time."""
DAYS: Final = 2 * 86_400.0
BOUNDED: Final = "press2"
"""The node whose journal is too small for what it says while nobody hears it: what it drops is a gap."""
BIG: Final = 4_096
MANY: Final = 900
"""Bytes of the records that are too many for it, and how many: three times what there is room for."""
SPEAKING: Final = tuple(host.name for host in planned().hosts)
BELOW: Final = {
    "plant1": tuple(host.name for host in planned().hosts if host.zone == "hq/dmz/plant"),
    "hq1": tuple(host.name for host in planned().hosts if host.zone != "hq"),
}
"""For the host that dials the links between two zones, the nodes behind them, as hq sees it."""
PLANT: Final = BELOW["plant1"]
DMZ: Final = tuple(name for name in BELOW["hq1"] if name not in PLANT)
DELAY: Final = 0.15


class Scene:
    """A lab whose tunnels are of one kind, with a source in each node."""

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

    def assert_held_back(self, nodes: Iterable[str], others: Iterable[str]) -> None:
        """What nodes accept now is not stored, while that of others is: no way is left for the first."""
        nodes, others = tuple(nodes), tuple(others)
        self.arrive(*others)  # and with it whatever had come through before the fault
        before = counts(self.tool)
        self.say(*nodes)
        self.arrive(*others)
        after = counts(self.tool)
        assert [after.get(node) for node in nodes] == [before.get(node) for node in nodes], nodes

    def above(self, node: str) -> list[Tunnel]:
        """The tunnels on the links between two zones that this host dials, or is dialled over."""
        return [each for each in self.lab.tunnels if each.name.startswith(f"{node}-")]

    def states(self, tunnels: Sequence[Tunnel]) -> set[str]:
        """How tunnels are, as who dials says."""
        found = {host: self.tool.tunnels(host) for host in {each.host for each in tunnels}}
        return {found[each.host].get(each.peer, "none") for each in tunnels}

    def await_up(self, tunnels: Sequence[Tunnel]) -> None:
        """Wait until they all are."""
        try:
            await_true(lambda: self.states(tunnels) == {"up"}, f"up: {[each.name for each in tunnels]}")
        except AssertionError as error:
            said = {host: self.tool.report(host)["tunnels"] for host in {each.host for each in tunnels}}
            raise AssertionError(f"{error}; found {said}") from None

    def sessions(self, tunnel: Tunnel) -> dict[str, str]:
        """The ssh connections of a tunnel that stand, each by the port it is dialled from; what the kernel knows of it."""
        words = ("ss", "-Htino", "state", "established", "dst", f"{tunnel.address}:{self.lab.ssh_port}")
        lines = self.tool.done("exec", tunnel.host, "--", *words).splitlines()
        return {lines[at].split()[2]: lines[at + 1] for at in range(0, len(lines) - 1, 2)}

    def faults_of(self, node: str) -> str:
        """What a node says is wrong, all in one text."""
        return " | ".join(fault["what"] for fault in self.tool.report(node)["faults"])

    def service(self, node: str, name: str) -> dict[str, Any]:
        """The process of a service of a node, and how often it was started again."""
        first = marks.first_of(self.place.mark, node)
        return faults.services(self.lab, node, first.pid)[name] if first else {}


def links_are_cut(scene: Scene) -> None:
    """Both ways into a zone lose every packet for so long that the tunnels give up; then they are healed."""
    edge = scene.chance.choice(sorted(BELOW))
    links = scene.above(edge)
    for link in links:
        faults.cut(scene.place, link.name)
    scene.say(*SPEAKING)
    scene.speakers.by_node[BOUNDED].say(MANY, size=BIG)
    await_true(lambda: "up" not in scene.states(links), f"the tunnels of {edge} notice the cut")
    scene.assert_held_back(BELOW[edge], set(SPEAKING) - set(BELOW[edge]))
    for link in links:
        faults.heal(scene.place, link.name)
    scene.speakers.await_stored(node for node in SPEAKING if node != BOUNDED)


def tunnels_are_killed(scene: Scene) -> None:
    """Every one, while records pass: what keeps it up, the program ssh, or the server's process of the session."""
    scene.await_up(scene.lab.tunnels)
    for each in scene.chance.sample(scene.lab.tunnels, len(scene.lab.tunnels)):
        before = scene.sessions(each)
        scene.say(*scene.chance.sample(SPEAKING, 3))
        _kill_tunnel(scene, each, scene.chance.choice(["keeper", "ssh", "sshd"]))
        await_true(
            lambda each=each, before=before: scene.sessions(each).keys() - before.keys(),  # type: ignore[misc]
            f"{each.name} stands again by another connection than {set(before)}",
        )
    scene.await_up(scene.lab.tunnels)
    scene.arrive(*SPEAKING)


def _kill_tunnel(scene: Scene, tunnel: Tunnel, what: str) -> None:
    if what == "keeper" or (what == "ssh" and tunnel.backend == "sshtunnel"):
        service = f"{'ssh' if tunnel.backend == 'external' else 'tunnel'}-{tunnel.peer}"
        faults.kill(scene.place, tunnel.host, service)
        return
    host, address = (tunnel.host, tunnel.address) if what == "ssh" else (tunnel.peer, "")
    first = marks.first_of(scene.place.mark, host)
    assert first is not None
    found = [
        each
        for each in marks.within(first.pid)
        if marks.name(each.pid).startswith(what) and _carries(each.pid, address, what)
    ]
    assert found, f"{what} of {tunnel.name} runs"
    marks.send(found, signal.SIGKILL)


def _carries(pid: int, address: str, what: str) -> bool:
    """Whether that ssh dials the address, or that process of the server is one of a session."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = os.fsdecode(file.read()).replace("\0", " ")
    return address in words.split() if what == "ssh" else "[listener]" not in words


def a_broker_is_frozen(scene: Scene) -> None:
    """Its connections stay, nothing comes out of it: all goes through the other one of its pair, or waits where it is alone."""
    frozen = scene.chance.choice(["dmz1", "dmz2", "plant1"])
    faults.freeze(scene.place, frozen, "broker")
    assert scene.tool.rows()[frozen]["faults"] == ["frozen broker"]
    if frozen == "plant1":
        scene.assert_held_back(PLANT, set(SPEAKING) - set(PLANT))
    else:
        scene.arrive(*SPEAKING)
        other = {"dmz1": "dmz2", "dmz2": "dmz1"}[frozen]
        for node in DMZ:
            await_true(
                lambda node=node: _used(scene, node) == {other},  # type: ignore[misc]
                f"the agent of {node} hands up to {other}",
            )
    faults.thaw(scene.place, frozen, "broker")
    scene.arrive(*SPEAKING)


def _used(scene: Scene, node: str) -> set[str]:
    """The brokers that the agent of a node hands up to."""
    return {
        each["broker"]
        for each in scene.tool.report(node)["links"]
        if each["role"] == "agent" and each["used"]
    }


def one_of_a_pair_is_killed(scene: Scene) -> None:
    """The whole host, as by a power cut, and with it the recorder's process; both come back."""
    gone = scene.chance.choice(["dmz1", "dmz2"])
    recorder = scene.service("hq1", "recorder")
    scene.say(*SPEAKING)
    faults.kill(scene.place, gone, None)
    assert scene.tool.rows()[gone]["state"] == "down"
    faults.kill(scene.place, "hq1", "recorder")
    scene.arrive(*(node for node in SPEAKING if node != gone))
    assert scene.service("hq1", "recorder")["restarts"] > recorder["restarts"]
    faults.heal(scene.place, gone)
    assert scene.tool.rows()[gone]["state"] == "up"
    scene.arrive(*SPEAKING)


def servers_have_other_host_keys(scene: Scene) -> None:
    """They are refused, loudly; nothing passes; what was said waits, and arrives once the new keys are accepted."""
    tunnels = scene.lab.tunnels
    peers = sorted({each.peer for each in tunnels})
    for peer in peers:
        faults.hostkey(scene.place, peer)
    # An ssh that somebody else keeps up says so to nobody but its own log.
    refused = {"silent" if each.backend == "external" else "refused" for each in tunnels}
    await_true(lambda: scene.states(tunnels) == refused, f"the tunnels to {peers} are {refused}")
    for each in tunnels:
        if each.backend != "external":
            assert "host key is not the one that is known" in scene.faults_of(each.host)
            continue
        log = f"/var/log/lab/ssh-{each.peer}.log"
        await_true(
            lambda each=each, log=log: (
                "Host key verification failed"  # type: ignore[misc]
                in scene.tool.done("exec", each.host, "--", "cat", log)
            ),
            f"{each.name} says why",
        )
    scene.assert_held_back(BELOW["hq1"], set(SPEAKING) - set(BELOW["hq1"]))
    assert not any(scene.sessions(each) for each in tunnels if each.backend != "external")
    for peer in peers:
        assert scene.tool.rows()[peer]["faults"] == ["another host key"]
        faults.accept(scene.place, peer)
    scene.await_up(tunnels)
    scene.speakers.await_stored(node for node in SPEAKING if node != BOUNDED)


def clocks_are_days_off(scene: Scene) -> None:
    """One ahead, and that of a broker's host behind: no certificate is refused for it, nothing is lost, and both are called faults."""
    ahead, behind = (
        scene.chance.choice(["web1", "press1", "office1"]),
        scene.chance.choice(["plant1", "dmz1"]),
    )
    for node, off in ((ahead, DAYS), (behind, -DAYS)):
        faults.clock(scene.place, node, off)
        scene.speakers.by_node[node].off = off
    scene.arrive(*SPEAKING)

    def told() -> bool:
        said = scene.faults_of("hq1")
        return all(
            re.search(rf"the clock of node {node} [^|]*2\.0 d {how}", said)
            for node, how in ((ahead, "ahead of"), (behind, "behind"))
        )

    await_true(told, "both clocks are faults")
    for node in (ahead, behind):
        faults.heal(scene.place, node)
        scene.speakers.by_node[node].off = 0.0
    scene.arrive(ahead, behind)


def disks_are_full(scene: Scene) -> None:
    """That of a node, which takes nothing in any more, and that of the store; both go on when there is room.

    As long as what it says is stored, an agent makes room by itself and goes on: so that node is cut off as well.
    """
    full = scene.speakers.by_node["web2"]
    faults.cut(scene.place, "web2")

    def refuses(node: str) -> bool:
        faults.fill(scene.place, node)  # whatever takes the room takes what Tabard frees, too
        if node == "web2":
            full.say(50, size=BIG, accepted=False)
        scene.say("web1", "press1", "office1")
        return "is full: nothing can be journaled or stored there" in scene.faults_of(node)

    await_true(
        lambda: refuses("web2") and full.taken(1.0) < full.given,
        "a node says that its disk is full, and accepts no more",
    )
    faults.heal(scene.place, "web2")
    full.finish()
    await_true(
        lambda: refuses("hq1") and _stands_still(scene), "that of the store does, and nothing more is stored"
    )
    faults.heal(scene.place, "hq1")
    scene.speakers.await_stored(["web1", "web2", "press1", "office1"])


def _stands_still(scene: Scene) -> bool:
    """Whether the store lacks what others than the full node accepted, and takes none of it."""
    speakers = scene.speakers.by_node
    before = counts(scene.tool)
    scene.say("office1")
    after = counts(scene.tool)
    return before == after and after["office1"] < speakers["office1"].accepted


def a_link_is_slow(scene: Scene) -> None:
    """Every packet takes longer, as the ends of a connection over it measure; nothing is given up for it."""
    link = scene.chance.choice(scene.lab.tunnels)
    scene.await_up([link])
    before = scene.sessions(link).keys()
    faults.slow(scene.place, link.name, DELAY, 256 << 10)
    scene.arrive(*SPEAKING)
    await_true(
        lambda: any(
            float(match[1]) >= DELAY * 1000
            for told in scene.sessions(link).values()
            if (match := re.search(r"\brtt:([\d.]+)/", told))
        ),
        f"{link.name} is slow",
    )
    assert scene.sessions(link).keys() & before, "the connection stands"
    faults.heal(scene.place, link.name)


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
