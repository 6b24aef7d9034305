"""Reload: new values where that is safe, the old ones where it is not."""

from __future__ import annotations

from pathlib import Path

from tabard.settings import Reloader, load
from tabard.settings.reload import Reload


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


def test_a_rate_alone_is_taken_and_is_named(tmp_path: Path) -> None:
    """Of a broker and of a link; with anything else that changes in the tables all of them wait for a restart."""
    file = tmp_path / "tabard.toml"
    text = (
        '[node]\nzone = "hq"\n[[broker]]\nname = "b1"\nzone = "hq"\n{}'
        '[[broker.link]]\npeer = "d"\ndials = "peer"\n{}[[broker]]\nname = "b2"\nzone = "hq"\n{}'
    )
    file.write_text(text.format("", 'rate = "1KiB"\n', ""))
    reloader = Reloader(lambda: load(tmp_path, env={}))
    file.write_text(text.format('rate = "2KiB"\n', 'rate = "3KiB"\n', ""))
    assert reloader.reload() == Reload(("broker.link.rate", "broker.rate"), ())
    first = reloader.current.brokers[0]
    assert (first.rate, first.link[0].rate) == (2048, 3072)
    file.write_text(text.format("", "", 'parent = "b1"\n'))
    assert reloader.reload() == Reload((), ("broker",))
    assert reloader.current.brokers[0] == first
    shown = {row.name: row.reload for row in reloader.current.masked() if row.name.startswith("broker[1]")}
    assert shown["broker[1].rate"] and shown["broker[1].link[1].rate"] and not shown["broker[1].zone"]


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
