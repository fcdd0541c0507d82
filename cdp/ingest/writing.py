"""Store one batch: what is new, what changed, what was set aside. One transaction's work.

Invariants:
    1. A record is stored whole (row, cells, indexes, key) or not at all.
    2. A record whose content is known is not touched.
    3. A changed record has a new revision under a new data key; nothing of the old
       revision is left.
    4. A record that stands as destroyed is not taken in again.
    5. Features are keyed under the version that the database names in the same transaction.
"""

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.ingest.prepare import Prepared, Preparer, Recognised, Revision
from cdp.ingest.standing import held, known_records
from cdp.storage import schema
from cdp.storage.bulk import insert as insert_rows
from cdp.vault.rejects import RejectPlace
from cdp.vault.vault import CONTACT, MASKED, SENSITIVE, Vault
from connectors.declaration import SourceDeclaration
from connectors.possible_ids import words_in
from connectors.record import FieldProblem, Record, Sensitive
from identity import features

REASON = "keep what was set aside, sealed"
MOST_WORDS = 2_000  # of a rejected row; of one with more, nobody can say what is not in it
_ATTRIBUTES = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A new or changed record on its way in."""

    id: int
    revision: int
    recognised: Recognised
    record: Record
    prepared: Prepared

    @property
    def is_new(self) -> bool:
        """Whether this is the record's first revision."""
        return self.revision == 1


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row (``field`` empty) or a single value that was not taken in."""

    position: int
    field: str
    rule: str
    next_step: str
    raw: Sensitive
    record_id: int | None
    fingerprint: str | None = None  # where it is not that of everything beside it
    keys: tuple[bytes, ...] | None = None  # of records that a row may be of; None: not looked into


def incoming_of(
    connection: sa.Connection, preparer: Preparer, rows: Sequence[tuple[Record, Recognised]]
) -> tuple[list[Incoming], list[int], int]:
    """Prepare those of the rows that are new or changed; each record stands once among them.

    Returns:
        What is to be stored, the ids of unchanged records that wait to be resolved, and how
        many rows are of records that stand as destroyed.
    """
    standing = known_records(connection, [recognised.key for _, recognised in rows])
    known, gone = standing.known, standing.gone
    differ = [
        known[recognised.key].id
        for _, recognised in rows
        if recognised.key in known and known[recognised.key].content != recognised.content
    ]
    stays = held(connection, differ) if differ else {}
    # What was known a moment ago and is not there any more was destroyed in between.
    missing = set(differ) - stays.keys()
    gone |= {key for key, one in known.items() if one.id in missing}
    ids = iter(standing.fresh)
    fresh: list[Recognised] = []
    revisions: list[Revision] = []
    waiting: list[int] = []
    for record, recognised in rows:
        if recognised.key in gone:
            continue
        stored = known.get(recognised.key)
        stored = stays.get(stored.id, stored) if stored else None
        if stored and stored.content == recognised.content:
            waiting += [stored.id] if stored.dirty else []
            continue
        record_id = stored.id if stored else next(ids)
        revision = stored.revision + 1 if stored else 1
        fresh.append(recognised)
        revisions.append(Revision(record, record_id, revision))
    prepared = preparer.prepare_all(revisions, standing.feature_key)
    incoming = [
        Incoming(one.id, one.number, recognised, one.record, made)
        for one, recognised, made in zip(revisions, fresh, prepared, strict=True)
    ]
    return incoming, waiting, sum(recognised.key in gone for _, recognised in rows)


def write_records(
    connection: sa.Connection,
    source: SourceDeclaration,
    incoming: Sequence[Incoming],
    now: dt.datetime,
    *,
    waiting: bool = True,
) -> None:
    """Store new and changed records.

    Args:
        connection: in the caller's transaction.
        source: theirs.
        incoming: the records.
        now: when.
        waiting: mark the new ones as to be resolved, and bring consent up to date at once.
            Without it the caller resolves them in the same transaction, which does both, and
            locks profiles only when its turn has come: held before, they would be in the way
            of whoever has the turn.
    """
    changed = [one for one in incoming if not one.is_new]
    if changed:
        _forget_revisions(connection, [one.id for one in changed])
        _update(connection, source, changed, now)
    if changed and waiting:
        ids = {"ids": [one.id for one in changed]}
        # In a statement of its own: what it waited for is seen by the next one.
        connection.execute(_HOLD_PROFILES, ids)
        connection.execute(_CONSENT, {**ids, "now": now})
    insert_rows(
        connection,
        schema.record,
        ((*_row(source, one), now, now, waiting) for one in incoming if one.is_new),
    )
    _copy_sealed(connection, incoming)


def _copy_sealed(connection: sa.Connection, incoming: Sequence[Incoming]) -> None:
    """Store cells, blind indexes and keys."""
    sealed = [(one, one.prepared.sealed) for one in incoming]
    insert_rows(
        connection,
        schema.contact,
        ((one.id, one.revision, s.contact_fields, s.contact_cells) for one, s in sealed),
    )
    insert_rows(
        connection,
        schema.sensitive,
        (
            (one.id, one.revision, s.sensitive_fields, s.sensitive_cells)
            for one, s in sealed
            if s.sensitive_key
        ),
    )
    insert_rows(
        connection,
        schema.blind_index,
        (
            (one.id, field, value, one.prepared.epoch)
            for one in incoming
            for field, value in one.prepared.indexes
        ),
    )
    made = [(one, one.prepared.masked) for one in incoming if one.prepared.masking]
    insert_rows(
        connection,
        schema.masked,
        ((one.id, one.revision, one.prepared.masking, m.fields, m.cells) for one, m in made),
    )
    insert_rows(connection, schema.data_key, _keys(incoming))


_HOLD_PROFILES = sa.text(
    """
    SELECT p.id FROM kith.profile p
     WHERE p.id IN (SELECT m.profile_id FROM kith.membership m WHERE m.record_id = ANY(:ids))
     ORDER BY p.id FOR NO KEY UPDATE
    """
)
# A consent withdrawn in one record counts for the person from the moment it is stored: the
# same rule as cdp.profiles.survivorship.granted_purposes, without waiting for a resolve.
_CONSENT = sa.text(
    """
    UPDATE kith.profile p
       SET purposes = c.granted, revision = p.revision + 1, updated_at = :now
      FROM (
        SELECT touched.profile_id, ARRAY(
            SELECT unnest(r.purposes) FROM kith.membership m
              JOIN kith.record r ON r.id = m.record_id AND r.state = 'active'
             WHERE m.profile_id = touched.profile_id
            EXCEPT
            SELECT unnest(r.refused) FROM kith.membership m
              JOIN kith.record r ON r.id = m.record_id WHERE m.profile_id = touched.profile_id
            ORDER BY 1) AS granted
          FROM (SELECT DISTINCT profile_id FROM kith.membership WHERE record_id = ANY(:ids)) touched
      ) c
     WHERE p.id = c.profile_id AND p.purposes <> c.granted
    """
)


def _keys(incoming: Iterable[Incoming]) -> Iterable[tuple[Any, ...]]:
    for one in incoming:
        sealed = one.prepared.sealed
        yield one.id, CONTACT, sealed.contact_key.version, sealed.contact_key.wrapped
        if sealed.sensitive_key:
            yield one.id, SENSITIVE, sealed.sensitive_key.version, sealed.sensitive_key.wrapped
        if masked := one.prepared.masked.key:
            yield one.id, MASKED, masked.version, masked.wrapped


def _row(source: SourceDeclaration, one: Incoming) -> tuple[Any, ...]:
    """The record's row up to ``features``, in the order of the table."""
    granted = set(source.consent.purposes) if source.consent else set()
    return (
        one.id,
        source.name,
        one.recognised.key,
        one.recognised.content,
        one.revision,
        one.prepared.store,
        source.consent.basis if source.consent else "none",
        sorted(granted - one.record.opted_out - one.record.unstated),
        sorted(one.record.opted_out),
        _ATTRIBUTES.encode(dict(one.record.attributes)),
        features.VERSION,
        one.prepared.sealed.features,
        one.prepared.feature_key,
    )


