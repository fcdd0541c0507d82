"""Reading a delivered record; invariants of `cdp/ingest/values.py`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.ingest.normalise.identifier import IdentifierKind
from cdp.ingest.normalise.result import Canonical
from cdp.ingest.values import _NORMALISERS, KEPT_AS_DELIVERED, read_record
from connectors.record import FieldProblem, Sensitive
from connectors.vocabulary import IDENTIFIERS, IDENTITY_FIELDS
from identity.catalogue import shipped
from tests.unit.ingest.delivered import READING, record, values

CANARY = "金丝雀"
texts = st.text(max_size=24) | st.sampled_from(
    [
        "张三", "张**", "雨姐", "张三 朝阳店", "13912346789", "13800138000", "139****6789",
        "13912346789-12", "1990-02-30", "1900-01-01", "canary@example.com", "test@example.com",
        "11010519491231002X", "110105194912310021", "男", "保密", "", "无", "518000", "1e+10",
    ]
)  # fmt: skip
fields = st.dictionaries(
    st.sampled_from(sorted(IDENTITY_FIELDS)), st.lists(texts, min_size=1, max_size=3), max_size=5
)


def test_every_field_a_mapping_may_name_can_be_read():
    """No field of the vocabulary is without a reader, and no reader without a field."""
    assert set(_NORMALISERS) == IDENTITY_FIELDS


def test_the_catalogue_and_the_vocabulary_name_the_same_identifiers():
    """A type that ships can be mapped, and every identifier that can be mapped is described."""
    described = {one.field for one in shipped().types.values()}
    assert described <= IDENTITY_FIELDS
    assert described >= IDENTIFIERS
    by_form = {kind.value for kind in IdentifierKind} - {"postcode"}
    assert by_form == described - {"phone", "email", "national_id"}


@settings(max_examples=300, deadline=None)
@given(fields)
def test_no_delivered_value_is_lost(delivered):
    """Invariant 1: each value is read, kept, set aside, or says nothing, whatever stands there."""
    for name, several in delivered.items():
        for text in several:
            found = values(**{name: text})
            kept = [one for cell in found.delivered.values() for one in cell]
            read = [one for cell in found.read.values() for one in cell]
            silent = values(**{name: text}).problems == [] and not read and not kept
            assert len(found.problems) <= 1
            assert not (found.problems and read)
            if name in KEPT_AS_DELIVERED:
                assert kept == [text.replace("\0", "")]
            if silent:
                assert not _tells(name, text)


def _tells(name, text):
    """Whether a value of the field says anything."""
    result = _NORMALISERS[name](text, record(**{name: text}).fields[name][0], READING)
    return isinstance(result, Canonical) or (
        result is not None and result.rule not in {"empty", "nickname"}
    )


@settings(max_examples=100, deadline=None)
@given(fields)
def test_values_are_read_one_by_one(delivered):
    """A record's values are those of its fields; a bad one costs nothing but itself."""
    whole = values(**delivered)
    alone = [values(**{name: text}) for name in sorted(delivered) for text in delivered[name]]
    assert [p.rule for p in whole.problems] == [p.rule for one in alone for p in one.problems]
    for name in set(whole.read) - {"name"}:
        read = [pair[0].canonical for pair in whole.read[name]]
        assert read == [pair[0].canonical for one in alone for pair in one.read.get(name, ())]


@settings(max_examples=100, deadline=None)
@given(fields)
def test_a_canonical_value_reads_as_itself(delivered):
    """Whatever was read can be read again from its own cell, with the same answer."""
    found = values(**delivered)
    for name, pairs in found.read.items():
        if name in {"masked_name", "privacy_phone"}:
            continue
        for value, scope in pairs:
            again = values(**{name: (value.canonical, scope)})
            assert [(v.canonical, s) for v, s in again.read[name]] == [(value.canonical, scope)]


