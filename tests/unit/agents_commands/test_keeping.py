"""What lies on disk of a command: who begins it, what it said, and how it goes away."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tabard import files
from tabard.agents.commands import answers, keeper, keeping
from tabard.agents.commands.keeping import Folder, sweep
from tabard.brokers.wire.answers import OUTPUT
from tabard.brokers.wire.body import decode_groups
from tabard.brokers.wire.streams import CONTROL
from tabard.records import MAX_BODY

UID = bytes(16)


def wrote(folder: Folder, pieces: Sequence[tuple[int, bytes]]) -> None:
    """What a program wrote."""
    path = folder.path / keeper.OUTPUT
    path.write_bytes(b"".join(keeper.FRAME.pack(fd, len(data)) + data for fd, data in pieces))


def read(folder: Folder) -> list[list[tuple[int, bytes]]]:
    """What is read of it, look by look."""
    looks: list[list[tuple[int, bytes]]] = []
    start = 0
    while True:
        pieces, end = folder.output(start)
        if end == start:
            return looks
        looks.append(pieces)
        start = end


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "commands", UID, 0)
    folder.write(["true"], 1.0, 1000)
    return folder


@pytest.mark.threat("replayed-command")
@pytest.mark.parametrize("swept", [False, True])
def test_nobody_begins_what_is_being_removed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, *, swept: bool
) -> None:
    """A keeper may be that late: what says that it is not to be begun goes first then, and the job is there still."""
    assert folder.never_begun()
    removed = files.remove_folder
    tried: list[Path] = []

    def remove(path: Path) -> None:
        (path / keeper.BEGUN).unlink()
        tried.append(path)
        with pytest.raises(FileNotFoundError):
            keeper.claim(folder.path, keeper.myself())
        removed(path)

    monkeypatch.setattr(files, "remove_folder", remove)
    if swept:
        sweep(folder.path.parent, [])
    else:
        folder.remove()
    assert len(tried) == 1
    assert os.listdir(folder.path.parent) == []


def test_what_could_not_be_removed_is_removed_later(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever removed it was killed."""
    with monkeypatch.context() as patched:
        patched.setattr(files, "remove_folder", lambda path: None)
        folder.remove()
    assert len(os.listdir(folder.path.parent)) == 1
    sweep(folder.path.parent, [folder.path.name])
    assert os.listdir(folder.path.parent) == []


def test_a_folder_that_cannot_be_looked_at_may_have_been_begun(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one that is not there was certainly not."""

    def refused(path: object, **_: object) -> os.stat_result:
        raise PermissionError(13, "no", str(path))

    monkeypatch.setattr(os, "stat", refused)
    with pytest.raises(PermissionError):
        folder.never_begun()


@pytest.mark.parametrize("seed", range(5))
def test_output_comes_in_few_pieces_however_it_is_mixed(folder: Folder, seed: int) -> None:
    """All of it, each kind in its order; in pieces that a batch can hold."""
    rng = random.Random(seed)
    sizes = [1, 1, 2, 10, keeping.PIECE] if seed else [1]
    said = [(1 + number % 2, rng.randbytes(rng.choice(sizes))) for number in range(20_000 // len(sizes) ** 2)]
    wrote(folder, said)
    looks = read(folder)
    for descriptor in (1, 2):
        whole = b"".join(data for fd, data in said if fd == descriptor)
        assert b"".join(data for look in looks for fd, data in look if fd == descriptor) == whole
    for look in looks:
        assert len(look) <= keeping.MANY + 2 + 2 * keeping.READ // keeping.PIECE
        assert max(len(data) for _, data in look) <= keeping.PIECE
        body = answers.body(
            0, [(OUTPUT, {"id": UID.hex(), "n": 1, "fd": fd, "data": data}) for fd, data in look]
        )
        assert len(body) <= MAX_BODY
        assert decode_groups(CONTROL, body, len(look))


def test_little_output_keeps_its_order(folder: Folder) -> None:
    """Of both kinds."""
    said = [(1 + number % 2, b"%d" % number) for number in range(keeping.MANY)]
    wrote(folder, said)
    assert read(folder) == [said]


def test_what_a_lost_power_left_of_output_is_no_output(folder: Folder) -> None:
    """A file as long as it was, with nothing in it."""
    wrote(folder, [(1, b"said"), *[(0, b"")] * 1000, (7, b"?"), (2, b"too")])
    assert [piece for look in read(folder) for piece in look] == [(1, b"said"), (2, b"too")]