def _forget_revisions(connection: sa.Connection, ids: Sequence[int]) -> None:
    sealed = schema.contact, schema.sensitive, schema.masked, schema.blind_index
    for table in (*sealed, schema.data_key, schema.reject):
        connection.execute(sa.delete(table).where(table.c.record_id.in_(ids)))


def _update(
    connection: sa.Connection,
    source: SourceDeclaration,
    changed: Sequence[Incoming],
    now: dt.datetime,
) -> None:
    names = [column.name for column in schema.record.columns][4:13]
    rows = []
    for one in changed:
        values = dict(zip(names, _row(source, one)[4:], strict=True))
        values["attributes"] = dict(one.record.attributes)
        rows.append(
            {
                "b_id": one.id,
                **values,
                "content": one.recognised.content,
                "last_seen_at": now,
                "dirty": True,
            }
        )
    record = schema.record
    connection.execute(
        sa.update(record)
        .where(record.c.id == sa.bindparam("b_id"))
        .values({name: sa.bindparam(name) for name in rows[0] if name != "b_id"}),
        rows,
    )


def by_field(problems: Sequence[FieldProblem]) -> list[FieldProblem]:
    """One problem a field: where several values of one are bad, all are kept together."""
    found: dict[str, list[FieldProblem]] = {}
    for problem in problems:
        found.setdefault(problem.field, []).append(problem)
    return [several[0] if len(several) == 1 else _together(several) for several in found.values()]


