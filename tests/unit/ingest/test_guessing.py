"""Which column is what, one test for each invariant of cdp.ingest.guessing."""

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.ingest.first_row import FirstRow
from cdp.ingest.guessing import guess, undeclared
from cdp.ingest.values import Reading
from connectors.declaration import SourceDeclaration, parse_source
from connectors.presets.catalogue import presets
from connectors.registry import SOURCES
from connectors.table import Table, Tabular, unmapped
from tests.presets import retailer

READING = Reading(dt.date(2026, 5, 4), stores=frozenset({"BJ01", "SZ01"}))
ACCURACY = 0.96  # of the columns of all samples, at the least; docs/howto says what it is
# One of the two is as good as the other, and of a code nobody would say it is a phone.
EITHER = {"phone_info.phoneNumber", "phone_info.purePhoneNumber", "phone_info.countryCode"}


def table_of(*rows: dict[str, str]) -> Table:
    return Table(tuple(rows[0]), rows)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    """The samples of all presets, as an undeclared file would be read."""
    folder = tmp_path_factory.mktemp("samples") / "shop"
    retailer.write(folder)
    found = {}
    for name, one in presets().items():
        connector = Path(one.location).suffix[1:]
        source = SOURCES[connector](
            unmapped(name, connector, one.location, encoding="auto"), folder
        )
        assert isinstance(source, Tabular)
        found[name] = source.table()
    return found


def mapped(source: SourceDeclaration) -> dict[str, str]:
    """Column of the file to the field that a preset reads from it, through derived columns."""
    made = {one.name: one.inputs for one in source.derived}

    def origin(column: str) -> list[str]:
        inputs = made.get(column, (column,))
        return [column] if column in inputs else [one for each in inputs for one in origin(each)]

    return {
        one: field
        for field, specs in source.fields.items()
        for spec in specs
        for column in spec.columns
        for one in origin(column)
    }


def test_what_the_presets_say_is_guessed(samples: dict[str, Table]) -> None:
    """Of the columns of every sample, nearly all are given the field that its preset gives."""
    right, wrong = 0, []
    for name, table in samples.items():
        wanted = mapped(parse_source(name, retailer.entries()[name]))
        for one in guess(table, READING).columns:
            if one.column in EITHER:
                continue
            found = one.field if one.chosen else None
            right += found == wanted.get(one.column)
            if found != wanted.get(one.column):
                wrong.append((name, one.column, found))
    assert right / (right + len(wrong)) >= ACCURACY, wrong


def test_each_sample_has_its_record_id_and_store(samples: dict[str, Table]) -> None:
    """The likeliest record id is the preset's, and the store column is found by its values."""
    for name, table in samples.items():
        declared = parse_source(name, retailer.entries()[name])
        found = guess(table, READING)
        assert found.record_ids[0] == declared.record_id, name
        assert found.store == declared.store
        assert found.first_row is FirstRow.HEADING


@given(
    texts=st.lists(
        st.text(min_size=3, max_size=12).map(lambda text: f"canary{text}"), min_size=1, max_size=8
    )
)
@settings(max_examples=30)
def test_1_a_guess_holds_no_value(texts: list[str]) -> None:
    """Invariant 1: headings, shares and counts, and nothing of the cells."""
    rows = [{"手机": text, "备注": text, "x": text} for text in texts]
    table = table_of(*rows)
    shown = repr(guess(table, READING)) + repr(undeclared(table, (), READING)) + repr(table)
    assert "canary" not in shown


def test_2_what_must_not_be_a_key_is_not_mapped() -> None:
    """Invariant 2: an old number, a masked nickname or a session key is nobody's field."""
    number = "13957140286"
    columns = ("old_mobile", "info.mobile.old_mobile", "session_key", "buyer_nick", "旧手机号")
    found = guess(table_of(dict.fromkeys(columns, number)), READING)
    assert [one.field for one in found.columns] == [None] * len(columns)


