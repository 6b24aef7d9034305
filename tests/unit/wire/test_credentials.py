"""Credentials: a few chains of a few certificates, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.brokers.wire.batch import EPOCH_BYTES, epoch_of, is_epoch_of
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.credentials import (
    MAX_CERTIFICATES,
    MAX_CHAINS,
    MAX_CREDENTIALS,
    decode_credentials,
    encode_credentials,
)
from tabard.errors import WireError

certificates = st.binary(min_size=1, max_size=300)
chains = st.lists(
    st.lists(certificates, min_size=1, max_size=MAX_CERTIFICATES).map(tuple), min_size=1, max_size=MAX_CHAINS
)


@given(chains)
def test_what_is_encoded_is_decoded(said: list[tuple[bytes, ...]]) -> None:
    """The signer's chain stays the first."""
    assert decode_credentials(encode_credentials(said)) == tuple(said)


def test_more_chains_than_there_may_be_are_left_out() -> None:
    """The newest stay."""
    said = [(bytes([number]),) for number in range(1, 8)]
    assert decode_credentials(encode_credentials(said)) == tuple(said[:MAX_CHAINS])


@pytest.mark.threat("malformed")
@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        [1],
        [2, [b"x"]],
        [True, [b"x"]],
        [1, []],
        [1, [b""]],
        [1, ["x"]],
        [1, b"x"],
        [1, {"x": 1}],
        [1, *([[b"x"]] * 5)],  # in numbers, as the page gives them
        [1, [b"x"] * 10],
        [1, [bytes(4_097)]],
    ],
)
def test_what_is_no_list_of_chains_is_refused(value: Any) -> None:
    """Everything else is refused before a certificate is looked at."""
    with pytest.raises(WireError):
        decode_credentials(pack(value))


@pytest.mark.threat("malformed")
def test_credentials_are_bounded_as_a_whole() -> None:
    """Chains of the right form are refused, too, when there is too much in them: nobody verifies thirty certificates for a beacon."""
    chain = [bytes(4_000)] * 2
    assert decode_credentials(pack([1, *[chain] * 4]))
    with pytest.raises(WireError, match="too large"):
        decode_credentials(pack([1, *[[*chain, bytes(4_000)]] * 4]))
    assert MAX_CREDENTIALS == 32_768


@pytest.mark.threat("malformed")
@pytest.mark.parametrize("depth", [10, 1_000, 30_000])
def test_credentials_however_deep_are_refused(depth: int) -> None:
    """Arrays within arrays: an error as any other, whatever they nest."""
    with pytest.raises(WireError):
        decode_credentials(b"\x92\x01" + b"\x91" * depth + b"\xc4\x01x")


@pytest.mark.threat("rotated-key")
@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16), st.randoms())
def test_the_name_of_an_epoch_shows_its_key(key: bytes, other: bytes, random: Any) -> None:
    """Of that key, and of no other one."""
    epoch = epoch_of(key, random.randbytes)
    assert len(epoch) == EPOCH_BYTES
    assert is_epoch_of(epoch, key)
    assert is_epoch_of(epoch, other) is (key == other)
