"""The form of names that become topic parts, paths and columns: nodes, zones, sinks.

They are checked where they enter (settings, wire), so that no later code has to wonder about a slash
or a space in a topic. A zone is a path: ``hq/dmz`` is the zone ``dmz`` below ``hq``.
"""

from __future__ import annotations

import re
from typing import Final

from tabard.errors import TabardError

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
NAME_FORM: Final = "1 to 63 of a-z 0-9 . _ - beginning with a letter or digit"
MAX_ZONE_DEPTH: Final = 8
ZONE_FORM: Final = f"1 to {MAX_ZONE_DEPTH} names joined by '/', each {NAME_FORM}"


def check_node(name: str) -> str:
    """``name`` itself when it is a node name; raises TabardError otherwise."""
    return _checked(name, "node")


def check_sink(name: str) -> str:
    """``name`` itself when it is a sink id; raises TabardError otherwise."""
    return _checked(name, "sink")


def check_zone(path: str) -> str:
    """``path`` itself when it is a zone path such as ``hq`` or ``hq/dmz``; raises TabardError otherwise."""
    parts = path.split("/")
    if len(parts) > MAX_ZONE_DEPTH or not all(NAME.fullmatch(part) for part in parts):
        raise TabardError("not a zone path", expected=ZONE_FORM, found=repr(path))
    return path


def zone_within(zone: str, outer: str) -> bool:
    """Whether the zone ``zone`` is ``outer`` or lies below it."""
    return zone == outer or zone.startswith(outer + "/")


def clean_node(hostname: str) -> str:
    """The node name made of a host's name: lower case, every other character a ``-``, never empty."""
    cleaned = re.sub(r"[^a-z0-9._-]", "-", hostname.lower()).lstrip("._-")[:63]
    return cleaned or "node"


def _checked(name: str, kind: str) -> str:
    if NAME.fullmatch(name) is None:
        raise TabardError(f"not a {kind} name", expected=NAME_FORM, found=repr(name))
    return name
