"""Blind indexes, feature keys and record keys: equal in, equal out, and nothing back."""

import os
import pickle
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.vault.blind import INDEXED_FIELDS, REFUSED_FIELDS, BlindIndexer
from cdp.vault.errors import KeyMissing, KeyWithheld, NotIndexable, NotKeyable
from cdp.vault.keyed import FeatureKeyer, RecordKeys, WordKeys
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import RingDocument


@pytest.fixture
def stranger(workspace):
    return KeyRing.of(RingDocument.fresh(workspace, os.urandom))


RING = KeyRing.of(RingDocument.fresh(UUID(int=1), os.urandom))
names = st.text(min_size=1, max_size=8)


# ── blind indexes ───────────────────────────────────────────────────────────


@settings(max_examples=100, deadline=None)
@given(st.tuples(names | st.just(""), names), st.tuples(names | st.just(""), names))
def test_indexes_are_equal_exactly_for_equal_values(one, other):
    """Promise 8, index invariant 1: indexes are equal exactly if scope and value are."""
    first = BlindIndexer(RING).index("openid", *one)
    assert len(first) == 16
    assert (first == BlindIndexer(RING).index("openid", *other)) == (one == other)


def test_another_ring_gives_other_indexes(ring, stranger):
    """Index invariant 1: the same value under another key ring gives another index."""
    assert BlindIndexer(ring).index("phone", None, "+8613800001111") != BlindIndexer(
        stranger
    ).index("phone", None, "+8613800001111")


def test_every_field_and_epoch_has_its_own_index_key(ring, second):
    """Index invariant 3: an equal value in two fields or two epochs gives unrelated indexes."""
    newer = KeyRing.of(second)
    every = {BlindIndexer(newer).index(field, None, "same") for field in INDEXED_FIELDS}
    every |= {BlindIndexer(newer, epoch=1).index(field, None, "same") for field in INDEXED_FIELDS}
    assert len(every) == 2 * len(INDEXED_FIELDS)
    assert BlindIndexer(newer).epoch == 2
    assert BlindIndexer(newer, epoch=1).index("phone", None, "same") == BlindIndexer(ring).index(
        "phone", None, "same"
    )
    with pytest.raises(KeyMissing, match="key blind-index, version 3"):
        BlindIndexer(newer, epoch=3)


def test_the_scope_is_not_run_into_the_value(ring):
    """A character that moves from scope to value gives another index."""
    indexer = BlindIndexer(ring)
    assert indexer.index("openid", "ab", "c") != indexer.index("openid", "a", "bc")
    assert indexer.index("openid", "", "abc") == indexer.index("openid", None, "abc")


@pytest.mark.parametrize("field", sorted(REFUSED_FIELDS))
def test_what_many_share_is_never_indexed(ring, field):
    """Index invariant 2: surname, name, birth date, city, gender are refused, with the reason."""
    with pytest.raises(NotIndexable, match=f"field {field}: .*so many people share one"):
        BlindIndexer(ring).index(field, None, "北京")


def test_an_unknown_field_is_never_indexed(ring):
    """A field off the list is refused by default, and the message lists what may be used."""
    with pytest.raises(NotIndexable, match=r"not known to be nearly unique; next: .*phone"):
        BlindIndexer(ring).index("note", None, "x")
    assert not INDEXED_FIELDS & set(REFUSED_FIELDS)


@pytest.mark.parametrize("value", ["", "a\ud800"], ids=["empty", "surrogate"])
def test_no_index_of_nothing(ring, value):
    """An empty value, or one that is not text, has no index: all of them would be equal."""
    with pytest.raises(NotIndexable, match="field phone: the value is empty or not text"):
        BlindIndexer(ring).index("phone", None, value)


# ── features ────────────────────────────────────────────────────────────────


@settings(max_examples=100, deadline=None)
@given(names, names)
def test_features_are_equal_exactly_for_equal_values(one, other):
    """Promise 8, keyed invariant 1: keys of 63 bits are equal exactly if the values are."""
    keyer, fresh = FeatureKeyer(RING), FeatureKeyer(RING, cached=0)
    key = keyer.key("surname", one)
    assert 0 <= key < 2**63
    assert key == keyer.key("surname", one) == fresh.key("surname", one)
    assert (key == fresh.key("surname", other)) == (one == other)


def test_another_ring_gives_other_features(ring, stranger):
    """Keyed invariant 1: the same value under another key ring gives another feature key."""
    assert FeatureKeyer(ring).key("city", "北京") != FeatureKeyer(stranger).key("city", "北京")


def test_every_feature_and_version_has_its_own_key(ring, second):
    """Keyed invariant 2: an equal value under two features or two key versions is unrelated."""
    newer = KeyRing.of(second)
    first, other = FeatureKeyer(newer, version=1), FeatureKeyer(newer)
    assert len({k.key(f, "same") for k in (first, other) for f in ("name", "surname")}) == 4
    assert (first.version, other.version) == (1, 2)
    assert first.key("name", "same") == FeatureKeyer(ring).key("name", "same")


@pytest.mark.parametrize("value", ["", "a\ud800"], ids=["empty", "surrogate"])
def test_no_feature_of_nothing(ring, value):
    """Keyed invariant 3: without a value no key, or all unknowns look like one person."""
    with pytest.raises(NotKeyable, match="feature name: the value is empty or not text"):
        FeatureKeyer(ring).key("name", value)


def test_what_is_remembered_is_bounded_and_can_be_dropped(ring):
    """The keyer keeps no more values in memory than it was told to, and forgets on demand."""
    keyer = FeatureKeyer(ring, cached=2)
    keys = [keyer.key("name", value) for value in ("a", "b", "c", "a")]
    assert keys[0] == keys[3]
    assert keyer.key.cache_info().currsize == 2
    keyer.forget()
    assert keyer.key.cache_info().currsize == 0
    assert keyer.key("name", "a") == keys[0]


