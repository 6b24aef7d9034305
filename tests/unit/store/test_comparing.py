"""What began to run, told from stretches: promotions, rollbacks, and what comes again."""

from __future__ import annotations

from tabard.consumers.store.comparing import changes
from tabard.consumers.store.deployments import Deployment


def told(*stretches: tuple[str, str, str]) -> list[tuple[str, str, str, str]]:
    """Stage, version, change and origin of stretches that are given as (stage, node, version), oldest first."""
    found = [
        Deployment("shop", stage, node, "hq", "shop", version, "aa" * 8, "salted", 1, since, since, 1, None)
        for since, (stage, node, version) in enumerate(stretches, 1)
    ]
    rows = reversed(changes(list(reversed(found))))
    return [(row.deployment.stage, row.deployment.version, row.what, row.promoted_from) for row in rows]


def test_going_back_is_a_rollback_and_coming_again_a_promotion() -> None:
    """What was promoted when includes the second time."""
    assert told(
        ("TESTING", "t1", "1.0"),
        ("PRODUCTION", "p1", "1.0"),
        ("TESTING", "t1", "1.1"),
        ("PRODUCTION", "p1", "1.1"),
        ("PRODUCTION", "p1", "1.0"),
        ("PRODUCTION", "p1", "1.1"),
    ) == [
        ("TESTING", "1.0", "first", ""),
        ("PRODUCTION", "1.0", "first", "TESTING"),
        ("TESTING", "1.1", "version", ""),
        ("PRODUCTION", "1.1", "version", "TESTING"),
        ("PRODUCTION", "1.0", "rollback", ""),
        ("PRODUCTION", "1.1", "version", "TESTING"),
    ]


def test_a_roll_out_is_promoted_once() -> None:
    """By the first node; the others take what their stage runs already, a node that joins late as well."""
    rows = told(
        ("TESTING", "t1", "1.0"),
        ("PRODUCTION", "p1", "1.0"),
        ("PRODUCTION", "p2", "1.0"),
        ("TESTING", "t1", "1.1"),
        ("PRODUCTION", "p1", "1.1"),
        ("PRODUCTION", "p2", "1.1"),
        ("PRODUCTION", "p3", "1.0"),
    )
    assert [row[3] for row in rows] == ["", "TESTING", "", "", "TESTING", "", ""]


def test_an_older_version_that_is_new_to_a_stage_is_no_rollback() -> None:
    """It goes back only to what was there."""
    rows = told(
        ("TESTING", "t1", "1.0"),
        ("TESTING", "t1", "1.1"),
        ("PRODUCTION", "p1", "1.1"),
        ("PRODUCTION", "p1", "1.0"),
    )
    assert rows[-1] == ("PRODUCTION", "1.0", "version", "TESTING")


def test_what_does_not_know_its_version_is_never_promoted() -> None:
    """Nothing says that it is the same."""
    rows = told(
        ("TESTING", "t1", ""), ("PRODUCTION", "p1", ""), ("PRODUCTION", "p1", "1.0"), ("PRODUCTION", "p1", "")
    )
    assert [row[3] for row in rows] == ["", "", "", ""]
