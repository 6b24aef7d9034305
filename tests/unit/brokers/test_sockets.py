"""Every socket has the profile, and none is bound where others could enter."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from tabard.brokers import sockets
from tabard.brokers.loop import Loop
from tabard.brokers.role import Broker
from tabard.brokers.sockets import Sockets
from tabard.brokers.subscriptions import MAX_BYTES
from tabard.brokers.topology import LANES, Plan
from tabard.errors import RefusedError, TabardError
from tests.keys import Keys, broker, node

HWM = 77
MAX_FRAME = 12_345


@pytest.fixture
def made() -> Iterator[Sockets]:
    """Sockets whose limits are told from the defaults."""
    factory = Sockets(hwm=HWM, max_frame=MAX_FRAME)
    yield factory
    factory.close()


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A directory of this user alone."""
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    return directory


def check_profile(
    sock: zmq.Socket[bytes], *, send: int = HWM, receive: int = HWM, frame: int = MAX_FRAME
) -> None:
    """Read the options back."""
    expected = {
        zmq.LINGER: 500,
        zmq.IPV6: 1,
        zmq.BACKLOG: 1024,
        zmq.RECONNECT_IVL_MAX: 5000,
        zmq.HANDSHAKE_IVL: 5000,
        zmq.HEARTBEAT_IVL: 500,
        zmq.HEARTBEAT_TIMEOUT: 1500,
        zmq.MAXMSGSIZE: frame,
        zmq.SNDHWM: send,
        zmq.RCVHWM: receive,
    }
    assert {option: sock.getsockopt(option) for option in expected} == expected
    assert 125 <= int(sock.getsockopt(zmq.RECONNECT_IVL)) < 375


def test_every_kind_of_socket_has_the_profile(made: Sockets) -> None:
    """Where subscriptions are sent they must not be lost; where they are heard, nobody can send anything large."""
    many = sockets.SUBSCRIPTIONS_HWM
    check_profile(made.publisher(), frame=MAX_BYTES)
    check_profile(made.subscriber())
    check_profile(made.forward_in(), send=many)
    check_profile(made.forward_out(), receive=sockets.HEARD_HWM, frame=MAX_BYTES)
    assert [sock.getsockopt(zmq.TYPE) for sock in made._made] == [zmq.PUB, zmq.SUB, zmq.XSUB, zmq.XPUB]


def test_reconnecting_is_spread(made: Sockets) -> None:
    """A broker that comes back is not called by all its nodes in the same millisecond."""
    assert len({made.subscriber().getsockopt(zmq.RECONNECT_IVL) for _ in range(30)}) > 5


def test_a_broker_makes_its_sockets_here(made: Sockets, private: Path) -> None:
    """All four, and each is bound where its plan says."""
    up_in, up_out, down_in, down_out = ends = [f"ipc://{private}/{lane}" for lane in LANES]
    loop = Loop()
    broker = Broker(Plan("b1", "hq", up_in, up_out, down_in, down_out, ()), made, loop)
    used = [broker.up_in.socket, broker.up_out.bound.socket, broker.down_in.socket, broker.down_out.socket]
    loop.close()
    assert made._made == used
    assert [sock.getsockopt(zmq.LAST_ENDPOINT) for sock in used] == [end.encode() for end in ends]


def test_closing_closes_all() -> None:
    """Sockets and context; nobody waits for a peer that is not there."""
    factory = Sockets()
    publisher, subscriber = factory.publisher(), factory.subscriber()
    factory.connect(publisher, "ipc:///nowhere/at-all")
    sockets.send(publisher, [b"to nobody"])
    factory.close()
    assert publisher.closed
    assert subscriber.closed


# --- binding and connecting --------------------------------------------------------------------


@pytest.mark.threat("other-user")
@pytest.mark.parametrize("mode", [0o755, 0o750, 0o710, 0o701, 0o770, 0o777, 0o1777])
def test_a_directory_that_others_can_enter_is_refused(made: Sockets, private: Path, mode: int) -> None:
    """The error names directory and mode, and nothing was bound there."""
    private.chmod(mode)
    with pytest.raises(TabardError) as refused:
        made.bind(made.publisher(), f"ipc://{private}/end", "up_out")
    assert refused.value.where == str(private)
    assert f"found mode {mode & 0o777:04o}" in str(refused.value)
    assert "chmod 700" in str(refused.value)
    assert list(private.iterdir()) == []


@pytest.mark.threat("other-user")
def test_a_directory_of_another_user_is_refused(made: Sockets) -> None:
    """Here: one of the kernel's, which is root's unless this user is root."""
    with pytest.raises(TabardError, match="that others can enter"):
        made.bind(made.publisher(), "ipc:///proc/end", "up_out")


def test_a_directory_that_is_not_there_is_refused(made: Sockets, private: Path) -> None:
    """It is not made: who would see to its mode."""
    with pytest.raises(TabardError, match="no directory for a socket"):
        made.bind(made.publisher(), f"ipc://{private}/missing/end", "up_out")


