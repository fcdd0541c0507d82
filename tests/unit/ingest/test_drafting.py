"""Entries drafted from a guess, one test for each invariant of cdp.ingest.drafting."""

import datetime as dt

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.errors import Stop
from cdp.ingest.drafting import Wanted, draft, inserted, unfilled
from cdp.ingest.guessing import guess
from cdp.ingest.values import Reading
from connectors.declaration import parse_source
from connectors.errors import DeclarationError
from connectors.table import Table
from identity.catalogue import shipped

READING = Reading(dt.date(2026, 5, 4), stores=frozenset({"BJ01"}))
ROWS = (
    {"会员卡号": "K1", "手机": "13957140286", "门店": "BJ01", "消费": "1.5", "备注": "canary"},
    {"会员卡号": "K2", "手机": "13857160317", "门店": "BJ01", "消费": "2.5", "备注": ""},
)
TABLE = Table(tuple(ROWS[0]), ROWS, encoding="gb18030")


def drafted(table: Table = TABLE, ids: tuple[str, ...] = (), **scopes: str) -> str:
    wanted = Wanted("members", "csv", "data/members.csv", ";", ids, scopes)
    return draft(wanted, table, guess(table, READING), shipped())


def read(entry: str) -> object:
    return yaml.safe_load(f"sources:\n{entry}")["sources"]["members"]


def test_a_draft_is_a_source() -> None:
    """What is drafted can be read: encoding, delimiter, id, store and the fields it found."""
    source = parse_source("members", read(drafted(loyalty_card="kith")))
    assert (source.encoding, source.delimiter) == ("gb18030", ";")
    assert (source.record_id, source.store) == (("会员卡号",), "门店")
    assert set(source.fields) == {"loyalty_card", "phone", "note"}
    assert "消费: decimal" in drafted()


@given(
    heading=st.text(min_size=1, max_size=12).filter(lambda text: text == text.strip()),
    text=st.text(min_size=1, max_size=8),
)
@settings(max_examples=50)
def test_1_a_draft_holds_no_value(heading: str, text: str) -> None:
    """Invariant 1: whatever the headings are, YAML reads them back, and no value is there."""
    rows = ({"id": "canary1", "手机": f"canary{text}", heading: f"canary{text}"},)
    entry = drafted(Table(tuple(rows[0]), rows), (heading,), loyalty_card="kith")
    assert "canary" not in entry
    assert yaml.safe_load(f"sources:\n{entry}")["sources"]["members"]["record_id"] == heading


def test_2_what_only_a_person_knows_is_refused_until_it_is_filled_in() -> None:
    """Invariant 2: a draft with a scope left open is no declaration."""
    entry = drafted()
    assert unfilled(entry) == ["brand of the loyalty_card"]
    with pytest.raises(DeclarationError, match="scope_to_fill_in"):
        parse_source("members", read(entry))
    assert unfilled(drafted(loyalty_card="kith")) == []
    nothing = drafted(Table(("x",), ({"x": "a"}, {"x": "a"})))
    assert unfilled(nothing) == ["the columns that name a record", "a field", "a column"]
    with pytest.raises(DeclarationError):
        parse_source("members", read(nothing))


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\n",
        "version: 1\nsources: {}\ntrust: []\n",
        "version: 1\nsources:   # ours\n\n  # the till\n  till: {a: 1}\ntrust: [x]\n",
        "sources:\n    till:\n        a: 1\n\n    app: {b: 2}\nversion: 1\n",
        "version: 1\nsources:\n till: {a: 1}",
    ],
)
def test_3_every_other_line_stays(text: str) -> None:
    """Invariant 3: comments, order and indentation of the file are as they were."""
    entry = drafted(loyalty_card="kith")
    whole = inserted(text, entry)
    before, after = yaml.safe_load(text), yaml.safe_load(whole)
    assert after["sources"].pop("members") == read(entry)
    assert (after["sources"] or {}) == (before.get("sources") or {})
    assert {k: v for k, v in after.items() if k != "sources"} == {
        k: v for k, v in before.items() if k != "sources"
    }
    lines = iter(whole.splitlines())
    assert all(line in lines for line in text.splitlines() if line and "{}" not in line)


def test_a_new_source_is_trusted_least() -> None:
    """Without `trust`, the order of sources is who is believed first: a new one comes last."""
    text = "sources:\n  till: {a: 1}\n  # of the app\n  app: {b: 2}\n\n# who\nprincipals: []\n"
    whole = inserted(text, drafted(loyalty_card="kith"))
    assert list(yaml.safe_load(whole)["sources"]) == ["till", "app", "members"]
    assert whole.endswith("\n\n# who\nprincipals: []\n")


def test_two_numbers_in_one_cell_are_split() -> None:
    """Where cells hold several phones, the draft splits them."""
    rows = tuple({"id": str(n), "手机": f"1395714{n:04}/1385716{n:04}"} for n in range(4))
    source = parse_source("members", read(drafted(Table(("id", "手机"), rows))))
    assert source.fields["phone"][0].split == "/、,;，；"


def test_a_file_in_another_form_is_left_alone() -> None:
    """Where sources stand on one line, nothing is put in, and the way out is said."""
    with pytest.raises(Stop, match="sources_in_another_form"):
        inserted("sources: {till: {a: 1}}\n", drafted())


def test_what_the_days_do_not_tell_is_asked() -> None:
    """Day or month first: a draft that leaves it open is no declaration; an answer fills it in."""
    rows = tuple({"id": str(n), "生日": f"{n:02}/0{n}/1990"} for n in range(1, 6))
    entry = drafted(Table(("id", "生日"), rows))
    assert unfilled(entry) == ["format of the birth_date: day or month first"]
    assert "all of them read as %d/%m/%Y and as %m/%d/%Y" in entry
    with pytest.raises(DeclarationError, match="format_to_fill_in"):
        parse_source("members", read(entry))
    answered = drafted(Table(("id", "生日"), rows), birth_date="%m/%d/%Y")
    assert unfilled(answered) == []
    assert parse_source("members", read(answered)).fields["birth_date"][0].formats == ("%m/%d/%Y",)


def test_the_country_of_phones_is_asked() -> None:
    """Where numbers name none and are not Chinese, nobody reads them before a person says it."""
    rows = tuple({"id": str(n), "Phone": f"(212) 555-01{n:02}"} for n in range(4))
    entry = drafted(Table(("id", "Phone"), rows))
    assert unfilled(entry) == ["country of the phone"]
    with pytest.raises(DeclarationError, match=r"fields\.phone\.country: wrong_form"):
        parse_source("members", read(entry))
    answered = drafted(Table(("id", "Phone"), rows), phone="US")
    assert parse_source("members", read(answered)).fields["phone"][0].formats == ("US",)


def test_sheets_that_are_not_read_are_named() -> None:
    """Whoever meant another one sees it."""
    rows = tuple({"id": str(n), "手机": f"1395714{n:04}"} for n in range(4))
    entry = drafted(Table(("id", "手机"), rows, sheet="会员", sheets=("说明", "旧")))
    assert "sheet: 会员  # not read: 说明, 旧" in entry
