"""Records that are prepared together are prepared as if each came alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.ingest import prepare
from cdp.ingest.features import Deriver
from cdp.ingest.prepare import Preparer, Revision
from cdp.ingest.values import read_record, read_records
from cdp.vault.forms import Forms
from cdp.vault.keyed import FeatureKeyer
from cdp.vault.vault import CONTACT, MASKED, SENSITIVE, Vault
from connectors.declaration import parse_source
from identity import features
from policies.declarations import load_masking
from tests.unit.ingest.delivered import READING, WORKSPACE, record, ring

RING = ring()
VAULT = Vault(RING, WORKSPACE)
SOURCE = parse_source(
    "pos",
    {"connector": "csv", "location": "a.csv", "record_id": "id", "fields": {"name": "name"}},
)
FORMS = Forms(load_masking())
TEXTS = {
    "name": ["张三", "欧阳 晓梅", "John Smith", "O'Brién, Anna", "张**", "雨姐", "某某", ""],
    "surname": ["李", "Smith"],
    "given_name": ["小明", "Bill"],
    "phone": ["13912345678", ["13912345678", "+44 20 7946 0958"], "139****5678", "13800138000"],
    "gender": ["女", "1", "?"],
    "birth_date": ["1985-03-02", "31/02/1985", "1900-01-01"],
    "email": ["a.b+c@gmail.com", "test@example.com", "longlocal@example.com", "x@"],
    "national_id": ["11010519491231002X", "110105194912310021"],
    "loyalty_card": ["8800-0000 0001", "880000000001", "88*01", "null"],
    "openid": ["oAbCdEf_123456", ["oAbCdEf_123456", "oAbCdEf_654321"]],
    "unionid": ["uXyZ_98765"],
    "address": ["浙江省杭州市西湖区文三路100号3室", "12 High Street", "***"],
    "city": ["杭州市", "York"],
    "postcode": ["518000"],
    "nickname": ["小雨"],
    "remark": ["张三 朝阳店"],
}
RECORDS = st.lists(
    st.dictionaries(st.sampled_from(sorted(TEXTS)), st.integers(0, 7), max_size=9).map(
        lambda drawn: record(
            **{name: TEXTS[name][at % len(TEXTS[name])] for name, at in drawn.items()}
        )
    ),
    min_size=1,
    max_size=7,
)


def preparer():
    return Preparer(RING, Vault(RING, WORKSPACE), SOURCE, READING, forms=FORMS)


def told(values):
    """What was read of a record."""
    cells = {name: [(one, scope) for one, scope in held] for name, held in values.read.items()}
    problems = [(p.field, p.rule, p.raw.reveal(reason="compare")) for p in values.problems]
    return list(cells.items()), list(values.delivered.items()), problems


def content(number, found):
    """All that is stored of a record, opened."""
    sealed, masked = found.sealed, found.masked
    tiers = (
        (CONTACT, sealed.contact_key, sealed.contact_fields, sealed.contact_cells),
        (SENSITIVE, sealed.sensitive_key, sealed.sensitive_fields, sealed.sensitive_cells),
        (MASKED, masked.key, masked.fields, masked.cells),
    )
    opened = [
        (name, VAULT.open_cell(tier, name, number, 1, key, cell).reveal(reason="compare"))
        for tier, key, fields, cells in tiers
        if key is not None
        for name, cell in zip(fields, cells, strict=True)
    ]
    packed = VAULT.open_features(number, 1, sealed.contact_key, sealed.features)
    problems = [(p.field, p.rule) for p in found.problems]
    return opened, packed, found.features, found.indexes, problems, found.store


@settings(max_examples=60, deadline=None)
@given(RECORDS)
def test_reading_several_records_reads_each_as_if_it_came_alone(records):
    """Values, their order and what is set aside follow from the record alone."""
    together = read_records(records, READING)
    assert [told(one) for one in together] == [told(read_record(one, READING)) for one in records]


@settings(max_examples=60, deadline=None)
@given(RECORDS)
def test_several_records_have_the_features_that_each_has_alone(records):
    """Also with what was remembered of those before, and with keys made for all at once."""
    keyer = FeatureKeyer(RING)
    many, values = Deriver(keyer.key, keyer.keys), read_records(records, READING)
    for _ in range(2):
        found = many.derive_all(values)
        alone = [Deriver(keyer.key).derive(one) for one in values]
        assert [features.pack(one) for one in found] == [features.pack(one) for one in alone]


@pytest.mark.parametrize("at_once", [1, 3, 250])
def test_what_is_stored_does_not_depend_on_how_many_are_prepared_together(monkeypatch, at_once):
    """However many are prepared at a time, none is lost, doubled or mixed with another."""
    records = [
        record(record_id=str(at), **{name: texts[at % len(texts)] for name, texts in TEXTS.items()})
        for at in range(8)
    ]
    alone = [content(at, preparer().prepare(one, at, 1)) for at, one in enumerate(records)]
    monkeypatch.setattr(prepare, "AT_ONCE", at_once)
    revisions = [Revision(one, at, 1) for at, one in enumerate(records)]
    found = preparer().prepare_all(revisions)
    assert [content(at, one) for at, one in enumerate(found)] == alone
    assert preparer().prepare_all([]) == []


@given(st.lists(st.integers(1, 2**63 - 1), max_size=300))
def test_keys_that_were_put_in_order_once_are_packed_alike(keys):
    """`features.ascending` is what packing does to a list; it changes no byte."""
    ordered = features.ascending(keys)
    assert features.pack({"phones": ordered}) == features.pack({"phones": keys})
