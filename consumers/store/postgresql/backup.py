"""A dump of the two schemas by pg_dump, in its custom format, of one snapshot for both.

The snapshot is exported by a connection of one's own, which counts the rows in it meanwhile: so the manifest says exactly
what the dump has to hold. pg_dump writes into a pipe: when this process ends it ends too, and its output is digested
as it comes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import psycopg2
from psycopg2 import extensions

from tabard import __version__, failpoints
from tabard.consumers.store.backup import (
    CHUNK,
    COPIED,
    Progress,
    compare,
    digest_of,
    publish,
    quiet,
    staged,
)
from tabard.consumers.store.backup_manifest import POSTGRESQL, File, Manifest, Part
from tabard.consumers.store.layout import FILES, NOT_IN_USE, closed_store
from tabard.consumers.store.postgresql import tools
from tabard.consumers.store.postgresql.server import connect, first, schema_of, schema_version
from tabard.errors import StoreError

DUMP: Final = "store.dump"
_COMPRESSION: Final = 1
"""Of pg_dump: the first step does nearly all of it."""


def backup(url: str, password: str, target: Path, sink: str, told: Progress = quiet) -> Manifest:
    """Dump both schemas as of one moment; recorders go on meanwhile.

    Raises:
        RefusedError: the target is there.
        ClosedStore: another store is being moved there, and not all of it is there yet.
        StoreError: the server or pg_dump refuses, or the target cannot be written.
    """
    made = time.time_ns()
    with contextlib.closing(connect(url, password, "pg_catalog", "tabard backup")) as connection:
        program = tools.find("pg_dump", connection.server_version // 10_000)
        with staged(target) as partial:
            with _snapshot(connection) as name:
                _refuse_closed(connection, url)
                file = _dump(program, url, password, name, partial / DUMP, told)
                failpoints.hit(COPIED)
                told("counting", 0, 0)
                parts = parts_of(connection)
            _list(partial / DUMP)
            manifest = Manifest(POSTGRESQL, sink, made, __version__, [file], parts)
            publish(partial, target, manifest)
    return manifest


def _refuse_closed(connection: extensions.connection, url: str) -> None:
    """Raises ClosedStore. What is not there is said by `parts_of`."""
    for kind in FILES:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('search_path', %s, false)", (schema_of(kind),))
        version = schema_version(connection)
        if version in NOT_IN_USE:
            raise closed_store(version, url)


def verify(source: Path, manifest: Manifest, told: Progress = quiet) -> None:
    """See that a dump is what its manifest says, and that pg_restore can read all of it. Raises StoreError."""
    dump = dump_of(source, manifest)
    try:
        compare(digest_of(dump, told), manifest.files[0], dump)
    except OSError as error:
        raise StoreError(
            "the backup cannot be read", found=error.strerror or str(error), where=str(dump)
        ) from error
    told(f"checking {dump.name}", 0, 0)
    _list(dump)


def dump_of(source: Path, manifest: Manifest) -> Path:
    """The dump in a backup. Raises StoreError."""
    if manifest.engine != POSTGRESQL or [file.name for file in manifest.files] != [DUMP]:
        raise StoreError(
            "not a backup of a store on PostgreSQL",
            expected=DUMP,
            found=", ".join(file.name for file in manifest.files),
            where=str(source),
        )
    return source / DUMP


def parts_of(connection: extensions.connection) -> list[Part]:
    """Schema version and rows of both parts, as the connection's transaction sees them. Raises StoreError, psycopg2.Error."""
    parts = []
    for kind in FILES:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('search_path', %s, false)", (schema_of(kind),))
            version = schema_version(connection)
            if version is None:
                raise StoreError(
                    "store not found",
                    expected=f"the schema {schema_of(kind)}",
                    where="store.url",
                    hint="Start a recorder",
                )
            cursor.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
                " AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'alembic_version' ORDER BY 1"
            )
            rows = {}
            for (table,) in cursor.fetchall():
                row = first(connection, f'SELECT count(*) FROM "{table}"')  # noqa: S608
                rows[table] = int(row[0]) if row else 0
        parts.append(Part(kind.name, version, rows))
    return parts


@contextlib.contextmanager
def _snapshot(connection: extensions.connection) -> Iterator[str]:
    """Both schemas as of now, for as long as the body runs; the name by which others see the same."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            row = first(connection, "SELECT pg_export_snapshot()")
        yield str(row[0] if row else "")
        connection.rollback()
    except psycopg2.Error as error:
        raise StoreError(
            "the store cannot be read", found=" ".join(str(error).split()), where="store.url"
        ) from error


def _dump(program: Path, url: str, password: str, snapshot: str, path: Path, told: Progress) -> File:
    command = [str(program), "--format=custom", f"--compress={_COMPRESSION}", "--no-owner", "--no-privileges"]
    command += [f"--schema={schema_of(kind)}" for kind in FILES]
    command += [f"--snapshot={snapshot}", "--no-password", "--dbname", url]
    digest, done = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file, tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env=tools.environment(password),
        ) as process:
            try:
                output: IO[bytes] | None = process.stdout
                while output is not None and (chunk := output.read(CHUNK)):
                    digest.update(chunk)
                    file.write(chunk)
                    done += len(chunk)
                    told(path.name, done, 0)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            said.seek(0)
            raise tools.failed(program, said.read(), process.returncode)
        file.flush()
        os.fsync(file.fileno())
    return File(path.name, done, digest.hexdigest())


def _list(dump: Path) -> None:
    """Read the dump's table of contents. Raises StoreError."""
    program = tools.find("pg_restore", 0)
    done = subprocess.run([str(program), "--list", str(dump)], capture_output=True, check=False)
    if done.returncode:
        raise tools.failed(program, done.stderr, done.returncode)
    missing = [kind.name for kind in FILES if f"SCHEMA - {schema_of(kind)} ".encode() not in done.stdout]
    if missing:
        raise StoreError(
            "the dump is not whole",
            expected="both schemas",
            found="none of " + ", ".join(missing),
            where=str(dump),
        )
