"""What has to hold of the ``[[action]]`` tables beyond each value by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tabard.settings.findings import Finding, error_at
from tabard.settings.values import Settings


def lint_actions(settings: Settings) -> Iterator[Finding]:
    """Two of one name, a program without a name, and places that cannot be filled."""
    seen: set[str] = set()
    for action, origin in settings.tables["action"]:
        said = []
        if action.name in seen:
            said.append((f"two actions are named {action.name!r}", "Give each its own name"))
        seen.add(action.name)
        if not action.run[0]:
            said.append(("its program has no name", "Let `run` begin with a program"))
        numbers = {int(each) for word in action.run for each in re.findall(r"\{([1-9])\}", word)}
        missing = set(range(1, max(numbers, default=0) + 1)) - numbers
        if missing:
            said.append(
                (
                    f"it has no place for argument {min(missing)}",
                    "Number the places from {1} on, without gaps",
                )
            )
        wanted = max(numbers, default=0) + ("{*}" in action.run)
        if action.args and len(action.args) != wanted:
            said.append(
                (
                    f"it has {wanted} places, and args has {len(action.args)} expressions",
                    "Give one for each of {1} to {9}, and one more for {*}",
                )
            )
        for what, hint in said:
            yield Finding(
                error_at(
                    origin.place or "default", what, key=f"action {action.name}", line=origin.line, hint=hint
                )
            )