def test_2_another_openid_is_not_mapped() -> None:
    """Invariant 2: an openid of another app, or of another form, is not taken for ours."""
    openid = "oKm5a" + "x" * 23
    row = {"openid": openid, "sourceOpenId": openid, "wx_open_id": openid}
    assert [one.field for one in guess(table_of(row), READING).columns] == ["openid", None, None]
    assert guess(table_of({"openid": "17"}), READING).columns[0].field is None


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("phone", "139-5714-0286"),
        ("phone", "１３９５７１４０２８６"),
        ("phone", "18877771111-123"),
        ("email", "li.jingyi@example.com"),
        ("national_id", "330106199003140028"),
    ],
)
def test_3_strict_forms_are_found_under_any_heading(field: str, text: str) -> None:
    """Invariant 3: a phone is a phone in a column called `x`, in a new file or beside a mapping."""
    if field == "national_id":
        text = next(
            f"33010619900314002{last}"
            for last in "0123456789X"
            if guess(table_of(*[{"x": f"33010619900314002{last}"}] * 3), READING).columns[0].field
        )
    table = table_of(*[{"x": text, "known": text}] * 3)
    assert [one.field for one in guess(table, READING).columns] == [field, field]
    (finding,) = undeclared(table, ("known",), READING)
    assert (finding.rule, finding.subject) == ("personal_data_undeclared", "x")
    assert field in finding.next_step
    assert text not in finding.next_step


def test_numbers_of_orders_and_amounts_are_no_people() -> None:
    """What only looks like a long number warns nobody."""
    rows = [{"a": f"33{n:016}", "b": f"{n}.50", "c": "2026-01-02", "d": "WAIT"} for n in range(9)]
    assert undeclared(table_of(*rows), (), READING) == []


@pytest.mark.parametrize(
    "heading",
    [("13957140286", "李静怡", "K1"), ("李静怡", "女", "2001-02-03"), ("a@example.com", "x", "y")],
)
def test_a_file_without_a_heading_is_noticed(heading: tuple[str, ...]) -> None:
    """Where the first row is a person, its cells are no headings, and are not to be shown."""
    rows = [dict(zip(heading, ("13857160317", "女", "K2"), strict=True))] * 2
    assert guess(Table(heading, tuple(rows)), READING).first_row is FirstRow.PERSON


def test_a_file_of_hostile_columns_is_judged() -> None:
    """Empty files, empty columns and very long cells give a guess like any other."""
    empty = guess(Table(("a",), ()), READING)
    assert (empty.record_ids, empty.store, empty.rows) == ((), None, 0)
    assert [one.field for one in empty.columns] == [None]
    long = guess(table_of({"手机": "1" * 1_000_000, "": ""}), READING)
    assert long.columns[0].field is None


