"""A million damaged frames: each ends in an event, never in an exception or a growing buffer."""

from __future__ import annotations

import os
import random

import msgpack
import pytest

from tabard import intake_frames
from tabard.agents.intake.protocol import Parser, Records, Violation, frame_of
from tabard.intake_frames import HEAD
from tabard.records import MAX_BODY, normalise_log
from tests.unit.intake.samples import log_record

HELLO = frame_of(intake_frames.HELLO, 0, {"v": 1, "source": "app"})


def damaged(rng):
    """A frame of records with some bytes changed, dropped or doubled, mostly in its payload."""
    record = log_record(message="x" * rng.randrange(40), stack=rng.choice([None, "a\0b", "t\u20ac"]))
    payload = bytearray(msgpack.packb([record] * rng.randrange(1, 4)))
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(payload))
        match rng.randrange(4):
            case 0:
                payload[at] = rng.randrange(256)
            case 1:
                del payload[at : at + rng.randrange(1, 9)]
            case 2:
                payload[at:at] = rng.randbytes(rng.randrange(1, 9))
            case _:
                payload[at:at] = payload[at : at + 20]
        if not payload:
            payload = bytearray(b"\xc0")
    head = HEAD.pack(len(payload), intake_frames.RECORDS, rng.randrange(4))
    if rng.random() < 0.05:
        head = bytes(byte ^ (rng.randrange(256) if rng.random() < 0.2 else 0) for byte in head)
    return head + payload


def fuzz(frames, seed):
    rng = random.Random(seed)
    parser, events = None, 0
    for _ in range(frames):
        if parser is None:
            parser = Parser(lambda: 0)
            list(parser.feed(HELLO))
        for event in parser.feed(damaged(rng)):
            events += 1
            if isinstance(event, Records) and event.repaired:
                for record in msgpack.unpackb(event.records, use_list=False):
                    assert normalise_log(record) == record
            if isinstance(event, Violation):
                parser = None
        if parser is not None:
            assert parser.buffered <= MAX_BODY + HEAD.size
            if parser.buffered > 2_000:  # a damaged length swallows what follows: begin again
                parser = None
    return events


def test_damaged_frames_are_answered():
    """Some thousand of them, with a seed that is printed."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    assert fuzz(3_000, seed) > 2_000


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_a_million_damaged_frames_are_answered():
    """The same at length."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    assert fuzz(1_000_000, seed) > 700_000
