"""Which wheels run on which hosts."""

from __future__ import annotations

import pytest

from tabard.ops.hosts.fits import Facts, facts_of, fits

HERE = Facts((3, 11), "x86_64", "glibc", (2, 36))
ALPINE = Facts((3, 12), "aarch64", "musl", (1, 2))


@pytest.mark.parametrize(
    ("wheel", "facts", "expected"),
    [
        ("click-8.5.1-py3-none-any.whl", HERE, True),
        ("click-8.5.1-py3-none-any.whl", ALPINE, True),
        ("thing-1-py2-none-any.whl", HERE, False),
        ("thing-1-py2.py3-none-any.whl", HERE, True),
        ("thing-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", HERE, True),
        ("thing-1-cp312-cp312-manylinux_2_17_x86_64.whl", HERE, False),
        ("thing-1-cp38-abi3-manylinux_2_34_x86_64.whl", HERE, True),
        ("thing-1-cp312-abi3-manylinux_2_17_x86_64.whl", HERE, False),
        ("thing-1-cp311-cp311-manylinux_2_39_x86_64.whl", HERE, False),
        ("thing-1-cp311-cp311-manylinux2010_x86_64.whl", HERE, True),
        ("thing-1-cp311-cp311-manylinux_2_17_aarch64.whl", HERE, False),
        ("thing-1-cp312-cp312-musllinux_1_2_aarch64.whl", ALPINE, True),
        ("thing-1-cp312-cp312-musllinux_1_3_aarch64.whl", ALPINE, False),
        ("thing-1-cp312-cp312-manylinux_2_17_aarch64.whl", ALPINE, False),
        ("thing-1-cp311-cp311-musllinux_1_1_x86_64.whl", HERE, False),
        ("thing-1-cp311-cp311-linux_x86_64.whl", HERE, False),
        ("thing-1-cp311-cp311-win_amd64.whl", HERE, False),
        ("thing-1-1-cp311-none-any.whl", HERE, True),
        ("thing-1-cp38-abi3-manylinux_2_17_x86_64.whl", HERE._replace(implementation="pypy"), False),
    ],
)
def test_a_wheel_runs_where_its_name_says(wheel: str, facts: Facts, expected: bool) -> None:
    """By Python, its binary interface, the machine and the C library with its version."""
    assert fits(wheel, facts) is expected


def test_what_a_host_says_of_itself() -> None:
    """A machine has one name, whatever its system calls it."""
    said = {
        "python": [3, 12, 1],
        "machine": "arm64",
        "libc": "glibc",
        "libc_version": [2, 31],
        "implementation": "cpython",
    }
    assert facts_of(said) == Facts((3, 12), "aarch64", "glibc", (2, 31))
    assert str(facts_of(said)) == "cpython 3.12 on aarch64 with glibc 2.31"
