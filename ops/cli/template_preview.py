"""``tabard template preview``: what a template would say, without sending or running anything."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from tabard.errors import TabardError, UsageError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.template_folders import folder_option
from tabard.settings import load
from tabard.templates import USES, Found, Templates

FORMS: Final = ("text", "html", "json")


class _Value(click.ParamType[tuple[str, Any]]):
    """``NAME=TEXT`` or ``NAME:=JSON`` for one value."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals or not name.removesuffix(":").isidentifier():
            self.fail(f"expected NAME=TEXT or NAME:=JSON, found {value!r}", param, ctx)
        if not name.endswith(":"):
            return name, text
        try:
            return name.removesuffix(":"), json.loads(text)
        except ValueError:
            self.fail(f"expected JSON after :=, found {text!r}", param, ctx)


@command(
    "preview",
    examples=[
        ("tabard template preview job-failed --set job=import --set code:=3", "With these values"),
        (
            "tabard template preview job-failed --language de --stage PRODUCTION --fill",
            "In German, any values",
        ),
        ("tabard template preview job-failed --fill -o html > mail.html", "The HTML, for a browser"),
        ("tabard template preview copy --set file='a b; rm x'", "How a command takes an odd name"),
    ],
)
@click.argument("name")
@click.option("--use", type=click.Choice(tuple(USES)), help="What for, when there are several of this name.")
@click.option("--stage", metavar="NAME", help="Stage to apply.  [default: DEV_STAGE, else node.stage]")
@click.option("--language", metavar="XX", help="Language.  [default: templates.language]")
@click.option("--set", "values", type=_Value(), multiple=True, metavar="NAME=TEXT", help="Give a value; NAME:=JSON for lists and numbers.")  # fmt: skip
@click.option("--fill", is_flag=True, help="Give every value that is missing its own name, in <>.")
@folder_option
@click.option("-o", "--output", type=click.Choice(FORMS), default="text", show_default=True, help="Form of the result.")  # fmt: skip
def template_preview(
    home: Home,
    name: str,
    use: str | None,
    stage: str | None,
    language: str | None,
    values: Sequence[tuple[str, Any]],
    fill: bool,
    folders: Sequence[str],
    output: str,
) -> None:
    """Show what a template would say. Nothing is sent and nothing is run."""
    templates = Templates.of(load(home, stage), *folders)
    if language is not None:
        templates = templates.speaking(language)
    found = templates.find(use or _only_use(templates, name), name)
    given = dict(values)
    if fill:
        given = {**{need: _Filled(f"<{need}>") for need in templates.needs(found)}, **given}
    rendered = _rendered(templates, found, given)
    if output == "json":
        parts = {part: file.path for part, file in found.parts.items()}
        facts = {"use": found.use, "name": name, "language": found.language or None, "files": parts}
        click.echo(json.dumps({**facts, **rendered}, ensure_ascii=False))
    elif output == "html":
        if rendered.get("html") is None:
            raise TabardError("no HTML in this template", expected="a part html", where=f"{found.use}/{name}")
        click.echo(rendered["html"])
    else:
        _show(rendered)


class _Filled(str):
    """Stands for a value of which only the name is known: its fields are named after it, its one item is itself."""

    __slots__ = ()

    def __getattr__(self, name: str) -> _Filled:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Filled(f"{self[:-1]}.{name}>")

    def __iter__(self) -> Iterator[str]:
        yield self


def _only_use(templates: Templates, name: str) -> str:
    uses = [use for use, each in templates.catalogue.names() if each == name]
    if len(uses) > 1:
        raise UsageError(
            f"several templates are called {name}", expected=f"--use with one of {', '.join(uses)}", found="none"
        )  # fmt: skip
    return uses[0] if uses else next(iter(USES))


def _rendered(templates: Templates, found: Found, values: dict[str, Any]) -> dict[str, Any]:
    if found.use == "mail":
        return templates.mail(found.name, **values)._asdict()
    if found.use == "shell":
        return {"argv": templates.command(found.name, **values)}
    return {"message": templates.log(found.name, **values)}


def _show(rendered: dict[str, Any]) -> None:
    if "argv" in rendered:
        click.echo(shlex.join(rendered["argv"]))
    elif "message" in rendered:
        click.echo(rendered["message"])
    else:
        click.echo(f"Subject: {rendered['subject']}\n\n{rendered['text']}", nl=False)
        if rendered["html"] is not None:
            click.echo(f"\n--- HTML ---\n{rendered['html']}")
