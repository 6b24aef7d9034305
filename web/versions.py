"""Which version of which service runs with which configuration where, what changed when, and two stages side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from flask import Blueprint

from tabard.consumers.store.comparing import SAME, Change, Difference, changes, differences
from tabard.consumers.store.deployments import Configuration, Deployment
from tabard.settings.stages import DEFAULTS
from tabard.web.args import one_of
from tabard.web.site import page as render_page
from tabard.web.site import page_args, site

blueprint = Blueprint("versions", __name__)

CHANGES_SHOWN: Final = 50
ROLE: Final = "tabard-"
"""How the services begin that are Tabard's own roles."""
PLACES_SHOWN: Final = 50
"""Services on nodes whose options are listed."""
STATES: Final = {
    "different": "the two stages have different values",
    "left": "only in the first stage",
    "right": "only in the second stage",
    "unknown": "cannot be compared: the secrets were tagged by different keys, or the value did not fit the record",
    "same": "the same in both stages",
}


@dataclass(frozen=True)
class Form:
    """One version and configuration of a service in one stage, and the nodes that have it."""

    version: str
    digest: str
    nodes: Sequence[str]
    since: int
    """When it was there first."""
    behind: bool
    """Another node of the stage has a newer one: a roll-out that is under way, or was left half done."""


@dataclass(frozen=True)
class Service:
    """A row of the overview."""

    name: str
    cells: Sequence[Sequence[Form]]
    """One for each stage."""


@blueprint.get("/versions")
def page() -> tuple[str, int]:
    """All services, or those that the parameters ask for."""
    args, zone = page_args("service", "stage", "node", "left", "right", "all")
    reader = site().reader
    service, stage, node = (args.raw.get(name) for name in ("service", "stage", "node"))
    everything = reader.deployments()
    stages = in_order(each.stage for each in everything)
    left, right = (
        args.read(name, lambda text: one_of(text, {stage: stage for stage in stages}), "")
        for name in ("left", "right")
    )
    shown = [
        each
        for each in everything
        if service in (None, each.service) and stage in (None, each.stage) and node in (None, each.node)
    ]
    history = [
        change
        for change in changes(reader.deployment_history(service))
        if stage in (None, change.deployment.stage) and node in (None, change.deployment.node)
    ]
    compared = (
        _compared([each for each in everything if service in (None, each.service)], left, right)
        if left and right
        else None
    )
    return render_page(
        "versions.html",
        zone,
        args.problems,
        asked={"service": service, "stage": stage, "node": node},
        services=sorted({each.service for each in everything}),
        own_services=any(not each.service.startswith(ROLE) for each in everything),
        stages=stages,
        rows=overview(shown, stages),
        places=_places(shown) if service or node else None,
        places_more=max(0, len(shown) - PLACES_SHOWN),
        changes=history[:CHANGES_SHOWN],
        changes_more=max(0, len(history) - CHANGES_SHOWN),
        left=left,
        right=right,
        compared=compared,
        same=sum(each.state == SAME for each in compared or ()),
        every="all" in args.raw,
        states=STATES,
    )


def overview(found: Iterable[Deployment], stages: Sequence[str]) -> list[Service]:
    """What runs, by service and stage."""
    by_service: dict[str, list[Deployment]] = {}
    for each in found:
        by_service.setdefault(each.service, []).append(each)
    return [
        Service(name, [forms([each for each in rows if each.stage == stage]) for stage in stages])
        for name, rows in sorted(by_service.items())
    ]


def forms(found: Sequence[Deployment]) -> list[Form]:
    """The versions and configurations of one service in one stage, the one that came last first."""
    by_form: dict[tuple[str, ...], list[Deployment]] = {}
    for each in sorted(found, key=lambda each: each.since, reverse=True):
        by_form.setdefault(each.form, []).append(each)
    return [
        Form(
            version=rows[0].version,
            digest=rows[0].digest,
            nodes=sorted({each.node for each in rows}),
            since=min(each.since for each in rows),
            behind=number > 0,
        )
        for number, rows in enumerate(by_form.values())
    ]


def in_order(stages: Iterable[str]) -> list[str]:
    """Stages as they follow one another: the four, then all others by name."""
    usual = list(DEFAULTS)
    return sorted(
        set(stages), key=lambda stage: (usual.index(stage) if stage in usual else len(usual), stage)
    )


def _compared(found: Sequence[Deployment], left: str, right: str) -> list[Difference]:
    sides = [[each for each in found if each.stage == stage] for stage in (left, right)]
    return differences(sides[0], sides[1], site().reader.configuration)


def _places(found: Sequence[Deployment]) -> list[tuple[Deployment, Configuration]]:
    return [(each, site().reader.configuration(each)) for each in found[:PLACES_SHOWN]]


__all__ = ["Change", "blueprint", "forms", "in_order", "overview"]
