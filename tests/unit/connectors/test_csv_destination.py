"""Writing CSV, one test for each invariant of the destination."""

import csv
import io
import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import TableDestination
from connectors.destination_declaration import parse_destination
from connectors.destinations.csv_file import CsvFileDestination
from connectors.errors import Stop
from connectors.record import Sensitive


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all examples of a law; each writes its file anew."""
    return tmp_path_factory.mktemp("laws")


def destination(folder, **changes):
    entry = {
        "connector": "csv_file",
        "location": "out/weekly.csv",
        "purpose": "analysis",
        "fields": ["profile_id", "city", "tags"],
        **changes,
    }
    return CsvFileDestination(parse_destination("weekly", entry), folder)


def written(folder):
    return (folder / "out" / "weekly.csv").read_bytes()


def test_a_table_is_written(tmp_path):
    """The heading is the contract, lists are joined, absent fields are empty cells."""
    target = destination(tmp_path)
    assert isinstance(target, TableDestination)
    rows = [
        {"profile_id": "p1", "city": "北京", "tags": ["vip", "new"]},
        {"profile_id": 2, "tags": None},
        {"profile_id": True, "city": 'a,"b"\n', "tags": ()},
    ]
    assert target.write(rows) == 3
    expected = 'profile_id,city,tags\r\np1,北京,vip;new\r\n2,,\r\ntrue,"a,""b""\n",\r\n'
    assert written(tmp_path) == expected.encode()
    assert target.write([]) == 0
    assert written(tmp_path) == b"profile_id,city,tags\r\n"


def test_a_mark_for_excel_when_declared(tmp_path):
    """With bom the file begins with a byte order mark."""
    destination(tmp_path, bom=True).write([])
    assert written(tmp_path).startswith(b"\xef\xbb\xbfprofile_id")


def broken_rows():
    yield {"profile_id": "new"}
    raise ConnectionError


@pytest.mark.parametrize(
    "rows",
    [
        broken_rows,
        lambda: [{"profile_id": "new"}, {"phone": "7"}],
        lambda: [{"profile_id": "new"}, {"city": "\ud800"}],
    ],
    ids=["source breaks", "outside contract", "half a surrogate"],
)
def test_invariant_1_all_or_nothing(tmp_path, rows):
    """When writing fails half way the old file stays, and no part file is left."""
    target = destination(tmp_path)
    target.write([{"profile_id": "old"}])
    before = written(tmp_path)
    with pytest.raises(Stop):
        target.write(rows())
    assert written(tmp_path) == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["weekly.csv"]


def test_invariant_1_the_file_appears_at_once(tmp_path):
    """While rows are still coming, a reader sees the old file."""
    target = destination(tmp_path)
    target.write([{"profile_id": "old"}])
    seen = []

    def rows():
        for number in range(3):
            seen.append(written(tmp_path))
            yield {"profile_id": number}

    target.write(rows())
    assert set(seen) == {b"profile_id,city,tags\r\nold,,\r\n"}
    assert b"2,," in written(tmp_path)


def test_invariant_2_only_the_owner_reads(tmp_path):
    """The file has mode 0600 while and after it is written, whatever the old one had."""
    target = destination(tmp_path)
    modes = []

    def rows():
        modes.extend(stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "out").glob(".*"))
        yield {"profile_id": "1"}

    before = os.umask(0)
    try:
        target.write([])
        (tmp_path / "out" / "weekly.csv").chmod(0o644)
        target.write(rows())
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert stat.S_IMODE((tmp_path / "out" / "weekly.csv").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700


def test_invariant_3_a_field_outside_the_contract_is_refused(tmp_path):
    """A row with more than the contract stops the export; the error names the field only."""
    with pytest.raises(Stop) as stop:
        destination(tmp_path).write([{"profile_id": "1"}, {"profile_id": "2", "phone": "CANARY"}])
    assert (stop.value.rule, stop.value.position) == ("field_outside_contract", 2)
    assert "phone" in str(stop.value)
    assert "CANARY" not in str(stop.value)
    assert not (tmp_path / "out" / "weekly.csv").exists()


@given(
    st.lists(
        st.one_of(st.text(max_size=10), st.sampled_from(["=1+1", "@x", "-1+1", "\t=1", "＝1"])),
        min_size=1,
        max_size=5,
    )
)
@settings(deadline=None)
def test_invariant_4_no_cell_is_evaluated(folder, cities):
    """Read back, each cell is the value, or the value behind a quote when it could be evaluated."""
    destination(folder).write({"profile_id": "p", "city": city} for city in cities)
    text = written(folder).decode()
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    for row, city in zip(read, cities, strict=True):
        assert row["city"] in {city, "'" + city}
        assert not row["city"].lstrip().startswith(("=", "@", "＝"))


def test_invariant_4_covers_lists_and_numbers(tmp_path):
    """A joined list is guarded too; a number keeps its sign."""
    destination(tmp_path).write([{"profile_id": -5, "city": "+8613800001111", "tags": ["=1", "x"]}])
    assert written(tmp_path).splitlines()[1] == b"-5,+8613800001111,'=1;x"


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (Sensitive("CANARY"), "sealed_value"),
        ([Sensitive("CANARY")], "sealed_value"),
        ({"CANARY": 1}, "not_plain"),
    ],
    ids=["sealed", "sealed in a list", "mapping"],
)
def test_invariant_5_a_sealed_value_is_refused(tmp_path, value, rule):
    """What policy did not open is never written, not even as a placeholder."""
    with pytest.raises(Stop) as stop:
        destination(tmp_path).write([{"profile_id": "1", "city": value}])
    assert (stop.value.rule, stop.value.field, stop.value.position) == (rule, "city", 1)
    assert "CANARY" not in str(stop.value)


def test_a_place_that_cannot_be_written_stops(tmp_path):
    """A folder that is a file, or a target that is a folder, is named."""
    (tmp_path / "out").write_text("")
    with pytest.raises(Stop, match="file_unwritable"):
        destination(tmp_path).write([])
    (tmp_path / "out").unlink()
    (tmp_path / "out" / "weekly.csv").mkdir(parents=True)
    with pytest.raises(Stop, match="file_unwritable"):
        destination(tmp_path).write([])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["weekly.csv"]
