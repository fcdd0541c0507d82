"""Files that are larger than anything of a retailer: memory and time stay bounded."""

import csv
import json
import time
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.declaration import parse_source
from connectors.record import Record
from connectors.registry import open_source

FEW, MANY = 2_500, 25_000
GROWTH = 1.3  # of the peak, where a file is ten times as long
WIDE = 1_000_000  # columns


def source_of(folder, connector):
    entry = {
        "connector": connector,
        "location": "x",
        "record_id": "id",
        "fields": {"name": "name", "address": "address"},
    }
    return open_source(parse_source("s", entry), folder)


def write(path, connector, count):
    rows = [
        {"id": str(n), "name": f"name {n}", "address": f"street {n} " * 8} for n in range(count)
    ]
    if connector == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=500)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if connector == "jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)


def peak(source):
    """The most memory that a reading holds at a time, row after row."""
    rows = source.read()
    next(rows)  # what is made once is no part of it
    tracemalloc.start()
    for _ in rows:
        pass
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


@pytest.mark.parametrize("connector", ["csv", "jsonl", "parquet"])
def test_the_memory_of_a_reading_does_not_grow_with_its_file(tmp_path, connector):
    """Ten times as many rows take the memory of one tenth: a 5 GB file needs no 5 GB."""
    peaks = []
    for count in (FEW, MANY):
        write(tmp_path / "x", connector, count)
        peaks.append(peak(source_of(tmp_path, connector)))
    assert peaks[1] <= GROWTH * peaks[0]


def test_a_million_columns_are_read(tmp_path):
    """Of each row only what is declared is kept; the rest takes no time of its own."""
    with (tmp_path / "x").open("w") as file:
        file.write("id,name," + ",".join(map(str, range(WIDE - 3))) + ",address\n")
        file.writelines(f"{n},name {n}{',' * (WIDE - 2)}street {n}\n" for n in range(3))
        file.write("3,too short\n")
    source = source_of(tmp_path, "csv")
    began = time.process_time()
    rows = list(source.read())
    assert source.check() == []
    assert time.process_time() - began < 20
    found = [row.rule if not isinstance(row, Record) else len(row.fields) for row in rows]
    assert found == [2, 2, 2, "column_count"]
