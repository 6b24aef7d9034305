"""Write the pins that are not there yet: ``python -m tests.schemas``; with ``--again`` also those that differ."""

from __future__ import annotations

import sqlite3
import sys

from tabard.consumers.store import schema
from tabard.consumers.store.layout import FILES
from tabard.ops.bench.postgres import Postgres, programs
from tests.schemas import PINS, code_of, describe_postgresql, describe_sqlite, empty_postgresql, pin, versions


def main() -> None:
    """For every version, file and engine."""
    again = "--again" in sys.argv
    found = programs()
    if found is None:
        raise SystemExit("needs a PostgreSQL server (the package postgresql)")
    PINS.mkdir(exist_ok=True)
    with Postgres(found) as server:
        for version in versions():
            texts = {PINS / f"{version}.code.txt": code_of(version) + "\n"}
            for kind in FILES:
                file = sqlite3.connect(":memory:", isolation_level=None)
                schema.migrate(file, kind, "a pin", end=version)
                texts[pin("sqlite", kind, version)] = describe_sqlite(file)
                file.close()
                connection = empty_postgresql(server.database(), kind, version)
                texts[pin("postgresql", kind, version)] = describe_postgresql(connection)
                connection.close()
            for path, text in texts.items():
                if again or not path.exists():
                    path.write_text(text, encoding="utf-8")
                    print(path.name)


main()
