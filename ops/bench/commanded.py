"""Zones one below the other, each a home of its own: a dispatcher in the first, a node in the last, and one that is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tabard.brokers.topology import LANES
from tabard.brokers.trust.authority import Wanted
from tabard.brokers.trust.files import Trust, found, write_all
from tabard.errors import TabardError
from tabard.home import Home
from tabard.ops.bench.scene import Scene
from tabard.ops.bench.surroundings import free_port
from tabard.ops.commands.client import Client
from tabard.ops.keys import founders_of, members_of
from tabard.settings import load

ROOT: Final = "hq"
HERE: Final = "here"
"""The node that is there,"""
AWAY: Final = "away"
"""and the one that is not: it was heard once."""
PATIENCE: Final = 60.0
_LOOK: Final = 0.05
_BEACON: Final = "1s"
"""Of the node that goes away: four of these are waited for until it is held to be."""


class Commanded:
    """The homes below `directory` and what runs in them, joined over TCP with CURVE. As a context it ends them all."""

    def __init__(self, directory: Path, zones: int) -> None:
        self.paths = [
            ROOT + "".join(f"/z{number}" for number in range(2, depth + 2)) for depth in range(zones)
        ]
        self.zone = self.paths[-1]
        """Of both nodes."""
        self._ends = [{lane: f"tcp://127.0.0.1:{free_port()}" for lane in LANES} for _ in self.paths]
        names = [*(f"zone{number}" for number in range(1, zones)), HERE]
        self._homes = [Home(directory / name).ensure() for name in names]
        for number, home in enumerate(self._homes):
            home.settings_file.write_text(self._settings(number, names[number]))
        self._away = Home(directory / AWAY).ensure()
        self._away.settings_file.write_text(self._settings_away())
        self.home = self._homes[0]
        """Where the dispatcher is."""
        self._scenes: list[Scene] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._give_keys()
            for number, home in enumerate(self._homes):
                roles = {"broker"} | ({"recorder", "dispatcher"} if number == 0 else set())
                self._start(home, roles)
            here = self._start(self._homes[-1], {"agent"})
            away = self._start(self._away, {"agent"})
            self._wait(lambda node: bool(node["here"]), HERE, AWAY)
            away.end(*away.names)
            self._wait(lambda node: not node["here"], AWAY)
            here.rest(0.0)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def look(self) -> None:
        """Hear what the roles say. Raises TabardError when one has ended."""
        for scene in self._scenes:
            scene.rest(0.0)

    def cpu(self) -> dict[str, float]:
        """CPU seconds of every running role since its start."""
        return {name: used for scene in self._scenes for name, used in scene.cpu().items()}

    def _start(self, home: Home, roles: Collection[str]) -> Scene:
        scene = self._stack.enter_context(Scene(home.path, {}, roles))
        for name in scene.names:
            scene.start(name)
        self._scenes.append(scene)
        return scene

    def _wait(self, holds: Callable[[dict[str, Any]], bool], *nodes: str) -> None:
        """Until the dispatcher says so of each of these nodes; it tells nobody by itself."""
        until = time.monotonic() + PATIENCE
        with Client(self.home) as client:
            for name in nodes:
                while not any(node["node"] == name and holds(node) for node in _known(client)):
                    if time.monotonic() > until:
                        raise TabardError(
                            "the dispatcher does not hear of a node",
                            expected=f"it to be known within {PATIENCE:.0f}s",
                            found=", ".join(f"{node['node']}: {node['here']}" for node in _known(client))
                            or "none",
                            where=name,
                        )
                    self._scenes[0].wait(_LOOK)

    # --- what the homes are ----------------------------------------------------------------

    def _settings(self, number: int, name: str) -> str:
        lines = [*_node(name, self.paths[number]), "[[broker]]"]
        lines += [f'name = "b{number + 1}"', f'zone = "{self.paths[number]}"']
        lines += [f'{lane} = "{end}"' for lane, end in self._ends[number].items()]
        if number:
            above = self._ends[number - 1]
            lines += [f'parent = "b{number}"', f'parent_up = "{above["up_in"]}"']
            lines += [f'parent_down = "{above["down_out"]}"']
        return "\n".join(lines) + "\n"

    def _settings_away(self) -> str:
        ends = self._ends[-1]
        lines = [
            *_node(AWAY, self.zone),
            "[agent]",
            f'beacon = "{_BEACON}"',
            f'broker = "b{len(self._ends)}"',
        ]
        return "\n".join([*lines, f'up = "{ends["up_in"]}"', f'down = "{ends["down_out"]}"', ""])

    def _give_keys(self) -> None:
        """Each home gets the keys of its own members, the first those of its operator too, and all get the rosters."""
        wanted: dict[Home, list[Wanted]] = {}
        for home in self._homes:
            settings = load(home, env={})
            wanted[home] = (
                founders_of(settings, home, ROOT) if home == self.home else members_of(settings, home)
            )
        wanted[self._away] = [Wanted("node", AWAY, self.zone, ("main",))]  # it has no broker of its own
        everybody = dict.fromkeys(each for members in wanted.values() for each in members)
        trust: Trust = found(Home(self.home.path.with_name("authority")), ROOT, list(everybody))
        rosters = list(trust.directory.rosters().values())
        for home, members in wanted.items():
            mine = {(each.role, each.name, each.zone) for each in members}
            files = [
                file
                for file in trust.owned()
                if (held := file.certificate) and (held.role, held.name, held.zone) in mine
            ]
            write_all(home, trust.directory.pinned, rosters, files)


def _node(name: str, zone: str) -> list[str]:
    return ["[intake]", "tail_defaults = false", "[node]", f'name = "{name}"', f'zone = "{zone}"']


def _known(client: Client) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = client.ask("resolve", targets=["*"])["nodes"]
    except TabardError:  # none yet, or no store yet
        return []
    return found
