"""From a delivered record to what is stored of it."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.ingest import prepare
from cdp.ingest.prepare import Preparer, as_text
from cdp.vault import plaintext
from cdp.vault.blind import BlindIndexer
from cdp.vault.vault import CONTACT, SENSITIVE, Vault
from connectors.declaration import parse_source
from connectors.record import FieldProblem, Sensitive
from identity import features
from tests.unit.ingest.delivered import READING, WORKSPACE, features_of, record, ring

RING = ring()
VAULT = Vault(RING, WORKSPACE)
ENTRY = {
    "connector": "csv",
    "location": "data/pos.csv",
    "record_id": "卡号",
    "store": "门店",
    "fields": {"name": "姓名", "phone": "手机号"},
    "attributes": {"orders": {"column": "次数", "type": "integer"}},
    "consent": {"basis": "membership", "purposes": ["service", "marketing"]},
}
PROBLEM = FieldProblem("orders", "not_a_number", "write digits", Sensitive("x"))
FULL = {
    "name": "蔡欣雨",
    "phone": ["13912346789", "13733335555"],
    "national_id": "11010519491231002X",
    "bank_card": "6222021234567890123",
    "openid": ("oAbCdEf_123456", "wx1"),
    "note": "喜欢红色",
}


def preparer(reading=READING, keys=RING, name="pos", **changed):
    source = parse_source(name, ENTRY | changed)
    return Preparer(keys, Vault(keys, WORKSPACE), source, reading)


def opened(sealed, tier):
    """The cells of a tier, opened, by field."""
    names, cells, key = (
        (sealed.contact_fields, sealed.contact_cells, sealed.contact_key)
        if tier == CONTACT
        else (sealed.sensitive_fields, sealed.sensitive_cells, sealed.sensitive_key)
    )
    return {
        name: plaintext.decode(
            VAULT.open_cell(tier, name, 12, 3, key, cell).reveal(reason="compare")
        )
        for name, cell in zip(names, cells, strict=True)
    }


# ── recognising ─────────────────────────────────────────────────────────────

BASE = {"name": "张三", "phone": "13912346789", "attributes": {"orders": 2}, "store": "BJ01"}
CHANGES = {
    "a value": {"name": "张四"},
    "a space in a value": {"name": "张三 "},
    "a field more": {"email": "a@example.com"},
    "a value more": {"phone": ["13912346789", "13733335555"]},
    "values in another order": {"phone": ["13733335555", "13912346789"]},
    "an attribute": {"attributes": {"orders": 3}},
    "an attribute more": {"attributes": {"orders": 2, "opened": "2020-01-01"}},
    "the kind of an attribute": {"attributes": {"orders": "2"}},
    "the store": {"store": "BJ02"},
    "no store": {"store": None},
    "a refusal": {"opted_out": frozenset({"marketing"})},
    "two refusals": {"opted_out": frozenset({"marketing", "service"})},
    "a problem": {"problems": (PROBLEM,)},
    "another problem": {"problems": (dataclasses.replace(PROBLEM, raw=Sensitive("y")),)},
    "a problem of another field": {"problems": (dataclasses.replace(PROBLEM, field="total"),)},
}


def test_any_delivered_change_changes_the_content():
    """Whatever a source delivers differently, the record is read again."""
    seen = {preparer().recognise(record(**(BASE | change))) for change in [{}, *CHANGES.values()]}
    assert len({one.content for one in seen}) == len(CHANGES) + 1
    assert len({one.key for one in seen}) == 1


def test_an_equal_record_is_recognised():
    """Row number, order of columns and the process that reads do not count."""
    one = preparer().recognise(record(**BASE))
    again = dict(reversed(BASE.items())) | {"attributes": dict(BASE["attributes"])}
    assert preparer().recognise(record(position=99, **again)) == one


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["name", "note", "phone"]),
            st.lists(st.text(max_size=3), min_size=1, max_size=2),
            max_size=2,
        ),
        min_size=2,
        max_size=2,
    )
)
def test_contents_are_equal_only_for_equal_records(both):
    """Two records have one content if and only if they were delivered alike."""
    one, other = (preparer().recognise(record(**delivered)).content for delivered in both)
    assert (one == other) == (both[0] == both[1])


MAPPINGS = {
    "a column": {"fields": {"name": "名字", "phone": "手机号"}},
    "a field": {"fields": {"name": "姓名"}},
    "a scope": {"fields": {"name": "姓名", "openid": {"column": "手机号", "scope": "wx1"}}},
    "a date format": {"fields": {"birth_date": {"column": "生日", "formats": ["%Y-%m-%d"]}}},
    "the encoding": {"encoding": "gb18030"},
    "the purposes": {"consent": {"basis": "membership", "purposes": ["service"]}},
    "the basis": {"consent": {"basis": "contract", "purposes": ["service", "marketing"]}},
}


def test_another_mapping_changes_every_content():
    """What is read in another way is read again."""
    every = [preparer(**changed) for changed in [{}, *MAPPINGS.values()]]
    found = {one.recognise(record(**BASE)).content for one in every}
    assert len(found) == len(MAPPINGS) + 1


def test_another_place_of_the_file_changes_nothing():
    """A source that moved is the same source."""
    moved = preparer(location="elsewhere/pos.csv")
    assert moved.recognise(record(**BASE)) == preparer().recognise(record(**BASE))


def test_other_features_change_every_content(monkeypatch):
    """After an update that derives other features, every record is derived anew."""
    before = preparer().recognise(record(**BASE)).content
    monkeypatch.setattr(features, "VERSION", features.VERSION + 1)
    assert preparer().recognise(record(**BASE)).content != before


def test_another_day_changes_no_content():
    """A record is not new because the calendar went on."""
    later = dataclasses.replace(READING, today=READING.today.replace(year=2027))
    assert preparer(later).recognise(record(**BASE)) == preparer().recognise(record(**BASE))


def test_what_else_decides_how_values_are_read_counts():
    """The country of plain phone numbers counts; a new store counts where remarks name stores."""
    abroad = dataclasses.replace(READING, region="HK")
    opened_store = dataclasses.replace(READING, labels=(*READING.labels, "天河店"))
    same = preparer().recognise(record(**BASE)).content
    assert preparer(abroad).recognise(record(**BASE)).content != same
    assert preparer(opened_store).recognise(record(**BASE)).content == same
    fields = {"fields": {"remark": "备注"}}
    with_remarks = preparer(**fields).recognise(record(remark="张三")).content
    assert preparer(opened_store, **fields).recognise(record(remark="张三")).content != with_remarks


def test_a_record_is_named_within_its_source():
    """An equal record id of another source, or under another ring, is another record."""
    one = preparer().recognise(record(**BASE))
    assert preparer(name="shop").recognise(record(**BASE)).key != one.key
    elsewhere = preparer(keys=ring(9)).recognise(record(**BASE))
    assert (elsewhere.key != one.key, elsewhere.content != one.content) == (True, True)
    assert preparer().recognise(record(record_id="2", **BASE)).key != one.key


# ── preparing ───────────────────────────────────────────────────────────────


def test_the_sensitive_tier_gets_id_number_and_bank_card_alone():
    """Everything else is contact tier, and nothing of the sensitive tier stands there."""
    sealed = preparer().prepare(record(**FULL), 12, 3).sealed
    assert opened(sealed, SENSITIVE) == {
        "bank_card": [("6222021234567890123", None)],
        "national_id": [("11010519491231002X", None)],
    }
    contact = opened(sealed, CONTACT)
    assert sorted(contact) == ["name", "note", "openid", "phone", "record_id"]
    assert contact["phone"] == [("+8613912346789", None), ("+8613733335555", None)]
    assert contact["openid"] == [("oAbCdEf_123456", "wx1")]


def test_masked_numbers_stay_in_the_tier_of_the_whole_ones():
    """Even a masked ID number tells birthday and region: it is sensitive as well."""
    masked = {
        "national_id": "110105********002X", "bank_card": "6222************123",
        "phone": "139****6789", "email": "c***@example.com",
    }  # fmt: skip
    sealed = preparer().prepare(record(**masked), 12, 3).sealed
    assert sorted(opened(sealed, SENSITIVE)) == ["masked_bank_card", "masked_national_id"]
    assert sorted(opened(sealed, CONTACT)) == ["masked_email", "masked_phone", "record_id"]


def test_without_sensitive_fields_there_is_no_sensitive_key():
    """A record without ID number has nothing in the sensitive tier, not even an empty row."""
    sealed = preparer().prepare(record(name="张三"), 12, 3).sealed
    assert (sealed.sensitive_key, sealed.sensitive_fields, sealed.sensitive_cells) == (None, (), ())


def test_the_sources_name_for_the_record_comes_back():
    """The record id is a cell of its own, first of all, so that an export can give it back."""
    sealed = preparer().prepare(record(record_id="卡 7", name="张三"), 12, 3).sealed
    assert opened(sealed, CONTACT)["record_id"] == [("卡 7", None)]
    assert sealed.contact_fields[0] == "record_id"


def test_features_are_sealed_and_come_back_exactly():
    """What identity will read is what was derived, under this record's own key."""
    sealed = preparer().prepare(record(**FULL), 12, 3).sealed
    (blob,) = VAULT.open_features_many([(12, 3, sealed.contact_key, sealed.features)])
    assert blob == features.pack(features_of(**FULL))
    assert blob not in sealed.features


