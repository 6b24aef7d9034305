"""The table of the comparison page, written from a result: never typed by hand.

``tabard bench peers -o json > docs/comparison.json``, then
``python -m tabard.ops.bench.peers.page docs/comparison.json docs/comparison.md``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tabard import exits
from tabard.errors import TabardError
from tabard.ops.bench.peers.rows import COLUMNS, rows
from tabard.ops.bench.result import shown

BEGIN: Final = (
    "<!-- Written by `python -m tabard.ops.bench.peers.page` from what `tabard bench peers -o json` said. -->"
)
END: Final = "<!-- Until here. -->"
_RESULT: Final = "what `tabard bench peers -o json` wrote"


def block(result: Mapping[str, Any]) -> str:
    """What stands between the marks, in Markdown."""
    return "\n\n".join("\n".join(part) for part in _parts(result))


def with_block(page: str, result: Mapping[str, Any], where: str | None = None) -> str:
    """The page with its block written anew. Raises TabardError when it has no place for one; `where` is for that."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise TabardError("no place for the table", expected=f"a line {BEGIN} and a line {END}", where=where)
    return f"{before}{BEGIN}\n\n{block(result)}\n\n{END}{after}"


def _parts(result: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    found, machine = result["results"], result["machine"]
    rounds = "one round." if found["rounds"] == 1 else f"each of {found['rounds']} rounds; medians."
    measured = f"{found['records']:,} records in {rounds}"
    cores = f"{machine['cores']} cores ({machine['cpu']}), load before the run {machine['load']:.1f}"
    disk = f"{machine['filesystem']}, {machine['sync_ms']} ms to write and sync a block"
    yield [f"{measured} {cores}, Linux {machine['kernel']}, {disk}."]
    yield [
        f"| {' | '.join(COLUMNS)} |",
        "|---|---|" + "---:|" * (len(COLUMNS) - 3) + "---|",
        *(f"| {' | '.join(map(str, row.values()))} |" for row in rows(found["peers"])),
    ]
    yield [
        "| ratio | records/s | aim | holds | CPU a record, theirs / ours |",
        "|---|---:|---:|---|---:|",
        *_ratios(found, result["aims"]),
    ]
    yield [
        "Versions:",
        "",
        *sorted({f"* {row['version']}" for row in found["peers"].values() if "version" in row}),
    ]
    plan = found["plan"]
    strikes = [f"{each['part']} {each['blow']} {each['seconds']:g} s" for each in plan["strikes"]]
    yield [
        f"The kills (seed {plan['seed']}, {plan['records_per_second']:,} records a second to each): {', '.join(strikes)}."
    ]


def _ratios(found: Mapping[str, Any], aims: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, value in found["ratios"].items():
        aim = aims.get(name)
        bound = "" if aim is None else f"{aim['sense']} {aim['aim']:g}"
        holds = "" if aim is None else ("yes" if aim["holds"] else "no")
        cpu = shown(float(found["cpu_ratios"][name]))
        yield f"| {name} | {shown(float(value))} | {bound} | {holds} | {cpu} |"


def rewrite(result: Path, page: Path) -> None:
    """Write the block of a page anew. Raises TabardError: a file is missing, or is not what it should be."""
    said, shown = _read(result), _read(page)
    try:
        written = with_block(shown, json.loads(said), str(page))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise TabardError(
            "not a result of the bench",
            expected=_RESULT,
            found=f"{type(error).__name__}: {error}",
            where=str(result),
        ) from error
    try:
        page.write_text(written, encoding="utf-8")
    except OSError as error:
        raise TabardError("cannot be written", found=error.strerror, where=str(page)) from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise TabardError("cannot be read", found=error.strerror, where=str(path)) from error
    except UnicodeDecodeError as error:
        raise TabardError(
            "cannot be read", expected="text in UTF-8", found=str(error), where=str(path)
        ) from error


def main(arguments: Sequence[str]) -> int:
    """Write the block of the second file from the first."""
    if len(arguments) != 2:
        print("expected: RESULT.json PAGE.md", file=sys.stderr)
        return exits.WRONG_USE
    result, page = map(Path, arguments)
    try:
        rewrite(result, page)
    except TabardError as error:
        print(f"tabard: {error}", file=sys.stderr)
        return error.exit_code
    return exits.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
