"""The way of a process's frames to the agent: over the socket, or by way of the spool while there is no agent.

Order is everything here. Frames are numbered from 1 under a source id that no other process ever has. What was
posted and not accepted goes back in front of what was not posted; what the spool holds comes before what is in
memory; and nothing newer is posted before it. So the agent, which takes a number once and never a smaller one
after it, stores each frame once, whichever way it came.

What an agent that is there leaves unanswered for a moment goes to the spool as well, and the talk goes on: should
this process be killed, the agent finds it there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from tabard.applog.record import Packed
from tabard.applog.spool import Spool
from tabard.client import IntakeClient
from tabard.errors import IntakeError
from tabard.intake_frames import HEAD, RECORDS, frame

FIRST_RETRY: Final = 0.5
LONGEST_RETRY: Final = 15.0
"""Seconds between two attempts to reach an agent, doubling from the first to the longest."""
PATIENCE: Final = 5.0
"""Seconds without a word about frames that were posted, after which an agent counts as absent."""
GRACE: Final = 0.5
"""Seconds an agent has to greet, before what waits for it is put aside."""
SILENCE: Final = 1.0
"""Seconds without a word about frames that were posted, after which they are in the spool as well."""
MOST_HELD: Final = 4_194_304
"""Bytes of frames in memory: posted to an agent that is slow, and where no spool can be written."""
_POSTS: Final = 32
"""Frames posted at a step."""


class Frame:
    """A numbered frame in memory."""

    __slots__ = ("data", "loss", "number", "records")

    def __init__(self, number: int, packed: Packed, loss: int) -> None:
        self.number = number
        self.loss = loss
        """How many lost records it speaks of, instead of having some: who gives it up has lost these."""
        self.records = 0 if loss else packed.records
        self.data = frame(RECORDS, number, packed.payload)


class Delivery:
    """Used by one thread. ``tell`` is given the records of each frame that no agent took, as a payload, once."""

    def __init__(self, client: IntakeClient, spool: Spool, tell: Callable[[bytes], None]) -> None:
        self._client = client
        self._spool = spool
        self._tell = tell
        self._number = 0
        self._waiting: deque[Frame] = deque()
        self._held = 0
        """Bytes of what waits and of what is posted."""
        self._posted: deque[Frame] = deque()
        """Those of memory; what was posted out of the spool is still there."""
        self._last_posted = 0
        self._told = 0
        """Number of the last frame that a person could read in the local file."""
        self._replay: Iterator[tuple[int, bytes]] | None = None
        self._greeting = False
        self._pause = FIRST_RETRY
        self._heard = 0.0
        self.next_try = 0.0
        """When an agent is looked for again, in monotonic seconds."""
        self.connected = False
        self.lost = 0
        """Records given up because there was no room for them anywhere."""
        self.said = 0
        """Of these, the ones that people can read of."""
        self._untold: set[int] = set()
        """Numbers of frames that say what people have read already."""

    def take(self, packed: Packed, *, loss: int = 0, told: bool = False) -> None:
        """Number records and keep them until they are delivered. ``told``: people have read them already."""
        self._number += 1
        if told:
            self._untold.add(self._number)
        made = Frame(self._number, packed, loss)
        self._waiting.append(made)
        self._held += len(made.data)

    @property
    def under_way(self) -> bool:
        """Whether an agent is to say something, or is about to be sent something."""
        return self._greeting or (self.connected and not self.delivered)

    @property
    def spooling(self) -> bool:
        """Whether the spool holds something that no agent has."""
        return self._spool.open

    @property
    def delivered(self) -> bool:
        """Whether an agent has said of everything that it is kept."""
        return not self._waiting and not self._posted and not self._client.unanswered and not self._spool.open

    @property
    def safe(self) -> bool:
        """Whether everything is with an agent or in the spool."""
        return not self._waiting and not self._posted

    @property
    def full(self) -> bool:
        """Whether an agent that is there has to take something before more is taken here."""
        return self._held > MOST_HELD and (self.connected or self._greeting)

    def step(self, now: float, wait: float = 0.0) -> None:
        """Do what can be done now, waiting at most ``wait`` seconds for the agent's next word."""
        try:
            if not (self.connected or self._greeting or self.delivered) and now >= self.next_try:
                self._call(now)
            if self._greeting:
                self._listen(now, wait)
            elif self.connected:
                self._converse(now, wait)
        except (IntakeError, OSError):
            self._gone(now)
        if not self.connected and not (self._greeting and now - self._heard < GRACE):
            self.put_aside()

    def secure(self) -> None:
        """Keep what is in memory in the spool as well as it goes, and go on posting from there."""
        if not self.connected:
            return
        if self._to_spool(self._posted):
            self._to_spool(self._waiting)
        if self._replay is None and self._spool.last > self._last_posted:
            self._replay = self._spool.frames(self._last_posted)

    def put_aside(self) -> None:
        """Let people read what is in memory, and move it to the spool, in order; drop the oldest of the rest."""
        self._tell_people()
        self._to_spool(self._waiting)
        while self._held > MOST_HELD:
            self._give_up(self._waiting.popleft())

    def rest(self) -> None:
        """Let go of a connection that nothing needs: an agent has room for so many, and most processes are quiet."""
        if self.connected and self.delivered:
            self._client.forget()
            self.connected = False

    def finish(self) -> None:
        """Leave what is not delivered to the spool, and end; what has no room there is lost."""
        self._gone(0.0)
        self.put_aside()
        while self._waiting:
            self._give_up(self._waiting.popleft())
        if self._spool.open and self._client.accepted >= self._spool.last:
            self._spool.remove()
        self._spool.close()

    def abandon(self) -> None:
        """Close what a forked child inherited, without a word to anybody."""
        self._client.close()
        self._spool.close()

    # --- pieces ----------------------------------------------------------------------------

    def _call(self, now: float) -> None:
        self._client.open()
        self._greeting, self._heard = True, now

    def _listen(self, now: float, wait: float) -> None:
        if self._client.greeted(wait):
            self._greeting, self.connected, self._heard = False, True, now
            self._last_posted = self._client.accepted
            self._replay = self._spool.frames(self._client.accepted) if self._spool.open else None
        elif now - self._heard > PATIENCE:
            raise IntakeError("the agent does not answer", expected="a welcome")

    def _converse(self, now: float, wait: float) -> None:
        before = self._client.unanswered
        if not before:  # nobody was asked anything until now: the silence was ours
            self._heard = now
        posted = self._post()
        self._client.collect(0.0 if posted else wait)
        if self._client.unanswered < before + posted or not self._client.unanswered:
            self._heard = now
            self._pause = FIRST_RETRY
        self._settle()
        if now - self._heard > PATIENCE:
            raise IntakeError("the agent does not keep up", expected="answers", found="silence")
        if now - self._heard > SILENCE:
            self.secure()

    def _post(self) -> int:
        """Post what there is room for, the spool's frames first; how many."""
        posted = 0
        while posted < _POSTS and (self._replay or self._waiting) and self._client.room():
            if self._replay is not None:
                found = next(self._replay, None)
                if found is None:
                    self._replay = None
                    continue
                self._last_posted = found[0]
                self._client.post(*found)
            else:
                made = self._waiting.popleft()
                self._posted.append(made)
                self._last_posted = made.number
                self._client.post(made.number, made.data)
            posted += 1
        return posted

    def _settle(self) -> None:
        """Forget what the agent has, and what it refused; the file, when it has all of it."""
        refused = {number for number, _ in self._client.refused}
        if refused:
            for made in [made for made in self._posted if made.number in refused]:
                self._posted.remove(made)
                self._held -= len(made.data)
                self.lost += made.records
            self._client.refused.clear()
        self._forget_accepted()
        if (
            self._spool.open
            and self._replay is None
            and (self._client.accepted >= self._spool.last or not self._client.unanswered)
        ):
            self._spool.remove()

    def _forget_accepted(self) -> None:
        while self._posted and self._posted[0].number <= self._client.accepted:
            made = self._posted.popleft()
            self._held -= len(made.data)
            self._untold.discard(made.number)

    def _gone(self, now: float) -> None:
        """No agent: what was posted and not accepted is in front again."""
        self._client.forget()
        self._greeting = self.connected = False
        self._replay = None
        self._forget_accepted()
        self._waiting.extendleft(reversed(self._posted))
        self._posted.clear()
        self.next_try = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_RETRY)

    def _give_up(self, made: Frame) -> None:
        """Count what is lost, of which people were told before."""
        self._held -= len(made.data)
        self.lost += made.records + made.loss
        self.said += made.loss

    def _to_spool(self, frames: deque[Frame]) -> bool:
        """Move frames to the spool; whether it has all of them."""
        while frames and self._spool.append(frames[0].number, frames[0].data):
            self._held -= len(frames.popleft().data)
        return not frames

    def _tell_people(self) -> None:
        """Write what no agent took to the local file, each record once. What is posted is in front of the rest."""
        after = max(self._told, self._client.accepted)
        if self._spool.last > after:  # from when an agent was there, and silent
            for number, data in self._spool.frames(after):
                if number not in self._untold:
                    self._tell(data[HEAD.size :])
        for made in self._waiting if self._told < self._number else ():
            if made.number > after and made.number not in self._untold:
                self._tell(made.data[HEAD.size :])
        self._told = self._number
        self._untold.clear()
