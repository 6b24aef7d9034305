"""The intake for logs by OTLP/HTTP, where the package that reads HTTP is there."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from tabard.agents.intake.bridge.ports import Intake, Surroundings
from tabard.errors import IntakeError
from tabard.settings import Settings


def made(settings: Settings, surroundings: Surroundings) -> Iterator[Intake]:
    """The one that the setting asks for.

    Raises:
        IntakeError: the package is missing.
    """
    address = settings.str("intake.otlp")
    if not address:
        return
    if find_spec("h11") is None:
        raise IntakeError(
            "cannot take logs by OTLP/HTTP",
            expected="the package h11",
            found="none",
            where="intake.otlp",
            hint="Install it with Tabard: pip install 'tabard[otlp]'",
        )
    from tabard.agents.intake.bridge.otlp_intake import OtlpIntake

    yield OtlpIntake(address, surroundings)
