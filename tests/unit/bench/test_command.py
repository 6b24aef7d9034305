"""``tabard bench command``, small: real zones, real processes, and bare ones beside them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tabard.ops.bench import command
from tabard.ops.bench.table import Options

# It starts real processes: with the other benches, one worker at a time.
pytestmark = pytest.mark.xdist_group("processes")


def test_commands_are_timed_beside_bare_zeromq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through two zones: each command ends as done, the node that is away is answered, and nothing is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("TIMES", "CLI_TIMES", "WARM_UP"):
        monkeypatch.setattr(command, name, 2)
    said: list[str] = []
    measured = command.run(Options(rounds=1), said.append, through=(2,))
    found = measured.results["zones_2"]
    assert (found["commands"], found["processes"]) == (2, 5)
    assert all(value > 0 for name, value in found.items() if name.endswith("_ms"))
    assert found["p50_ratio_to_bare_by_round"] == [found["p50_ratio_to_bare"]]
    assert set(found["cpu_ms_per_command"]) == {"broker.b1", "broker.b2", "recorder", "dispatcher", "agent"}
    assert {aim.name.removeprefix("2 zones: "): (aim.bound, aim.unit) for aim in measured.aims} == {
        "p50": (10, "ms"),
        "p50 to bare ZeroMQ": (10, ""),
        "command line, p50": (250, "ms"),
        "away, answer p50": (10, "ms"),
        "away, command line, p50": (250, "ms"),
    }
    assert list(tmp_path.iterdir()) == []
