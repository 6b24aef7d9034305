"""Frames on their way: whatever becomes of agent, connection and disk, each is stored once and in order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tabard.applog import delivery
from tabard.applog.delivery import GRACE, PATIENCE, SILENCE, Delivery
from tabard.applog.record import Packed
from tabard.applog.spool import Spool
from tabard.client import Refused
from tabard.errors import IntakeError
from tabard.intake_frames import HEAD

WINDOW = 4


class Agent:
    """The far side: takes a number once and never a smaller one after it, as the intake does."""

    def __init__(self) -> None:
        self.up = True
        self.frozen = False
        self.mute = False
        """Whether its answers are lost."""
        self.received = 0
        self.stored: list[int] = []

    def take(self, data: bytes) -> int:
        """A frame; its number."""
        _, _, number = HEAD.unpack_from(data)
        if number > self.received:
            self.received = number
            self.stored += msgpack.unpackb(data[HEAD.size :])
        return int(number)


class Client:
    """The near side, as `IntakeClient`, with bytes that wait while the agent is frozen."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.accepted = 0
        self.refused: list[Refused] = []
        self._sent: list[int] = []
        self._way: list[bytes] = []

    def open(self) -> None:
        """Connect."""
        if not self.agent.up:
            raise IntakeError("no agent")

    def greeted(self, timeout: float) -> bool:
        """Hear the welcome."""
        if self.agent.frozen:
            return False
        self._alive()
        self.accepted = max(self.accepted, self.agent.received)
        return True

    def _alive(self) -> None:
        if not self.agent.up:
            raise ConnectionResetError

    @property
    def unanswered(self) -> int:
        """Posted and not answered."""
        return len(self._sent)

    def room(self) -> bool:
        """Within the window."""
        return len(self._sent) < WINDOW

    def post(self, number: int, data: bytes) -> None:
        """Put a frame on its way."""
        self._alive()
        self._sent.append(number)
        self._way.append(data)

    def collect(self, timeout: float) -> None:
        """Let it arrive, and hear of it."""
        self._alive()
        if self.agent.frozen:
            return
        self.arrive(len(self._way))
        if not self.agent.mute:
            self.accepted = max(self.accepted, self.agent.received)
            self._sent = [number for number in self._sent if number > self.accepted]

    def arrive(self, count: int) -> None:
        """What is on its way gets there, also after the connection broke."""
        for data in self._way[:count]:
            self.agent.take(data)
        del self._way[:count]

    def forget(self) -> None:
        """The connection is gone."""
        self._sent.clear()

    def close(self) -> None:
        """Nothing is open."""


class Rig:
    """One process and one agent."""

    def __init__(self, directory: Path) -> None:
        self.agent = Agent()
        self.client = Client(self.agent)
        self.spool = Spool(directory / "spool", "s-1", "s", 10**9)
        self.told: list[int] = []
        client: Any = self.client
        self.way = Delivery(client, self.spool, lambda payload: self.told.extend(msgpack.unpackb(payload)))
        self.now = 0.0
        self.said = 0
        self.directory = directory / "spool"

    def say(self, count: int = 1) -> None:
        """Frames of two records each, numbered through."""
        for _ in range(count):
            self.way.take(Packed(msgpack.packb([self.said, self.said + 1]), 2))
            self.said += 2

    def step(self, seconds: float = 0.1, times: int = 1) -> None:
        """Let time pass."""
        for _ in range(times):
            self.now += seconds
            self.way.step(self.now)

    def end(self) -> None:
        """The process ends; the agent comes to itself, gets what is on its way, and takes the spool in."""
        self.way.finish()
        self.agent.frozen = self.agent.mute = False
        self.client.arrive(10**6)
        if self.directory.exists():
            for name in os.listdir(self.directory):
                content = (self.directory / name).read_bytes()
                at = HEAD.size + HEAD.unpack_from(content)[0]
                while at < len(content):
                    end = at + HEAD.size + HEAD.unpack_from(content, at)[0]
                    self.agent.take(content[at:end])
                    at = end


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """With an agent that works."""
    return Rig(tmp_path)


def test_with_an_agent_nothing_touches_the_disk(rig: Rig) -> None:
    """Not even at the beginning, before it has greeted."""
    rig.say(20)
    rig.step(times=10)
    assert rig.agent.stored == list(range(40))
    assert rig.way.delivered
    assert not rig.directory.exists()
    assert rig.told == []


def test_a_quiet_process_lets_its_connection_go(rig: Rig) -> None:
    """It is opened again with the next record, and by nothing else."""
    rig.say()
    rig.step(times=3)
    connected = [rig.way.connected]
    rig.way.rest()
    rig.step(times=3)
    connected.append(rig.way.connected)
    rig.say()
    rig.way.rest()
    rig.step(times=3)
    connected.append(rig.way.connected)
    assert connected == [True, False, True]
    assert rig.agent.stored == list(range(4))


def test_without_an_agent_all_is_put_aside_and_told_once(rig: Rig) -> None:
    """For people and for the agent; nothing stays in memory."""
    rig.agent.up = False
    rig.say(5)
    rig.step(times=30)
    assert rig.told == list(range(10))
    assert rig.way.safe
    assert rig.way.spooling
    rig.agent.up = True
    rig.say(5)
    rig.step(1, times=60)
    assert rig.agent.stored == list(range(20))
    assert rig.way.delivered
    assert os.listdir(rig.directory) == []
    assert rig.told == list(range(10))


