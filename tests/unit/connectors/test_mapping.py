"""From cells to records, one test for each invariant of connectors.mapping."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.cells import BadCell, trim
from connectors.declaration import parse_source
from connectors.mapping import RowMapper, join_record_id
from connectors.record import RAW_LIMIT, Record, Rejection, Sensitive
from connectors.testing import contents

ENTRY = {
    "connector": "csv",
    "location": "x.csv",
    "record_id": "id",
    "store": "shop",
    "fields": {
        "name": "name",
        "nickname": "nick",
        "phone": ["p1", {"columns": ["p2", "p3"], "split": "[,;/、]"}],
        "openid": [{"column": "o1", "scope": "app1"}, {"column": "o2", "scope": "app2"}],
        "birth_date": {"column": "born", "formats": ["%Y/%m/%d"]},
    },
    "attributes": {
        "visits": {"column": "visits", "type": "integer"},
        "tier": {"column": "tier", "type": "category"},
    },
    "consent": {
        "basis": "membership",
        "purposes": ["service", "marketing"],
        "opt_out": {"column": "no", "values": ["是", "Y"], "purposes": ["marketing"]},
    },
}


def mapped(**cells):
    return mapped_by(ENTRY, **cells)


def mapped_by(entry, **cells):
    return RowMapper(parse_source("pos", entry)).map(5, cells, lambda: "the row")


def values(record, field):
    return [value.value.reveal(reason="test") for value in record.fields.get(field, ())]


def problems(record):
    return [(p.field, p.rule, p.raw.reveal(reason="test")) for p in record.problems]


def test_a_full_row():
    """Every declared part of a row arrives in its place."""
    record = mapped(
        id=" 1 ", shop="BJ01", name="　张三\0", p1="1", p2="2、3", o1="a", o2="a", born="1990/1/2",
        visits="7", tier="gold", no="是",
    )  # fmt: skip
    assert isinstance(record, Record)
    assert (record.source, record.position, record.store) == ("pos", 5, "BJ01")
    assert record.record_id.reveal(reason="test") == "1"
    assert values(record, "name") == ["张三"]
    assert values(record, "phone") == ["1", "2", "3"]
    assert [value.scope for value in record.fields["openid"]] == ["app1", "app2"]
    assert record.fields["birth_date"][0].formats == ("%Y/%m/%d",)
    assert record.attributes == {"visits": 7, "tier": "gold"}
    assert record.opted_out == {"marketing"}
    assert record.problems == ()


def test_absent_values_have_no_key():
    """An empty cell, a cell of spaces and a missing column are all absent."""
    record = mapped(id="1", name="", p1="  ", p2=";;", visits="\0", shop=None, nick=())
    assert record.fields == {}
    assert record.attributes == {}
    assert record.store is None
    assert record.opted_out == frozenset()


def test_equal_values_are_given_once():
    """The same value in two columns is one value; in two scopes it is two."""
    record = mapped(id="1", p1="7", p2="7;8", p3="8", o1="x", o2="x")
    assert values(record, "phone") == ["7", "8"]
    assert values(record, "openid") == ["x", "x"]


def test_a_list_gives_several_values():
    """A list cell gives each of its values."""
    assert values(mapped(id="1", p1=("1", " ", "2")), "phone") == ["1", "2"]


@given(
    st.dictionaries(
        st.sampled_from(["id", "shop", "name", "nick", "p1", "p2", "born", "visits", "tier", "no"]),
        st.one_of(
            st.none(),
            st.text(max_size=12),
            st.sampled_from(["=1", "-1+1", "7", "@x"]),
            st.tuples(st.text(max_size=4), st.text(max_size=4)),
            st.booleans().map(lambda b: BadCell("cell_error", "mend it.", Sensitive("#"), b)),
        ),
    )
)
@settings(deadline=None)
def test_invariant_1_one_row_gives_one_result(cells):
    """Any cells give a record with a record id, or one whole-row rejection; never an error."""
    row = mapped(**cells)
    assert isinstance(row, Record | Rejection)
    assert row.position == 5
    if isinstance(row, Rejection):
        assert row.field is None
        assert row.next_step.endswith(".")
    else:
        assert row.record_id.reveal(reason="test").strip()
        assert all(row.fields.values())


@given(st.text(min_size=1, max_size=30), st.text(max_size=20))
@settings(deadline=None)
def test_invariant_2_no_value_is_lost(phone, visits):
    """A value is in the record or in its problems."""
    record = mapped(id="1", p1=phone, visits=visits)
    kept = values(record, "phone") + [raw for field, _, raw in problems(record) if field == "phone"]
    assert kept == ([trim(phone)] if trim(phone) else [])
    refused = [raw for field, _, raw in problems(record) if field == "visits"]
    assert bool(trim(visits)) == ("visits" in record.attributes or refused == [visits])


@pytest.mark.parametrize(
    ("cells", "rule"),
    [
        ({}, "record_id_missing"),
        ({"id": " \0 "}, "record_id_missing"),
        ({"id": ("1", "2")}, "several_values"),
        ({"id": "x" * 513}, "record_id_too_long"),
        ({"id": "=A1"}, "formula"),
        ({"id": "1", "shop": ("a", "b")}, "several_values"),
        (
            {"id": BadCell("digits_lost", "mend it.", Sensitive("1"), rejects_row=False)},
            "digits_lost",
        ),
        ({"id": "1", "no": BadCell("x", "mend it.", Sensitive("1"), rejects_row=False)}, "x"),
        ({"id": "1", "name": BadCell("cell_error", "mend it.", Sensitive("#"))}, "cell_error"),
    ],
)
def test_invariant_3_what_must_be_readable_rejects_the_row(cells, rule):
    """Without a readable id or opt-out, or with an error cell, the row is rejected, not guessed."""
    rejection = mapped(**cells)
    assert isinstance(rejection, Rejection)
    assert (rejection.rule, rejection.field, rejection.position) == (rule, None, 5)
    assert rejection.raw.reveal(reason="test") == "the row"


def test_an_error_in_a_column_nobody_maps_does_no_harm():
    """Only mapped columns can spoil a row."""
    assert isinstance(mapped(id="1", other=BadCell("cell_error", "x.", Sensitive("#"))), Record)


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"visits": "many"}, ("visits", "not_integer", "many")),
        ({"visits": ("1", "2")}, ("visits", "several_values", "1\n2")),
        ({"name": "=HYPERLINK(1)"}, ("name", "formula", "=HYPERLINK(1)")),
        ({"p1": "+cmd|x"}, ("phone", "formula", "+cmd|x")),
        ({"shop": "a\nb"}, ("store", "store_form", "a\nb")),
        ({"p2": ";".join("1" * 101)}, ("phone", "too_many_values", ";".join("1" * 101))),
        (
            {"p1": BadCell("digits_lost", "mend it.", Sensitive("9"), rejects_row=False)},
            ("phone", "digits_lost", "9"),
        ),
        (
            {"visits": BadCell("digits_lost", "mend it.", Sensitive("9"), rejects_row=False)},
            ("visits", "digits_lost", "9"),
        ),
    ],
)
def test_one_bad_value_does_not_cost_the_row(cells, problem):
    """A bad value is set aside with its rule, and the rest of the row goes on."""
    record = mapped(id="1", tier="gold", **cells)
    assert problems(record) == [problem]
    assert record.attributes == {"tier": "gold"}
    assert record.fields == {}


@given(st.text(min_size=3, max_size=20))
@settings(deadline=None)
def test_invariant_4_no_message_holds_a_value(text):
    """Neither a problem nor a rejection quotes a value in rule, next step or repr."""
    text = "◆" + text
    rows = [
        mapped(id="1", visits=text, name="=" + text, shop=text + "\n" + text),
        mapped(id="=" + text),
        mapped(id="", name=text),
    ]
    for row in rows:
        assert text not in repr(row)
        if isinstance(row, Record):
            assert all(text not in p.rule + p.next_step for p in row.problems)
            assert {"visits", "name", "store"} == {p.field for p in row.problems}
        else:
            assert text not in row.next_step


def test_a_plus_sign_before_a_phone_is_legal():
    """A phone in international form is no formula."""
    assert values(mapped(id="1", p1="+86 138-0000-1111"), "phone") == ["+86 138-0000-1111"]


def test_a_nickname_may_open_with_a_sign():
    """Free text opens with a dash or @ and stays a value."""
    assert values(mapped(id="1", nick="-_-"), "nickname") == ["-_-"]


@pytest.mark.parametrize(
    ("cell", "out"), [("是", True), (" y ", True), ("否", False), ("", False), (("否", "Y"), True)]
)
def test_opt_out_ignores_case_and_spaces(cell, out):
    """An opt-out holds however the declared word is written."""
    assert bool(mapped(id="1", no=cell).opted_out) is out


def test_rejected_text_is_cut():
    """A huge row does not fill the store of rejections."""
    mapper = RowMapper(parse_source("pos", ENTRY))
    rejection = mapper.reject(1, "row_too_large", "Shorten it.", "x" * (RAW_LIMIT + 5))
    assert len(rejection.raw.reveal(reason="test")) == RAW_LIMIT


@given(
    st.lists(st.text(alphabet="a|\\", max_size=4), min_size=2, max_size=3),
    st.lists(st.text(alphabet="a|\\", max_size=4), min_size=2, max_size=3),
)
@settings(deadline=None)
def test_joined_ids_are_unambiguous(one, other):
    """Different column values never give the same record id."""
    assert (join_record_id(one) == join_record_id(other)) == (one == other)


def test_several_columns_name_a_record():
    """All columns of the record id are needed."""
    entry = {**ENTRY, "record_id": ["id", "shop"]}
    assert mapped_by(entry, id="1", shop="B").record_id.reveal(reason="test") == "1|B"
    assert mapped_by(entry, id="1").rule == "record_id_missing"


@given(st.text(alphabet=" \t\n\0\ufeff\u200b\u3000ab", max_size=12))
@settings(deadline=None)
def test_trimming_twice_is_trimming_once(text):
    """Nothing invisible stays around a value."""
    assert trim(trim(text)) == trim(text)
    assert trim(text)[:1] in {"", "a", "b"}
    assert trim(text)[-1:] in {"", "a", "b"}


def test_contents_opens_everything():
    """The conformance suite compares what rows hold, not how they look."""
    assert contents(mapped(id="1", p1="7")) == contents(mapped(id="1", p1="7"))
    assert contents(mapped(id="1", p1="7")) != contents(mapped(id="1", p1="8"))
