"""Data keys wrapped anew, and feature keys brought under a later version."""

from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.vault import primitives
from cdp.vault.envelope import WrappedKey
from cdp.vault.errors import KeyMissing, KeyWithheld, WrappedKeyRefused
from cdp.vault.keyed import FIRST, BlockKeyer, FeatureKeyer, FeatureLayers
from cdp.vault.keyring import KeyRing
from cdp.vault.rejects import RejectPlace
from cdp.vault.rewrapping import Rewrapper
from cdp.vault.ring_document import RingDocument
from cdp.vault.ring_edits import add_version
from cdp.vault.secret import Secret
from cdp.vault.vault import Vault
from connectors.record import Sensitive
from tests.integration.retailer import NOW

WORKSPACE = UUID(int=7)
DOCUMENT = RingDocument.fresh(WORKSPACE, primitives.system_randomness)


def rotated(*purposes: str) -> KeyRing:
    """The ring after these rotations, one after another."""
    document = DOCUMENT
    for purpose in purposes:
        document = add_version(document, purpose, {}, primitives.system_randomness, NOW)
    return KeyRing.of(document)


BEFORE = Vault(KeyRing.of(DOCUMENT), WORKSPACE)
AFTER_RING = rotated("contact", "contact", "features", "features", "rejects", "blind-index")
AFTER = Vault(AFTER_RING, WORKSPACE)


def test_the_data_key_stays_what_it_is() -> None:
    """Invariant 1: the cells of before open under the key that is wrapped anew."""
    sealed = BEFORE.seal_record(5, 2, {"name": b"[]"}, {}, b"features")
    job = Rewrapper(AFTER_RING, WORKSPACE, "contact")
    done = job.rewrap([(5, 1, sealed.contact_key.wrapped)])
    assert (job.version, done.records, done.refused) == (3, [5], {})
    renewed = WrappedKey(3, done.wrapped[0])
    assert renewed.wrapped != sealed.contact_key.wrapped
    assert AFTER.open_features(5, 2, renewed, sealed.features) == b"features"
    opened = AFTER.open_cell("contact", "name", 5, 2, renewed, sealed.contact_cells[0])
    assert opened.reveal(reason="test") == "[]"
    with pytest.raises(WrappedKeyRefused):  # it is of record 5, and of the newer key
        AFTER.open_features(6, 2, renewed, sealed.features)
    with pytest.raises(WrappedKeyRefused):
        AFTER.open_features(5, 2, WrappedKey(1, renewed.wrapped), sealed.features)


@given(place=st.integers(0, 94), bit=st.integers(0, 7))
def test_a_changed_key_is_named_and_passed_over(place: int, bit: int) -> None:
    """Invariant 2: whatever bit is turned, nothing is wrapped for it; the others are."""
    keys = [BEFORE.seal_record(n, 1, {}, {}, b"").contact_key.wrapped for n in (1, 2)]
    wrong = bytearray(keys[0])
    wrong[place] ^= 1 << bit
    done = Rewrapper(AFTER_RING, WORKSPACE, "contact").rewrap(
        [(1, 1, bytes(wrong)), (2, 1, keys[1])]
    )
    assert (done.records, list(done.refused)) == ([2], [1])


def test_every_key_has_a_nonce_of_its_own() -> None:
    """Invariant 3: of many keys that are wrapped at once no two have one."""
    rows = [(n, 1, BEFORE.seal_record(n, 1, {}, {}, b"").contact_key.wrapped) for n in range(50)]
    done = Rewrapper(AFTER_RING, WORKSPACE, "contact").rewrap(rows)
    assert len({wrapped[3:15] for wrapped in done.wrapped}) == 50


def test_nonces_are_drawn_once_and_cut_in_order() -> None:
    """Invariant 3: twelve bytes each, of the randomness given; none is left or taken twice."""
    drawn: list[int] = []

    def counting(size: int) -> bytes:
        drawn.append(size)
        return bytes(range(size))

    rows = [(n, 1, BEFORE.seal_record(n, 1, {}, {}, b"").contact_key.wrapped) for n in (1, 2, 3)]
    rows.insert(1, (9, 1, bytes(95)))
    done = Rewrapper(AFTER_RING, WORKSPACE, "contact", counting).rewrap(iter(rows))
    assert drawn == [4 * 12]
    assert done.records == [1, 2, 3]
    assert [wrapped[3:15] for wrapped in done.wrapped] == [
        bytes(range(12 * n, 12 * n + 12)) for n in (0, 2, 3)
    ]
    assert done.refused == {9: "the wrapped key has format 0, this release reads 1"}


