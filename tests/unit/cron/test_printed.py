"""What is printed of a command's output: in order, bounded, the middle left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tabard.ops.cronexec import printed
from tabard.ops.cronexec.printed import Printed


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=30)), max_size=30), st.integers(2, 200))
def test_the_first_and_the_last_bytes_are_printed_in_order(pieces, limit) -> None:
    """All of it when it fits; else both ends, and how much is missing between them."""
    made = Printed(limit)
    for descriptor, chunk in pieces:
        made.add(descriptor, chunk)
    said: list[tuple[int, int]] = []
    note = None
    kept = printed.write
    printed.write = lambda descriptor, data: said.extend((descriptor, byte) for byte in data)
    try:
        made.write()
    finally:
        printed.write = kept
    whole = [(descriptor, byte) for descriptor, chunk in pieces for byte in chunk]
    if len(whole) <= limit:
        assert said == whole
        assert made.dropped == 0
    else:
        note = b"\ntabard: %d bytes of output are left out here\n" % (len(whole) - limit)
        first, last = limit - limit // 2, limit // 2
        assert made.dropped == len(whole) - limit
        assert said == [*whole[:first], *((2, byte) for byte in note), *whole[len(whole) - last :]]
