"""Every source keeps the same laws; a new one is added to CASES and nothing else."""

import json

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import testing
from connectors.base import Finding, Level, MessageDestination, Source
from connectors.declaration import parse_source
from connectors.destination_declaration import parse_destination
from connectors.destinations.csv_file import CsvFileDestination
from connectors.errors import Retry, Stop
from connectors.record import Record
from connectors.registry import DESTINATIONS, SOURCES, open_source
from connectors.testing import LAWS, MemoryDestination, MemorySource, SourceCase

CANARIES = ("canary-name-张三", "canary-13800001111", "canary-id-7", "canary-tier")
ROWS = [
    {"id": "canary-id-7", "name": "canary-name-张三", "phone": "canary-13800001111", "visits": "3"},
    {"id": "", "name": "canary-name-张三", "phone": "canary-13800001111", "visits": "3"},
    {"id": "canary-id-7b", "name": "=canary-name-张三", "phone": "", "visits": "canary-tier"},
    {"id": "=canary-id-7", "name": "canary-name-张三", "phone": "", "visits": "3"},
    {"id": "c", "name": "x", "phone": "y", "visits": "5"},
]
COLUMNS = list(ROWS[0])


def declared(connector, location, **changes):
    entry = {
        "connector": connector,
        "location": location,
        "record_id": "id",
        "fields": {"name": "name", "phone": "phone"},
        "attributes": {"visits": {"column": "visits", "type": "integer"}},
        **changes,
    }
    return parse_source("contract", entry)


def write_csv(path, rows, columns):
    lines = [columns, *([row.get(column, "") for column in columns] for row in rows)]
    path.write_bytes("\n".join(",".join(line) for line in lines).encode("gb18030"))


def write_jsonl(path, rows, columns):
    if "id" not in columns:
        path.write_bytes(json.dumps(rows, ensure_ascii=False).encode("utf-16"))
        return
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")


def write_xlsx(path, rows, columns):
    book = openpyxl.Workbook()
    book.active.append(columns)
    for row in rows:
        book.active.append([row.get(column) or None for column in columns])
    for line in book.active.iter_rows():
        for cell in line:
            if isinstance(cell.value, str):
                cell.data_type = "s"  # text that opens with = is text here, not a formula
    book.save(path)


def write_tsv(path, rows, columns):
    lines = [columns, *([row.get(column, "") for column in columns] for row in rows)]
    path.write_text("\n".join("\t".join(line) for line in lines), "utf-8")


def write_parquet(path, rows, columns):
    pq.write_table(
        pa.table({column: [row.get(column) for row in rows] for column in columns}), path
    )


