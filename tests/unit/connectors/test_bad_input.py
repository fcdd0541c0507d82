"""Files that are made badly, or on purpose: what is refused, and what it costs to find out."""

import os
import time
import tracemalloc

import pytest

from connectors.base import Level
from connectors.declaration import parse_source
from connectors.errors import Retry, Stop
from connectors.record import Rejection
from connectors.registry import open_source
from connectors.sources import csv_rows
from connectors.table import MOST_COLUMNS, MOST_TEXT, Tabular, unmapped

ENTRY = {"record_id": "id", "fields": {"name": "name"}}
HUGE = 5 * 1024**3  # bytes; nothing but a hole


def source_of(folder, connector="csv", location="x", **more):
    entry = {**ENTRY, "connector": connector, "location": location, **more}
    return open_source(parse_source("s", entry), folder)


def shown(row):
    if isinstance(row, Rejection):
        return row.position, row.rule
    names = [one.value.reveal(reason="test") for one in row.fields.get("name", ())]
    return row.position, row.record_id.reveal(reason="test"), *names


def members(folder, count=3):
    rows = "".join(f"{number},x\n" for number in range(1, count + 1))
    (folder / "x").write_text(f"id,name\n{rows}", "utf-8")


# ── while it is read ────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "change",
    [
        lambda path: os.truncate(path, 20),
        lambda path: path.write_text("id,name\n7,y\n", "utf-8"),
        lambda path: path.write_text(f"{path.read_text('utf-8')}9,z\n", "utf-8"),
    ],
    ids=["cut", "written anew", "written on"],
)
def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path, change):
    """What was read does not pass for the whole: it is read again when it is written."""
    members(tmp_path, 3000)
    source = source_of(tmp_path)
    source.fingerprint()
    rows = source.read()
    next(rows)
    change(tmp_path / "x")
    with pytest.raises(Retry, match="changed_while_reading"):
        list(rows)


def test_a_file_that_changes_behind_its_fingerprint_is_noticed(tmp_path):
    """The rows of one content never pass for those of another."""
    members(tmp_path)
    source = source_of(tmp_path)
    source.fingerprint()
    members(tmp_path, 4)
    with pytest.raises(Retry, match="changed_while_reading"):
        list(source.read())
    source.fingerprint()
    assert len(list(source.read())) == 4


def test_a_file_that_is_replaced_is_read_to_its_end(tmp_path):
    """Another file in its place leaves the open one whole: nothing of it is lost."""
    members(tmp_path, 3000)
    source = source_of(tmp_path)
    source.fingerprint()
    rows = source.read()
    next(rows)
    (tmp_path / "y").write_text("id,name\n7,y\n", "utf-8")
    (tmp_path / "y").replace(tmp_path / "x")
    assert len(list(rows)) == 2999


# ── what it takes ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("connector", ["csv", "tsv", "jsonl", "xlsx", "parquet"])
@pytest.mark.parametrize("encoding", ["utf-8", "auto"])
def test_five_gigabytes_of_nothing_are_refused_at_once(tmp_path, connector, encoding):
    """By the first bytes or the last ones; not read to the end first."""
    with (tmp_path / "x").open("wb") as file:
        file.truncate(HUGE)
    more = {"encoding": encoding} if connector in {"csv", "tsv", "jsonl"} else {}
    source = source_of(tmp_path, connector, **more)
    began = time.process_time()
    [finding] = source.check()
    with pytest.raises(Stop):
        list(source.read())
    assert finding.level is Level.ERROR
    assert time.process_time() - began < 1


def test_a_look_at_wide_rows_keeps_little(tmp_path):
    """A hundred thousand columns without end: the first are kept, and no row more than that."""
    columns = [f"c{number}" for number in range(100_000)]
    with (tmp_path / "x").open("w") as file:
        file.write(",".join(["id", "name", *columns]) + "\n")
        file.writelines(f"{number},x{',' * len(columns)}\n" for number in range(30))
    source = source_of(tmp_path)
    tracemalloc.start()
    table = source.table()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(table.rows) == 30
    assert all(len(row) == MOST_COLUMNS for row in table.rows)
    assert peak < 100 * 1024**2


