"""Which record belongs to which profile: export it, and measure it against a truth."""

import csv
import os
from collections.abc import Hashable, Iterator
from pathlib import Path

import sqlalchemy as sa

from cdp.errors import Stop
from cdp.storage import schema
from cdp.storage.bulk import stream
from cdp.vault import plaintext
from cdp.vault.envelope import WrappedKey
from cdp.vault.keyed import RecordKeys
from cdp.vault.vault import CONTACT, Vault
from identity.evaluate import Evaluation, evaluate

REASON = "identity export"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
HEADER = ("source", "record_id", "profile_id")


def export(connection: sa.Connection, vault: Vault, out: Path) -> int:
    """Write ``source,record_id,profile_id`` of every resolved record; return how many.

    The file appears whole or not at all, readable by its owner alone.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    # One name for all runs, so that what a killed run leaves is overwritten by the next.
    part = out.with_name(f".{out.name}.part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, _NEW, 0o600), "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            count = 0
            for row in _members(connection, vault):
                writer.writerow(row)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return count


def _members(connection: sa.Connection, vault: Vault) -> Iterator[tuple[str, str, str]]:
    record, cells, key = schema.record, schema.contact, schema.data_key
    statement = (
        sa.select(
            record.c.id,
            record.c.source,
            record.c.revision,
            cells.c.cells[1].label("cell"),
            cells.c.fields[1].label("field"),
            key.c.key_version,
            key.c.wrapped,
            schema.membership.c.profile_id,
        )
        .join(schema.membership, schema.membership.c.record_id == record.c.id)
        .join(cells, cells.c.record_id == record.c.id)
        .join(key, (key.c.record_id == record.c.id) & (key.c.tier == CONTACT))
        .order_by(record.c.id)
    )
    for rows in stream(connection, statement):
        for row in rows:
            wrapped = WrappedKey(row.key_version, row.wrapped)
            opened = vault.open_cell(CONTACT, row.field, row.id, row.revision, wrapped, row.cell)
            values = plaintext.decode(opened.reveal(reason=REASON))
            yield row.source, values[0][0], row.profile_id


def evaluate_against(connection: sa.Connection, keys: RecordKeys, truth: Path) -> Evaluation:
    """Measure the profiles against a truth file.

    Args:
        connection: to the workspace's database.
        keys: to find the records that the file names.
        truth: CSV with ``source,record_id,person_id`` and optionally ``linkable_id``.

    Raises:
        Stop: the file is missing or has other columns.
    """
    people, groups = read_truth(truth, keys)
    record, membership = schema.record, schema.membership
    rows = connection.execute(
        sa.select(record.c.key, membership.c.profile_id).join(
            membership, membership.c.record_id == record.c.id
        )
    )
    predicted: dict[Hashable, Hashable] = {bytes(row.key): row.profile_id for row in rows}
    return evaluate(predicted, people, groups or None)


def read_truth(
    truth: Path, keys: RecordKeys
) -> tuple[dict[Hashable, Hashable], dict[Hashable, Hashable]]:
    """Read a truth file: the person, and the linkable group, of each record key."""
    people: dict[Hashable, Hashable] = {}
    groups: dict[Hashable, Hashable] = {}
    try:
        with truth.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not {"source", "record_id", "person_id"} <= set(reader.fieldnames or ()):
                raise Stop(
                    "truth_columns_missing",
                    "give it the columns source, record_id and person_id",
                    path=truth,
                )
            for row in reader:
                if not (row["source"] and row["record_id"] and row["person_id"]):
                    raise Stop(
                        "truth_row_incomplete",
                        "give every row a source, a record_id and a person_id",
                        path=truth,
                        row=reader.line_num,
                    )
                key = keys.record_key(row["source"], row["record_id"])
                people[key] = row["person_id"]
                if row.get("linkable_id"):
                    groups[key] = row["linkable_id"]
    except FileNotFoundError as error:
        raise Stop("truth_missing", "name an existing CSV file", path=truth) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise Stop("truth_unreadable", "save it as CSV in UTF-8", path=truth) from error
    return people, groups