def test_a_frozen_agent_is_given_up_and_what_it_has_unread_is_not_stored_twice(rig: Rig) -> None:
    """After a while what was posted is put aside as well; later it comes both ways."""
    rig.say(2)
    rig.step(times=3)
    rig.agent.frozen = True
    rig.say(10)
    rig.step(PATIENCE / 4, times=10)
    assert rig.way.safe
    rig.end()
    assert rig.agent.stored == list(range(24))


def test_a_process_that_was_quiet_gives_its_agent_time_to_answer(rig: Rig) -> None:
    """An agent answers when its journal has the record, not at once; how long nothing was said does not count."""
    rig.say()
    rig.step(times=3)
    rig.agent.frozen = True
    rig.say()
    rig.step(PATIENCE + 1)
    rig.step(SILENCE / 2)
    assert (rig.way.connected, rig.way.spooling) == (True, False)
    rig.step(PATIENCE - SILENCE)
    assert rig.way.connected
    rig.agent.frozen = False
    rig.step()
    assert (rig.way.delivered, rig.agent.stored, rig.told) == (True, [0, 1, 2, 3], [])


def test_what_an_agent_leaves_unanswered_for_a_moment_survives_the_process(rig: Rig) -> None:
    """It is in the spool as well, without giving the agent up, and goes away when there is an answer after all."""
    rig.say(2)
    rig.step(times=3)
    rig.agent.frozen = True
    rig.say(2 * WINDOW)
    rig.step()
    rig.step(SILENCE + 0.1)
    assert (rig.way.connected, rig.way.safe, rig.way.spooling, rig.told) == (True, True, True, [])
    rig.say()
    rig.step()
    assert rig.way.safe
    rig.agent.frozen = False
    rig.step(times=10)
    assert (rig.way.connected, rig.way.delivered) == (True, True)
    assert rig.agent.stored == list(range(rig.said))
    assert os.listdir(rig.directory) == []


def test_people_can_read_also_what_was_put_aside_before_the_agent_was_given_up(rig: Rig) -> None:
    """Each record once, in order."""
    rig.say(1)
    rig.step(times=3)
    rig.agent.frozen = True
    rig.say(3)
    rig.step(SILENCE / 2, times=4)
    assert (rig.way.spooling, rig.told) == (True, [])
    rig.say(2)
    rig.step(PATIENCE)
    rig.say(1)
    rig.step()
    assert rig.told == list(range(2, 14))


def test_an_agent_that_is_slow_is_not_given_up_for_all_that_waits_for_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than memory may hold is not taken, or goes by way of the spool; the agent hears of all of it in order."""
    rig.say()
    rig.step(times=3)
    rig.agent.frozen = True
    monkeypatch.setattr(delivery, "MOST_HELD", 500)
    rig.say(100)
    rig.step()
    assert (rig.way.full, rig.way.connected, rig.way.lost) == (True, True, 0)
    rig.way.secure()
    assert (rig.way.full, rig.way.safe, rig.way.connected) == (False, True, True)
    rig.agent.frozen = False
    rig.step(times=60)
    assert (rig.way.connected, rig.way.delivered, rig.told) == (True, True, [])
    assert rig.agent.stored == list(range(rig.said))


def test_an_agent_that_does_not_greet_is_not_waited_for(rig: Rig) -> None:
    """Its grace over, what waits is put aside."""
    rig.agent.frozen = True
    rig.say()
    rig.step()
    assert not rig.way.safe
    rig.step(GRACE)
    assert rig.way.safe


def test_where_nothing_can_be_put_aside_memory_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go, and are counted; what is left arrives."""
    monkeypatch.setattr(delivery, "MOST_HELD", 500)
    rig.directory.parent.joinpath("spool").write_text("in the way")
    rig.agent.up = False
    rig.say(100)
    rig.step()
    assert rig.way.lost > 0
    rig.directory.unlink()
    rig.agent.up = True
    rig.step(1, times=60)
    assert rig.agent.stored == list(range(rig.way.lost, 200))


def test_a_refused_frame_is_counted_and_holds_nothing_up(rig: Rig) -> None:
    """It cannot be stored, whoever sends it."""
    rig.say()
    rig.step(times=2)
    rig.agent.frozen = True
    rig.say(3)
    rig.step()
    rig.client.refused.append(Refused(3, "no"))
    rig.client._sent.remove(3)
    rig.step()
    assert rig.way.lost == 2


ACTIONS = st.lists(
    st.sampled_from(
        [
            "say",
            "say",
            "step",
            "step",
            "step",
            "long",
            "down",
            "up",
            "freeze",
            "thaw",
            "mute",
            "arrive",
            "full",
            "room",
            "secure",
        ]
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTIONS)
def test_each_record_is_stored_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, actions: list[str]
) -> None:
    """An agent that dies, freezes, loses answers; a disk that is full: nothing is lost, doubled or turned round."""
    rig = Rig(tmp_path_factory.mktemp("way"))
    for action in actions:
        match action:
            case "say":
                rig.say()
            case "step":
                rig.step()
            case "long":
                rig.step(PATIENCE + 1)
            case "down":
                rig.agent.up = rig.agent.frozen = False
                rig.client._way.clear()
            case "up":
                rig.agent.up = True
            case "freeze":
                rig.agent.frozen = rig.agent.up
            case "thaw":
                rig.agent.frozen = rig.agent.mute = False
            case "mute":
                rig.agent.mute = True
            case "arrive":
                rig.client.arrive(1)
            case "full":
                rig.spool._most = 0
            case "room":
                rig.spool._most = 10**9
            case "secure":
                rig.way.secure()
    rig.spool._most = 10**9
    rig.end()
    assert rig.agent.stored == list(range(rig.said))
    assert len(set(rig.told)) == len(rig.told)
