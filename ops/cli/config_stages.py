"""``tabard config stages``: the stages that a home knows."""

from __future__ import annotations

from typing import Final

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option, settings_options
from tabard.ops.output import emit
from tabard.settings import load

KEYS: Final = ("stage", "suffix", "port", "level", "mail", "chosen")


@command(
    "stages",
    examples=[
        ("tabard config stages", "Which stages are there, and which is this home's?"),
        ("tabard config stages -o ndjson", "One JSON object a line"),
    ],
)
@settings_options
@output_option
def config_stages(home: Home, stage: str | None, overrides: tuple[tuple[str, str], ...], output: str) -> int:
    """List the stages that this home knows: the four that are always there, and those of its settings file."""
    settings = load(home, stage, args=dict(overrides))
    emit(
        [
            {
                "stage": each.name,
                "suffix": each.suffix,
                "port": each.port or None,
                "level": each.level,
                "mail": list(each.mail),
                "chosen": each == settings.stage,
            }
            for each in settings.stages.values()
        ],
        KEYS,
        output,
    )
    return exits.DONE