@pytest.mark.threat("other-user")
@pytest.mark.parametrize("endpoint", ["ipc://@tabard-test", "ipc://end", "ipc://*"])
def test_a_socket_outside_any_directory_is_refused(
    made: Sockets, private: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An abstract socket has no mode at all: whoever knows its name may connect."""
    monkeypatch.chdir(private)
    with pytest.raises(TabardError, match="absolute path"):
        made.bind(made.publisher(), endpoint, "up_out")


def test_a_busy_port_is_refused(tmp_path: Path) -> None:
    """The error names the address and the way out."""
    loop = Loop()
    made = Keys(tmp_path, "hq", [broker("b1", "hq")]).sockets("broker", "b1", loop, {})
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(TabardError) as refused:
            made.bind(made.publisher(), endpoint, "up_out")
    assert refused.value.where == endpoint
    assert "Another process uses it" in str(refused.value)
    made.close()
    loop.close()


@pytest.mark.parametrize("endpoint", ["", "tcp://", "tcp://127.0.0.1", "nonsense://x", "x"])
def test_a_malformed_address_is_refused(tmp_path: Path, endpoint: str) -> None:
    """For binding as for connecting."""
    loop = Loop()
    made = Keys(tmp_path, "hq", [broker("b1", "hq"), node("n1", "hq")]).sockets(
        "node", "n1", loop, {endpoint: "b1"}
    )
    with pytest.raises(TabardError, match="cannot bind"):
        made.bind(made.publisher(), endpoint, "up_out")
    with pytest.raises(TabardError, match=r"cannot connect: expected tcp://HOST:PORT or ipc://PATH"):
        made.connect(made.publisher(), endpoint)
    made.close()
    loop.close()


@pytest.mark.threat("no-keys")
def test_tcp_without_keys_is_refused(made: Sockets) -> None:
    """Bound or dialled, on loopback too; the sentence says what was expected, found, where, and what to run."""
    endpoint = "tcp://127.0.0.1:7101"
    for use in (
        lambda: made.bind(made.publisher(), endpoint, "up_out"),
        lambda: made.connect(made.publisher(), endpoint),
    ):
        with pytest.raises(RefusedError, match=r"expected keys in this home: .*, found none") as refused:
            use()
        assert refused.value.where == endpoint
        assert "tabard init" in str(refused.value)
        assert "tabard join FILE" in str(refused.value)


def test_the_peer_need_not_be_there_yet(made: Sockets, private: Path) -> None:
    """Connected first, bound later: messages pass."""
    below, above = made.forward_out(), made.subscriber()
    above.subscribe(b"")
    made.connect(above, f"ipc://{private}/end")
    made.bind(below, f"ipc://{private}/end", "up_out")
    assert below.recv() == b"\x01"
    below.setsockopt(zmq.SUBSCRIBE, b"")
    sockets.send(below, (b"topic", b"body"))
    assert above.poll(20_000)
    assert sockets.receive(above) == [b"topic", b"body"]
    assert sockets.receive(above) is None


@pytest.mark.parametrize(
    "frames", [(b"one",), (b"",), (b"", b"", b""), (b"topic", b"", b"x" * MAX_FRAME), tuple([b"many"] * 50)]
)
def test_a_message_comes_whole_and_alone(made: Sockets, private: Path, frames: tuple[bytes, ...]) -> None:
    """Whatever frames it has, and whatever waits behind it."""
    below, above = made.forward_out(), made.subscriber()
    above.subscribe(b"")
    made.bind(below, f"ipc://{private}/end", "up_out")
    made.connect(above, f"ipc://{private}/end")
    assert below.recv() == b"\x01"
    below.setsockopt(zmq.SUBSCRIBE, b"")
    for message in (frames, frames, (b"next",)):
        sockets.send(below, message)
    assert above.poll(20_000)
    assert sockets.receive(above) == list(frames)
    assert above.poll(20_000)
    known = sockets.receive_known(above)
    assert known is not None
    assert known[0] == list(frames)
    assert above.poll(20_000)
    assert sockets.receive(above) == [b"next"]
    assert sockets.receive(above) is None
    assert sockets.receive_known(above) is None


def test_a_path_is_the_one_that_the_file_system_knows(tmp_path: Path) -> None:
    """Also where the locale cannot say it: the socket lies where everybody else looks for it."""
    code = (
        "import os, sys, zmq; from tabard.brokers import sockets;"
        "made = sockets.Sockets(hwm=1000, max_frame=2**21); sock = made.publisher();"
        "path = os.path.join(sys.argv[1], 'up.sock'); made.bind(sock, 'ipc://' + path, 'up_out');"
        "other = made.subscriber(); made.connect(other, 'ipc://' + path);"
        "print(os.path.exists(path)); made.close()"
    )
    home = tmp_path / "für-übung"
    home.mkdir(mode=0o700)
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", code, os.fsencode(home)], env=env, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("True", "")
