"""Which index rows a record has, and what is typed to find it."""

import datetime as dt
import os
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.ingest import indexing
from cdp.ingest.indexing import cells_behind, has_parts, parts_of, rows_of, typed
from cdp.ingest.normalise.result import Problem
from cdp.ingest.values import Reading, read_record
from cdp.vault.blind import BlindIndexer
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import RingDocument
from connectors.index_parts import PARTS, IndexDefinition
from connectors.record import FieldValue, Record, Sensitive

TODAY = dt.date(2026, 5, 4)
RING = KeyRing.of(RingDocument.fresh(UUID("11111111-1111-4111-8111-111111111111"), os.urandom))
INDEXER = BlindIndexer(RING)
PAIR = IndexDefinition.of("pair", ("surname", "phone_tail_4"), 14)
CELLS = {
    "name": [("欧阳金丝", None)],
    "phone": [("+8613912341234", None), ("+861065529988", None)],
    "birth_date": [("1990-02-17", None)],
    "email": [("canary@example.com", None)],
    "gender": [("female", None)],
    "city": [("北京", None)],
    "postcode": [("100020", None)],
    "district": [("朝阳区", None)],
    "loyalty_card": [("V100200300", "kith")],
    "national_id": [("11010519491231002X", None)],
    "bank_card": [("6222020200112233", None)],
    "note": [("nothing", None)],
}
SAID = {
    "name": ["欧阳金丝"], "surname": ["欧阳"], "given_name": ["金丝"], "name_initials": ["josy"],
    "birth_date": ["1990-02-17"], "birth_year": ["1990"], "birth_month_day": ["02-17"],
    "gender": ["female"], "city": ["北京"], "district": ["朝阳区"], "postcode": ["100020"],
    "email_domain": ["example.com"], "phone_head_7": ["1391234"],
    "phone_tail_4": ["1234", "9988"], "loyalty_card_tail_4": ["0300"],
    "national_id_tail_4": ["002X"], "bank_card_tail_4": ["2233"],
}  # fmt: skip
TYPED = {
    "name": "欧阳 金丝", "surname": "欧阳", "given_name": "金丝", "name_initials": "OYJS",
    "birth_date": "1990年2月17日", "birth_year": "１９９０", "birth_month_day": "2-17",
    "gender": "女", "city": "北京市", "district": "朝阳区", "postcode": "100020",
    "email_domain": "@Example.com", "phone_head_7": "1391234", "phone_tail_4": " 1234 ",
    "loyalty_card_tail_4": "0300", "national_id_tail_4": "002x", "bank_card_tail_4": "2233",
}  # fmt: skip


@pytest.mark.parametrize("part", sorted(PARTS))
def test_every_part_is_read_from_its_cells_alone(part):
    """Invariant 1: each part has its value, and needs no cell that it does not name."""
    needed = indexing.cells_of([part])
    assert parts_of(part, {name: CELLS[name] for name in needed & CELLS.keys()}) == SAID[part]
    assert parts_of(part, {}) == []


@pytest.mark.parametrize("part", sorted(PARTS))
def test_what_is_typed_meets_what_is_kept(part):
    """Invariant 2: however it is written, the typed part is the record's own."""
    assert typed(part, TYPED[part], TODAY) in SAID[part]


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("phone_tail_4", "123"), ("phone_tail_4", "12345"), ("phone_tail_4", "12a4"),
        ("phone_tail_4", ""), ("birth_year", "90"), ("birth_month_day", "Feb 17"),
        ("surname", "张*"), ("name", "张**"), ("national_id_tail_4", "X002"),
        ("email_domain", "not a domain"), ("city", ""), ("name_initials", "j7"),
        ("surname", "x" * 500), ("phone_head_7", "139****"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_part_is_a_problem(part, text):
    """Invariant 2: the problem says what to give, and nothing of what was typed."""
    found = typed(part, text, TODAY)
    assert isinstance(found, Problem)
    assert found.rule
    assert not text or text not in repr(found)


def test_a_record_without_a_part_has_no_row():
    """Invariant 3: nothing stands for an unknown part."""
    assert rows_of(INDEXER, [PAIR], {"name": CELLS["name"]}) == ()
    assert rows_of(INDEXER, [PAIR], {"phone": [("+861", None)], "name": CELLS["name"]}) == (
        ("phone", INDEXER.index("phone", None, "+861")),
    )


def test_every_combination_has_its_row():
    """A record with two phones is found by the end of either; each row stands once."""
    rows = rows_of(INDEXER, [PAIR], CELLS)
    mine = [value for label, value in rows if label == PAIR.label]
    assert sorted(mine) == sorted(
        {INDEXER.compound(PAIR, (tail, "欧阳")) for tail in ("1234", "9988")}
    )
    assert len(set(rows)) == len(rows)
    exact = {label for label, _ in rows} - {PAIR.label}
    assert exact == {"phone", "email", "loyalty_card", "national_id", "bank_card"}


def test_a_record_with_very_many_phones_has_a_bounded_number_of_rows():
    """Sixteen rows at most: who has more numbers is nobody in particular."""
    phones = [(f"+86139{n:08}", None) for n in range(100)]
    rows = rows_of(INDEXER, [PAIR], {"name": CELLS["name"], "phone": phones})
    assert sum(label == PAIR.label for label, _ in rows) <= indexing.MOST_ROWS


def test_a_surname_of_its_own_column_is_believed():
    """Invariant 1: read again from the cells, a surname of two words stays one."""
    cells = {"name": [("anna maria van dyke", None)], "surname": [("van dyke", None)]}
    assert parts_of("surname", cells) == ["van dyke"]
    assert indexing.cells_of(["surname"]) == {"name", "surname"}


def test_a_match_needs_every_part():
    """One part that differs, and the record is not meant."""
    assert has_parts({"surname": "欧阳", "phone_tail_4": "9988"}, CELLS)
    assert not has_parts({"surname": "欧阳", "phone_tail_4": "0000"}, CELLS)
    assert not has_parts({"surname": "王", "phone_tail_4": "1234"}, CELLS)
    assert not has_parts({"surname": "欧阳", "birth_year": "1991"}, CELLS)


def test_unknown_labels_need_no_cells():
    """A label that is no longer declared opens nothing."""
    assert cells_behind(["phone", "city+surname:128"], {}) == {"phone"}
    assert cells_behind([PAIR.label], {PAIR.label: PAIR}) == {"name", "surname", "phone"}


@given(
    surname=st.sampled_from(["王", "欧阳", "单", "Smith", "O'Brien"]),
    given_name=st.sampled_from(["小明", "丽", "John", "Mary Ann"]),
    phone=st.integers(13000000000, 19999999999),
)
def test_ingest_and_the_stored_cells_say_the_same(surname, given_name, phone):
    """Invariant 1: rows made at ingest are those made again from what was stored."""
    han = all(sign >= "\u4e00" for sign in surname + given_name)
    whole = surname + given_name if han else f"{given_name} {surname}"
    record = Record(
        "pos",
        Sensitive("1"),
        1,
        {
            "name": (FieldValue(Sensitive(whole)),),
            "phone": (FieldValue(Sensitive(str(phone))),),
        },
    )
    values = read_record(record, Reading(TODAY))
    cells = values.cells()
    first = rows_of(INDEXER, [PAIR], cells)
    assert first == rows_of(INDEXER, [PAIR], {name: list(cell) for name, cell in cells.items()})
    if "name" in cells and "phone" in cells:
        read = typed("surname", surname, TODAY)
        assert has_parts({"surname": read, "phone_tail_4": str(phone)[-4:]}, cells)
