"""The contract of a source, one test for each invariant of connectors.contract."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import RowContract
from connectors.declaration import parse_source
from connectors.errors import DeclarationError
from connectors.mapping import RowMapper
from connectors.record import Record, Rejection
from connectors.testing import contents

ENTRY = {
    "connector": "csv",
    "location": "x.csv",
    "record_id": "id",
    "fields": {"phone": ["p1", "p2"], "gender": "sex"},
    "attributes": {"points": {"column": "points", "type": "integer"}},
}
TERMS = {
    "columns": {
        "points": {"type": "integer", "range": {"least": 0, "most": 100}},
        "paid": {"type": "decimal", "range": {"most": 9.5}, "on_breach": "warn"},
        "born": {"type": "date", "formats": ["%d.%m.%Y"], "range": {"least": "1900-01-01"}},
        "sex": {"allowed": ["男", "女", "F"], "on_breach": "pause"},
    },
    "fields": {"phone": {"required": True, "on_breach": "warn"}},
}
GOOD = {"id": "1", "p1": "1", "points": "5", "paid": "1.5", "born": "2.3.1990", "sex": "男"}


def declared(terms=TERMS, **more):
    return parse_source("pos", {**ENTRY, "contract": terms, **more})


def mapped(source, **cells):
    return RowMapper(source).map(3, {**GOOD, **cells}, lambda: "the row")


def refused(terms, **more):
    with pytest.raises(DeclarationError) as caught:
        declared(terms, **more)
    return caught.value.rule


@pytest.mark.parametrize(
    ("cells", "rule", "subject", "action"),
    [
        ({"points": "101"}, "contract_range", "points", "reject"),
        ({"points": "-1"}, "contract_range", "points", "reject"),
        ({"points": "x"}, "contract_type", "points", "reject"),
        ({"born": "31.12.1899"}, "contract_range", "born", "reject"),
        ({"born": "1990-01-01"}, "contract_type", "born", "reject"),
        ({"paid": "9.51"}, "contract_range", "paid", "warn"),
        ({"sex": "canary"}, "contract_allowed", "sex", "pause"),
        ({"p1": " \u200b"}, "contract_required", "phone", "warn"),
    ],
)
def test_1_a_breach_says_what_is_to_be_done(cells, rule, subject, action):
    """Invariant 1: a broken demand is named, and rejects, pauses or warns as declared."""
    row = mapped(declared(), **cells)
    assert isinstance(row, Rejection if action == "reject" else Record)
    (breach,) = row.breaches
    assert (breach.rule, breach.subject, breach.action) == (rule, subject, action)
    if isinstance(row, Rejection):
        assert row.rule == rule
        assert row.record_id.reveal(reason="test") == "1"


@pytest.mark.parametrize("column", ["points", "paid", "born", "sex"])
@given(text=st.text(min_size=6, max_size=30))
def test_2_no_breach_holds_a_value(column, text):
    """Invariant 2: a breach names column and rule; the value is nowhere in it."""
    row = mapped(declared(), **{column: f"canary{text}"})
    shown = repr(row) + repr(row.breaches) + (row.next_step if isinstance(row, Rejection) else "")
    assert "canary" not in shown


@given(
    cells=st.fixed_dictionaries(
        {}, optional={name: st.text(max_size=8) for name in ("p1", "p2", "points", "paid")}
    )
)
def test_3_what_keeps_the_contract_is_as_it_was(cells):
    """Invariant 3: a row that is not rejected is the record it would be without a contract."""
    with_contract = mapped(declared(), **cells)
    without = mapped(parse_source("pos", ENTRY), **cells)
    if isinstance(with_contract, Record):
        assert contents(with_contract) == contents(without)
    else:
        assert isinstance(without, Record)
        assert any(one.action == "reject" for one in with_contract.breaches)


def test_a_column_may_be_required_and_need_no_mapping():
    """A contract looks at columns that no field is read from; the file must have them."""
    source = declared({"columns": {"state": {"required": True}}})
    assert source.columns() == ("id", "p1", "p2", "sex", "points", "state")
    row = mapped(source)
    assert isinstance(row, Rejection)
    assert row.rule == "contract_required"


def test_a_derived_column_can_be_agreed_on():
    """A contract sees derived columns as it sees those of the file."""
    source = declared(
        {"columns": {"digits": {"type": "integer"}}},
        columns={"digits": {"from": "raw", "extract": "no (.+)"}},
    )
    assert isinstance(mapped(source, raw="no 12"), Record)
    assert mapped(source, raw="no ab").rule == "contract_type"


def test_a_record_has_the_newest_day_of_its_row():
    """The day that freshness asks for travels with the record; an unreadable one is none."""
    source = declared({"freshness": {"column": "seen", "days": 3}})
    assert mapped(source, seen="2026-01-02 10:11").day == "2026-01-02"
    assert mapped(source, seen=("2026-01-02", "2026-03-01", "x")).day == "2026-03-01"
    assert mapped(source, seen="yesterday").day is None


def test_one_word_for_all_and_another_for_one():
    """The source's `on_breach` counts where a demand has none; a whole delivery is no row."""
    terms = {
        "columns": {"sex": {"required": True}, "paid": {"required": True, "on_breach": "reject"}},
        "freshness": {"column": "seen", "days": 3},
        "volume": {"least": 0.5},
    }
    contract = declared(terms, on_breach="warn").contract
    assert [one.action for one in contract.demands] == ["warn", "reject"]
    assert (contract.freshness.action, contract.volume.action) == ("warn", "warn")
    contract = declared(terms).contract
    assert (contract.freshness.action, contract.volume.action) == ("pause", "pause")


