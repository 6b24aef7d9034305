"""A course in words: lines while it goes on, rows and one sentence at its end. Nothing here touches a host or a disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tabard import exits
from tabard.ops.hosts.fleet import plan as states
from tabard.ops.hosts.fleet.plan import ROLLBACK, UPGRADE, Course, Host, Plan

COLUMNS: Final = ("host", "state", "batch", "release", "former", "reasons")
_SAID: Final = {
    states.STAGING: "gets {release}",
    states.SWITCHING: "is switched to {host.release}",
    states.PROVING: "runs {host.release}, and has to be well",
    states.RETURNING: "is put back to {host.former}: {reasons}",
    states.SETTLING: "runs {host.former} again, and has to be well",
    states.DONE: "runs {host.release}, and is well",
    states.ALREADY: "runs {host.release} already",
    states.PASSED: "is passed over: {reasons}",
    states.UNREACHABLE: "was not reached, and is passed over: {reasons}",
    states.ABSENT: "is passed over: {reasons}",
    states.FAILED: "failed, and runs what it ran: {reasons}",
    states.BACK: "was put back to {host.former}: {reasons}",
    states.BROKEN: "could not be put back to {host.former}, look at it: {reasons}",
    states.LOST: "does not answer, and may run {host.release} or {host.former}: {reasons}",
}


def lines(before: Course, after: Course) -> Iterator[str]:
    """What became of hosts between two moments."""
    for name in after.plan.hosts:
        host = after.hosts[name]
        said = _SAID.get(host.state)
        if host.state != before.hosts[name].state and said is not None:
            release = host.release or after.plan.release
            yield f"{name} {said.format(host=host, release=release, reasons='; '.join(host.reasons))}"
    if after.batch > before.batch:
        begun = [name for name in after.plan.hosts if after.hosts[name].batch == after.batch]
        canary = after.hosts[begun[0]].canary
        yield f"{'canary' if canary else f'batch {after.batch}'}: {', '.join(begun)}"
    held = after.names(states.HELD)
    if held and not before.count(frozenset({states.HELD})):
        yield f"stopped: {_why_stopped(after)}; {', '.join(held)} {'is' if len(held) == 1 else 'are'} left as before"


def _why_stopped(course: Course) -> str:
    wrong = [name for name in course.plan.hosts if course.hosts[name].state in states.WRONG]
    return f"{', '.join(wrong) or 'too many'} failed"


def rows(course: Course) -> list[dict[str, Any]]:
    """One for each host, in their order."""
    return [_row(name, course.hosts[name]) for name in course.plan.hosts]


def _row(name: str, host: Host) -> dict[str, Any]:
    return {
        "host": name,
        "state": host.state,
        "batch": host.batch or None,
        "release": _runs(host),
        "former": host.former if host.state in {states.DONE, *states.ACTIVE, states.LOST} else None,
        "reasons": list(host.reasons),
    }


def _runs(host: Host) -> str | None:
    """The release that it runs as far as that is known."""
    if host.state in {states.SWITCHING, states.RETURNING, states.LOST, states.BROKEN, states.WAITING}:
        return None
    return host.release if host.state in {states.DONE, states.ALREADY, states.PROVING} else host.former


def sentence(course: Course) -> str:
    """How it ended, or where it stands, and what to do next."""
    kind = course.plan.kind
    counts = Counter(host.state for host in course.hosts.values())
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    if not course.over:
        out = f"go on with 'tabard host {kind} --resume'"
        if kind != ROLLBACK:
            out += ", or take it back with 'tabard host rollback --all'"
        return f"the {kind} is not over: {told}. When you have looked, {out}"
    again = course.names(states.UNREACHABLE)
    if again:
        return f"{told}. Once {', '.join(again)} can be reached, the same command again takes the rest"
    return told


def exit_code(course: Course) -> int:
    """0: all run what they should; 3: not all do; 1: it was stopped, or none does."""
    if course.stopped:
        return exits.FAILED
    well = course.count(states.WELL)
    passed = course.count(frozenset({states.PASSED}))
    if well + passed == len(course.hosts) and (well or not passed):
        return exits.DONE
    return exits.PARTLY if well or passed or course.interrupted else exits.FAILED


def planned_rows(plan: Plan, looked: Mapping[str, Host]) -> list[dict[str, Any]]:
    """What would be done to each host, from what it was found to be: hosts that have to be done are put into batches."""
    rows = []
    batch = room = 0
    proven = 0
    for name in plan.hosts:
        host = looked[name]
        does = {states.STAGING: plan.kind, states.SWITCHING: plan.kind}.get(host.state, host.state)
        if does == plan.kind:
            if not room:
                batch += 1
                canaries = plan.canary - proven
                room = min(canaries, plan.batch) if canaries > 0 else plan.batch
            room -= 1
            proven += 1
        to = plan.release if plan.kind == UPGRADE else host.release
        rows.append(
            {
                "host": name,
                "batch": batch if does == plan.kind else None,
                "does": does,
                "release": host.former,
                "to": to if does == plan.kind else None,
                "reasons": list(host.reasons),
            }
        )
    return rows


def exit_code_of_plan(rows: Sequence[Mapping[str, Any]]) -> int:
    """3 where a host would not be done."""
    fine = {UPGRADE, ROLLBACK, states.ALREADY, states.PASSED}
    return exits.DONE if all(row["does"] in fine for row in rows) else exits.PARTLY
