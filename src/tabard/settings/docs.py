"""The settings reference, written from the table: ``python -m tabard.settings.docs FILE``."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from tabard.settings import stages
from tabard.settings.kinds import Text
from tabard.settings.schema import Setting, Table
from tabard.settings.table import SCHEMA

_INTRODUCTION = """\
# Settings

<!-- Written by `python -m tabard.settings.docs docs/reference/settings.md` from the table of settings. -->

Settings come from five places; a later one wins:

1. the default in the tables below;
2. `tabard.toml` in the home directory (`--home`, else `TABARD_HOME`, else `~/.tabard`);
3. the chosen stage's tables in that file: `[stage.test.agent]` overrides `[agent]` when the stage is `test`.
   The stage is `--stage`, else `DEV_STAGE`, else `TABARD_NODE_STAGE`, else `node.stage`, and has to be one of those
   [below](#stagename);
4. environment variables: `agent.linger` is `TABARD_AGENT_LINGER`; lists are comma-separated, an item with a comma in double quotes; an empty
   variable counts as not set;
5. the command line: `--set agent.linger=20ms`.

`tabard check` reads all of it and shows everything that is wrong; `tabard settings` shows each value and where
it came from. A setting marked *reload* takes a new value on SIGHUP; the others need a restart of the role, which
says so. A broken file is refused on SIGHUP, and the old values stay.

Durations carry their unit (`us`, `ms`, `s`, `m`, `h`, `d`, `w`), sizes may (`kB`, `MB`, `GB` count in thousands, `KiB`,
`MiB`, `GiB` in 1024s, a bare number is bytes). A table that repeats in a stage replaces the whole list.

```toml
[node]
name = "web1"
zone = "hq/dmz"

[journal]
logs_bytes = "4GiB"

[[intake.tail]]
path = "/var/log/shop/*.log"
service = "shop"

[stage.test.retention]
logs_age = "1d"
```
"""

_STAGES = """\
## [stage.NAME]

The stages below are there without being described. A table `[stage.NAME]` changes one of them or adds
another; a stage that nobody described is an error wherever it is chosen. Suffix and port of a stage must be its own.

| stage | suffix | port | level |
|---|---|---|---|
"""


def reference() -> str:
    """The whole page, in Markdown."""
    parts = [_INTRODUCTION, _kinds()]
    for section, meaning in SCHEMA.sections.items():
        rows = [row for row in SCHEMA.settings if row.name.partition(".")[0] == section]
        parts.append(f"## [{section}]\n\n{meaning}\n")
        parts.append(_rows(rows))
        parts.extend(
            _table(table, table.name, 3) for table in SCHEMA.tables if table.name.startswith(section + ".")
        )
    parts.extend(_table(table, table.name, 2) for table in SCHEMA.tables if "." not in table.name)
    parts.append(_stages())
    return "\n".join(parts)


def _stages() -> str:
    """The four stages, and what a stage's table may say."""
    known = "".join(
        f"| `{stage.name}` | {f'`{stage.suffix}`' if stage.suffix else 'none'} | {stage.port} | {stage.level} |\n"
        for stage in stages.DEFAULTS.values()
    )
    return f"{_STAGES}{known}\n{_rows(stages.ROWS)}"


def _kinds() -> str:
    """What each kind of text looks like, once."""
    tables = [*SCHEMA.tables, *(inner for table in SCHEMA.tables for inner in table.inner)]
    every = [*SCHEMA.settings, *(row for table in tables for row in table.rows)]
    forms = {
        row.kind.name: row.kind.form.removesuffix(', or ""') for row in every if isinstance(row.kind, Text)
    }
    lines = [f"* *{name}*: {form}" for name, form in forms.items() if name != "text"]
    return "Kinds of text (the other kinds say their bounds in the tables):\n\n" + "\n".join(lines) + "\n"


def _table(table: Table, path: str, level: int) -> str:
    notes = " *Reload.*" if table.reload else ""
    text = f"{'#' * level} [[{path}]]\n\n{table.help}{notes}\n\n{_rows(table.rows)}"
    for inner in table.inner:
        text += "\n" + _table(inner, f"{path}.{inner.name}", level + 1)
    return text


def _rows(rows: Iterable[Setting]) -> str:
    lines = ["| setting | kind | default | meaning |", "|---|---|---|---|"]
    for row in rows:
        kind = f"{row.kind.name} {row.kind.reach}".rstrip()
        notes = " *Reload.*" if row.reload else ""
        notes += " *Secret: never shown.*" if row.secret else ""
        lines.append(f"| `{row.name}` | {kind} | {_default(row)} | {row.help}{notes} |")
    return "\n".join(lines) + "\n"


def _default(row: Setting) -> str:
    if row.default is None:
        return "*must be given*"
    if row.follows:
        return f"*that of `{row.follows}`*"
    if callable(row.default):
        return "*this host's name*"
    if row.secret:
        return "*secret*"
    return f"`{row.kind.toml(row.default_value())}`"


if __name__ == "__main__":
    with open(sys.argv[1], "w", encoding="utf-8") as page:
        page.write(reference())
