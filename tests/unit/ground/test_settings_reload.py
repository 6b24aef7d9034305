"""Reload: new values where that is safe, the old ones where it is not."""

from __future__ import annotations

from pathlib import Path

from tabard.settings import Reloader, load


def test_a_reload_says_what_changed_and_what_needs_a_restart(tmp_path: Path) -> None:
    """Reloadable values hold at once; the others keep the value the role was started with."""
    file = tmp_path / "tabard.toml"
    reloader = Reloader(lambda: load(tmp_path, env={}))
    file.write_text(
        '[retention]\nlogs_age = "3d"\n[herald]\nport = 9000\n[[intake.tail]]\npath = "/x"\n'
        '[[broker]]\nname = "b9"\nzone = "local"\n'
    )
    reload = reloader.reload()
    assert reload.changed == ("retention.logs_age", "intake.tail")
    assert reload.restart == ("herald.port", "broker")
    assert reload.error is None
    assert reloader.current.seconds("retention.logs_age") == 3 * 86400
    assert reloader.current.int("herald.port") == 8024
    assert [tail.path for tail in reloader.current.tails] == ["/x"]
    assert reloader.current.brokers == ()
    assert reloader.reload().restart == ("herald.port", "broker")


def test_a_broken_file_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    """Also values that were right in the broken file are not taken."""
    reloader = Reloader(lambda: load(tmp_path, env={}))
    before = reloader.current
    (tmp_path / "tabard.toml").write_text('[retention]\nlogs_age = "3d"\nevery = 3\n')
    reload = reloader.reload()
    assert reload.error is not None
    assert reload.error.line == 3
    assert reload.changed == reload.restart == ()
    assert reloader.current is before
