"""``tabard log``: lines or one message into the agent of this host."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

import click

from tabard import exits
from tabard.client import IntakeClient
from tabard.clock import wall
from tabard.errors import IntakeError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.ending import Ending
from tabard.ops.lines import read_lines
from tabard.records import INT_FIELDS, LOG_FIELDS, MAX_RECORDS, SEVERITIES

PATIENCE: Final = 30.0
"""Seconds an agent may be away, for a restart, before lines that it had not accepted are given up."""
_PAUSE: Final = 0.2
_STDIN: Final = 0
_SIGNALLED: Final = 128
"""What shells add to the number of the signal that ended a command."""


class _Field(click.ParamType[tuple[str, str]]):
    """``NAME=VALUE``: a text field of the record, or an attribute of any other name."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not name or not equals or name in INT_FIELDS:
            taken = ", ".join(sorted(INT_FIELDS))
            self.fail(f"expected NAME=VALUE with a name other than {taken}, found {value!r}", param, ctx)
        return name, text


@command(
    "log",
    examples=[
        ("backup.sh 2>&1 | tabard log --service backup", "Every line a script prints, as it prints it"),
        ("tabard log --service backup --level ERROR 'disk is full'", "One message"),
        (
            "jq -c . events.json | tabard log --service shop",
            "JSON objects, one a line, become records with fields",
        ),
        (
            "tabard log --field product=shop --field ticket=4711 restarted",
            "With a field and an attribute of its own",
        ),
    ],
)
@click.argument("message", nargs=-1)
@click.option("--service", default="", metavar="NAME", help="The program that speaks.")
@click.option(
    "--level", type=click.Choice(list(SEVERITIES), case_sensitive=False), help="Level of every line."
)
@click.option(
    "--field",
    "fields",
    type=_Field(),
    multiple=True,
    metavar="NAME=VALUE",
    help="Another field or attribute.",
)
def log(
    home: Home, message: Sequence[str], service: str, level: str | None, fields: Sequence[tuple[str, str]]
) -> int:
    """Hand lines from standard input, or one message, to the agent.

    A line that is a JSON object becomes a record with fields (reference/intake.md); the options fill what it does
    not say. Any other line is the message.

    Ends when the agent has journaled every line, which from then on survives kill -9 and, after the agent's
    fsync interval, a power cut. Should the agent be restarted meanwhile, lines are kept and sent again. Ctrl-C and
    SIGTERM end it when all that was written before is handed over; a second one ends it at once. Exit code 1
    when no agent takes them, 3 when it refused some. Blank lines are left out; a line of more than 200,000
    bytes becomes several.
    """
    template = _template(service, level, dict(fields))
    client = IntakeClient(home.socket("intake.sock"), f"log-{secrets.token_hex(8)}", service=service)
    with contextlib.closing(client):
        client.connect()
        told = 0
        if message:
            _deliver(client, [_record(template, " ".join(message))])
            _finish(client)
        else:
            with Ending(_STDIN) as ending:
                for lines in read_lines(_STDIN, ending.reads()):
                    _deliver(client, [_of_line(template, line) for line in lines])
                _finish(client)
            told = ending.told
    if client.refused:
        click.echo(
            f"tabard: the agent refused {len(client.refused)} frames: {client.refused[0].reason}", err=True
        )
        return exits.PARTLY
    return _SIGNALLED + told if told else exits.DONE


def _template(service: str, level: str | None, fields: dict[str, str]) -> dict[str, Any]:
    """What every record of this run has in common."""
    values: dict[str, Any] = {name: text for name, text in fields.items() if name in LOG_FIELDS}
    others: dict[str, Any] = {name: text for name, text in fields.items() if name not in LOG_FIELDS}
    if "attributes" in values:
        others = _attributes(values.pop("attributes")) | others
    if others:
        values["attributes"] = json.dumps(others)
    if service:
        values["service"] = service
    if level:
        values["level"] = level.upper()
    values["severity"] = SEVERITIES.get(values.get("level", ""), 0)
    return values


def _attributes(text: str) -> dict[str, Any]:
    """What ``--field attributes=JSON`` says. Raises click.BadParameter when it is no JSON object."""
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise click.BadParameter(
            f'attributes={text}: expected a JSON object such as attributes={{"order": 7}}',
            param_hint="--field",
        )
    return said


def _record(template: dict[str, Any], line: str) -> tuple[Any, ...]:
    values = {**template, "time": wall(), "message": line}
    return tuple(values.get(name) for name in LOG_FIELDS)


def _of_line(template: dict[str, Any], line: str) -> tuple[Any, ...]:
    """The record of a line from standard input."""
    if not line.lstrip().startswith("{"):
        return _record(template, line)
    # Late, since most lines are text.
    from tabard.agents.intake.cutting import add_attributes
    from tabard.agents.intake.jsonl import parse_object

    said = parse_object(line.encode("utf-8", "surrogateescape"), wall())
    if said is None:
        return _record(template, line)
    values = dict(zip(LOG_FIELDS, said, strict=True))
    attributes = values["attributes"]
    if "attributes" in template:
        attributes = add_attributes(attributes, json.loads(template["attributes"]))
    if values["level"] or values["severity"]:
        template = {**template, "level": None, "severity": 0}
    filled = {name: value or template.get(name, value) for name, value in values.items()}
    return tuple({**filled, "attributes": attributes}.values())


def _deliver(client: IntakeClient, records: list[tuple[Any, ...]]) -> None:
    for start in range(0, len(records), MAX_RECORDS):
        try:
            client.send(records[start : start + MAX_RECORDS])
        except (IntakeError, OSError):
            _return_of_the_agent(client)


def _finish(client: IntakeClient) -> None:
    """Hear that everything is journaled. Raises IntakeError when it is not."""
    try:
        done = client.flush(PATIENCE)
    except (IntakeError, OSError):
        _return_of_the_agent(client)
        done = client.flush(PATIENCE)
    if not done:
        raise IntakeError(
            "the agent did not confirm the last lines",
            expected=f"an answer within {PATIENCE:.0f}s",
            hint="They may be stored all the same: look before you send them again",
        )


def _return_of_the_agent(client: IntakeClient) -> None:
    """Connect again, which sends what was not accepted; raises IntakeError when patience ends."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            client.connect()
        except (IntakeError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return
