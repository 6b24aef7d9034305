"""How a home is, for herald's status page: the roles and faults that `tabard status` shows, without the rest."""

from __future__ import annotations

from tabard.clock import wall
from tabard.errors import SettingsError
from tabard.home import Home
from tabard.ops import seen
from tabard.ops.faults import of_home, of_roles
from tabard.ops.zonefacts import facts_of
from tabard.settings import load
from tabard.web.home import HomeState, Look, Role


def look_into(home: Home) -> Look:
    """A function that looks into `home`. It raises HomeError when the home is another user's."""

    def look() -> HomeState:
        try:
            settings = load(home)
        except SettingsError:  # a broken file is for `tabard status` to say, and herald's own settings hold
            settings = None
        roles = seen.roles(home, settings)
        disk = of_home(home, settings)
        faults = [*disk, *of_roles(roles, wall(), writable=not disk)]
        return HomeState(
            [Role(role.name, role.state, role.pid, role.since) for role in roles],
            [(fault.where, fault.what) for fault in faults],
            None if settings is None else facts_of(settings, home, roles),
        )

    return look
