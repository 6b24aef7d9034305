"""`tabard doctor` on real processes: a home that is well, a role that is killed, tunnels that are down and refused."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tabard import exits
from tabard.ops.bench.sshd import Sshd, make_key
from tests.integration.brokering import wait_until
from tests.integration.tunnelling import Make, make, server
from tests.integration.upping import Started, tabard, wait_for_end
from tests.ports import free_port

__all__ = ["make", "server"]


def findings(home: Path) -> list[dict[str, Any]]:
    """What is found there."""
    done = tabard(home, "doctor", "-o", "json")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert done.stderr == ""
    assert done.returncode == (
        exits.DONE
        if not found
        else exits.FAILED
        if any(each["severity"] == "fault" for each in found)
        else exits.PARTLY
    )
    return found


def test_a_home_that_is_well_and_one_whose_role_was_killed(tmp_path: Path) -> None:
    """Of all roles nothing is found, in one sentence for people; of a broker that was killed, that it does not run."""
    home = tmp_path / "home"
    with Started(home, "up", "--set", f"herald.port={free_port()}") as up:
        up.wait_for("Open ")
        wait_until(lambda: not findings(home), "nothing is found")
        assert tabard(home, "doctor").stdout.startswith("nothing is wrong: ")
        pids = up.pids([path.stem for path in (home / "run").glob("*.lock")])
        assert {"up", "agent", "recorder", "broker.b1", "herald"} <= set(pids)
        up.signal(signal.SIGKILL)
        wait_for_end(*pids.values())
    with Started(home, "broker", "b1") as broker:
        wait_until(
            lambda: (
                {each["where"] for each in findings(home) if each["check"] == "roles"}
                == set(pids) - {"up", "broker.b1"}
            ),
            "the others are missed",
        )
        assert broker.process.poll() is None
    assert [(each["check"], each["where"]) for each in findings(home)] == [("roles", "home")]


@pytest.mark.parametrize("broken", ["host-key", "server", "behind"])
def test_a_tunnel_that_is_broken(make: Make, server: Sshd, tmp_path: Path, broken: str) -> None:
    """Another host key, a server that is gone, nothing that answers at the far end; one that is up is fine."""
    tunnel = make("openssh")
    tunnel.begin()
    tunnel.up()
    assert [each for each in findings(tunnel.home.path) if each["check"] == "tunnels"] == []
    assert tunnel.started is not None
    if broken == "behind":
        tunnel.behind.go()
        tunnel.until(lambda said: said["state"] != "up", "it is noticed")
        tunnel_state = "is "
    else:
        os.kill(tunnel.started.process.pid, signal.SIGTERM)
        tunnel.started.rest()
        if broken == "host-key":
            make_key(tmp_path / "another")
            tunnel.keys["host_key"] = " ".join((tmp_path / "another.pub").read_text().split()[:2])
            tunnel.begin()
            tunnel.wrong("host key")
            tunnel_state = "refused"
        else:
            tunnel.keys["port"] = free_port()
            tunnel.begin()
            tunnel.until(lambda said: said["state"] == "waiting", "it is down")
            tunnel_state = "is waiting"
    found = [each for each in findings(tunnel.home.path) if each["check"] == "tunnels"]
    assert found and any(tunnel_state in each["what"] for each in found), found
    assert all(each["do"] for each in found)
