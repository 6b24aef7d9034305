"""Settings: one table, five layers, errors that point at the line.

``load`` gives a role its ``Settings``, ``examine`` gives ``tabard check`` everything that is wrong, and a
``Reloader`` takes new values on SIGHUP.
"""

from tabard.settings.findings import Finding
from tabard.settings.loader import Examination, examine, load
from tabard.settings.reload import Reload, Reloader
from tabard.settings.schema import Broker, Link, Tail
from tabard.settings.stages import Stage
from tabard.settings.values import Origin, Settings, Shown, Values

__all__ = [
    "Broker",
    "Examination",
    "Finding",
    "Link",
    "Origin",
    "Reload",
    "Reloader",
    "Settings",
    "Shown",
    "Stage",
    "Tail",
    "Values",
    "examine",
    "load",
]
