"""Runs checks so that none of them can keep the others from being made: one that fails or hangs is a finding itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from tabard.ops.doctor.finding import FAULT, Check, Finding
from tabard.ops.doctor.place import Place


def examine(checks: Iterable[Check], place: Place, patience: float) -> list[Finding]:
    """Everything that the checks find, in their order; each has `patience` seconds."""
    return [finding for check in checks for finding in _made(check, place, patience)]


def _made(check: Check, place: Place, patience: float) -> list[Finding]:
    found: list[Finding] = []
    failed: list[Exception] = []

    def work() -> None:
        try:
            found.extend(check.look(place))
        except Exception as error:  # whatever it is, the other checks are to be made
            failed.append(error)

    # A daemon: a disk or a database that does not answer must not keep the command from its end.
    thread = threading.Thread(target=work, name=f"doctor {check.id}", daemon=True)
    thread.start()
    thread.join(patience)
    if thread.is_alive():
        what = f"could not be looked at within {patience:g} s: {check.about}"
        do = "See whether a disk or the database hangs, and run this again"
        return [Finding(check.id, FAULT, "doctor", what, do)]
    if failed:
        what = f"could not be looked at: {type(failed[0]).__name__}: {failed[0]}"
        return [*found, Finding(check.id, FAULT, "doctor", what, "Mend what it says; else report it")]
    return found
