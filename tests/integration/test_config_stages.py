"""The four stages side by side: four homes with agents of their own, one store, and one service on its way through."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tabard import exits
from tabard._version import VERSION
from tabard.home import Home
from tabard.locks import held
from tests.integration.brokering import wait_until
from tests.integration.upping import Started, environment, tabard

STAGES = ("TESTING", "DEVELOPMENT", "INTEGRATION", "PRODUCTION")
SUFFIXES = dict(zip(STAGES, ("_t", "_d", "_i", ""), strict=True))
PORTS = dict(zip(STAGES, (9010, 9020, 9022, 9024), strict=True))
APPLICATION = """
    import json, sys, tabard
    from tabard.config import Integer, Option, Text
    options = [
        Option("orders.batch", Integer(1, 1000), 10, "Orders taken at a time."),
        Option("db.password", Text(), None, "Of the database."),
    ]
    with tabard.Config("shop", options, lock=True, package="shop.web", version=sys.argv[1]) as config:
        stage = config.stage
        print(json.dumps([stage.name, stage.suffix, stage.port, config["orders.batch"], config.digest]))
"""


class Estate:
    """Four homes below one folder; the agents of all hand up to the broker of production's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.central = Home(folder / "PRODUCTION")
        for stage in STAGES:
            home = folder / stage
            home.mkdir()
            lanes = [self.central.socket(f"b1.{lane}") for lane in ("up_in", "down_out")]
            text = f'[node]\nname = "{stage.lower()}"\nstage = "{stage}"\n[agent]\nbeacon = "1s"\n'
            if stage != "PRODUCTION":
                text += f'up = "ipc://{lanes[0]}"\ndown = "ipc://{lanes[1]}"\n'
            (home / "tabard.toml").write_text(text)
            (folder / f"shop{SUFFIXES[stage]}.cfg").write_text(
                f"[GLOBAL]\npattern_language = DE\n[DB]\npassword = secret of {stage}\n"
            )
        (folder / "shop.toml").write_text("[stage.PRODUCTION.orders]\nbatch = 100\n")

    def start(self, stage: str, version: str) -> list[Any]:
        """Start the application once in that stage: what it says of itself."""
        done = subprocess.run(
            [sys.executable, "-P", "-c", textwrap.dedent(APPLICATION), version],
            cwd=self.folder,
            env=environment(self.folder / stage, DEV_STAGE=stage),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        found: list[Any] = json.loads(done.stdout)
        return found

    def ask(self, *words: str) -> list[dict[str, Any]]:
        """What the command says on the store's host."""
        done = tabard(self.central.path, *words, "-o", "json")
        assert done.returncode == exits.DONE, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    """It runs: four agents, a broker, a recorder."""
    estate = Estate(tmp_path)
    with ExitStack() as running:
        for role in ("broker", "recorder"):
            running.enter_context(Started(estate.central.path, role))
        for stage in STAGES:
            running.enter_context(Started(tmp_path / stage, "agent"))
        for stage in STAGES:
            home = Home(tmp_path / stage)
            wait_until(home.socket("intake.sock").exists, f"the agent of {home.path}")
        wait_until(lambda: held(estate.central.lock("recorder")), "the recorder")
        yield estate


def test_a_service_goes_through_four_stages_side_by_side(estate: Estate) -> None:
    """Each stage has its own file, lock, suffix, port and agent; the store tells them apart and what was promoted."""
    said = {}
    for stage in STAGES:
        said[stage] = estate.start(stage, "1.0")
    said["TESTING"] = estate.start("TESTING", "1.1")
    said["INTEGRATION"] = estate.start("INTEGRATION", "1.1")
    assert {stage: each[:3] for stage, each in said.items()} == {
        stage: [stage, SUFFIXES[stage], PORTS[stage]] for stage in STAGES
    }
    locks = {path.name for stage in STAGES for path in (estate.folder / stage).rglob("applications/*.lock")}
    assert locks == {f"shop{suffix}.lock" for suffix in SUFFIXES.values()}

    shop = ("--service", "shop")
    wait_until(lambda: len(estate.ask("versions", "--history", *shop)) == 6, "six starts in the store")
    versions = {row["stage"]: row for row in estate.ask("versions", *shop)}
    assert {stage: (row["node"], row["version"], row["package"]) for stage, row in versions.items()} == {
        "TESTING": ("testing", "1.1", "shop.web"),
        "DEVELOPMENT": ("development", "1.0", "shop.web"),
        "INTEGRATION": ("integration", "1.1", "shop.web"),
        "PRODUCTION": ("production", "1.0", "shop.web"),
    }
    assert {stage: row["digest"] for stage, row in versions.items()} == {
        stage: each[4] for stage, each in said.items()
    }
    newest = estate.ask("versions", "--history", "-n", "1", *shop)[0]
    assert (newest["stage"], newest["change"], newest["promoted_from"]) == (
        "INTEGRATION",
        "version",
        "TESTING",
    )

    differing = {row["name"]: row for row in estate.ask("config", "diff", "TESTING", "PRODUCTION", *shop)}
    assert {
        name: (row["left"], row["right"]) for name, row in differing.items() if name != "db.password"
    } == {
        "": (["1.1"], ["1.0"]),
        "global.logging": (["DEBUG"], ["INFO"]),
        "orders.batch": (["10"], ["100"]),
    }
    assert (differing["db.password"]["kind"], differing["db.password"]["state"]) == ("secret", "different")
    shown = json.dumps(estate.ask("config", "show")) + json.dumps(estate.ask("logs"))
    assert "secret of" not in shown
    assert shown.count("********") >= len(STAGES)

    roles = {"shop", "tabard-agent", "tabard-broker.b1", "tabard-recorder"}
    wait_until(
        lambda: {row["service"] for row in estate.ask("versions", "--node", "production")} == roles, "roles"
    )
    agents = {row["stage"]: row for row in estate.ask("versions", "--service", "tabard-agent")}
    assert {stage: (row["node"], row["package"], row["version"]) for stage, row in agents.items()} == {
        stage: (stage.lower(), "tabard", VERSION) for stage in STAGES
    }


def test_an_unknown_stage_is_refused_by_the_agent_and_by_the_application(tmp_path: Path) -> None:
    """Both name the stages there are."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "tabard.toml").write_text("[stage.blue]\nport = 9030\n")
    agent = tabard(home, "agent", "--once", DEV_STAGE="bleu")
    application = subprocess.run(
        [sys.executable, "-P", "-c", "import tabard; tabard.Config('shop')"],
        cwd=tmp_path,
        env=environment(home, DEV_STAGE="bleu"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    for done in (agent, application):
        assert done.returncode != exits.DONE
        assert (
            "expected one of TESTING, DEVELOPMENT, INTEGRATION, PRODUCTION, blue, found 'bleu'" in done.stderr
        )