GERMAN = {
    "Kundennr": "10{:03}", "Vorname": "Jürgen", "Nachname": "Müller", "Straße": "Königstraße {}",
    "PLZ": "80{:03}", "Ort": "München", "Telefon": "089/1234{:03}", "Handy": "0171 1234{:03}",
    "E-Mail": "m{}@example.com", "Geburtsdatum": "{:02}.07.1980", "Umsatz": "1.234,50",
}  # fmt: skip
JAPANESE = {
    "会員番号": "M{:04}", "氏名": "佐藤　翔太", "フリガナ": "サトウ ショウタ",
    "電話番号": "090-1234-5{:03}", "メールアドレス": "s{}@example.com", "生年月日": "1985/04/{:02}",
    "性別": "男", "郵便番号": "160-0{:03}", "住所": "東京都新宿区西新宿1-{}",
}  # fmt: skip
TAIWANESE = {
    "會員卡號": "A{:04}", "姓名": "陳怡君", "手機": "0912-345-{:03}", "電子信箱": "t{}@example.com",
    "生日": "1991-03-{:02}", "性別": "女", "地址": "臺北市信義區松高路{}號", "備註": "x",
}  # fmt: skip
AMERICAN = {
    "Customer ID": "60{:04}", "First Name": "Ann", "Last Name": "Stone", "DOB": "07/{:02}/1980",
    "Default Address Phone": "+1 212-555-0{:03}", "Phone": "(212) 555-0{:03}", "Zip": "10{:03}",
}  # fmt: skip
WANTED = [
    (GERMAN, {"Kundennr": "buyer_id", "Vorname": "given_name", "Nachname": "surname",
              "Straße": "address", "PLZ": "postcode", "Ort": "city", "Handy": "phone",
              "E-Mail": "email", "Geburtsdatum": "birth_date"}),
    (JAPANESE, {"会員番号": "loyalty_card", "氏名": "name", "電話番号": "phone",
                "メールアドレス": "email", "生年月日": "birth_date", "性別": "gender",
                "郵便番号": "postcode", "住所": "address"}),
    (TAIWANESE, {"會員卡號": "loyalty_card", "姓名": "name", "手機": "phone", "電子信箱": "email",
                 "生日": "birth_date", "性別": "gender", "地址": "address", "備註": "note"}),
    (AMERICAN, {"Customer ID": "buyer_id", "First Name": "given_name", "Last Name": "surname",
                "DOB": "birth_date", "Phone": "phone", "Zip": "postcode"}),
]  # fmt: skip


@pytest.mark.parametrize(("forms", "wanted"), WANTED)
def test_files_of_other_countries_are_guessed(
    forms: dict[str, str], wanted: dict[str, str]
) -> None:
    """German, Japanese, Taiwanese and American shops: names in two columns, mobiles, dates."""
    rows = [{name: form.format(n) for name, form in forms.items()} for n in range(1, 29)]
    found = guess(table_of(*rows), READING)
    assert {one.column: one.field for one in found.columns if one.chosen} == wanted
    assert found.record_ids[0] == (next(iter(forms)),)
    phone = next(one for one in found.columns if one.field == "phone" and one.chosen)
    assert phone.foreign


@pytest.mark.parametrize(
    ("days", "formats"),
    [
        (("31.12.1990", "01.02.1985"), ("%d.%m.%Y",)),
        (("31/12/1990", "01/02/1985"), ("%d/%m/%Y",)),
        (("12/31/1990", "01/02/1985"), ("%m/%d/%Y",)),
        (("11/12/1990", "01/02/1985"), ("%d/%m/%Y", "%m/%d/%Y")),
        (("33238", "31079"), ("excel",)),
        (("33238", "1985-02-01"), ("excel",)),
        (("1990-12-31", "1985年2月1日"), ()),
        (("Dec 31, 1990", "Feb 1, 1985"), ("%b %d, %Y",)),
    ],
)
def test_the_format_of_birthdays_is_found(days: tuple[str, ...], formats: tuple[str, ...]) -> None:
    """By the values that read as nothing without; where two fit all of them, both are told."""
    [one] = guess(table_of(*({"生日": day} for day in days)), READING).columns
    assert (one.field, one.formats, one.confidence) == ("birth_date", formats, 1.0)


def test_phones_of_china_ask_for_no_country() -> None:
    """Mobiles in any spelling, numbers with their country, and two in one cell."""
    texts = ["13957140286", "１３９５７１４０２８６", "+49 171 1234567", "0049 171 1234567",
             "139-5714-0286", "13957140286/13857160317", "'+1 212-555-0100"]  # fmt: skip
    [one] = guess(table_of(*({"手机": text} for text in texts)), READING).columns
    assert (one.field, one.foreign) == ("phone", False)
    for number, foreign in (("'+1 212-555-01{:02}", False), ("'(212) 555-01{:02}", True)):
        quoted = [{"手机": number.format(n)} for n in range(4)]  # as some shops export them
        [one] = guess(table_of(*quoted), READING).columns
        assert (one.field, one.foreign) == ("phone", foreign)
