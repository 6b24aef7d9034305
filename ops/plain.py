"""Options of command lines that are read without click, as click reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterator


def split_option(
    argument: str, following: Iterator[str], with_value: Collection[str]
) -> tuple[str, str | None]:
    """An option and its value, which may be the next word; None when it takes none, or none is there."""
    option, equals, value = argument.partition("=")
    if option not in with_value:
        return option, None
    return option, value if equals else next(following, None)
