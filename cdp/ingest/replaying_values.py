"""Values that were set aside, read again under today's declaration and normalisers.

What a record was delivered with is not kept: its cells hold what was read. So the record is
put together from its cells, and that is held against what is stored, cells and features. Only
where nothing differs is the value added; elsewhere the value waits for the row itself.

Invariants, each named by a test in ``tests/integration/sync/test_replaying_values.py``:

1. A value that reads now is in the record, which is as if the row were synced today.
2. A record that cannot be put together as it is stored is left alone.
3. What is known of its content stays: delivered again, the same row changes nothing.
4. What is still bad stays, under the rule of today; a second replay changes nothing.
5. A rehearsal changes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import sqlalchemy as sa

from cdp.errors import KithError
from cdp.ingest.prepare import Preparer, Recognised
from cdp.ingest.replayed import REASON, REPLAYED, Replayed, Trial, try_again
from cdp.ingest.reports import Progress, quiet
from cdp.ingest.stored_cells import open_stored
from cdp.ingest.storing import reading_of
from cdp.ingest.values import is_known_store, read_record
from cdp.ingest.writing import Incoming, SetAside, write_records, write_set_aside
from cdp.storage.schema import contact, data_key, record, reject, sensitive, workspace
from cdp.vault.envelope import WrappedKey
from cdp.vault.rejects import RejectPlace
from cdp.workspace import Workspace
from connectors.attributes import AttributeRefused, typed
from connectors.declaration import SourceDeclaration
from connectors.record import FieldProblem, FieldValue, Raw, Record, Sensitive
from identity import features

BATCH: Final = 100  # records of one transaction
ACTIVE: Final = "active"
_MASKED: Final = "masked_"
_PRIVACY: Final = ("privacy_phone", "phone")  # a cell, and the field that gives it
_RECORD_ID: Final = "record_id"


@dataclass(frozen=True, slots=True)
class _Aside(Raw):
    """A value set aside, opened."""

    place: RejectPlace
    rule: str
    next_step: str
    raw: str = field(repr=False)


def replay_values(
    opened: Workspace, name: str, progress: Progress = quiet, *, rehearse: bool = False
) -> Replayed:
    """Read every value again that was set aside of stored records of a source.

    Args:
        opened: the workspace whose source.
        name: of the source.
        progress: told records tried and records there are.
        rehearse: only say what would become of them.

    Raises:
        Refused: a sync of this source runs, or it is being removed.
    """
    declaration = opened.declaration.source(name)
    if declaration.inbound is not None:
        return Replayed(name)  # what was told of a record is merged with what comes next
    trial = Trial(_waiting(name), BATCH, _Replaying(opened, declaration).tried)
    return try_again(opened, name, trial, progress, rehearse=rehearse)


def _waiting(name: str) -> sa.Select[Any]:
    """The records that go on without a value; none that a person froze."""
    return (
        sa.select(record.c.id)
        .where(
            record.c.source == name,
            record.c.state == ACTIVE,
            sa.exists().where(reject.c.record_id == record.c.id),
        )
        .order_by(record.c.id)
    )


class _Replaying:
    def __init__(self, opened: Workspace, declared: SourceDeclaration) -> None:
        self._workspace, self._declared = opened, declared
        self._now = opened.now()
        self._reading = reading_of(opened, self._now.date())
        self._preparer = Preparer(
            opened.keyring, opened.vault, declared, self._reading, forms=opened.forms
        )

    def tried(self, connection: sa.Connection, ids: Sequence[int]) -> Replayed:
        """Try the values of some records; what they came to."""
        found = Replayed(self._declared.name)
        rows = connection.execute(
            sa.select(record, data_key.c.key_version, data_key.c.wrapped)
            .join(data_key, sa.and_(data_key.c.record_id == record.c.id,
                                    data_key.c.tier == contact.name))
            .where(record.c.id.in_(ids), record.c.state == ACTIVE)
            .order_by(record.c.id)
            .with_for_update(of=record, key_share=True)
        ).all()  # fmt: skip
        cells = self._cells(connection, [row.id for row in rows])
        under = connection.scalar(sa.select(workspace.c.feature_key)) or 0
        incoming: list[Incoming] = []
        aside: list[SetAside] = []
        for row in rows:
            mine = self._aside(connection, row.id)
            found.tried += len(mine)
            before = self._as_stored(row, cells.get(row.id)) if mine else None
            if before is None:
                found.not_replayable += len(mine)
                continue
            fresh, left = self._with_values(before, mine)
            prepared = self._preparer.prepare(fresh, row.id, row.revision + 1, under)
            still = {one.field: one for one in (*prepared.problems, *left)}
            kept = [_again(one, still[one.place.field], row.id)
                    for one in mine if one.place.field in still]  # fmt: skip
            found.still_bad.update(one.rule for one in kept)
            found.values += len(mine) - len(kept)
            aside += kept
            if len(kept) < len(mine):
                known = Recognised(bytes(row.key), bytes(row.content))
                incoming.append(Incoming(row.id, row.revision + 1, known, fresh, prepared))
        write_records(connection, self._declared, incoming, self._now)
        vault, name = self._workspace.vault, self._declared.name
        write_set_aside(connection, vault, name, REPLAYED, aside, self._now)
        return found

    def _cells(
        self, connection: sa.Connection, ids: Sequence[int]
    ) -> Mapping[int, Mapping[str, Sequence[tuple[str, str | None]]]]:
        names: set[str] = set()
        for table in (contact, sensitive):
            there = sa.select(sa.func.unnest(table.c.fields)).where(table.c.record_id.in_(ids))
            names |= set(connection.scalars(there.distinct()))
        return open_stored(connection, self._workspace, ids, names)[0]

    def _aside(self, connection: sa.Connection, number: int) -> list[_Aside]:
        """The values that one record goes on without; none where one does not open."""
        rows = connection.execute(
            sa.select(reject).where(reject.c.record_id == number).order_by(reject.c.id)
        )
        found = []
        for row in rows:
            place = RejectPlace(row.source, row.fingerprint, row.position, row.field)
            try:
                text = self._workspace.vault.open_reject(place, bytes(row.sealed))
            except KithError:
                return []
            found.append(_Aside(place, row.rule, row.next_step, text.reveal(reason=REASON)))
        return found

    # ── one record ──────────────────────────────────────────────────────────

    def _as_stored(
        self, row: sa.Row[Any], cells: Mapping[str, Sequence[tuple[str, str | None]]] | None
    ) -> Record | None:
        """The record, put together from its cells; None where that gives another one."""
        if cells is None or _RECORD_ID not in cells or row.feature_version != features.VERSION:
            return None
        fields: dict[str, tuple[FieldValue, ...]] = {}
        for cell, values in cells.items():
            name = _PRIVACY[1] if cell == _PRIVACY[0] else cell.removeprefix(_MASKED)
            specs = self._declared.fields.get(name)
            if specs:
                # Of a cell its canonical text, which the formats of the source do not read.
                more = tuple(FieldValue(Sensitive(text), scope) for text, scope in values)
                fields[name] = (*fields.get(name, ()), *more)
        whole = Record(
            self._declared.name,
            Sensitive(cells[_RECORD_ID][0][0]),
            1,
            fields,
            dict(row.attributes),
            row.store,
            frozenset(row.refused),
        )
        return whole if self._is_stored_so(whole, row, cells) else None

    def _is_stored_so(
        self,
        whole: Record,
        row: sa.Row[Any],
        cells: Mapping[str, Sequence[tuple[str, str | None]]],
    ) -> bool:
        """Whether reading the record again gives the cells and features that are stored."""
        read = {name: list(map(tuple, one)) for name, one in
                read_record(whole, self._reading).cells().items()}  # fmt: skip
        there = {name: list(map(tuple, one)) for name, one in cells.items() if name != _RECORD_ID}
        if read != there:
            return False
        again = self._preparer.prepare(whole, row.id, row.revision, row.feature_key)
        wrapped = WrappedKey(row.key_version, bytes(row.wrapped))
        try:
            stored = self._workspace.vault.open_features(
                row.id, row.revision, wrapped, bytes(row.features)
            )
        except KithError:
            return False
        return again.features == stored

    def _with_values(
        self, before: Record, aside: Sequence[_Aside]
    ) -> tuple[Record, list[FieldProblem]]:
        """The record with the values, and those that cannot even be given to it."""
        fields, attributes = dict(before.fields), dict(before.attributes)
        store, left = before.store, []
        for one in aside:
            name = one.place.field
            problem: FieldProblem | None = FieldProblem(
                name, one.rule, one.next_step, Sensitive(one.raw)
            )
            specs = self._declared.fields.get(name, ())
            if len(specs) == 1:
                given = tuple(
                    FieldValue(Sensitive(text), specs[0].scope, specs[0].formats)
                    for text in _texts(one.raw)
                )
                fields[name], problem = (*fields.get(name, ()), *given), None
            elif name in self._declared.attributes:
                try:
                    value = typed(one.raw, self._declared.attributes[name])
                except AttributeRefused as refused:
                    problem = FieldProblem(
                        name, refused.rule, refused.next_step, Sensitive(one.raw)
                    )
                else:
                    attributes[name], problem = value, None
            elif name == "store" and is_known_store(one.raw, self._reading):
                store, problem = one.raw, None
            if problem is not None:
                left.append(problem)
        return replace(before, fields=fields, attributes=attributes, store=store), left


def _texts(raw: str) -> tuple[str, ...]:
    """The values of one field that were set aside: one, or several as a JSON list."""
    if raw.startswith("["):
        try:
            found = json.loads(raw)
        except ValueError:
            return (raw,)
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            return tuple(found)
    return (raw,)


def _again(one: _Aside, problem: FieldProblem, number: int) -> SetAside:
    """The value as it is kept, under the rule that it breaks today."""
    place, raw = one.place, Sensitive(one.raw)
    return SetAside(
        place.position, place.field, problem.rule, problem.next_step, raw, number, place.fingerprint
    )
