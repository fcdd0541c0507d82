"""Parquet files, well made and hostile."""

import datetime as dt
import json
import struct
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.parquet import encryption

from connectors.cells import BadCell
from connectors.declaration import parse_source
from connectors.errors import DeclarationError, Stop
from connectors.record import Record, Rejection
from connectors.registry import open_source
from connectors.sources import parquet, parquet_engine, parquet_pages
from connectors.sources.parquet_engine import ParquetTable, RefusedError
from connectors.table import unmapped

CANARY = "canary-13800001111"


def declared(location="m.parquet", **changes):
    entry = {
        "connector": "parquet",
        "location": str(location),
        "record_id": "id",
        "fields": {"name": "name"},
        **changes,
    }
    return parse_source("members", entry)


def cells(column, name="c", path=None, **options):
    """What becomes of the values of a column."""
    file = pa.BufferOutputStream()
    pq.write_table(pa.table({name: column}), file, **options)
    table = opened(file.getvalue().to_pybytes())
    path = path or name
    assert path in table.columns()
    return [cell for _, (part,) in table.read([path], 0) for cell in part]


def opened(content):
    """A table over the bytes of a file."""
    length, _ = parquet_pages.footer_length(pa.BufferReader(content), len(content))
    return ParquetTable(pa.BufferReader(content), parquet_pages.footer(content[-8 - length : -8]))


def bad(cell):
    """The rule of a cell that could not be read, and what is kept of it."""
    assert isinstance(cell, BadCell)
    assert not cell.rejects_row
    return cell.rule, cell.raw.reveal(reason="test")


def stopped(tmp_path, content, **changes):
    """The rule that reading ends with; check finds it too, or the file looks well at first."""
    (tmp_path / "m.parquet").write_bytes(content)
    source = open_source(declared(**changes), tmp_path)
    with pytest.raises(Stop) as caught:
        list(source.read())
    assert CANARY not in f"{caught.value} {caught.value!r} {source.check()}"
    assert caught.value.next_step
    return caught.value.rule


def written(table, **options):
    """The bytes of a file."""
    file = pa.BufferOutputStream()
    pq.write_table(table, file, **options)
    return file.getvalue().to_pybytes()


MEMBERS = pa.table({"id": ["1", "2"], "name": [CANARY, "b"]})


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["a", "", None]), ["a", None, None]),
        (pa.array(["张三"], pa.large_string()), ["张三"]),
        (pa.array(["a", "a"]).dictionary_encode(), ["a", "a"]),
        (pa.array([True, False, None]), ["true", "false", None]),
        (pa.array([2**63 - 1, -1], pa.int64()), ["9223372036854775807", "-1"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([0.1, 1e-7, 3.0, -0.0], pa.float64()), ["0.1", "0.0000001", "3", "0"]),
        (pa.array([0.1, 3.0], pa.float32()), ["0.1", "3"]),
        (pa.array([Decimal("12345678901234567890.120")], pa.decimal128(30, 3)),
         ["12345678901234567890.12"]),
        (pa.array([Decimal("1.5")], pa.decimal256(60, 2)), ["1.5"]),
        (pa.array([dt.date(1990, 2, 28), None]), ["1990-02-28", None]),
        (pa.array([636163200], pa.timestamp("s")), ["1990-02-28"]),
        (pa.array([636195900 * 10**6], pa.timestamp("us")), ["1990-02-28T09:05:00"]),
        (pa.array([1_000_000_001], pa.timestamp("ns")), ["1970-01-01T00:00:01.000000001"]),
        (pa.array([-1], pa.timestamp("ms")), ["1969-12-31T23:59:59.999"]),
        (pa.array([0], pa.timestamp("ms", "Asia/Shanghai")), ["1970-01-01T08:00:00+08:00"]),
        (pa.array([-8 * 3600], pa.timestamp("s", "Asia/Shanghai")), ["1970-01-01"]),
        (pa.array([0], pa.timestamp("us", "-03:30")), ["1969-12-31T20:30:00-03:30"]),
        (pa.array([dt.time(9, 5, 1)], pa.time32("ms")), ["09:05:01"]),
        (pa.array([1_500_000_000], pa.time64("ns")), ["00:00:01.5"]),
        (pa.array([90_061], pa.duration("s")), ["25:01:01"]),
        (pa.array([b"ab", "张".encode()]), ["ab", "张"]),
        (pa.array([b"abcd"], pa.binary(4)), ["abcd"]),
        (pa.array([bytes(16)], pa.uuid()), ["00000000-0000-0000-0000-000000000000"]),
        (pa.array([None, None]), [None, None]),
        (pa.array([["a", None, "b"], [], None]), [("a", "b"), None, None]),
        (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), [("1", "2"), None]),
        (pa.array([[["a"], ["b", "c"]], None]), [("a", "b", "c"), None]),
    ],
)  # fmt: skip
def test_each_type_becomes_a_cell(column, expected):
    """Dates, exact decimals, booleans, lists: as a spreadsheet would have them."""
    assert cells(column) == expected