# ── record keys ─────────────────────────────────────────────────────────────


def test_record_keys_tell_records_apart(ring, stranger):
    """A record key depends on the source, the id and the ring, and on nothing else."""
    keys = RecordKeys(ring)
    key = keys.record_key("pos", "1")
    assert len(key) == 16
    assert key == RecordKeys(ring).record_key("pos", "1")
    others = [keys.record_key("po", "s1"), keys.record_key("pos", "2")]
    others += [keys.record_key("shop", "1"), RecordKeys(stranger).record_key("pos", "1")]
    assert len({key, *others}) == 5


@pytest.mark.parametrize("value", ["", "a\ud800"], ids=["empty", "surrogate"])
def test_no_key_of_a_record_without_an_id(ring, value):
    """A record without an id has no key, and the message names the source."""
    with pytest.raises(NotKeyable, match=r"source pos: the record id is empty.*reject the row"):
        RecordKeys(ring).record_key("pos", value)


def test_a_content_digest_tells_a_change(ring):
    """A content digest is stable, and changes with the source or a single byte."""
    keys = RecordKeys(ring)
    digest = keys.content_digest("pos", b"row")
    assert (len(digest), digest) == (16, RecordKeys(ring).content_digest("pos", b"row"))
    assert (
        len({digest, keys.content_digest("pos", b"rox"), keys.content_digest("shop", b"row")}) == 3
    )
    assert keys.content_digest("pos", b"") != keys.content_digest("", b"pos")


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=16, max_size=16))
def test_a_profile_id_can_be_read_aloud(record_key):
    """A profile id is p and 20 characters of Crockford's alphabet, stable for its record."""
    made = RecordKeys(RING).profile_id(record_key)
    assert (made[0], len(made)) == ("p", 21)
    assert set(made[1:]) <= set("0123456789abcdefghjkmnpqrstvwxyz")
    assert made == RecordKeys(RING).profile_id(record_key)


def test_profile_ids_spread_over_the_whole_alphabet(ring):
    """Every character of an id takes every value, so no bit of the id is wasted."""
    keys = RecordKeys(ring)
    ids = [keys.profile_id(n.to_bytes(16, "big")) for n in range(600)]
    assert len(set(ids)) == 600
    assert all(len({made[place] for made in ids}) == 32 for place in range(1, 21))


def test_what_was_sent_and_api_keys_have_digests_of_their_own(ring):
    """Keyed invariant 2: the digest of one thing is never the digest of another kind of thing."""
    keys = RecordKeys(ring)
    assert len(keys.published_digest("crm", b"x")) == 16
    assert len(keys.api_key_digest("x")) == 32
    assert keys.api_key_digest("x") != keys.api_key_digest("y")
    assert keys.published_digest("crm", b"x") != keys.published_digest("weekly", b"x")
    assert keys.published_digest("crm", b"x") != keys.content_digest("crm", b"x")
    assert keys.content_digest("crm", b"x") != keys.record_key("crm", "x")


def test_an_api_key_that_is_not_text_has_a_digest_that_matches_none(ring):
    """A caller's broken characters are compared like any wrong key, not an error."""
    assert len(RecordKeys(ring).api_key_digest("a\ud800")) == 32


def test_keys_come_only_from_purposes_the_ring_holds(ring):
    """Without the key of a purpose its keyed forms cannot be made."""
    with pytest.raises(KeyWithheld, match="key records"):
        RecordKeys(ring.without("records"))
    with pytest.raises(KeyWithheld, match="key features"):
        FeatureKeyer(ring.without("features"))
    with pytest.raises(KeyWithheld, match="key blind-index"):
        BlindIndexer(ring.without("blind-index"))


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=5))
def test_several_values_are_keyed_as_each_alone(values):
    """Promise 1: in whatever company, equal values give equal integers."""
    keyer = FeatureKeyer(RING)
    assert keyer.keys("phones", values) == [keyer.key("phones", value) for value in values]


@pytest.mark.parametrize("value", ["", "\ud800"])
def test_one_value_without_a_keyed_form_refuses_all(value):
    """Promise 3, for several at once; the error holds none of them."""
    with pytest.raises(NotKeyable) as caught:
        FeatureKeyer(RING).keys("phones", ["13912345678", value])
    assert "13912345678" not in str(caught.value)


def test_numbers_of_words_are_few_and_their_own(ring, stranger):
    """Keyed 1 and 2: equal for equal words of a source, other ones elsewhere; 16 bits each."""
    words = [f"word {number}" for number in range(2_000)]
    numbers = WordKeys(ring).numbers("till", words)
    assert numbers == sorted(set(numbers)) == WordKeys(ring).numbers("till", words[::-1])
    assert all(-(2**15) <= one < 2**15 for one in numbers)
    assert 1_900 < len(numbers) < 2_000  # chance is among them
    for other in (WordKeys(stranger).numbers("till", words), WordKeys(ring).numbers("app", words)):
        assert len(set(numbers) & set(other)) < 200


def test_words_that_are_no_text_have_a_number_all_the_same(ring):
    """Half a character in a row hides none of its words."""
    assert len(WordKeys(ring).numbers("till", ["a\ud867", ""])) == 2


def test_word_keys_do_not_travel(ring):
    """Keyed: no pickle of it holds a key, and its name says nothing."""
    with pytest.raises(TypeError):
        pickle.dumps(WordKeys(ring))
    assert repr(WordKeys(ring)) == "<word keys>"