@pytest.mark.parametrize(
    ("terms", "rule"),
    [
        ({}, "empty"),
        ({"columns": {"a": {}}}, "nothing_agreed"),
        ({"columns": {"a": {"range": {"least": 1}}}}, "range_without_order"),
        ({"columns": {"a": {"type": "integer", "range": {"least": 2, "most": 1}}}}, "range_empty"),
        ({"columns": {"a": {"type": "decimal", "range": {"least": "x"}}}}, "range_form"),
        ({"columns": {"a": {"type": "decimal", "range": {"least": "NaN"}}}}, "range_form"),
        ({"columns": {"a": {"type": "date", "range": {"least": "1.1.2020"}}}}, "range_form"),
        ({"columns": {"a": {"type": "integer", "formats": ["%Y-%m-%d"]}}}, "formats_without_date"),
        ({"columns": {"a": {"type": "date", "formats": ["%m-%d"]}}}, "date_incomplete"),
        ({"columns": {"a": {"type": "phone"}}}, "not_one_of"),
        ({"columns": {"a": {"required": "yes"}}}, "wrong_type"),
        ({"fields": {"email": {"required": True}}}, "not_mapped"),
        ({"volume": {}}, "nothing_agreed"),
        ({"volume": {"least": 2}}, "range_empty"),
        ({"volume": {"most": 0.5}}, "range_empty"),
        ({"freshness": {"column": "a"}}, "key_missing"),
        ({"freshness": {"column": "a", "days": -1}}, "too_small"),
    ],
)
def test_a_wrong_contract_is_refused(terms, rule):
    """What cannot be agreed on has a rule of its own."""
    assert refused(terms) == rule


