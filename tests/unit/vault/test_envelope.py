"""Wrapped data keys: one record, one tier, one key, or nothing."""

import itertools
import os
import pickle
import struct
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from cdp.vault import cells, envelope, primitives
from cdp.vault.cells import Place
from cdp.vault.context import frame, number
from cdp.vault.envelope import WRAPPED_BYTES, Wrapping
from cdp.vault.errors import WrappedKeyRefused
from cdp.vault.secret import Secret

KEK = Secret(bytes(range(32)))
DATA_KEY = Secret(bytes(range(100, 132)))
NONCE = bytes(12)
WORKSPACE = UUID(int=1)
PLACE = Place(WORKSPACE, "contact", "contact", "phone", 12, 3)


def wrapping(workspace=WORKSPACE, tier="contact", version=1, key=KEK):
    return Wrapping(key, workspace, tier, version)


@pytest.fixture
def wrapped():
    return wrapping().wrap(12, DATA_KEY, 1, NONCE)[0].wrapped


def test_a_wrapped_key_opens_to_the_key_that_went_in(wrapped):
    """What is sealed under a new data key opens under the same key unwrapped."""
    stored, key = wrapping().wrap(12, DATA_KEY, 1, os.urandom(12))
    cell = cells.seal(key, PLACE, b"value", os.urandom(12))
    assert cells.open_cell(wrapping().unwrap(12, stored.wrapped), PLACE, cell) == b"value"
    assert cells.open_cell(wrapping().unwrap(12, wrapped), PLACE, cell) == b"value"
    assert len(wrapped) == WRAPPED_BYTES == 95


def test_no_swapped_wrapped_key_opens():
    """Promise 1: over all pairs of places, a wrapped key opens in its own and in no other."""
    places = list(
        itertools.product((WORKSPACE, UUID(int=2)), ("contact", "sensitive"), (1, 256), (1, 256))
    )
    made = [wrapping(w, t, v).wrap(r, DATA_KEY, 1, NONCE)[0].wrapped for w, t, v, r in places]
    for (i, blob), (j, (w, t, v, r)) in itertools.product(enumerate(made), enumerate(places)):
        if i == j:
            assert wrapping(w, t, v).unwrap(r, blob).version == 1
        else:
            with pytest.raises(WrappedKeyRefused, match="changed or belongs to another place"):
                wrapping(w, t, v).unwrap(r, blob)


def test_no_flipped_bit_of_a_wrapped_key_opens(wrapped):
    """Promise 2: whichever single bit of a wrapped key is flipped, it does not open."""
    for bit in range(len(wrapped) * 8):
        changed = bytearray(wrapped)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WrappedKeyRefused):
            wrapping().unwrap(12, bytes(changed))


def test_no_cut_or_extended_wrapped_key_opens(wrapped):
    """Promise 2: a wrapped key of any other length is refused by its length."""
    wrong = [wrapped[:n] for n in range(len(wrapped))] + [wrapped + b"\0", wrapped + wrapped]
    for one in wrong:
        with pytest.raises(WrappedKeyRefused, match="length"):
            wrapping().unwrap(12, one)


def test_a_refusal_names_record_tier_and_next_step(wrapped):
    """A wrapped key that does not open names record, tier, what is wrong and what to do."""
    with pytest.raises(
        WrappedKeyRefused, match=r"record 12, tier contact: .*format 9, this release reads 1; next:"
    ):
        wrapping().unwrap(12, b"\x09" + wrapped[1:])


def test_another_key_encryption_key_does_not_open(wrapped):
    """A wrapped key does not open under another key-encryption key of the same version."""
    with pytest.raises(WrappedKeyRefused):
        wrapping(key=Secret(os.urandom(32))).unwrap(12, wrapped)


def test_wrapping_anew_leaves_the_cells():
    """Promise 9: wrapped under a newer key, the data key opens the cells sealed before."""
    _, key = wrapping(version=1).wrap(12, DATA_KEY, 1, os.urandom(12))
    cell = cells.seal(key, PLACE, b"value", os.urandom(12))
    newer = wrapping(version=2, key=Secret(os.urandom(32)))
    stored, _ = newer.wrap(12, DATA_KEY, 1, os.urandom(12))
    assert stored.version == 2
    assert cells.open_cell(newer.unwrap(12, stored.wrapped), PLACE, cell) == b"value"


def test_the_birth_version_is_bound():
    """Promise 1: a data key wrapped with another birth version opens none of its cells."""
    _, key = wrapping().wrap(12, DATA_KEY, 1, os.urandom(12))
    cell = cells.seal(key, PLACE, b"value", os.urandom(12))
    stored, _ = wrapping().wrap(12, DATA_KEY, 2, os.urandom(12))
    other = wrapping().unwrap(12, stored.wrapped)
    with pytest.raises(cells.CellRefused, match="another key version"):
        cells.open_cell(other, PLACE, cell)


def test_a_key_that_was_not_committed_to_is_refused(wrapped):
    """Promise 4: a good wrapping of one key beside the commitment to another is refused."""
    head, commitment = wrapped[:3], wrapped[15:47]
    bound = wrapping()._bound(12, head, commitment)
    other = AESGCMSIV(KEK.expose()).encrypt(NONCE, os.urandom(32), bound)
    with pytest.raises(WrappedKeyRefused):
        wrapping().unwrap(12, head + NONCE + commitment + other)


def test_the_commitment_is_compared_in_constant_time(wrapped, monkeypatch):
    """Promise 4: the commitment is compared by the constant-time primitive, before any use."""
    seen = []

    def refuse(left, right):
        seen.append(left == right)
        return False

    monkeypatch.setattr(primitives, "same", refuse)
    monkeypatch.setattr(primitives, "field_cipher", lambda _key: pytest.fail("key was used"))
    with pytest.raises(WrappedKeyRefused):
        wrapping().unwrap(12, wrapped)
    assert seen == [True]


