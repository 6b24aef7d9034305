"""The three journals of an agent together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tabard.agents.journals import Journals, same_disk
from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.delivery.seal import OpenSeal
from tabard.brokers.wire.body import decode_open
from tabard.clock import SystemClock
from tabard.errors import AlreadyRunning, JournalError
from tabard.home import Home
from tabard.settings import load


@pytest.fixture
def start(tmp_path: Path) -> Callable[[], Journals]:
    """Opens the journals of one home."""
    home = Home(tmp_path)
    home.ensure()
    return lambda: Journals(home, load(tmp_path, env={}), NodeKey("web1", "hq"), SystemClock(), OpenSeal())


class Pen(OpenSeal):
    """A seal whose key is what a test says; it signs with nothing."""

    def __init__(self, key_id: bytes) -> None:
        self.key_id = key_id


def test_another_key_begins_new_epochs(tmp_path: Path) -> None:
    """One each, at once; each epoch is signed by the key that opened it, and its opening names no doubt."""
    home, seal = Home(tmp_path).ensure(), Switch()
    journals = Journals(home, load(tmp_path, env={}), NodeKey("web1", "hq"), SystemClock(), seal)
    seal.now = Pen(b"2" * 16)
    before = journals.logs.append(b"body", 1, {})
    for _ in range(2):  # the second time there is nothing to do
        journals.rotate()
    after = journals.logs.append(b"body", 1, {})
    assert (before.header.key_id, after.header.key_id) == (b"1" * 16, b"2" * 16)
    for stream in journals.by_stream.values():
        old, new = stream.spans()
        opening = stream.read(new.epoch, 1)
        assert opening is not None and opening.header.key_id == b"2" * 16
        said = decode_open(opening.body)
        assert (said.previous, said.reason, said.doubt) == (old.epoch, "rotation", "")
    journals.close(ignore)


class Switch(OpenSeal):
    """A seal whose pen changes."""

    now = Pen(b"1" * 16)

    @property
    def pen(self) -> Pen:
        """The one of now."""
        return self.now


def ignore(error: JournalError) -> None:
    """Nothing goes wrong here."""
    raise error


def test_one_process_has_them_at_a_time(start: Callable[[], Journals], tmp_path: Path) -> None:
    """Whatever became of the lock file of the role."""
    journals = start()
    (tmp_path / "run" / "agent.lock").unlink(missing_ok=True)
    with pytest.raises(AlreadyRunning, match="this journal"):
        start()
    journals.close(ignore)
    start().close(ignore)


def test_samples_give_way_to_both_others(
    start: Callable[[], Journals], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where they lie on the same disk."""
    journals = start()
    monkeypatch.setattr(journals.samples, "give_way", lambda: True)
    assert journals.logs.when_full() and journals.control.when_full()
    monkeypatch.setattr("tabard.agents.journals.same_disk", lambda one, other: False)
    assert not journals.logs.when_full()
    journals.close(ignore)
    assert same_disk(str(tmp_path), str(tmp_path / "journal"))
    assert not same_disk(str(tmp_path), "/proc")
    assert not same_disk(str(tmp_path), str(tmp_path / "none"))