def _together(several: Sequence[FieldProblem]) -> FieldProblem:
    raw = [problem.raw.reveal(reason=REASON) for problem in several]
    first = several[0]
    return replace(first, raw=Sensitive(json.dumps(raw, ensure_ascii=False)))


def forget_rejected_rows(
    connection: sa.Connection, source: str, fingerprint: str, read_as: str
) -> None:
    """Forget which rows of this content another way of reading rejected: they are judged anew."""
    run, kept = schema.sync_run, schema.reject
    last = (
        sa.select(run.c.declaration)
        .where(run.c.source == source, run.c.fingerprint == fingerprint)
        .order_by(run.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    connection.execute(
        sa.delete(kept).where(
            kept.c.source == source,
            kept.c.fingerprint == fingerprint,
            kept.c.record_id.is_(None),
            last != read_as,
        )
    )


def write_set_aside(
    connection: sa.Connection,
    vault: Vault,
    source: str,
    fingerprint: str,
    found: Sequence[SetAside],
    now: dt.datetime,
) -> None:
    """Keep what was not taken in, sealed, as this run judged it."""
    if not found:
        return
    rows = [
        {
            "source": source,
            "fingerprint": place.fingerprint,
            "position": one.position,
            "field": one.field,
            "rule": one.rule,
            "next_step": one.next_step,
            "sealed": vault.seal_reject(place, one.raw),
            "record_id": one.record_id,
            "record_keys": None if one.keys is None else list(one.keys),
            "words": None if one.field else _words(vault, source, one.raw),
            "at": now,
        }
        for one in found
        for place in (RejectPlace(source, one.fingerprint or fingerprint, one.position, one.field),)
    ]
    fresh = insert(schema.reject)
    renewed = ("rule", "next_step", "sealed", "record_id", "record_keys", "words", "at")
    connection.execute(
        fresh.on_conflict_do_update(
            index_elements=["source", "fingerprint", "position", "field"],
            set_={name: fresh.excluded[name] for name in renewed},
            where=sa.or_(
                *(
                    schema.reject.c[name].is_distinct_from(fresh.excluded[name])
                    for name in ("rule", "next_step", "record_id")
                )
            ),
        ),
        rows,
    )


def _words(vault: Vault, source: str, raw: Sensitive) -> list[int] | None:
    """What the words of a row are kept as, so that few rows are opened when somebody goes."""
    text = raw.reveal(reason=REASON).encode(errors="replace").decode()  # as it is sealed
    words = words_in(text)
    return vault.reject_words(source, words) if len(words) <= MOST_WORDS else None