def test_problems_are_kept():
    """What could not be read goes on to the rejected values, with what the connector found."""
    found = preparer().prepare(record(phone="1", name="张三", problems=(PROBLEM,)), 12, 3)
    assert [problem.field for problem in found.problems] == ["orders", "phone"]


def test_only_exact_identifiers_are_indexed_each_once():
    """Invariant 2 of blind indexes: a name, a date or a privacy number has no index."""
    delivered = FULL | {"birth_date": "1990-02-17", "city": "北京"}
    delivered["phone"] = ["13912346789", "139 1234 6789", "13733335555-12", "139****0000"]
    indexes = preparer().prepare(record(**delivered), 12, 3).indexes
    assert [field for field, _ in indexes] == ["bank_card", "national_id", "openid", "phone"]
    indexer = BlindIndexer(RING)
    assert dict(indexes)["phone"] == indexer.index("phone", None, "+8613912346789")
    assert dict(indexes)["openid"] == indexer.index("openid", "wx1", "oAbCdEf_123456")


@pytest.mark.parametrize("part", ["contact_cells", "sensitive_cells", "features"])
def test_no_sealed_part_shows_a_value(part):
    """Neither cells nor features hold a delivered text in any spelling."""
    sealed = getattr(preparer().prepare(record(**FULL), 12, 3).sealed, part)
    whole = sealed if isinstance(sealed, bytes) else b"".join(sealed)
    for text in ("蔡欣雨", "13912346789", "11010519491231002X", "6222021234567890123", "喜欢红色"):
        assert text.encode() not in whole


def test_a_row_set_aside_is_kept_whole_and_hidden():
    """The row as one text holds id, fields and attributes, and does not show itself."""
    whole = as_text(record(record_id="7", name="张三", attributes={"orders": 2}))
    assert whole.reveal(reason=prepare.REASON) == (
        '{"record_id": "7", "name": ["张三"], "orders": 2}'
    )
    assert "张三" not in f"{whole!r} {whole}"
