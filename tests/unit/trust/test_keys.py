"""Keys: what they sign, what they are called, and that the secret half shows itself nowhere."""

from __future__ import annotations

import copy
import pickle  # noqa: TID251 -- to see that it is refused
import traceback

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils import z85

from tabard.brokers.trust import keys
from tabard.brokers.trust.keys import PrivateKey, PublicKey
from tabard.errors import TrustError
from tests.unit.trust.places import key


@given(st.binary(max_size=300), st.binary(max_size=300), st.sampled_from(sorted(keys.CONTEXTS)))
def test_a_signature_fits_what_was_signed_and_nothing_else(data: bytes, other: bytes, context: bytes) -> None:
    """Other data, another key and another context are refused."""
    signature = key(1).sign(context, data)
    assert len(signature) == keys.SIGNATURE_BYTES
    assert key(1).public.verifies(context, data, signature)
    assert key(1).public.verifies(context, other, signature) == (data == other)
    assert not key(2).public.verifies(context, data, signature)
    assert not any(key(1).public.verifies(each, data, signature) for each in keys.CONTEXTS - {context})


@given(st.binary(max_size=80), st.binary(max_size=40))
def test_whatever_is_no_signature_or_no_key_is_refused(signature: bytes, raw: bytes) -> None:
    """Never an exception: what comes off the wire is asked about as it is."""
    assert not key(1).public.verifies(keys.WIRE, b"x", signature)
    assert not PublicKey(raw).verifies(keys.WIRE, b"x", key(1).sign(keys.WIRE, b"x"))
    assert not PublicKey(raw).verifies(keys.WIRE, b"x", signature)


def test_a_context_that_there_is_none_is_a_mistake_of_ours() -> None:
    """Nothing is signed for a context that nobody wrote down."""
    with pytest.raises(ValueError, match="not a context"):
        key(1).sign(b"other", b"x")


@given(st.binary(min_size=32, max_size=32))
def test_a_connection_key_is_the_one_that_zeromq_makes_of_the_secret(seed: bytes) -> None:
    """The derived pair belongs together, and our Z85 is that of ZeroMQ."""
    public, secret = PrivateKey.from_seed(seed).curve_pair()
    assert zmq.curve_public(secret) == public == PrivateKey.from_seed(seed).public.curve
    assert z85.encode(z85.decode(public)) == public
    assert keys.z85(seed) == z85.encode(seed)


def test_a_key_is_named_by_its_digest() -> None:
    """Sixteen bytes, the same in every process, different for different keys."""
    assert len(key(1).public.key_id) == keys.ID_BYTES
    assert len({key(number).public.key_id for number in range(50)}) == 50
    assert key(1) == key(1)
    assert key(1) != key(2)
    assert hash(key(1)) == hash(key(1))


@pytest.mark.parametrize("raw", [b"", b"\0" * 32, b"\1" + b"\0" * 31, b"\xff" * 32, b"x" * 31])
def test_bytes_that_are_no_point_are_no_key(raw: bytes) -> None:
    """Points of a small order too: under those, signatures fit more than one message."""
    assert not keys.is_key(raw)
    with pytest.raises(TrustError, match="not a public key"):
        _ = PublicKey(raw).curve


@pytest.mark.threat("keys-in-reach")
def test_a_private_key_shows_itself_nowhere() -> None:
    """Neither in repr, str and format nor as a copy, a pickle or in the error about a wrong seed."""
    seed = bytes(range(32))
    private = PrivateKey.from_seed(seed)
    shown = f"{private!r} {private} {[private]} {dir(private)}"
    assert seed.hex() not in shown
    assert repr(seed)[2:-1] not in shown
    assert private.public.key_id.hex() in repr(private)
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not copied"):
            take(private)
    with pytest.raises(TrustError, match="not the seed") as caught:
        PrivateKey.from_seed(seed[:31])
    assert repr(seed[:20])[2:-1] not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(AttributeError):
        private.extra = 1  # type: ignore[attr-defined]


def test_new_keys_differ() -> None:
    """Each is made of the system's randomness."""
    assert PrivateKey.generate() != PrivateKey.generate()
    made = PrivateKey.generate()
    assert PrivateKey.from_seed(made.seed) == made
