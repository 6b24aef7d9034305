"""The network of a lab as lines for ``ip``: whatever happens to a cable, it ends as it should be."""

from __future__ import annotations

from itertools import product
from typing import Final

import pytest

from tabard.ops.lab.lines import SOUND, Slow, Wear, addresses, cables, changes, fabric, slow_pair
from tabard.ops.lab.plan import planned

LAB: Final = planned()
PORT: Final = LAB.ends("hq1-dmz1")[0].port
BRIDGE: Final = LAB.segment_of(PORT).bridge
WEARS: Final = [Wear(cut, slow) for cut in (False, True) for slow in (None, Slow(0.1, 0), Slow(0.2, 1000))]


class Kernel:
    """As much of the kernel as the lines need: which interfaces there are, which are up, and of which bridge."""

    def __init__(self) -> None:
        self.links: dict[str, str | None] = {}
        self.up: set[str] = set()
        self.pairs: dict[str, str] = {}

    def do(self, line: str) -> None:
        """Do one line, or fail as the kernel would."""
        match line.split():
            case ["link", "add", "name", name, "type", "bridge", *_]:
                self._add(name)
            case ["link", "add", "name", name, "type", "veth", "peer", "name", _, "address", _, "netns", _]:
                self._add(name)
            case ["link", "add", "name", name, "type", "veth", "peer", "name", other]:
                self._add(name)
                self._add(other)
                self.pairs |= {name: other, other: name}
            case ["link", "delete", "dev", name]:
                for each in (name, self.pairs.pop(name)):
                    del self.links[each]
                    self.up.discard(each)
            case ["link", "set", "dev", name, "up"]:
                assert name in self.links or name == "lo"
                self.up.add(name)
            case ["link", "set", "dev", name, "nomaster"]:
                assert self.links[name] is not None
                self.links[name] = None
            case ["link", "set", "dev", name, "master", bridge]:
                assert bridge in self.links
                self.links[name] = bridge
            case _:
                pytest.fail(f"not a line that is known: {line}")

    def _add(self, name: str) -> None:
        assert name not in self.links
        self.links[name] = None


def _built() -> Kernel:
    kernel = Kernel()
    for line in fabric(LAB):
        kernel.do(line)
    for host in LAB.hosts:
        for line in cables(LAB, host, 77):
            kernel.do(line)
    return kernel


def test_every_host_is_plugged_in() -> None:
    """Each end has a port that is up, on the bridge of its network."""
    kernel = _built()
    for segment in LAB.segments:
        assert {end.port for end in segment.ends} == {
            name for name, of in kernel.links.items() if of == segment.bridge
        }
    assert set(kernel.links) <= kernel.up


@pytest.mark.parametrize(("first", "second", "third"), list(product(WEARS, repeat=3)))
def test_a_cable_is_what_was_done_to_it_last(first: Wear, second: Wear, third: Wear) -> None:
    """Cut: neither it nor its detour is of the bridge, and both ends stay up. Slow: the detour is. Sound: nothing else is left."""
    kernel = _built()
    bare = set(kernel.links)
    outer, inner = slow_pair(PORT)
    before = SOUND
    for after in (first, second, third, SOUND, first):
        for line in changes(LAB, PORT, before, after):
            kernel.do(line)
        joined = {name for name, bridge in kernel.links.items() if bridge == BRIDGE}
        assert joined & {PORT, outer} == (set() if after.cut else {outer} if after.slow else {PORT})
        assert set(kernel.links) - bare == ({outer, inner} if after.slow else set())
        assert set(kernel.links) <= kernel.up
        before = after


def test_hosts_know_their_neighbours_beforehand() -> None:
    """So that a host of a cut cable is not told by a question for an address that nobody answers."""
    lines = addresses(LAB, LAB.host("plant1"))
    known = {line.split()[2]: line.split()[4] for line in lines if line.startswith("neighbour")}
    others = {
        end.address: end.mac
        for segment in LAB.segments
        for end in segment.ends
        if end.host != "plant1" and any(each.host == "plant1" for each in segment.ends)
    }
    assert known == others
    assert not any("default" in line or "via" in line for line in lines)  # zones are joined by ssh alone
