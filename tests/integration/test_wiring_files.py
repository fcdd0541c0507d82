"""``cdp source init`` on files as people have them: a draft that can be synced, or a reason."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.integration import in_process
from tests.journeys import tills
from tests.journeys.commands import Outcome
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
Cdp = Callable[..., Outcome]
HEAD = ["卡号", "姓名", "手机", "性别"]
NAMES = ("李静怡", "王建国", "张敏", "李娜", "陈思远")
ROWS = [[f"K{n:03}", name, f"1395714028{n}", "男女"[n % 2]] for n, name in enumerate(NAMES)]
CANARIES = (*NAMES, "1395714028")


@pytest.fixture
def cdp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cdp:
    """Runs ``cdp source``; nobody of the file is ever named in what it prints."""
    text = yaml.safe_dump({"version": 1, "organisation": tills.ORGANISATION}, allow_unicode=True)
    (tmp_path / "cdp.yaml").write_text(text, encoding="utf-8")
    environment = {"CDP_CONFIG": str(tmp_path / "cdp.yaml"), "CDP_HOME": str(tmp_path / "home")}

    def run(*arguments: str, code: int = 0, database: str | None = None) -> Outcome:
        more = {"CDP_DATABASE_URL": database} if database else {}
        done = in_process.run(monkeypatch, capsys, ("source", *arguments), environment | more, code)
        for canary in CANARIES:
            assert canary not in done.out + done.err
        return done

    return run


def written(rows: list[list[str]], delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    """Rows as text."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=quoting).writerows(rows)
    return text.getvalue().encode()


def book(**sheets: tuple[list[list[Any]], str]) -> bytes:
    """A workbook of these sheets: rows, and whether they show."""
    made = openpyxl.Workbook()
    made.remove(made.active)
    for title, (rows, state) in sheets.items():
        sheet = made.create_sheet(title)
        sheet.sheet_state = state
        for row in rows:
            sheet.append(row)
    kept = io.BytesIO()
    made.save(kept)
    return kept.getvalue()


LINES = [dict(zip(HEAD, row, strict=True)) for row in ROWS]
JSON = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in LINES).encode()
PLAIN = written([HEAD, *ROWS])
PAGE = f"<html><table><tr><td>{NAMES[0]}</td></tr></table></html>"

# Name of the file, its bytes, and what its draft says.
DRAFTED: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "every cell in quotes": ("x.csv", written([HEAD, *ROWS], quoting=csv.QUOTE_ALL), {}),
    "headings over two lines": (
        "x.csv", written([["会员\n卡号", *HEAD[1:]], *ROWS]), {"record_id": "会员\n卡号"},
    ),
    "delimiters too many": ("x.csv", b"\n".join([PLAIN.split(b"\n")[0], *(
        line.rstrip() + b",," for line in PLAIN.split(b"\n")[1:-1])]), {}),
    "text as formulas": (
        "x.csv", ("卡号,姓名,手机,性别\n" + "".join(
            f'="{a}",{b},="{c}",{d}\n' for a, b, c, d in ROWS)).encode(), {},
    ),
    "tabs, called .xls": (
        "x.xls", written([HEAD, *ROWS], "\t"), {"connector": "csv", "delimiter": "\t"},
    ),
    "commas, called .xlsx": ("x.xlsx", PLAIN, {"connector": "csv"}),
    "of another name": ("members.dat", PLAIN, {"connector": "csv"}),
    "a workbook, called .csv": ("x.csv", book(a=([HEAD, *ROWS], "visible")), {"connector": "xlsx"}),
    "a workbook, called .xls": ("x.xls", book(a=([HEAD, *ROWS], "visible")), {"connector": "xlsx"}),
    "JSON lines, called .csv": ("x.csv", JSON, {"connector": "jsonl"}),
    "a hidden sheet first": (
        "x.xlsx",
        book(old=([HEAD, *ROWS, *ROWS], "hidden"), cover=([["说明"], ["勿改"]], "visible"),
             now=([HEAD, *ROWS], "visible")),
        {"sheet": "now"},
    ),
    "one column beside 300 others": (
        "x.csv", written([[*HEAD, *(f"c{n}" for n in range(299))],
                          *([*row, *("1",) * 299] for row in ROWS)]), {},
    ),
}  # fmt: skip

