"""${message}."""

from alembic import context, op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the file that is being upgraded."""
    {"records": records, "state": state}[context.config.attributes["database"]]()


def records() -> None:
    ${upgrades if upgrades else "pass"}


def state() -> None:
    ${upgrades if upgrades else "pass"}
