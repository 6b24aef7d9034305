"""The door's answers: yes to a key that the judge takes, no to everything that is not a well-formed question about one."""

from __future__ import annotations

import pytest
import zmq

from tabard.brokers import zap
from tabard.brokers.loop import Loop
from tabard.brokers.trust.keys import z85

RAW = bytes(range(32))
KEY = z85(RAW)


def question(**changes: bytes) -> list[bytes]:
    """As libzmq asks, but for what is changed."""
    fields = {
        "identity": b"id",
        "nothing": b"",
        "version": b"1.0",
        "number": b"7",
        "domain": b"up_in",
        "address": b"127.0.0.1",
        "routing": b"",
        "mechanism": b"CURVE",
        "key": RAW,
    }
    return list({**fields, **changes}.values())


@pytest.mark.parametrize("may", [True, False])
def test_the_judge_decides(may: bool) -> None:
    """It is told the end and the key; whoever gets in is known by that key from then on."""
    asked: list[tuple[str, bytes]] = []

    def judge(end: str, key: bytes) -> bool:
        asked.append((end, key))
        return may

    reply = zap.answer(question(), judge)
    assert asked == [("up_in", KEY)]
    assert reply[:4] == [b"id", b"", b"1.0", b"7"]
    assert reply[4:] == ([b"200", b"OK", KEY, b""] if may else [b"400", b"refused", b"", b""])


@pytest.mark.parametrize(
    "frames",
    [
        question(mechanism=b"NULL"),
        question(mechanism=b"PLAIN"),
        question(version=b"2.0"),
        question(key=RAW[:31]),
        question(key=RAW + b"x"),
        question()[:-1],
        [*question(), b"more"],
        [b"id"],
        [b"id", b"", b"1.0"],
    ],
)
def test_anything_else_is_refused_without_asking(frames: list[bytes]) -> None:
    """Also without keys, or cut short: nobody is let in by mistake."""

    def judge(_end: str, _key: bytes) -> bool:
        raise AssertionError("asked")

    assert zap.answer(frames, judge)[4] == b"400"


def test_without_a_door_nobody_gets_in() -> None:
    """An end that enforces its domain and finds nobody to ask: the handshake is refused, not waved through."""
    ours: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    theirs: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    loop = Loop()
    try:
        end, peer = ours.socket(zmq.XSUB), theirs.socket(zmq.PUB)
        public, secret = zmq.curve_keypair()
        end.curve_server, end.curve_secretkey = True, secret
        end.setsockopt(zmq.ZAP_DOMAIN, b"up_in")
        end.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        door = zap.Door(ours, loop, lambda _end, _key: True)
        door.close()
        port = end.bind_to_random_port("tcp://127.0.0.1")
        peer.curve_publickey, peer.curve_secretkey = zmq.curve_keypair()
        peer.curve_serverkey = public
        events = peer.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED
            | zmq.EVENT_HANDSHAKE_FAILED_AUTH
            | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
            | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
            | zmq.EVENT_DISCONNECTED  # all that it hears where the other end hangs up first
        )
        peer.connect(f"tcp://127.0.0.1:{port}")
        assert events.poll(20_000)
        told = int.from_bytes(events.recv_multipart()[0][:2], "little")
        assert told != zmq.EVENT_HANDSHAKE_SUCCEEDED
        peer.disable_monitor()
        events.close()
        peer.close(linger=0)
        end.close(linger=0)
    finally:
        loop.close()
        theirs.destroy(linger=0)
        ours.destroy(linger=0)
