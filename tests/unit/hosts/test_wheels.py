"""Wheels made again from installed files."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from tabard.errors import TabardError
from tabard.ops.hosts.wheels import repack

WHEEL = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2-none-any\nTag: py3-none-any\n"
FILES = {
    "thing/__init__.py": b"ONE = 1\n",
    "thing-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
    "thing-1.0.dist-info/WHEEL": WHEEL,
    "thing-1.0.dist-info/entry_points.txt": b"[console_scripts]\nThing = thing:main\n",
    "thing-1.0.dist-info/INSTALLER": b"pip\n",
    "thing/__pycache__/__init__.cpython-311.pyc": b"\0",
    "../../../bin/Thing": b"#!/old/bin/python\n",
    "../../../bin/other": b"#!/old/bin/python3\nimport thing\n",
    "../../../share/man/man1/thing.1": b".TH\n",
    "../../../include/site/python3.11/thing/thing.h": b"int one;\n",
}


def _digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _record(files: dict[str, bytes]) -> str:
    rows = [f"{path},{_digest(data)},{len(data)}" for path, data in files.items()]
    return "\n".join([*rows, "thing-1.0.dist-info/RECORD,,"]) + "\n"


def _made(files: dict[str, bytes]) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(repack(_record(files), files.__getitem__).data))


def test_a_wheel_holds_what_was_in_it_and_nothing_that_an_installer_makes() -> None:
    """Programs of entry points, byte code and notes are left out; scripts, headers and data go where a wheel has them."""
    made = _made(FILES)
    assert sorted(made.namelist()) == [
        "thing-1.0.data/data/share/man/man1/thing.1",
        "thing-1.0.data/headers/thing.h",
        "thing-1.0.data/scripts/other",
        "thing-1.0.dist-info/METADATA",
        "thing-1.0.dist-info/RECORD",
        "thing-1.0.dist-info/WHEEL",
        "thing-1.0.dist-info/entry_points.txt",
        "thing/__init__.py",
    ]
    assert made.read("thing-1.0.data/scripts/other") == b"#!python\nimport thing\n"
    assert repack(_record(FILES), FILES.__getitem__).name == "thing-1.0-py2.py3-none-any.whl"


def test_its_own_record_is_true_and_the_same_files_give_the_same_bytes() -> None:
    """Whatever order RECORD had them in."""
    made = _made(FILES)
    rows = [line.split(",") for line in made.read("thing-1.0.dist-info/RECORD").decode().splitlines()]
    assert {row[0] for row in rows} == set(made.namelist())
    assert [row[1] for row in rows[:-1]] == [_digest(made.read(row[0])) for row in rows[:-1]]
    turned = dict(reversed(FILES.items()))
    assert repack(_record(turned), FILES.__getitem__) == repack(_record(FILES), FILES.__getitem__)


@pytest.mark.parametrize(
    "path", ["thing/__init__.py", "../../../bin/other", "thing-1.0.dist-info/entry_points.txt"]
)
def test_a_file_that_was_altered_is_refused_by_name(path: str) -> None:
    """It is not carried to another host."""
    altered = {**FILES, path: FILES[path] + b"#"}
    with pytest.raises(TabardError, match="not what was installed") as caught:
        repack(_record(FILES), altered.__getitem__)
    assert caught.value.where == path


def test_a_file_without_a_digest_and_one_that_is_gone_are_refused() -> None:
    """Nothing unverified is carried."""
    record = _record(FILES).replace(_digest(FILES["thing/__init__.py"]), "")
    with pytest.raises(TabardError, match="a sha256 in RECORD"):
        repack(record, FILES.__getitem__)

    def gone(path: str) -> bytes:
        raise FileNotFoundError(2, "No such file or directory", path)

    with pytest.raises(TabardError, match="No such file"):
        repack(_record(FILES), gone)


@pytest.mark.parametrize(
    "path", ["../../../../etc/passwd", "/etc/passwd", "../../up.py", "thing/../x.py", "a\\b.py"]
)
def test_a_path_outside_of_the_installation_is_refused(path: str) -> None:
    """No file of somebody else gets into a wheel."""
    with pytest.raises(TabardError, match="outside of the installation"):
        _made({**FILES, path: b""})


def test_an_editable_installation_is_refused() -> None:
    """Its files are elsewhere; one from a local wheel is not editable."""
    note = "thing-1.0.dist-info/direct_url.json"
    with pytest.raises(TabardError, match="editable"):
        _made({**FILES, note: b'{"url": "file:///x", "dir_info": {"editable": true}}'})
    assert note not in _made({**FILES, note: b'{"url": "file:///x.whl", "archive_info": {}}'}).namelist()


@pytest.mark.parametrize(
    ("wheel", "said"),
    [
        (b"Wheel-Version: 1.0\n", "where it runs"),
        (b"Tag: py3\n", "where it runs"),
        (b"Tag: cp311-cp311-linux_x86_64\nTag: py3-none-any\n", "no one wheel"),
    ],
)
def test_tags_that_no_wheel_has_are_refused(wheel: bytes, said: str) -> None:
    """A wrong name would let pip install it where it does not run."""
    with pytest.raises(TabardError, match=said):
        _made({**FILES, "thing-1.0.dist-info/WHEEL": wheel})


def test_a_record_of_no_distribution_is_refused() -> None:
    """One METADATA names what it is."""
    with pytest.raises(TabardError, match="found none"):
        repack("thing.py,,\n", FILES.__getitem__)


def test_pip_installs_a_binary_wheel_that_was_made_again(tmp_path: Path) -> None:
    """The real one: pyzmq as it is installed here, into a directory of its own, and it can be imported from there."""
    found = metadata.distribution("pyzmq")
    record = found.read_text("RECORD")
    assert record is not None
    wheel = repack(record, lambda path: Path(str(found.locate_file(path))).read_bytes())
    (tmp_path / wheel.name).write_bytes(wheel.data)
    there = tmp_path / "there"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--target", str(there), str(tmp_path / wheel.name)],
        check=True,
    )  # fmt: skip
    code = "import sys; sys.path.insert(0, sys.argv[1]); import zmq; print(zmq.__file__)"
    run = subprocess.run([sys.executable, "-c", code, str(there)], check=True, capture_output=True, text=True)
    assert run.stdout.startswith(str(there))
