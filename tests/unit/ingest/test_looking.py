"""What `cdp source check` says of the first rows: `cdp/ingest/looking.py`."""

import datetime as dt
from pathlib import Path

import pytest

from cdp.ingest.looking import FIRST_ROWS, looked_at
from cdp.ingest.values import Reading
from connectors.base import Level
from connectors.declaration import parse_source
from connectors.registry import open_source

READING = Reading(dt.date(2026, 5, 4), stores=frozenset({"S1"}))
ENTRY = {
    "connector": "csv",
    "location": "x.csv",
    "record_id": "card",
    "fields": {"name": "name", "phone": "phone", "birth_date": "born"},
    "attributes": {"spent": {"column": "spent", "type": "decimal"}},
}


def found(folder: Path, rows: list[str], **changes: object) -> list[tuple[str, str, str, str]]:
    text = "card,name,phone,born,spent\n" + "".join(f"{row}\n" for row in rows)
    (folder / "x.csv").write_text(text, encoding="utf-8")
    declared = parse_source("till", {**ENTRY, **changes})
    findings = looked_at(open_source(declared, folder), declared, READING)
    return [(one.level, one.rule, one.subject, one.next_step) for one in findings]


def good(number: int, **other: str) -> str:
    cells = {"name": "李静怡", "phone": f"1395714{number:04}", "born": "1990-01-02", "spent": "1"}
    return ",".join([f"K{number}", *{**cells, **other}.values()])


def test_a_few_bad_rows_are_not_told(tmp_path: Path) -> None:
    """They are what `cdp source rejects` is for, row by row."""
    rows = [good(n) for n in range(8)]
    rows += [good(8, born="1992-02-30"), good(9, phone="13800138000"), ",x,,,"]
    assert found(tmp_path, rows) == []


def test_a_declaration_that_rejects_every_row_is_an_error(tmp_path: Path) -> None:
    """The file can be opened, its columns are there, and still no row would come in."""
    rows = ["," + good(n).partition(",")[2] for n in range(3)]
    [(level, rule, subject, step)] = found(tmp_path, rows)
    assert (level, rule, subject) == (Level.ERROR, "record_id_missing", "row 1")
    assert "3 of the first 3 rows would be rejected" in step
    mostly = found(tmp_path, [*rows, good(1), good(2)])
    assert [(level, rule) for level, rule, *_ in mostly] == [(Level.WARNING, "record_id_missing")]


def test_what_most_values_of_a_field_lack_is_told(tmp_path: Path) -> None:
    """A date format, an attribute of another type: a matter of the mapping, not of a row."""
    rows = [good(n, born="31.12.1990", spent="1.50 EUR") for n in range(5)] + [good(6)]
    told = {subject: (level, rule, step) for level, rule, subject, step in found(tmp_path, rows)}
    assert {subject: one[:2] for subject, one in told.items()} == {
        "birth_date": (Level.WARNING, "unknown_shape"),
        "spent": (Level.WARNING, "not_decimal"),
    }
    assert "5 of the first 6 values would be set aside" in told["birth_date"][2]


@pytest.mark.parametrize(("action", "level"), [("pause", 1), ("reject", 4), ("warn", 4)])
def test_what_the_first_rows_break_of_the_contract_is_told(
    tmp_path: Path, action: str, level: int
) -> None:
    """One row that would pause the source; of rows that are rejected or warned of, most."""
    contract = {"columns": {"spent": {"type": "decimal", "range": {"least": 0}}}}
    broken = [good(n, spent="-1") for n in range(level)]
    rows = broken + [good(n) for n in range(level, level + 3)]
    [(_, rule, subject, step)] = found(tmp_path, rows, contract=contract, on_breach=action)
    assert (rule, subject) == ("contract_range", "spent")
    assert step.startswith(f"{level} of the first {level + 3} rows")
    fewer = [good(0, spent="-1"), *(good(n) for n in range(1, 5))]
    if action != "pause":
        assert found(tmp_path, fewer, contract=contract, on_breach=action) == []


def test_phones_of_no_country_are_told(tmp_path: Path) -> None:
    """Read as Chinese, a Japanese mobile is a landline of Sichuan: nothing would set it aside."""
    rows = [good(n, phone=f"090-1234-{n:04}") for n in range(5)]
    assert [one[1] for one in found(tmp_path, rows)] == ["phone_country_unclear"]
    fields = {**ENTRY["fields"], "phone": {"column": "phone", "country": "JP"}}
    assert found(tmp_path, rows, fields=fields) == []
    home = [good(n, phone=("+81 90 1234 0001", "13957140286")[n % 2]) for n in range(6)]
    assert found(tmp_path, home) == []


def test_no_finding_holds_a_value(tmp_path: Path) -> None:
    """Rules, columns and counts, whatever stands in the rows."""
    rows = [good(n, name="canary", phone=f"09-canary{n}", born="canary") for n in range(5)]
    told = found(tmp_path, rows)
    assert {one[1] for one in told} == {"not_a_number", "unknown_shape"}
    assert "canary" not in str(told)


def test_only_the_first_rows_are_read(tmp_path: Path) -> None:
    """Of a large file a check reads little; what comes later is for the sync."""
    rows = [good(n) for n in range(FIRST_ROWS)] + [",x,,,"] * 5 * FIRST_ROWS
    assert found(tmp_path, rows) == []