# ── a real two-key ciphertext ───────────────────────────────────────────────
# AES-GCM-SIV (RFC 8452) does not commit to its key. Who knows two keys can solve two
# linear equations over GF(2**128) for two ciphertext blocks, exactly as long as a data
# key, that authenticate under both.

_POLYNOMIAL = 1 << 128 | 1 << 127 | 1 << 126 | 1 << 121 | 1


def multiply(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a >> 128:
            a ^= _POLYNOMIAL
        b >>= 1
    return product


def invert(a):
    # Fermat: the power 2**128 - 2 of a is its inverse.
    result, power = 1, a
    for _ in range(127):
        power = multiply(power, power)
        result = multiply(result, power)
    return result


INVERSE_X128 = invert(1 << 127 ^ 1 << 126 ^ 1 << 121 ^ 1)


def dot(a, b):
    return multiply(multiply(a, b), INVERSE_X128)


def little(block):
    return int.from_bytes(block, "little")


def blocks(data):
    padded = data + bytes(-len(data) % 16)
    return [little(padded[i : i + 16]) for i in range(0, len(padded), 16)]


def aes(key, block, *, decrypt=False):
    cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - one block, as RFC 8452 builds on
    return (cipher.decryptor() if decrypt else cipher.encryptor()).update(block)


class Side:
    """What one key says about the two unknown ciphertext blocks."""

    def __init__(self, key, nonce, bound, tag):
        derived = [aes(key, struct.pack("<I", n) + nonce)[:8] for n in range(6)]
        hashing, self.encrypting = b"".join(derived[:2]), b"".join(derived[2:])
        start = little(tag) | 1 << 127
        self.stream = [
            little(
                aes(
                    self.encrypting,
                    ((start & ~0xFFFFFFFF) | (start + n) % 2**32).to_bytes(16, "little"),
                )
            )
            for n in range(2)
        ]
        # The tag is the cipher of POLYVAL xor nonce, its top bit cleared.
        wanted = little(aes(self.encrypting, tag, decrypt=True))
        self.possible = wanted >> 127 == 0
        h = little(hashing)
        state = 0
        for block in blocks(bound):
            state = dot(state ^ block, h)
        lengths = little(struct.pack("<QQ", len(bound) * 8, 32 * 8))
        # hash = p1*h3 + p2*h2 + state*h3' + lengths*h, every product a `dot`
        self.h2 = dot(h, h)
        self.h3 = dot(self.h2, h)
        known = dot(state, self.h3) ^ dot(lengths, h)
        known ^= dot(self.stream[0], self.h3) ^ dot(self.stream[1], self.h2)
        # The cleared bit of the hash may have been either; take 0.
        self.right = known ^ wanted ^ little(nonce)


def two_key_blob(keys, bounds, nonce):
    """Return ciphertext and tag that open under both keys, each with its own context."""
    for attempt in range(1000):
        tag = aes(bytes(16), attempt.to_bytes(16, "big"))
        one, two = (Side(k, nonce, b, tag) for k, b in zip(keys, bounds, strict=True))
        if not (one.possible and two.possible):
            continue
        # c1*h3 + c2*h2 = right, for both sides; `dot` is linear in c1 and c2.
        lhs = dot(one.h3, two.h2) ^ dot(two.h3, one.h2)
        rhs = dot(one.right, two.h2) ^ dot(two.right, one.h2)
        first = undot(rhs, lhs)
        second = undot(one.right ^ dot(first, one.h3), one.h2)
        return first.to_bytes(16, "little") + second.to_bytes(16, "little") + tag
    raise AssertionError("no tag fits both keys")


def undot(product, factor):
    return multiply(multiply(product, invert(factor)), invert(INVERSE_X128))


def test_a_two_key_ciphertext_is_refused():
    """Promise 4: a blob that AES-GCM-SIV opens under two keys opens here under neither."""
    keys = [bytes([n]) * 32 for n in (1, 2)]
    rings = [wrapping(version=n, key=Secret(k)) for n, k in zip((1, 2), keys, strict=True)]
    head = struct.pack(">BH", envelope.FORMAT, 1)
    commitment = primitives.extract(b"kith/data-key/halves/1", DATA_KEY)[:32]
    bounds = [ring._bound(12, head, commitment) for ring in rings]
    blob = two_key_blob(keys, bounds, NONCE)
    opened = [AESGCMSIV(k).decrypt(NONCE, blob, b) for k, b in zip(keys, bounds, strict=True)]
    assert opened[0] != opened[1]  # the primitive alone is content with either
    for ring in rings:
        with pytest.raises(WrappedKeyRefused):
            ring.unwrap(12, head + NONCE + commitment + blob)


def test_the_context_of_a_wrapped_key_is_its_framed_place():
    """The context is workspace, tier and wrapping version, then record, head and commitment."""
    assert (
        wrapping(version=2)._bound(12, b"head", b"commitment")
        == frame(b"kith/data-key/wrap", WORKSPACE.bytes, b"contact", number(2))
        + number(12)
        + b"headcommitment"
    )


def test_a_wrapping_shows_no_key_and_is_not_pickled(wrapped):
    """A wrapping and a data key show their tier and version only, and refuse to be pickled."""
    key = wrapping().unwrap(12, wrapped)
    assert repr(wrapping()) == "<wrapping of contact keys, version 1>"
    assert repr(key) == "<data key, version 1>"
    for one in (wrapping(), key):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(one)
