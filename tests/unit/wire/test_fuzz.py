"""Whatever bytes arrive: a value or a WireError, and nothing else."""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tabard.errors import WireError
from tests.unit.wire.messages import DECODERS, Kind, mutate, spoiled

SHORT: Final = 20_000
MANY: Final = 1_000_000
each_decoder: Final = pytest.mark.parametrize("kind", DECODERS, ids=lambda kind: kind.name)

each_value: Final = pytest.mark.parametrize(
    "kind", [kind for kind in DECODERS if "topic" not in kind.name], ids=lambda kind: kind.name
)


def heard(kind: Kind, data: bytes) -> bool:
    """Whether it was understood. Any error but a WireError is raised."""
    try:
        kind.decode(data)
    except WireError:
        return False
    return True


@pytest.mark.threat("bad-input")
@each_decoder
@settings(max_examples=30)
@given(data=st.data())
def test_any_bytes_are_a_value_or_an_error(kind: Kind, data: st.DataObject) -> None:
    """Bytes that nobody made on purpose."""
    heard(kind, data.draw(st.binary(max_size=200)))


@each_decoder
@settings(max_examples=30)
@given(data=st.data())
def test_a_spoiled_message_is_a_value_or_an_error(kind: Kind, data: st.DataObject) -> None:
    """Valid ones in which a byte, or a whole value, is another."""
    heard(kind, data.draw(spoiled(kind.values, kind.encode)))


@each_value
@settings(max_examples=30)
@given(data=st.data())
def test_half_a_message_is_an_error(kind: Kind, data: st.DataObject) -> None:
    """No proper beginning of a message is a message of its own; of a topic it may be, a zone above."""
    whole = kind.encode(data.draw(kind.values))
    assert not heard(kind, whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize(
    "count", [SHORT, pytest.param(MANY, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_many_fuzzed_frames(count: int) -> None:
    """A reproducible flood through every decoder; each understands some of it and refuses some."""
    random = Random(count)
    valid = examples()
    results: Counter[tuple[str, bool]] = Counter()
    for kind, number in zip(itertools.cycle(DECODERS), range(count), strict=False):
        data = random.choice(valid[kind.name]) if number % 50 else random.randbytes(random.randrange(300))
        results[kind.name, heard(kind, mutate(data, random))] += 1
    assert results.total() == count
    assert all(results[kind.name, False] for kind in DECODERS)
    # Nothing but the very digest is the body of a batch, so of those none is understood.
    assert all(results[kind.name, True] for kind in DECODERS if kind.name != "batch")


def examples() -> dict[str, list[bytes]]:
    """Valid messages of each kind, always the same ones."""
    return {kind.name: _drawn(kind) for kind in DECODERS}


def _drawn(kind: Kind) -> list[bytes]:
    found: list[bytes] = []

    @settings(
        max_examples=60,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(kind.values)
    def collect(value: Any) -> None:
        found.append(kind.encode(value))

    collect()
    return found
