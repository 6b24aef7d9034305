"""Alembic's environment: runs the migrations over the connection that `schema` hands in, one file at a time."""
# ruff: noqa: INP001 -- Alembic loads it by its path

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    on_version_apply=context.config.attributes.get("told"),
)
# SQLite changes its schema within a transaction, which `schema` has begun and commits or rolls back.
context.run_migrations()
