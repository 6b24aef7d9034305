"""``tabard template list``: every template, and what is wrong with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence

import click

from tabard import exits
from tabard.errors import TabardError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.cli.template_folders import folder_option
from tabard.ops.output import emit
from tabard.settings import load
from tabard.templates import Found, Templates

COLUMNS = ("use", "name", "parts", "languages", "stages", "needs", "error")


@command(
    "list",
    examples=[
        ("tabard template list", "Those of the home"),
        ("tabard template list --folder /srv/shop/templates -o json", "Those of an application too"),
    ],
)
@click.option("--stage", metavar="NAME", help="Stage to apply.  [default: DEV_STAGE, else node.stage]")
@folder_option
@output_option
def template_list(home: Home, stage: str | None, folders: Sequence[str], output: str) -> int:
    """List the templates and what is wrong with them.

    needs are the names that a template and the files it includes use. Files that will never be used, because their names
    are not PART[.LANGUAGE][@STAGE].j2, are named on standard error. Ends with 3 when anything is wrong.
    """
    templates = Templates.of(load(home, stage), *folders)
    rows = list(_rows(templates))
    emit(rows, COLUMNS, output)
    strays = templates.catalogue.strays()
    for stray in strays:
        print(f"tabard: never used, by its name: {stray}", file=sys.stderr)
    return exits.PARTLY if strays or any(row["error"] for row in rows) else exits.DONE


def _rows(templates: Templates) -> Iterator[Mapping[str, object]]:
    for use, name in templates.catalogue.names():
        files = templates.catalogue.files(use, name)
        if not files:
            continue
        needs: set[str] = set()
        error = None
        try:
            templates.find(use, name)
            for file in files:  # one by one, so that a language nobody speaks here is looked at too
                needs |= set(templates.needs(Found(use, name, file.language, {file.part: file})))
        except TabardError as wrong:
            error = str(wrong)
        yield {
            "use": use,
            "name": name,
            "parts": sorted({file.part for file in files}),
            "languages": sorted({file.language for file in files if file.language}),
            "stages": sorted({file.stage for file in files if file.stage}),
            "needs": sorted(needs),
            "error": error,
        }
