"""A burst through the standard library's SocketHandler, and hostile pickles among it, into a real agent."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import pickle  # noqa: TID251 -- the other side: what would fall for it
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.bridging import agent, free_address, journaled, place_of, report, said, wait_until
from tests.numbering import difference
from tests.unit.bridge.samples import attributes, framed, record_pickle

COUNT = 5_000


class Handler(logging.handlers.SocketHandler):
    """The standard library's, which can lose its connection in the middle of a record and connects at once."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.retryStart = self.retryMax = 0.0

    def cut(self) -> None:
        """Half of a record, and the end of the connection."""
        half = self.makePickle(logging.makeLogRecord({"msg": "half of this"}))
        assert self.sock is not None
        self.sock.sendall(half[: len(half) // 2])
        self.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that is not there yet."""
    return tmp_path / "home"


@contextlib.contextmanager
def logger(address: str) -> Iterator[tuple[logging.Logger, Handler]]:
    """A logger that sends to the agent."""
    handler = Handler(*place_of(address))
    log = logging.Logger("shop.orders", 1)  # noqa: LOG001 -- of no use to anybody else
    log.addHandler(handler)
    try:
        yield log, handler
    finally:
        handler.close()


class Oddity:
    """A message that is no text, and an object that only its application knows."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __str__(self) -> str:
        return f"n {self.number}"


def say(log: logging.Logger, number: int) -> None:
    """One record, of a kind that its number gives."""
    kind = number % 7
    if kind == 0:
        log.info("n %d %s", number, "x" * 6_000)
    elif kind == 1:
        log.warning(
            "n %d", number, extra={"request": f"r-{number}", "thing": Oddity(number), "nested": {"a": [1]}}
        )
    elif kind == 2:
        log.error(Oddity(number))
    elif kind == 3:
        log.log(number % 59 + 1, {"n": number})
    elif kind == 4:
        try:
            raise KeyError(number)  # noqa: TRY301 -- there is no trace without
        except KeyError:
            log.exception("n %d", number)
    elif kind == 5:
        log.info("n %d %s", number, "gr\u00fc\u00dfe \U0001f389", stack_info=True)
    else:
        log.debug("n %(n)d", {"n": number})


def test_a_burst_with_cuts_is_stored_once_and_in_order(home: Path) -> None:
    """Records of 6 kB, unknown attributes, other messages than texts, traces; the agent is told to end behind the last."""
    address = free_address()
    with agent(home, socket_handler=address) as started, logger(address) as (log, handler):
        for number in range(COUNT):
            say(log, number)
            if number % 1_000 == 999:
                handler.cut()
        counted = said(home)["counters"]
        started.signal(signal.SIGTERM)
        assert started.rest() == 0
    found = journaled(home)
    assert not difference([number_of(each["message"]) for each in found], range(COUNT))
    assert counted.get("socket_handler unreadable", 0) == 0
    assert len(found[0]["message"]) == 6_004
    assert json.loads(found[1]["attributes"]) == {
        "request": "r-1", "thing": f"<{__name__}.Oddity>", "nested": {"a": [1]},
    }  # fmt: skip
    assert found[3]["message"] == "{'n': 3}"
    assert found[4]["exception"] == "KeyError: 4"
    assert found[5]["message"] == "n 5 gr\u00fc\u00dfe \U0001f389"
    assert found[5]["stack"].startswith("Stack (most recent call last):")


def number_of(message: str) -> int:
    """The number in a message."""
    return json.loads(message.replace("'", '"'))["n"] if message[0] == "{" else int(message.split()[1])


class Calls:
    """Pickles as a call of a function, and is one when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.way = function, arguments

    def __reduce__(self) -> Any:
        return self.way


def gadgets(touch: list[str]) -> list[Any]:
    """Objects that run ``touch`` in whoever unpickles them."""
    import functools

    command = " ".join(touch)
    code = f"import subprocess; subprocess.run({touch!r})"
    return [
        Calls(os.system, command),
        Calls(os.popen, command),
        Calls(subprocess.Popen, touch),
        Calls(subprocess.check_output, touch),
        Calls(eval, f"__import__('os').system({command!r})"),
        Calls(exec, code),
        Calls(functools.partial, os.system, command),
        Calls(map, os.system, [command]),
        Calls(functools.reduce, os.system, [command]),
        Calls(getattr, Calls(__import__, "os"), "system"),
        Calls(open, touch[-1], "w"),
    ]


def test_hostile_pickles_do_nothing_and_each_is_counted(home: Path, tmp_path: Path) -> None:
    """Each gadget, in every protocol, alone and as the attribute of a record: what is sent behind them is stored."""
    address, touched = free_address(), tmp_path / "touched"
    touch = [sys.executable, "-c", f"open({str(touched)!r}, 'w')", str(touched)]
    sent = [
        pickle.dumps(said, protocol)
        for gadget in gadgets(touch)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        for said in (gadget, attributes(msg="hostile", thing=gadget))
    ]
    with agent(home, socket_handler=address), logger(address) as (log, handler):
        log.info("n 0")
        for data in sent:
            handler.send(framed(data))
        log.info("n 1")
        handler.send(framed(record_pickle(attributes(msg="n 2"))))
        wait_until(lambda: said(home)["bridge"][0]["records"] == 3, "what is behind them does not arrive")
        found = report(home)
    assert not touched.exists()
    (row,) = found["bridge"]
    assert row["counted"]["hostile"] == len(sent)
    assert row["counted"]["connections"] == 1
    assert any("has a function called" in fault["what"] for fault in found["faults"])
    assert [each["message"] for each in journaled(home)] == ["n 0", "n 1", "n 2"]


def test_the_gadgets_are_real(tmp_path: Path) -> None:
    """Python's own pickle falls for the first of them."""
    touched = tmp_path / "touched"
    pickle.loads(pickle.dumps(gadgets(["touch", str(touched)])[0]))
    assert touched.exists()
