"""Who holds which part of a role's work, as the store says it: for `tabard status`."""

from __future__ import annotations

from tabard.brokers.delivery.leases import Role
from tabard.consumers.store.reading import Reading
from tabard.consumers.store.results import Holder, Sharing


def sharing(connection: Reading, role: Role) -> Sharing:
    """All members, and what nobody holds: parts that were given back or never taken, and those of members that are over."""
    state = connection.sql.state
    (now,) = connection.execute(f"SELECT {connection.sql.now}").fetchone()
    members = connection.execute(
        f"SELECT owner, name, expires FROM {state}.member WHERE role = ? ORDER BY name, owner",  # noqa: S608
        (role.name,),
    ).fetchall()
    held = dict(
        connection.execute(
            f"SELECT owner, count(*) FROM {state}.lease WHERE role = ? GROUP BY owner",  # noqa: S608
            (role.name,),
        ).fetchall()
    )
    holders = [
        Holder(owner, name, int(held.get(owner, 0)), int(expires), over=int(expires) <= int(now))
        for owner, name, expires in members
    ]
    taken = sum(holder.parts for holder in holders if not holder.over)
    return Sharing(role.parts, holders, role.parts - taken)
