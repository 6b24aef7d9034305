"""Putting a dump in place of the two schemas, in one transaction of the server: all of it, or nothing has changed.

pg_restore only reads the dump and writes the statements that make it; they run on a connection of our own, behind those
that rename the present schemas and before those that look whether all rows came. So whatever ends this process or the server
on the way, the server takes it back. A recorder that runs meanwhile finds other tables at its next commit, and begins
a new session.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import psycopg2
from psycopg2 import extensions

from tabard import failpoints
from tabard.consumers.store import holds
from tabard.consumers.store.backup import Progress, quiet
from tabard.consumers.store.backup_manifest import Manifest
from tabard.consumers.store.carrying import carry
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.layout import FILES, VERSION, FileKind
from tabard.consumers.store.postgresql import backup, schema, tools
from tabard.consumers.store.postgresql.read import PostgresReading
from tabard.consumers.store.postgresql.server import connect, first, schema_of
from tabard.consumers.store.restoring import Restored
from tabard.errors import RefusedError, StoreError

RENAMED: Final = failpoints.declare(
    "restore.renamed", "the present schemas are renamed, and nothing is committed"
)
FILLED: Final = failpoints.declare(
    "restore.filled", "the restored schemas are full, and nothing is committed"
)

_COPY: Final = re.compile(rb"COPY .* FROM stdin;\n")
_END: Final = b"\\.\n"
_OF_PSQL: Final = b"\\"
"""How lines begin that are for psql alone."""


def restore(
    url: str,
    password: str,
    source: Path,
    manifest: Manifest,
    told: Progress = quiet,
    *,
    upgrade: bool = False,
) -> Restored:
    """Put a dump in place; the present schemas are renamed, and stay.

    With `upgrade` the schemas are brought to this program's version afterwards. Raises StoreError; nothing has changed then.
    """
    backup.verify(source, manifest, told)
    dump = backup.dump_of(source, manifest)
    with contextlib.closing(connect(url, password, "pg_catalog", "tabard restore")) as connection:
        program = tools.find("pg_restore", connection.server_version // 10_000)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(%s)", (schema.LOCK,))
                cursor.execute("BEGIN")
                kept = _held(connection)
                aside = _put_aside(connection, cursor)
                failpoints.hit(RENAMED)
                _fill(cursor, program, dump, told)
                told("checking", 0, 0)
                _compare(connection, manifest)
                carried = _carry(connection, kept)
                failpoints.hit(FILLED)
                cursor.execute("COMMIT")
        except psycopg2.Error as error:
            raise StoreError(
                "the backup cannot be restored; nothing has changed",
                expected="a user that may make schemas in this database and owns those that are there",
                found=" ".join(str(error).split()),
                where="store.url",
            ) from error
    upgraded = upgrade and manifest.schema < VERSION
    if upgraded:
        schema.upgrade(url, password)
        with contextlib.closing(connect(url, password, "pg_catalog", "tabard restore")) as connection:
            connection.autocommit = False
            carried = max(carried, _carry(connection, kept))
            connection.commit()
    return Restored(", ".join(aside), upgraded, carried)


def refuse_recorders(url: str, password: str) -> None:
    """Raises RefusedError when a recorder is connected, from whatever host."""
    with contextlib.closing(connect(url, password, "pg_catalog", "tabard restore")) as connection:
        row = first(
            connection,
            "SELECT count(*), string_agg(DISTINCT coalesce(host(client_addr), 'this server''s host'), ', ')"
            " FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tabard recorder %%'",
        )
    if row and row[0]:
        raise RefusedError(
            "a recorder writes this store",
            found=f"connections from {row[1]}",
            where="store.url",
            hint="End it, and `tabard up` if that started it, and try again",
        )


def _held(connection: extensions.connection) -> dict[FileKind, list[Hold]]:
    """The legal holds in force, by part; none where there is no store, or one that is older than holds are."""
    kept = {}
    for kind in FILES:
        name = schema_of(kind)
        there = first(connection, "SELECT to_regclass(%s) IS NOT NULL", (f"{name}.hold",))
        if there and there[0]:
            kept[kind] = holds.listed(PostgresReading(connection), name)
    return kept


def _carry(connection: extensions.connection, kept: dict[FileKind, list[Hold]]) -> int:
    """Put them in force in the restored schemas, as far as these know of holds."""
    carried = 0
    for kind, found in kept.items():
        name = schema_of(kind)
        there = first(connection, "SELECT to_regclass(%s) IS NOT NULL", (f"{name}.hold",))
        if found and there and there[0]:
            first(connection, "SELECT set_config('search_path', %s, false)", (name,))
            carried = max(carried, carry(found, PostgresReading(connection)))
    return carried


def _put_aside(connection: extensions.connection, cursor: extensions.cursor) -> list[str]:
    """Give the present schemas other names; which."""
    stamp = f"{datetime.fromtimestamp(time.time(), UTC):%Y%m%dt%H%M%Sz}"
    renamed = []
    for kind in FILES:
        name = schema_of(kind)
        row = first(connection, "SELECT to_regnamespace(%s) IS NOT NULL", (name,))
        if row and row[0]:
            renamed.append(f"{name}_before_{stamp}")
            cursor.execute(f"ALTER SCHEMA {name} RENAME TO {renamed[-1]}")
    return renamed


def _fill(cursor: extensions.cursor, program: Path, dump: Path, told: Progress) -> None:
    """Run what pg_restore makes of the dump. Raises StoreError, psycopg2.Error."""
    for section in ("pre-data", "data", "post-data"):
        told(f"restoring {section}", 0, 0)
        with _statements(program, dump, section) as script:
            if section == "data":
                _copy_all(cursor, script, told)
            else:
                cursor.execute(b"".join(_sql(script)))


@contextlib.contextmanager
def _statements(program: Path, dump: Path, section: str) -> Iterator[IO[bytes]]:
    command = [str(program), "--no-owner", "--no-privileges", f"--section={section}", "--file=-", str(dump)]
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=tools.environment("")
        ) as process:
            assert process.stdout is not None  # a pipe was asked for
            try:
                yield process.stdout
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            said.seek(0)
            raise tools.failed(program, said.read(), process.returncode)


def _sql(script: IO[bytes]) -> Iterator[bytes]:
    r"""The lines for the server: not those for psql, such as ``\restrict``, which newer versions write."""
    return (line for line in script if not line.startswith(_OF_PSQL))


def _copy_all(cursor: extensions.cursor, script: IO[bytes], told: Progress) -> None:
    """Statements of one line each, and rows behind those that are a COPY."""
    done = 0
    for line in _sql(script):
        if _COPY.fullmatch(line):
            rows = _Rows(script)
            cursor.copy_expert(line.decode(), rows, size=1 << 20)  # type: ignore[arg-type]  # it only reads
            done += rows.bytes
            told("restoring data", done, 0)
        elif line.strip() and not line.startswith(b"--"):
            cursor.execute(line)


class _Rows:
    """The rows of one COPY, as a file that ends with them."""

    def __init__(self, script: IO[bytes]) -> None:
        self._script = script
        self._over = False
        self.bytes = 0

    def read(self, size: int = -1) -> bytes:
        """About as many bytes."""
        lines: list[bytes] = []
        taken = 0
        while not self._over and (size < 0 or taken < size):
            line = self._script.readline()
            if line in (_END, b""):
                self._over = True
                break
            lines.append(line)
            taken += len(line)
        self.bytes += taken
        return b"".join(lines)


def _compare(connection: extensions.connection, manifest: Manifest) -> None:
    """Raises StoreError when the restored schemas do not hold what the manifest says."""
    found = backup.parts_of(connection)
    if found != manifest.parts:
        raise StoreError(
            "the dump does not hold what its manifest says; nothing has changed",
            expected=str([part.rows for part in manifest.parts]),
            found=str([part.rows for part in found]),
        )
