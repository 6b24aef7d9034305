"""The floors of the house, where the import contract in pyproject.toml cannot say it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import grimp
import pytest

ROLES: Final = ("agents", "brokers", "consumers", "ops", "web")
# What each part may not load, directly or through anything else.
SERVER_ONLY: Final = ("alembic", "flask", "gunicorn", "sqlalchemy")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("tabard", include_external_packages=True, cache_dir=None)


def test_the_contract_covers_the_floors(root: Path) -> None:
    """Removing or loosening the contract is noticed: its layers stand here a second time."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    contracts = {contract["id"]: contract for contract in settings["contracts"]}
    assert contracts["floors"]["layers"][:-1] == ["ops", "web", "agents | consumers", "brokers"]
    assert contracts["floors"]["exhaustive"] is True
    assert not any("ignore_imports" in contract for contract in contracts.values())
    plain = contracts["plain-host"]
    assert {"tabard.agents", "tabard.brokers"} == set(plain["source_modules"])
    assert {*SERVER_ONLY, "tabard.consumers", "tabard.web"} <= set(plain["forbidden_modules"])


def test_the_ground_floor_opens_no_socket_and_no_database(graph: grimp.ImportGraph) -> None:
    """What everything else stands on loads neither ZeroMQ nor a database nor a web framework."""
    ground = {
        module
        for module in graph.modules
        if module.split(".")[0] == "tabard" and [*module.split("."), ""][1] not in ROLES
    }
    assert "tabard.errors" in ground
    assert {
        (module, heavy)
        for module in ground
        for heavy in graph.find_modules_directly_imported_by(module)
        if heavy.split(".")[0] in {"zmq", *SERVER_ONLY}
    } == set()


def test_the_graph_sees_through_the_links(graph: grimp.ImportGraph) -> None:
    """Modules of linked role folders are in the graph under their one name, so the contract judges them."""
    assert {f"tabard.{role}" for role in ROLES} <= graph.modules
    assert "tabard.errors" in graph.find_modules_directly_imported_by("tabard.brokers.wire.batch")


@pytest.mark.parametrize("module", ["tabard", "tabard.brokers", "tabard.agents"])
def test_importing_a_plain_hosts_package_loads_nothing_heavy(module: str) -> None:
    """A fresh interpreter that imports it has neither database nor web framework in memory."""
    code = f"import sys, {module}; print(*[name for name in {SERVER_ONLY!r} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == ""