@pytest.mark.parametrize(
    ("cell", "day"),
    [
        ("2026-03-01T23:30:00.123456-05:00", "2026-03-02"),
        ("2026-03-01T08:00:00Z", "2026-03-01"),
        ("2026-03-01 23:59:59", "2026-03-01"),
        ("1772409600", "2026-03-02"),
        ("1772409600000", "2026-03-02"),
        ("1772409600000000", "2026-03-02"),
        ("177240960", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
    ],
)
def test_a_moment_names_a_day(cell, day):
    """As databases and APIs give it; where a zone is said the day is that of UTC."""
    contract = declared({"freshness": {"column": "seen", "days": 3}}).contract
    assert RowContract(contract).day({"seen": cell}) == day
    formats = {"column": "seen", "days": 3, "formats": ["%d.%m.%Y"]}
    contract = declared({"freshness": formats}).contract
    assert RowContract(contract).day({"seen": cell}) is None


def test_on_breach_without_a_contract_is_refused():
    """A word about what nobody agreed on would never do anything."""
    with pytest.raises(DeclarationError) as caught:
        parse_source("pos", {**ENTRY, "on_breach": "warn"})
    assert caught.value.rule == "nothing_agreed"


def test_contract_and_schedule_are_no_part_of_the_digest():
    """A new contract or schedule makes no record a changed one."""
    plain = parse_source("pos", ENTRY)
    agreed = declared(schedule={"daily": "03:00", "time_zone": "Asia/Shanghai"})
    assert plain.digest() == agreed.digest()


@pytest.mark.parametrize(
    ("schedule", "rule"),
    [
        ({}, "one_rhythm"),
        ({"minutes": 5, "daily": "03:00"}, "one_rhythm"),
        ({"minutes": 5, "time_zone": "Asia/Shanghai"}, "option_not_used"),
        ({"daily": "25:00"}, "wrong_form"),
        ({"daily": "03:00", "time_zone": "../Beijing"}, "no_such_time_zone"),
        ({"daily": "03:00", "time_zone": "Nowhere/Here"}, "no_such_time_zone"),
        ({"minutes": 0}, "too_small"),
    ],
)
def test_a_wrong_schedule_is_refused(schedule, rule):
    """A schedule says one rhythm, in a time zone there is."""
    with pytest.raises(DeclarationError) as caught:
        parse_source("pos", {**ENTRY, "schedule": schedule})
    assert caught.value.rule == rule


def test_a_schedule_is_kept():
    """What a schedule says is there for whoever runs syncs."""
    schedule = parse_source("pos", {**ENTRY, "schedule": {"daily": "03:00"}}).schedule
    assert (schedule.daily, schedule.time_zone, schedule.minutes) == ("03:00", "UTC", None)
    assert parse_source("pos", {**ENTRY, "schedule": {"minutes": 15}}).schedule.minutes == 15


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({}, "option_not_used"),
        ({"connector": "sql", "table": "a", "mode": "full"}, "option_not_used"),
        ({"connector": "sql", "table": "a", "mode": "incremental", "cursor": "seen"}, None),
        ({"connector": "piped"}, None),
    ],
)
def test_hours_are_of_what_is_followed(more, rule):
    """What gives everything each time is compared as a whole: hours would say nothing."""
    entry = {**ENTRY, **more, "contract": {"volume": {"least": 0.5, "hours": 12}}}
    if "connector" in more:
        entry.pop("location", None)
        entry.pop("encoding", None)
    if more.get("connector") == "sql":
        entry["credentials"] = {"dsn": "env:SOURCE_DSN"}
    if rule is None:
        assert parse_source("pos", entry).contract.volume.hours == 12
        return
    with pytest.raises(DeclarationError) as caught:
        parse_source("pos", entry)
    assert (caught.value.rule, caught.value.field) == (rule, "contract.volume.hours")


def test_what_is_sent_row_by_row_has_no_delivery():
    """Freshness and volume of a webhook would never be judged: they are refused."""
    hook = {
        "connector": "webhook",
        "record_id": "id",
        "fields": {"name": "name"},
        "signature": {"scheme": "standard"},
        "credentials": {"secret": "env:SOURCE_SECRET"},
    }
    terms = {"columns": {"name": {"required": True}}}
    assert parse_source("hook", {**hook, "contract": terms}).contract is not None
    with pytest.raises(DeclarationError) as caught:
        parse_source("hook", {**hook, "contract": {**terms, "volume": {"least": 0.5}}})
    assert (caught.value.rule, caught.value.field) == ("no_delivery", "contract.volume")
