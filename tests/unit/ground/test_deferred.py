"""Modules that roles import by way of others and do not use."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tabard.deferred import UNUSED, defer


@pytest.fixture
def heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that notes each time it is executed, and takes a while; the file of the notes."""
    notes = tmp_path / "notes"
    (tmp_path / "heavy_one.py").write_text(
        f"first = 1\nwith open({str(notes)!r}, 'a') as file: file.write('x')\n"
        "import threading\nthreading.Event().wait(0.1)\nlast = 2\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield notes
    sys.modules.pop("heavy_one", None)


def test_a_deferred_module_is_executed_once_at_its_first_use(heavy: Path) -> None:
    """To import it is not to use it."""
    defer(["heavy_one"])
    import heavy_one  # type: ignore[import-not-found]

    assert not heavy.exists()
    assert heavy_one.last == 2
    assert heavy_one.first == 1
    assert heavy.read_text() == "x"
    assert type(heavy_one) is ModuleType
    with pytest.raises(AttributeError, match="nothing"):
        heavy_one.nothing  # noqa: B018  # the look itself is what is tried


def test_threads_that_use_it_at_once_find_all_of_it(heavy: Path) -> None:
    """The second one waits until the first has executed it."""
    defer(["heavy_one"])
    module = sys.modules["heavy_one"]
    together = threading.Barrier(4)
    found: list[int] = []

    def use() -> None:
        together.wait()
        found.append(module.last)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 4
    assert heavy.read_text() == "x"


def test_what_is_imported_already_or_missing_stays_as_it_is() -> None:
    """Deferring is no reason for an error, and takes nothing away."""
    before = sys.modules["json"]
    defer(["json", "no_such_module_anywhere"])
    assert sys.modules["json"] is before
    assert "no_such_module_anywhere" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        import no_such_module_anywhere  # type: ignore[import-not-found]  # noqa: F401  # the import is what is tried


def test_keys_work_while_their_package_is_deferred_and_that_can_still_be_used() -> None:
    """The library is initialised without it, signatures are the same, and its other modules are there for who asks."""
    code = (
        "import json, sys; from tabard.deferred import defer; defer();"
        "from tabard.brokers.trust.keys import WIRE, PrivateKey;"
        "key = PrivateKey(bytes(32)); signed = key.sign(WIRE, b'x');"
        "assert key.public.verifies(WIRE, b'x', signed);"
        "early = 'nacl.bindings.crypto_secretbox' in sys.modules;"
        "import nacl.bindings; size = nacl.bindings.crypto_secretbox_KEYBYTES;"
        "print(json.dumps([early, size, signed.hex()]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    early, size, signed = json.loads(done.stdout)
    from tabard.brokers.trust.keys import WIRE, PrivateKey

    assert (early, size) == (False, 32)
    assert signed == PrivateKey(bytes(32)).sign(WIRE, b"x").hex()


def test_what_is_deferred_is_there() -> None:
    """A name that no longer exists would save nothing."""
    code = f"import importlib\nfor name in {UNUSED!r}: importlib.import_module(name)"
    subprocess.run([sys.executable, "-c", code], check=True)