def test_a_path_reaches_into_structures_lists_and_maps():
    """Names joined by dots; a name that holds dots itself is taken first."""
    column = pa.array([{"a": {"b": "x"}}, {"a": None}, None])
    assert cells(column, path="c.a.b") == ["x", None, None]
    items = pa.array([[{"k": "x", "v": 1}, {"k": None, "v": 2}], None])
    assert cells(items, path="c.k") == [("x",), None]
    assert cells(items, path="c.v") == [("1", "2"), None]
    mapped = pa.array([[("p", "1"), ("q", None)], None], pa.map_(pa.string(), pa.string()))
    assert cells(mapped, path="c.key") == [("p", "q"), None]
    assert cells(mapped, path="c.value") == [("1",), None]
    assert cells(pa.array(["x"]), name="a.b") == ["x"]


@pytest.mark.parametrize(
    ("column", "rule", "raw"),
    [
        (pa.array([float("nan")]), "not_a_number", "nan"),
        (pa.array([float("-inf")]), "not_a_number", "-inf"),
        (pa.array([float("inf")], pa.float32()), "not_a_number", "inf"),
        (pa.array([13800001111.0], pa.float32()), "digits_lost", "13800002000"),
        (pa.array([1e15]), "digits_lost", "1000000000000000"),
        (pa.array([b"\xff"]), "not_text", "�"),
        (pa.array([2**62], pa.timestamp("ms")), "out_of_range", str(2**62)),
        (pa.array([10**7], pa.date32()), "out_of_range", ""),
        (pa.array([{"a": "x"}]), "not_plain", '{"a": "x"}'),
        (pa.array([[1.0, float("nan")]]), "not_a_number", "nan"),
    ],
)
def test_what_is_no_cell_is_set_aside_by_rule(column, rule, raw):
    """NaN, infinities, lost digits, bytes, days beyond the calendar: never lost, never guessed."""
    (cell,) = cells(column)
    assert bad(cell) == (rule, raw)


def test_text_that_is_no_utf8_is_set_aside_alone():
    """One broken text does not take its neighbours with it."""
    broken = pa.array([b"good", b"\xff\xfe", b"also"])
    column = pa.Array.from_buffers(pa.string(), 3, broken.buffers())
    first, second, third = cells(column)
    assert (first, third) == ("good", "also")
    assert bad(second)[0] == "not_text"


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=("Cs",)))),
                min_size=1, max_size=20))  # fmt: skip
def test_text_comes_back_as_it_was_written(texts):
    """Any text, empty ones as nothing."""
    assert cells(pa.array(texts, pa.string())) == [text or None for text in texts]


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=5,
                            min_value=-10**20, max_value=10**20), min_size=1))  # fmt: skip
def test_decimals_are_exact(numbers):
    """No digit of a decimal is lost or made up."""
    found = cells(pa.array(numbers, pa.decimal128(30, 5)))
    assert [Decimal(one) for one in found] == numbers
    assert not any("E" in one or "e" in one for one in found)


def test_rows_resume_across_row_groups_and_batches(tmp_path, monkeypatch):
    """Whatever the sizes of row groups and batches, the tail behind a position is the same."""
    table = pa.table({"id": [str(n) for n in range(1, 24)], "name": ["x"] * 23})
    pq.write_table(table, tmp_path / "m.parquet", row_group_size=5)
    monkeypatch.setattr(parquet_engine, "BATCH_ROWS", 3)
    source = open_source(declared(), tmp_path)
    assert source.count() == 23
    for after in range(25):
        found = [(row.position, row.record_id.reveal(reason="test")) for row in source.read(after)]
        assert found == [(n, str(n)) for n in range(after + 1, 24)]