REFUSED: dict[str, tuple[str, bytes, str]] = {
    "two rows of names": ("x.csv", written([[one] for one in NAMES[:2]]), "no_heading"),
    "names and cities": ("x.csv", "李静怡,上海\n王建国,杭州\n".encode(), "no_heading"),
    "names of another script": ("x.csv", b"Ann Smith,Rome\nBen Hill,Oslo\n", "heading=yes"),
    "a page, called .xls": ("x.xls", PAGE.encode("gb18030"), "web page (HTML)"),
    "a page, called .csv": ("x.csv", PAGE.encode(), "web page (HTML)"),
    "packed": ("x.csv", b"\x1f\x8b\x08\0", "gzip"),
    "a heading alone": ("x.csv", written([HEAD]), "no_rows"),
    "quotes inside quotes": (
        "x.csv", ("卡号,手机\n" + "".join(f'{r[0]},"a"{r[2]}"\n' for r in ROWS)).encode(),
        "no_row_can_be_read",
    ),
    "a list of JSON": ("x.json", json.dumps(LINES).encode(), "jq -c '.[]'"),
    "JSON over lines": ("x.json", json.dumps(LINES[0], indent=1).encode(), "jq -c ."),
    "a list inside an object": ("x.json", json.dumps({"data": LINES}).encode(), "rows_in_a_list"),
    "JSON a thousand deep": ("x.jsonl", b'{"a":' * 1000 + b"1" + b"}" * 1000, "no_line_is_an_obj"),
    "people as keys": ("x.json", json.dumps({r[2]: r[1] for r in ROWS}).encode(), "keys_are"),
    "a delimiter that is none": ("x.csv", written([HEAD, *ROWS], "^"), "delimiter_unknown"),
    "one heading twice": (
        "x.csv", written([["卡号", "手机", "手机"], *([*r[:1], r[2], r[2]] for r in ROWS)]),
        "duplicate_column",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DRAFTED)
def test_a_file_is_drafted_as_what_it_is(
    case: str, cdp: Cdp, tmp_path: Path, databases: Databases, template: str
) -> None:
    """Whatever its name says; and what was drafted is checked and synced as it is."""
    name, data, expected = DRAFTED[case]
    (tmp_path / name).write_bytes(data)
    done = cdp(
        "init", str(tmp_path / name), "--name", "x", "--with", "loyalty_card=kith", "--write"
    )
    entry = yaml.safe_load(done.out)["x"]
    wanted = {"record_id": "卡号"} | expected
    assert {key: entry[key] for key in wanted} == wanted
    assert set(entry["fields"]) == {"loyalty_card", "name", "phone", "gender"}
    database = databases.copy(template)
    tills.open_shop(tmp_path, database).engine.dispose()
    checked = cdp("check", "x", "--json", database=database).json
    assert [one for one in checked if one["level"] == "error"] == []
    [told] = cdp("sync", "x", "--json", database=database).json
    assert (told["added"], told["rejected"], told["set_aside"]) == (5, 0, 0)


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_is_refused_for_what_it_is(case: str, cdp: Cdp, tmp_path: Path) -> None:
    """With the rule and the next step; of nobody in it a word is shown."""
    name, data, told = REFUSED[case]
    (tmp_path / name).write_bytes(data)
    before = (tmp_path / "cdp.yaml").read_bytes()
    done = cdp("init", str(tmp_path / name), "--name", "x", "--write", code=1)
    assert told in done.err
    assert not done.out
    assert (tmp_path / "cdp.yaml").read_bytes() == before


def test_who_says_that_it_is_a_heading_is_believed(cdp: Cdp, tmp_path: Path) -> None:
    """Where no word of it is known, a person says so; a person in the first row stays refused."""
    (tmp_path / "x.csv").write_text("foo,bar\nAnn,a b\nBen,c d\n", encoding="utf-8")
    refused = cdp("init", str(tmp_path / "x.csv"), code=1)
    assert "--with heading=yes" in refused.err
    told = cdp("init", str(tmp_path / "x.csv"), "--name", "x", "--with", "heading=yes").out
    assert "record_id: foo" in told


def test_a_name_that_is_unique_by_chance_is_no_record_id(cdp: Cdp, tmp_path: Path) -> None:
    """Of the second 张敏 it would make the first: a phone is taken before, or it is asked for."""
    (tmp_path / "x.csv").write_bytes(written([["姓名", "手机"], *([r[1], r[2]] for r in ROWS)]))
    assert "record_id: 手机" in cdp("init", str(tmp_path / "x.csv"), "--name", "x").out
    (tmp_path / "x.csv").write_bytes(written([["姓名", "性别"], *([r[1], r[3]] for r in ROWS)]))
    told = cdp("init", str(tmp_path / "x.csv"), "--name", "x").out
    assert 'record_id: "<the columns that name a record>"' in told
    assert "no names for good: 姓名" in told


def test_what_a_spreadsheet_cut_is_told(cdp: Cdp, tmp_path: Path) -> None:
    """A number that was shown with an exponent has lost its digits before it came here."""
    rows = [["卡号", "性别", "手机"], *([r[0], r[3], "1.39E+10"] for r in ROWS)]
    (tmp_path / "x.csv").write_bytes(written(rows))
    assert "#   手机: digits are lost" in cdp("init", str(tmp_path / "x.csv"), "--name", "x").out


def test_columns_that_were_not_looked_at_are_counted(cdp: Cdp, tmp_path: Path) -> None:
    """A draft never keeps silent about part of a file."""
    head = [*HEAD, *(f"c{n}" for n in range(400))]
    (tmp_path / "x.csv").write_bytes(written([head, *([*row, *("1",) * 400] for row in ROWS)]))
    told = cdp("init", str(tmp_path / "x.csv"), "--name", "x").out
    assert "# 104 more columns were not looked at" in told
    columns = {name: [row[at] if at < 4 else "1" for row in ROWS] for at, name in enumerate(head)}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    told = cdp("init", str(tmp_path / "x.parquet"), "--name", "x").out
    assert "# 104 more columns were not looked at" in told


def test_an_answer_that_nobody_asked_for_is_refused(cdp: Cdp, tmp_path: Path) -> None:
    """Misspelt it would change nothing, and nobody would know."""
    (tmp_path / "x.csv").write_bytes(PLAIN)
    words = ("init", str(tmp_path / "x.csv"), "--name", "x", "--with")
    assert "did you mean loyalty_card?" in cdp(*words, "loyalty_crad=kith", code=1).err
    assert "no_such_question" in cdp(*words, "x=kith", code=1).err
    cdp(*words, "phone=CN")


def test_two_ways_at_once_are_misuse(cdp: Cdp, tmp_path: Path) -> None:
    """A file beside a table would be passed over without a word."""
    (tmp_path / "x.csv").write_bytes(PLAIN)
    assert "not both" in cdp("init", str(tmp_path / "x.csv"), "--dsn", "env:SOURCE_X", code=2).err
    assert "not both" in cdp("init", "--preset", "pos", "--table", "members", code=2).err
