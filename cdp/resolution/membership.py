"""Which record belongs to which profile: export it, and measure it against a truth."""

import csv
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from cdp.errors import Stop
from cdp.resolution import decisions, epochs
from cdp.resolution.feature_keys import epoch_under
from cdp.resolution.loading import load_features
from cdp.storage import schema
from cdp.storage.bulk import stream
from cdp.vault import plaintext
from cdp.vault.envelope import WrappedKey
from cdp.vault.keyed import RecordKeys
from cdp.vault.vault import CONTACT, Vault
from cdp.whole_files import whole_file
from cdp.workspace import Workspace
from identity import batch
from identity.coverage import Coverage, coverage
from identity.duckdb_engine import Limits
from identity.evaluate import Evaluation, evaluate
from identity.model import Model

REASON = "identity export"
HEADER = ("source", "record_id", "profile_id")


def export(connection: sa.Connection, vault: Vault, out: Path) -> int:
    """Write ``source,record_id,profile_id`` of every resolved record; return how many.

    A frozen record is left out: its id would have to be opened.

    The file appears whole or not at all, readable by its owner alone.
    """
    with whole_file(out) as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        count = 0
        for row in _members(connection, vault):
            writer.writerow(row)
            count += 1
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
        .where(record.c.state == "active")
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
    return evaluate(profiles(connection), people, groups or None)


def profiles(connection: sa.Connection) -> dict[Hashable, Hashable]:
    """The profile of each resolved record, by record key."""
    record, member = schema.record, schema.membership
    statement = sa.select(record.c.key, member.c.profile_id).join(
        member, member.c.record_id == record.c.id
    )
    return {
        bytes(row.key): row.profile_id for rows in stream(connection, statement) for row in rows
    }


def coverages(
    connection: sa.Connection, identifiers: frozenset[str]
) -> tuple[tuple[Coverage, ...], tuple[Coverage, ...]]:
    """How well records find company: per source, and per type of identifier they have.

    Args:
        connection: to the workspace's database.
        identifiers: the fields that are identifiers. Only their names are read.
    """
    record, near, far = schema.record, schema.contact, schema.sensitive
    statement = (
        sa.select(record.c.key, record.c.source, near.c.fields, far.c.fields.label("more"))
        .outerjoin(near, near.c.record_id == record.c.id)
        .outerjoin(far, far.c.record_id == record.c.id)
    )
    sources: dict[Hashable, frozenset[str]] = {}
    types: dict[Hashable, frozenset[str]] = {}
    for rows in stream(connection, statement):
        for row in rows:
            key = bytes(row.key)
            sources[key] = frozenset((row.source,))
            types[key] = identifiers & frozenset((*(row.fields or ()), *(row.more or ())))
    found = profiles(connection)
    return coverage(found, sources), coverage(found, types)


def decider(
    workspace: Workspace, progress: Callable[[str], None]
) -> tuple[Callable[[float], dict[Hashable, Hashable]], Model]:
    """Decide everybody anew at any threshold, in memory: nothing is stored.

    Returns:
        A function from ``join_bits`` to the group of each record key, and the active
        epoch, whose other numbers it uses.

    Raises:
        Stop: nothing was resolved yet.
    """
    progress("opening features")
    with workspace.engine.connect() as connection:
        epoch = epochs.active(connection)
        if epoch is None:
            raise Stop("no_epoch", "run: cdp identity resolve")
        loaded = load_features(connection, workspace.vault)
        constraints = loaded.numbered(decisions.active_constraints(connection))
        ids = schema.record.c
        rows = connection.execute(sa.select(ids.id, ids.key))
        keys = {row.id: bytes(row.key) for row in rows}
    # A record that went between the two statements is left out.
    names = [keys.get(record) for record in loaded.ids.tolist()]
    model = epoch_under(workspace.vault.layers, epoch[1], loaded.feature_key)
    limits = Limits(workspace.settings.memory_mb, workspace.settings.threads)
    gathered = batch.gather(loaded.table, model.most_people, limits, progress)

    def decide(join_bits: float) -> dict[Hashable, Hashable]:
        progress(f"deciding at {join_bits:g} bits")
        tried = replace(model, join_bits=join_bits)
        found = batch.judge(gathered, tried, limits, constraints=constraints)
        places = zip(found.records.tolist(), found.anchors.tolist(), strict=True)
        return {names[place]: anchor for place, anchor in places if names[place] is not None}

    return decide, model


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