def test_a_rejected_row_is_kept_as_json(tmp_path):
    """Every declared cell of it, also one that could not be read."""
    table = pa.table({"id": [None, "2"], "name": ["张三", "b"], "n": [float("nan"), 1.0],
                      "tags": [["a", "b"], []]})  # fmt: skip
    (tmp_path / "m.parquet").write_bytes(written(table))
    mapped = {"name": "name", "note": "n", "remark": "tags"}
    rejected, record = open_source(declared(fields=mapped), tmp_path).read()
    assert isinstance(rejected, Rejection)
    assert json.loads(rejected.raw.reveal(reason="test")) == {
        "name": "张三", "n": "nan", "tags": ["a", "b"],
    }  # fmt: skip
    assert isinstance(record, Record)
    assert rejected.rule == "record_id_missing"


def test_a_cell_that_is_too_large_rejects_its_row(tmp_path):
    """Alone: the row behind it is read."""
    (tmp_path / "m.parquet").write_bytes(
        written(pa.table({"id": ["1", "2"], "name": ["x" * 99, "y"]}))
    )
    source = parquet.ParquetSource(declared(), tmp_path, cell_limit=50)
    first, second = source.read()
    assert first.rule == "cell_too_large"
    assert second.record_id.reveal(reason="test") == "2"


def test_a_missing_column_names_those_that_are_there(tmp_path):
    """Paths inside structures are offered too."""
    table = pa.table({"id": ["1"], "contact": [{"phone": CANARY}]})
    (tmp_path / "m.parquet").write_bytes(written(table))
    (finding,) = open_source(declared(fields={"name": "contact.name"}), tmp_path).check()
    assert finding.rule == "column_missing"
    assert "contact.phone" in finding.next_step


def test_the_first_rows_can_be_looked_at_before_there_is_a_mapping(tmp_path):
    """Columns and paths as they are; a structure itself is nothing that could be mapped."""
    table = pa.table({"id": ["1", "2"], "contact": [{"phone": CANARY}, None], "n": [1.5, None]})
    (tmp_path / "m.parquet").write_bytes(written(table))
    seen = open_source(unmapped("members", "parquet", "m.parquet"), tmp_path).table(1)
    assert seen.columns == ("id", "contact", "contact.phone", "n")
    assert (seen.texts("id"), seen.texts("contact.phone")) == (["1"], [CANARY])
    assert seen.texts("contact") == []
    assert CANARY not in repr(seen)


@pytest.mark.parametrize("option", [{"encoding": "utf-8"}, {"sheet": "a"}, {"delimiter": ";"}])
def test_options_of_other_readers_are_refused(option):
    """A Parquet file says itself what it is."""
    with pytest.raises(DeclarationError, match="key_not_for_connector"):
        declared(**option)


# ── hostile files ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "empty_file"),
        (b"id,name\n1,canary-13800001111\n", "not_parquet"),
        (b"PAR1", "file_cut_short"),
        (b"PAR1PAR1", "file_damaged"),
        (b"PAR1\x00\x00\x00\x00PAR1", "file_damaged"),
        (b"PAR1" + struct.pack("<I", 2**31) + b"PAR1", "file_damaged"),
        (b"PAR1" + struct.pack("<I", 5000) + b"PAR1", "file_damaged"),
    ],
)
def test_what_is_no_parquet_stops(tmp_path, content, rule):
    """Empty, another format, cut short, a footer that lies."""
    assert stopped(tmp_path, content) == rule


def test_a_truncated_file_stops(tmp_path):
    """Cut at any place: the end is missing."""
    content = written(MEMBERS)
    for length in range(4, len(content), 97):
        assert stopped(tmp_path, content[:length]) == "file_cut_short"


def test_a_flipped_byte_is_noticed_or_harmless(tmp_path):
    """A byte changed anywhere: rows or a typed stop, never another error, never a crash."""
    content = written(MEMBERS, write_page_checksum=True)
    ends = set()
    for at in [*range(0, len(content) - 8, 3), *range(len(content) - 8, len(content))]:
        changed = bytearray(content)
        changed[at] ^= 0xFF
        (tmp_path / "m.parquet").write_bytes(changed)
        try:
            ends.add(len(list(open_source(declared(), tmp_path).read())))
        except Stop as stop:
            ends.add(stop.rule)
    assert {2, "file_damaged", "file_cut_short", "not_parquet"} <= ends


