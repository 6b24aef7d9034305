"""A server that asks for a password."""

from __future__ import annotations

from tabard.ops.bench.postgres import Postgres


def asking(server: Postgres, role: str, password: str) -> str:
    """The URL, without the password, of a database that belongs to a role; from now on the server asks for it.

    The server has to be the test's own: everybody else is asked, too.
    """
    server.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
    server.execute(f"CREATE DATABASE {role} OWNER {role}")
    server.ask_for_passwords()
    return server.url(role).replace("tabard@", f"{role}@")
