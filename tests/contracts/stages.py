"""Stages for the connectors that ship: files of every kind, and a table."""
# ruff: noqa: D102 - what each method owes stands in Stage

import json
import sqlite3
from types import MappingProxyType

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.testing_stage import COLUMNS, Failure, NotStaged, Stage

WHOLE = {"visits"}  # columns of whole numbers, in systems that have types


def write_separated(separator):
    def write(path, rows, columns):
        lines = [columns, *([row.get(column, "") for column in columns] for row in rows)]
        quoted = [separator.join(map(_quoted, line)) for line in lines]
        path.write_text("\n".join(quoted) + "\n", "utf-8")

    return write


def _quoted(text):
    return '"' + text.replace('"', '""') + '"'


def write_jsonl(path, rows, columns):
    kept = [{key: value for key, value in row.items() if key in columns} for row in rows]
    lines = [json.dumps({key: typed(key, row[key]) for key in row}) for row in kept]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def typed(column, text):
    return int(text) if column in WHOLE and text.isdecimal() else text


def write_xlsx(path, rows, columns):
    book = openpyxl.Workbook()
    book.active.append(list(columns))
    for row in rows:
        book.active.append([typed(column, row.get(column, "")) or None for column in columns])
        for column, cell in zip(columns, book.active[book.active.max_row], strict=True):
            if column == "visits" and row.get("visits") == "0":
                cell.value = 0
    book.save(path)


def write_parquet(path, rows, columns):
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in columns}), path)


WRITERS = {
    "csv": write_separated(","),
    "jsonl": write_jsonl,
    "parquet": write_parquet,
    "tsv": write_separated("\t"),
    "xlsx": write_xlsx,
}


class FileStage(Stage):
    """One file that is written anew with each change."""

    connector = "jsonl"

    def __init__(self, folder):
        super().__init__(folder)
        self.rows, self.known = [], COLUMNS
        self.entry = {"connector": self.connector, "location": "rows"}
        if self.connector in {"csv", "tsv", "jsonl"}:
            self.entry["encoding"] = "utf-8"

    def put(self, rows):
        new = [dict(row) for row in rows]
        self.rows += [row for row in new if row not in self.rows]
        self._write()

    def columns(self, names):
        self.known = names
        self._write()

    def fail(self, how):
        if how in {Failure.REFUSED, Failure.BUSY}:
            raise NotStaged("a local file has neither credentials nor limits")
        path = self.folder / "rows"
        if how is Failure.AWAY:
            path.unlink()
        elif how is Failure.GARBLED:
            path.write_bytes(b"\xff\xfe\x00\x81\x00" * 40)
        else:
            self._write()

    def _write(self):
        WRITERS[self.connector](self.folder / "rows", self.rows, list(self.known))


def file_stage(name):
    return type(f"{name}Stage", (FileStage,), {"connector": name})


class TableStage(Stage):
    """A table of SQLite, followed by a cursor."""

    entry = MappingProxyType(
        {
            "connector": "sql",
            "table": "members",
            "mode": "incremental",
            "cursor": {"column": "updated", "overlap": 1800},
            "deleted": {"column": "gone"},
            "credentials": {"dsn": "env:SOURCE_DSN"},
        }
    )

    def __init__(self, folder):
        super().__init__(folder)
        self.path = folder / "members.db"
        self.secrets = {"dsn": f"sqlite:///{self.path}"}
        self.put_aside = b""
        self._run("CREATE TABLE members (id, name, phone, visits, updated, gone)")

    def put(self, rows):
        for row in rows:
            names = ", ".join(row)
            if "id" in row:
                self._run("DELETE FROM members WHERE id = ?", row["id"])
            places = ", ".join("?" for _ in row)
            values = [typed(name, text) for name, text in row.items()]
            self._run(f"INSERT INTO members ({names}) VALUES ({places})", *values)

    def delete(self, ids):
        for one in ids:
            text = "UPDATE members SET gone = 'yes', updated = '2026-03-01 12:30:00' WHERE id = ?"
            self._run(text, one)

    def columns(self, names):
        for lost in set(COLUMNS) - set(names):
            self._run(f"ALTER TABLE members DROP COLUMN {lost}")
        for new in set(names) - set(COLUMNS):
            self._run(f"ALTER TABLE members ADD COLUMN {new}")

    def fail(self, how):
        if how in {Failure.REFUSED, Failure.BUSY}:
            raise NotStaged("SQLite has neither credentials nor limits")
        if how is None:
            self.path.write_bytes(self.put_aside)
            return
        self.put_aside = self.path.read_bytes()
        if how is Failure.AWAY:
            self.path.unlink()
        else:
            self.path.write_bytes(b"no database at all" * 40)

    def _run(self, text, *values):
        connection = sqlite3.connect(self.path)
        connection.execute(text, values)
        connection.commit()
        connection.close()