class Kms(encryption.KmsClient):
    """Wraps keys by not wrapping them: for files that tests write."""

    def __init__(self, _):
        super().__init__()

    def wrap_key(self, key, _):
        """The key itself, as text."""
        return key.hex()

    def unwrap_key(self, wrapped, _):
        """The key again."""
        return bytes.fromhex(wrapped)


@pytest.mark.parametrize("plaintext_footer", [True, False])
def test_an_encrypted_file_stops(tmp_path, plaintext_footer):
    """With its footer encrypted, or its columns only."""
    factory = encryption.CryptoFactory(Kms)
    keys = encryption.EncryptionConfiguration(
        footer_key="f", column_keys={"c": ["name"]}, plaintext_footer=plaintext_footer
    )
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), keys)
    content = written(MEMBERS, encryption_properties=properties)
    assert stopped(tmp_path, content) == "file_encrypted"


def test_metadata_without_measure_stops(tmp_path, monkeypatch):
    """It would be read whole before anything else."""
    monkeypatch.setattr(parquet, "MAX_METADATA", 100)
    assert stopped(tmp_path, written(MEMBERS)) == "metadata_too_large"


def test_too_many_columns_stop(tmp_path, monkeypatch):
    """A million columns are refused by the metadata's own size; fewer by their number."""
    wide = written(pa.table({f"c{n}": ["x"] for n in range(300)}))
    monkeypatch.setattr(parquet_engine, "MAX_COLUMNS", 299)
    assert stopped(tmp_path, wide) == "too_many_columns"


def test_a_million_columns_stop(tmp_path):
    """Before anything is made of them."""

    def varint(n):
        return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)

    count = 1_000_000
    element = b"\x15\x0c\x25\x00\x18\x01c\x00"  # an optional BYTE_ARRAY named c
    root = b"\x48\x04root" + b"\x15" + varint(2 * count) + b"\x00"
    footer = (
        b"\x15\x02\x19\xfc" + varint(count + 1) + root + element * count + b"\x16\x00\x19\x0c\x00"
    )
    content = b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"
    assert stopped(tmp_path, content) == "too_many_columns"


def test_a_page_that_unpacks_to_far_more_stops(tmp_path, monkeypatch):
    """A few kilobytes that would fill memory are refused by their header."""
    bomb = pa.table({"id": ["1"], "name": ["x" * 40_000_000]})
    content = written(bomb, compression="zstd", use_dictionary=False)
    assert len(content) < 100_000
    monkeypatch.setattr(parquet_engine, "MAX_PAGE", 2**25)
    assert stopped(tmp_path, content) == "page_too_large"


def test_a_page_that_lies_in_its_header_stops(tmp_path):
    """The header says two gigabytes, whatever the metadata says of the whole column."""
    content = written(MEMBERS, compression="none", use_dictionary=False)
    start = (
        pq.ParquetFile(pa.BufferReader(content)).metadata.row_group(0).column(1).data_page_offset
    )
    lie = b"\x15\x00\x15\xfe\xff\xff\xff\x0f\x15\x02\x2c\x15\x04\x15\x00\x00\x00"
    assert (
        stopped(tmp_path, content[:start] + lie + content[start + len(lie) :]) == "page_too_large"
    )


def test_a_text_that_is_repeated_is_unpacked_a_few_rows_at_a_time(monkeypatch):
    """One large entry of a dictionary stands for every row: batches shrink, memory stays."""
    column = pa.array(["x" * 200_000] * 500)
    file = pa.BufferOutputStream()
    pq.write_table(pa.table({"c": column}), file)
    monkeypatch.setattr(parquet_engine, "BATCH_BYTES", 1_600_000)
    table = opened(file.getvalue().to_pybytes())
    sizes = [len(part) for _, (part,) in table.read(["c"], 0)]
    assert sum(sizes) == 500
    assert max(sizes) <= 8


def test_a_list_without_end_stops(monkeypatch):
    """One row whose list has more values than any row of a retailer."""
    monkeypatch.setattr(parquet_engine, "MAX_IN_LISTS", 1000)
    with pytest.raises(RefusedError, match="list_too_long"):
        cells(pa.array([["x"] * 5000]))


@given(st.binary(max_size=200))
def test_any_bytes_as_headers_end_in_pages_or_a_refusal(data):
    """The walk over headers ends, whatever stands there."""
    file = pa.BufferReader(data)
    try:
        found = list(parquet_pages.pages(file, 0, len(data)))
    except parquet_pages.BrokenPagesError:
        return
    assert all(page.unpacked >= 0 and page.values >= 0 for page in found)