WRITERS = {
    "csv": (write_csv, {"encoding": "gb18030"}),
    "jsonl": (write_jsonl, {}),
    "parquet": (write_parquet, {}),
    "tsv": (write_tsv, {}),
    "xlsx": (write_xlsx, {}),
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """One case for each connector of the registry, and one for the source in memory."""
    found = {}
    for connector, (write, options) in WRITERS.items():
        folder = tmp_path_factory.mktemp(connector)
        write(folder / "good", ROWS, COLUMNS)
        write(folder / "changed", ROWS[:-1], COLUMNS)
        write(folder / "broken", ROWS, ["name", "phone", "visits"])

        def opens(location, connector=connector, folder=folder, options=options):
            return lambda: open_source(declared(connector, location, **options), folder)

        found[connector] = SourceCase(opens("good"), opens("changed"), opens("broken"), CANARIES)
    memory = declared("csv", "memory")
    found["memory"] = SourceCase(
        lambda: MemorySource(memory, ROWS),
        lambda: MemorySource(memory, ROWS[:-1]),
        lambda: MemorySource(memory, [{"name": CANARIES[0]}]),
        CANARIES,
    )
    return found


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("connector", [*WRITERS, "memory"])
def test_every_source_keeps_every_law(cases, connector, law):
    """Check, resume, order, fingerprint, rejection and silence hold for each kind of source."""
    law(cases[connector])


def test_every_registered_source_has_a_case():
    """A source cannot be registered without being held to the laws."""
    assert set(WRITERS) == set(SOURCES)
    assert set(DESTINATIONS) == {"webhook", "csv_file"}


def test_every_source_gives_the_same_records(cases):
    """The same people in another format are the same records."""
    read = {
        name: [testing.contents(row) for row in case.open().read()] for name, case in cases.items()
    }
    records = {name: [row for row in rows if len(row) > 6] for name, rows in read.items()}
    assert all(one == records["memory"] for one in records.values())
    assert len(records["csv"]) == 3
    assert all(len(rows) == 5 for rows in read.values())


@pytest.mark.parametrize("connector", [*WRITERS, "memory"])
def test_each_record_refers_to_cells_of_its_own(cases, connector):
    """What cannot be processed is mapped from them again: they are not those of a later row."""
    records = [row for row in cases[connector].open().read() if isinstance(row, Record)]
    assert len({id(one.cells) for one in records}) == len(records) > 1
    assert all(one.record_id.reveal(reason="test") in str(one.cells) for one in records)


class Loud:
    """A source that breaks one law, as told."""

    def __init__(self, inner, broken):
        self._inner, self._broken = inner, broken
        self.name = inner.name

    def __repr__(self):
        return CANARIES[0] if self._broken == "repr" else "<loud>"

    def fingerprint(self):
        """The fingerprint, or always one and the same."""
        return "same" if self._broken == "fingerprint" else self._inner.fingerprint()

    def count(self):
        """The count, or far too many."""
        return 1000 if self._broken == "count" else self._inner.count()

    def check(self):
        """The findings, and an error of its own."""
        found = [Finding(Level.ERROR, "x", "y", "z")] if self._broken == "check" else []
        return found + self._inner.check()

    def read(self, after=0):
        """The rows, or not quite."""
        if self._broken == "silent":
            return iter([row for row in self._inner.read(after) if isinstance(row, Record)])
        if self._broken == "order":
            return iter(list(self._inner.read(after))[::-1])
        if self._broken == "resume":
            return self._inner.read(after + 1 if after else 0)
        return self._inner.read(after)


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        ("repr", testing.nothing_shows_a_value),
        ("fingerprint", testing.fingerprint_follows_the_content),
        ("count", testing.count_is_plausible),
        ("check", testing.check_finds_no_error),
        ("silent", testing.rejected_rows_are_reported),
        ("order", testing.positions_increase),
        ("resume", testing.resuming_gives_the_same_tail),
    ],
)
def test_a_broken_source_is_caught(cases, broken, law):
    """The suite fails a source that breaks a law, so passing it means something."""
    good = cases["csv"]
    loud = SourceCase(
        lambda: Loud(good.open(), broken),
        lambda: Loud(good.open_changed(), broken),
        good.open_broken,
        CANARIES,
    )
    assert isinstance(loud.open(), Source)
    with pytest.raises(AssertionError):
        law(loud)


def test_a_source_that_never_stops_is_caught(cases):
    """A source that reads what cannot be read fails the suite."""
    good = cases["csv"]
    lax = SourceCase(good.open, good.open_changed, good.open, CANARIES)
    with pytest.raises(AssertionError):
        testing.a_broken_source_stops(lax)


def test_a_source_that_changes_between_readings_is_caught(cases):
    """Two readings that differ fail the suite."""
    good = cases["csv"]
    sources = iter([good.open(), good.open_changed()])
    fickle = SourceCase(lambda: next(sources), good.open_changed, good.open_broken, CANARIES)
    with pytest.raises(AssertionError):
        testing.reading_again_gives_the_same(fickle)


def test_an_unknown_connector_stops(tmp_path):
    """A connector that does not exist is refused with those that do."""
    declaration = declared("csv", "x")
    object.__setattr__(declaration, "connector", "telepathy")
    with pytest.raises(
        Stop, match="csv, http, jsonl, kafka, parquet, piped, sql, tsv, xlsx, installed"
    ):
        open_source(declaration, tmp_path)


def test_the_memory_destination_delivers_once_for_each_id():
    """The fake fails as prepared, then keeps one message for each id."""
    target = MemoryDestination("crm", [Retry("crm", "http_503", "Try again later.", after=1.0)])
    assert isinstance(target, MessageDestination)
    message = testing.Message("m1", "t", "s", None, {})
    with pytest.raises(Retry):
        target.deliver(message)
    target.deliver(message)
    target.deliver(message)
    target.close()
    assert target.delivered == {"m1": message}
    assert target.name == "crm"


def test_what_is_written_can_be_read(tmp_path):
    """An exported file is a source like any other."""
    entry = {
        "connector": "csv_file",
        "location": "x.csv",
        "purpose": "p",
        "fields": ["profile_id", "name"],
        "bom": True,
    }
    target = CsvFileDestination(parse_destination("weekly", entry), tmp_path)
    target.write([{"profile_id": "1", "name": 'a,"b"\n张三'}])
    source = open_source(
        declared("csv", "x.csv", record_id="profile_id", fields={"name": "name"}, attributes={}),
        tmp_path,
    )
    (record,) = source.read()
    assert record.fields["name"][0].value.reveal(reason="test") == 'a,"b"\n张三'