@pytest.mark.parametrize("connector", ["csv", "jsonl"])
def test_a_look_at_long_rows_ends(tmp_path, connector):
    """So many characters are enough to judge columns, however few rows they are."""
    text = "x" * 1_000_000
    with (tmp_path / "x").open("w") as file:
        for number in range(40):
            line = f"{number},{text}\n" if number else "id,name\n"
            file.write(line if connector == "csv" else f'{{"id":{number},"name":"{text}"}}\n')
    table = source_of(tmp_path, connector).table()
    assert MOST_TEXT // len(text) <= len(table.rows) <= MOST_TEXT // len(text) + 2


def test_lost_quotes_are_searched_for_so_far_only(tmp_path, monkeypatch):
    """However few they are: each may have the whole of a large file read again."""
    monkeypatch.setattr(csv_rows, "MAX_READ_AGAIN", 100)
    lost = '1,"a\n' + "".join(f"{number},b\n" for number in range(2, 40))
    (tmp_path / "x").write_text(f'id,name\n{lost}40,"c\n41,"d\ne"\n', "utf-8")
    found = [shown(row) for row in source_of(tmp_path).read()]
    assert found[0] == (1, "quote_misplaced")
    assert found[1:39] == [(number, str(number), "b") for number in range(2, 40)]
    assert found[39:] == [(40, "quote_unclosed"), (41, "quote_unclosed"), (42, "column_count")]


# ── what it says ────────────────────────────────────────────────────────────


def test_a_file_without_heading_shows_nobody(tmp_path):
    """Where nothing is declared yet, the first row may be a person: no cell of it is quoted."""
    (tmp_path / "x").write_text("K1,张三,13900000011,13900000011\n", "utf-8")
    source = open_source(unmapped("s", "csv", "x"), tmp_path)
    assert isinstance(source, Tabular)
    with pytest.raises(Stop, match="duplicate_column") as stop:
        source.table()
    assert "139" not in str(stop.value)
    assert "column 3" in str(stop.value)


@pytest.mark.parametrize("connector", ["csv", "jsonl"])
def test_a_line_of_another_encoding_is_no_nonsense(tmp_path, connector):
    """Files are put together of several: UTF-8 is valid GB18030, and none of these names."""
    lines = {"csv": "{},{}\n", "jsonl": '{{"id":"{}","name":"{}"}}\n'}[connector]
    names = [("王芳", "gb18030"), ("联通", "gb18030"), ("赵小雨雪", "utf-8"), ("赵雨，女", "utf-8"),
             ("é", "gb18030"), ("王 芳", "gb18030")]  # fmt: skip
    data = b"id,name\n" if connector == "csv" else b""
    data += b"".join(lines.format(place, n).encode(e) for place, (n, e) in enumerate(names))
    (tmp_path / "x").write_bytes(data)
    found = [shown(row) for row in source_of(tmp_path, connector, encoding="gb18030").read()]
    assert [one[1:] for one in found] == [
        ("0", "王芳"), ("1", "联通"), ("not_decodable",), ("not_decodable",), ("4", "é"),
        ("5", "王 芳"),
    ]  # fmt: skip


def test_a_credential_that_nobody_uses_is_refused(tmp_path):
    """A file of this machine needs none: a secret under a name of no use is a mistake."""
    members(tmp_path)
    with pytest.raises(Stop, match="credential_not_used"):
        source_of(tmp_path, credentials={"password": "env:SOURCE_X"})


def test_a_name_that_no_file_can_have_is_told(tmp_path):
    """It is a finding, as a missing file is."""
    assert [one.rule for one in source_of(tmp_path, location="a\0b").check()] == ["file_unreadable"]
