"""A layout says what the interpreter says, or nothing."""

from __future__ import annotations

import logging.handlers
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.agents.intake.bridge.known import MOST_OF_CLIENT, RELEARN, ClientLayouts, KnownLayouts
from tabard.agents.intake.bridge.layouts import Layout
from tabard.agents.intake.bridge.logrecord import record_of
from tabard.agents.intake.bridge.reading import Unreadable
from tabard.agents.intake.bridge.tokens import parts_of
from tabard.agents.intake.bridge.unpickle import load
from tests.unit.bridge.samples import CAPTURES, attributes, pickles, record_pickle, text

NOW = 1_795_316_295_000_000_000
TRACE = "Traceback (most recent call last):\n  File x\nValueError: no\n"


def interpreted(data: bytes) -> Any:
    """What the interpreter makes of a pickle; None when it refuses it."""
    try:
        said, _ = load(data)
    except Unreadable:
        return None
    return record_of(said, NOW) if isinstance(said, dict) else None


def layout(data: bytes) -> Layout:
    """The layout of a pickle."""
    return Layout(parts_of(data))


SHAPES = [
    attributes(),
    attributes(taskName="Task-1"),
    attributes(exc_text=TRACE),
    attributes(exc_text=TRACE, stack_info="Stack (most recent call last):\n  File y"),
    attributes(processName="Worker-1"),
    attributes(request="r-1", count=4_711, share=0.5, big=2**40, none=None),
    attributes(PRODUKT_ID="shop", SYSTEM_ID="web", package_version="1.2", service="cart"),
    attributes(lineno=70_000, process=4_000_000, levelno=35, levelname="Level 35"),
    attributes(threadName=None, module=None),
]


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_a_layout_reads_other_records_of_its_form(shape: int) -> None:
    """Other texts, numbers, times and lines in the same places."""
    usual = SHAPES[shape]
    found = layout(record_pickle(usual))
    for other in (
        usual,
        usual | {"msg": "x" * 6_000, "lineno": 7, "created": 1.5},
        usual | {"msg": "", "funcName": "", "process": 70_000},
        usual | {"msg": "q\x04X\x04\0\0\0argsq\x05N".replace("\0", "0"), "name": "gr\u00fc\u00df\U0001f600"},
        usual | {"levelno": 40, "levelname": "ERROR", "module": "other"},
    ):
        data = record_pickle(other)
        read = found.read(data, 0, len(data))
        assert read == interpreted(data) or (read is None and other.get("module") != usual["module"])


def test_records_of_real_handlers_are_read_by_layouts() -> None:
    """All but the first of a burst from one place, and of several places mixed."""
    handler = logging.handlers.SocketHandler("localhost", 1)
    layouts = ClientLayouts(KnownLayouts())
    missed = 0
    for number in range(500):
        record = logging.LogRecord(
            f"shop.{number % 7}",
            10 * (number % 5 + 1),
            f"/srv/{number % 3}.py",
            number,
            "no %d",
            (number,),
            None,
        )
        data = handler.makePickle(record)[4:]
        found = layouts.read(data, 0, len(data))
        wanted = interpreted(data)
        if found is None:
            missed += 1
            layouts.learn(data, wanted)
        else:
            assert found == wanted
    assert missed <= 8


@given(st.lists(st.text(max_size=40), min_size=4, max_size=4), st.floats(), st.integers(0, 2**31 - 1))
def test_whatever_is_said_a_layout_agrees(texts: list[str], created: float, line: int) -> None:
    """NULs, halves of surrogate pairs, quotes, times that are none: as the interpreter, or left to it."""
    found = layout(record_pickle(attributes(request="r")))
    name, message, request, function = texts
    data = record_pickle(
        attributes(name=name, msg=message, request=request, funcName=function, created=created, lineno=line)
    )
    read = found.read(data, 0, len(data))
    assert read is None or read == interpreted(data)


@pytest.mark.parametrize("seed", range(30))
def test_mutated_records_are_read_alike_or_left_alone(seed: int) -> None:
    """Whatever is changed in the bytes, a layout never says what the interpreter does not."""
    random = Random(seed)
    valid = [record_pickle(shape) for shape in SHAPES]
    valid += [
        data
        for path in CAPTURES.glob("py*[0-9].bin")
        if "-" not in path.name
        for data in pickles(path.read_bytes())
    ]
    layouts = []
    for data in valid:
        try:
            layouts.append(layout(data))
        except (ValueError, LookupError):
            continue
    assert len(layouts) > 20
    agreed = 0
    for _ in range(200):
        changed = bytearray(random.choice(valid))
        for _ in range(random.randrange(3)):
            at = random.randrange(len(changed))
            if random.random() < 0.6:
                changed[at] = random.randrange(256)
            else:
                changed[at:at] = random.choice(
                    (text("args"), b"q\x05", b"u.", b"N", bytes(changed[at : at + 30]))
                )
        for each in layouts:
            read = each.read(bytes(changed), 0, len(changed))
            if read is not None:
                assert read == interpreted(bytes(changed))
                agreed += 1
    assert agreed


def test_reading_takes_no_longer_than_the_bytes_allow() -> None:
    """The bytes behind a text, repeated thousands of times: each group is tried once."""
    found = layout(record_pickle(attributes()))
    behind = b"q\x04X\x04\0\0\0argsq\x05NX\x09\0\0\0levelnameq\x06"
    data = record_pickle(attributes())
    at = data.index(behind)
    long = data[:at] + behind * 1_400 + data[at:]
    assert found.read(long, 0, len(long)) is None


def test_a_client_that_never_says_the_same_is_not_learned_from_for_ever() -> None:
    """After a few forms another one is looked for once in a hundred records only."""
    shared = KnownLayouts()
    layouts = ClientLayouts(shared)
    for number in range(MOST_OF_CLIENT + RELEARN * 3 + 1):
        said = attributes(**{f"key{number}": 1})
        data = record_pickle(said)
        assert layouts.read(data, 0, len(data)) is None
        layouts.learn(data, interpreted(data))
    assert len(shared._known) == MOST_OF_CLIENT + 3
    assert len(layouts._own) == MOST_OF_CLIENT


def test_clients_that_pickle_alike_share_a_layout() -> None:
    """It is made once, whoever says it first."""
    shared = KnownLayouts()
    data = record_pickle(attributes())
    made = []
    for _ in range(3):
        layouts = ClientLayouts(shared)
        layouts.learn(data, interpreted(data))
        made.append(layouts._own[0])
    assert made[0] is made[1] is made[2]