# ── what becomes of a value ─────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("field", "text", "cells"),
    [
        ("name", " 张三 ", {"name": "张三"}),
        ("name", "张三先生", {"name": "张三"}),
        ("name", "张**", {"masked_name": "张**"}),
        ("name", "雨姐", {"masked_name": "雨"}),
        ("name", "john", {"masked_name": "john"}),
        ("given_name", "小明", {"given_name": "小明"}),
        ("surname", "O'Brien", {"surname": "obrien"}),
        ("remark", "张三 朝阳店", {"name": "张三", "remark": "张三 朝阳店"}),
        ("remark", "李姐", {"masked_name": "李", "remark": "李姐"}),
        ("nickname", "张三", {"nickname": "张三"}),
        ("note", "a\0b", {"note": "ab"}),
        ("phone", "139 1234 6789", {"phone": "+8613912346789"}),
        ("phone", "13912346789-12", {"privacy_phone": "+8613912346789;ext=12"}),
        ("phone", "139****6789", {"masked_phone": "139****6789"}),
        ("email", "c***@example.com", {"masked_email": "c***@example.com"}),
        ("national_id", "110105********002X", {"masked_national_id": "110105********002X"}),
        ("bank_card", "6222************123", {"masked_bank_card": "6222************123"}),
        ("birth_date", "1990年2月17日", {"birth_date": "1990-02-17"}),
        ("gender", "女士", {"gender": "female"}),
        ("gender", "保密", {}),
        ("city", "北京市", {"city": "北京"}),
        ("street_number", "No. 12-A", {"street_number": "12a"}),
        ("loyalty_card", "v100-200", {"loyalty_card": "V100200"}),
        ("phone", "", {}),
        ("name", "无", {}),
    ],
)  # fmt: skip
def test_a_value_goes_into_its_cell(field, text, cells):
    """Canonical where it can be read, in a cell of its own where it is masked or private."""
    found = values(**{field: text})
    assert {name: pairs[0][0] for name, pairs in found.cells().items()} == cells
    assert found.problems == []


@pytest.mark.parametrize(
    ("field", "text", "rule"),
    [
        ("phone", "13800138000", "filler_number"),
        ("phone", "13888888888", "filler_number"),
        ("email", "test@example.com", "filler_address"),
        ("birth_date", "1900-01-01", "preset_date"),
        ("birth_date", "1970-01-01", "preset_date"),
        ("birth_date", "1990-02-30", "impossible_date"),
        ("birth_date", "2030-01-01", "future_date"),
        ("name", "测试", "blocked"),
        ("phone", "1391234", "no_area_code"),
        ("national_id", "110105194912310021", "checksum"),
        ("openid", "null", "blocked"),
        ("unionid", "undefined", "blocked"),
    ],
)
def test_what_must_not_be_evidence_is_set_aside(field, text, rule):
    """Invariant 2: fillers and presets, and what cannot be right, never reach a cell."""
    found = values(**{field: text})
    assert found.cells() == {}
    (problem,) = found.problems
    assert (problem.field, problem.rule) == (field, rule)
    assert problem.next_step
    assert problem.raw.reveal(reason="compare") == text


def test_one_bad_value_costs_nothing_else():
    """A wrong phone does not take the birthday, or the other phone, with it."""
    found = values(phone=["1", "13912346789"], birth_date="1990-02-17")
    assert [problem.field for problem in found.problems] == ["phone"]
    assert sorted(found.cells()) == ["birth_date", "phone"]


def test_problems_of_the_connector_come_first():
    """What the source's mapping set aside stays in the record's list."""
    before = FieldProblem("orders", "not_a_number", "write digits", Sensitive("x"))
    found = read_record(record(phone="1", problems=(before,)), READING)
    assert [problem.field for problem in found.problems] == ["orders", "phone"]
    assert found.problems[0] is before


def test_a_scope_stays_with_its_value():
    """An openid of two apps is two values, each in its scope."""
    found = values(openid=[("oAbCdEf_123456", "wx1"), ("oAbCdEf_123456", "wx2")])
    assert found.cells() == {"openid": [("oAbCdEf_123456", "wx1"), ("oAbCdEf_123456", "wx2")]}


def test_parts_make_a_name_only_where_there_is_none():
    """Surname and given name are joined, unless the source gives a whole name itself."""
    joined = values(surname="诸葛", given_name="小明")
    assert joined.cells()["name"] == [("诸葛小明", None)]
    own = values(surname="诸葛", given_name="小明", name="孔明亮")
    assert own.cells()["name"] == [("孔明亮", None)]
    assert "name" not in values(surname="诸葛").cells()
    assert "name" not in values(surname="张*", given_name="小明").cells()


def test_a_name_column_comes_before_a_remark():
    """What the person wrote is read before what a clerk noted."""
    found = values(remark="李四 朝阳店", name="张三")
    assert [name for name, _ in found.cells()["name"]] == ["张三", "李四"]
    assert found.first("name").canonical == "张三"
    assert found.first("phone") is None


def test_cells_stand_in_alphabetical_order():
    """The same record always gives the same cells in the same order."""
    names = list(
        values(phone="13912346789", note="x", city="北京", birth_date="1990-02-17").cells()
    )
    assert names == sorted(names)


def test_values_and_errors_show_nothing():
    """Neither the values of a record nor its problems show what was delivered."""
    found = values(name=CANARY, note=CANARY, phone=f"{CANARY}1", email=f"{CANARY}@@")
    assert len(found.problems) == 2
    shown = f"{found!r} {found.problems!r} {[p.next_step for p in found.problems]}"
    assert CANARY not in shown
    assert CANARY not in repr(list(found.read.values()))
