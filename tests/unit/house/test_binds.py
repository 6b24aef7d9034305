"""Every place in the code that opens a port or a socket of ZeroMQ is on this list, so a new one is looked at by somebody.

What really listens is asked of the kernel, see `tests/integration/test_strangers.py`; a port that only some settings open would be
missed there, and is found here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[3]
ROLES: Final = ("agents", "brokers", "consumers", "web")
"""What runs as a role. `tabard bench` and the lab open ports of their own for as long as they run."""
OPENS: Final = {"Context", "bind", "create_server", "start_server", "listen"}
"""Calls by which a process comes to listen, or makes sockets of ZeroMQ."""
KNOWN: Final = {
    "agents/intake/bridge/binding.py": "addresses for syslog, OTLP and SocketHandler, which the settings name",
    "agents/intake/listeners.py": "the intake: a unix socket, and TCP where the settings name it",
    "agents/intake/server.py": "the same",
    "brokers/guard.py": "an end with CURVE, bound anew",
    "brokers/inlet.py": "an end, by the factory",
    "brokers/outlet.py": "an end, by the factory",
    "brokers/sockets.py": "the factory: unix sockets, and TCP with CURVE",
    "brokers/tunnels/tunnel.py": "whether the port of a tunnel is free",
    "brokers/zap.py": "the door, within the process",
    "consumers/commands/role.py": "a datagram socket in the home's private directory, on which a recorder says that there is something new",
    "consumers/commands/serving.py": "the dispatcher's socket for the command line, in the home's private directory",
    "web/server.py": "herald's page, on loopback",
}


def opening() -> Iterator[tuple[str, str]]:
    """Each call that opens something, with its file."""
    for folder in ROLES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                called = getattr(node, "func", None)
                # By its bare name, too, as something imported from a module is called.
                name = getattr(called, "attr", None) or getattr(called, "id", "")
                if isinstance(node, ast.Call) and name in OPENS:
                    yield str(path.relative_to(ROOT)), name


def test_nothing_else_listens() -> None:
    """A new entry here says that its end has CURVE, or lies in a private directory, or asks nobody for a reason."""
    assert {where for where, _name in opening()} == set(KNOWN)


@pytest.mark.threat("stranger-on-a-port")
def test_sockets_of_zeromq_come_from_one_factory() -> None:
    """No other module makes a context, so none has a socket without its profile, or an end without keys."""
    assert {where for where, name in opening() if name == "Context"} == {"brokers/sockets.py"}
