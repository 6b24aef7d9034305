"""What the SocketHandlers of Python 2.7 to 3.14 send is understood, in every protocol."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tabard.agents.intake.bridge.known import ClientLayouts, KnownLayouts
from tabard.agents.intake.bridge.logrecord import record_of
from tabard.agents.intake.bridge.unpickle import load
from tabard.records import LOG_FIELDS
from tests.unit.bridge.samples import CAPTURES, attributes, pickles, record_pickle

FILES = sorted(path.name for path in CAPTURES.glob("*.bin"))
NOW = 1_795_316_295_000_000_000


def records(name: str) -> list[dict[str, Any]]:
    """The log records of one capture, by field."""
    found = []
    for data in pickles((CAPTURES / name).read_bytes()):
        said, _ = load(data)
        found.append(dict(zip(LOG_FIELDS, record_of(said, NOW), strict=True)))
    return found


def test_every_version_was_captured() -> None:
    """Python 2.7 and 3.6 to 3.14 as they send; all protocols of an old, a middle and the newest two."""
    versions = ["27", *(f"3{minor}" for minor in range(6, 15))]
    assert {f"py{version}.bin" for version in versions} <= set(FILES)
    assert {f"py27-p{protocol}.bin" for protocol in range(3)} <= set(FILES)
    for version in (38, 313, 314):
        assert {f"py{version}-p{protocol}.bin" for protocol in range(6)} <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_capture_is_understood(name: str) -> None:
    """Eight records: fields, formatted message, text beyond ASCII, levels of one's own, traces, extras."""
    plain, wide, number, failed, extras, thing, long, empty = records(name)
    assert plain["message"] == "order 7 of alice"
    assert (plain["severity"], plain["level"]) == (9, "INFO")
    assert plain["logger"] == "shop.orders"
    assert (plain["module"], plain["function"], plain["line"]) == ("orders", "speak", 46)
    assert plain["thread"] == "MainThread"
    assert plain["process"] > 1
    assert NOW < plain["time"] < NOW + 10**14
    assert plain["attributes"] is None
    assert wide["message"] == "gr\u00fc\u00dfe"
    assert wide["severity"] == 13
    assert number["message"].startswith("{'a': [1, 2.5, None]")
    assert (number["severity"], number["level"]) == (9, "Level 25")
    assert failed["message"] == "failed"
    assert failed["exception"] == "ValueError: no such order"
    assert failed["stack"].startswith("Traceback (most recent call last):\n  File ")
    assert long["message"] == "x" * 6_000
    assert long["severity"] == 21
    assert (empty["message"], empty["severity"]) == ("", 5)
    assert thing["message"] == "an object"
    assert json.loads(thing["attributes"]) == {"thing": "<__main__.Something>"}
    assert "not for sale" not in str(thing)
    assert extras["message"] == "extras"
    names = ("product", "system", "subsystem", "subsubsystem", "user1", "user2", "version")
    assert [extras[each] for each in names] == ["shop", "web", "cart", "tax", "u1", "u2", "1.2.3"]
    said = json.loads(extras["attributes"])
    assert said.pop("raw") in ("\0\\xff", "\0\u00ff", "\0\xff")
    assert said == {
        "request": "r-1", "count": str(2**70), "ok": True, "none": None, "share": 0.5,
        "items": [1, [2, 3]], "nested": {"k": [4]},
    }  # fmt: skip


def test_the_name_of_a_task_is_an_attribute() -> None:
    """Handlers of Python 3.12 and later send it, None outside of asyncio."""
    said, opaque = load(record_pickle(attributes(taskName="Task-7")))
    assert not opaque
    record = dict(zip(LOG_FIELDS, record_of(said, NOW), strict=True))
    assert record["message"] == "order 7 of alice"
    assert record["time"] == 1_795_316_295_250_000_000
    assert json.loads(record["attributes"]) == {"taskName": "Task-7"}


def test_the_handler_of_this_interpreter_is_among_those_captured_or_newer() -> None:
    """What this interpreter's own handler sends has no attribute that no capture has."""
    import logging.handlers

    handler = logging.handlers.SocketHandler("localhost", 1)
    record = logging.LogRecord("n", 20, "p.py", 1, "m", (), None)
    said, _ = load(handler.makePickle(record)[4:])
    assert set(said) <= set(attributes()), sys.version


@pytest.mark.parametrize("name", [name for name in FILES if "-p" not in name])
def test_layouts_read_what_the_interpreter_reads(name: str) -> None:
    """Learned from one record of a kind, a layout reads the next to the same record, or leaves it alone."""
    known = KnownLayouts()
    layouts = ClientLayouts(known)
    read = 0
    for _ in range(2):
        for data in pickles((CAPTURES / name).read_bytes()):
            said, opaque = load(data)
            wanted = record_of(said, NOW)
            found = layouts.read(data, 0, len(data))
            if found is None:
                if not opaque:
                    layouts.learn(data, wanted)
            else:
                assert found == wanted
                read += 1
    assert read >= 4