def test_a_version_is_looked_up_once() -> None:
    """A million rows under one version ask the ring once for its key."""

    class Counted(KeyRing):
        """A ring that says which versions it was asked for."""

        __slots__ = ("asked",)

        def secret(self, purpose: str, version: int | None = None) -> Secret:
            """Give the key."""
            self.asked.append((purpose, version))
            return super().secret(purpose, version)

    document = add_version(DOCUMENT, "contact", {}, primitives.system_randomness, NOW)
    ring = Counted.of(document)
    ring.asked = []
    rows = [(1, 1, BEFORE.seal_record(1, 1, {}, {}, b"").contact_key.wrapped)] * 3
    job = Rewrapper(ring, WORKSPACE, "contact")
    for _ in range(2):
        assert len(job.rewrap(rows).wrapped) == 3
    assert ring.asked == [("contact", 2), ("contact", 1)]
    assert repr(job) == "<rewrapper of contact keys to version 2>"


def test_what_the_ring_lacks_is_said() -> None:
    """A version that the ring lacks, or a tier that the process must not hold, ends the work."""
    with pytest.raises(KeyMissing, match="version 9"):
        Rewrapper(AFTER_RING, WORKSPACE, "contact").rewrap([(1, 9, bytes(95))])
    with pytest.raises(KeyWithheld):
        Rewrapper(AFTER_RING.without("contact"), WORKSPACE, "contact")
    assert "contact keys to version 3" in repr(Rewrapper(AFTER_RING, WORKSPACE, "contact"))


def test_features_are_sealed_anew_under_the_key_that_they_have() -> None:
    """The record's data key seals other features, for the same place and no other."""
    sealed = BEFORE.seal_record(5, 2, {}, {}, b"old")
    renewed = BEFORE.seal_features(5, 2, sealed.contact_key, b"new")
    assert BEFORE.open_features(5, 2, sealed.contact_key, renewed) == b"new"
    with pytest.raises(WrappedKeyRefused):
        BEFORE.seal_features(6, 2, sealed.contact_key, b"new")


def test_a_rejected_row_is_sealed_under_the_newest_key() -> None:
    """It opens as before, in its place, with the newer version named in it."""
    place = RejectPlace("till", "f" * 64, 12)
    sealed = BEFORE.seal_reject(place, Sensitive("a,b"))
    renewed = AFTER.reseal_reject(place, sealed)
    assert (sealed[1:3], renewed[1:3]) == (b"\0\1", b"\0\2")
    assert AFTER.open_reject(place, renewed).reveal(reason="test") == "a,b"


KEYS = st.lists(st.integers(1, 2**63 - 1), unique=True, min_size=1, max_size=50)


@given(keys=KEYS)
def test_layers_follow_one_another(keys: list[int]) -> None:
    """Brought under 2 and then under 3 is brought under 3; different stay different."""
    layers, some = FeatureLayers(AFTER_RING), np.array(keys, np.int64)
    assert layers.newest == 3
    third = layers.over(1, 3)(some)
    assert (layers.over(2, 3)(layers.over(1, 2)(some)) == third).all()
    assert (layers.over(3, 3)(third) == third).all()
    assert len(set(third.tolist())) == len(keys)
    assert third.min() >= 0
    assert not set(third.tolist()) & set(keys)


def test_layers_need_every_version_between() -> None:
    """The value is keyed with the first version, and a ring that lacks one between says so."""
    layers = FeatureLayers(KeyRing.of(DOCUMENT))
    with pytest.raises(KeyMissing, match="version 2"):
        layers.over(1, 2)
    assert FeatureKeyer(AFTER_RING, FIRST).key("city", "北京") == FeatureKeyer(
        KeyRing.of(DOCUMENT)
    ).key("city", "北京")
    other = FeatureLayers(rotated("features")).over(1, 2)(np.arange(1, 5))
    assert not set(other.tolist()) & set(FeatureLayers(AFTER_RING).over(1, 2)(np.arange(1, 5)))
    assert repr(layers) == "<feature layers>"


def test_a_block_keyer_stays_with_its_version() -> None:
    """A newer index key gives other blocking keys, and each version its own."""
    keyer, some = BlockKeyer(AFTER_RING, 1), np.arange(5)
    assert keyer.version == 1
    assert keyer.under(1) is keyer
    assert BlockKeyer(AFTER_RING).version == 2
    newer = keyer.under(2).keys(0, some)
    assert (BlockKeyer(AFTER_RING).keys(0, some) == newer).all()
    assert not set(newer.tolist()) & set(keyer.keys(0, some).tolist())
