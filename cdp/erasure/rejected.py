"""Find the rejected rows that are about a record, and delete them.

A rejected row has no record, so nothing in the clear says whose it is. Beside it stands what
its words are kept as (`Vault.reject_words`). That rules nearly every row out; what is left is
opened and looked at, a few hundred in memory at a time. A row belongs to a record if it was
kept with its id, or if the id stands in it as a word; of an id of several columns, if each
part stands in it. Where the id is not known any more, because nothing of the record opens, a
row belongs to it if the keyed hash of some text in it is the record's key. Where that takes
one row too many, the next sync of the same content lists it again. A row of a feed was looked
into when it was kept: what its own source deletes is found by those hashes, in an index.

Invariants, each named by a test in ``tests/integration/erasure/test_rejected_rows.py``:

4. What is kept of a record among the rejected rows goes with it: ids of several columns,
   ids written with escapes and rows of any kind of source included.
5. A record that does not open, and one of which only the rejected row is left, is found by
   its key.
6. However many rejected rows there are, a few hundred are in memory.
8. What is ruled out without being opened would not have been found either; a row of which nobody
   kept the words is opened.

And in ``tests/integration/feeds/test_departing.py``:

7. What a source deletes opens no rejected row but those that were never looked into.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from cdp.erasure.targets import Held
from cdp.errors import KithError
from cdp.ingest.destroyed import possible_keys
from cdp.storage.schema import contact, data_key, record, reject
from cdp.vault import plaintext
from cdp.vault.envelope import WrappedKey
from cdp.vault.keyed import RecordKeys
from cdp.vault.rejects import RejectPlace
from cdp.workspace import Workspace
from connectors.declaration import SourceDeclaration
from connectors.possible_ids import columns_of, parts_of, words_of
from connectors.record import Sensitive

REASON: Final = "find the rejected rows of a record that is erased"
BATCH: Final = 500  # rows; one is at most 64 KiB
_TIER: Final = contact.name
_Tells = Callable[[str, str], bool]  # of a source and a row, whether it is to go


def remove_looked_into(
    connection: sa.Connection, workspace: Workspace, records: Sequence[Held]
) -> int:
    """Delete the rejected rows of stored records of feeds; return how many.

    Rows that were looked into when they were kept are found by their keys, and not opened: of
    those that name a record beside their own, only the own one counts. All others are opened.
    """
    sources = {one.source for one in records}
    keys = sa.cast([one.key for one in records], sa.ARRAY(sa.LargeBinary))
    whole = sa.and_(reject.c.source.in_(sources), reject.c.record_id.is_(None))
    gone = connection.execute(sa.delete(reject).where(whole, reject.c.record_keys.op("&&")(keys)))
    others = sa.select(reject.c.id).where(whole, reject.c.record_keys.is_(None)).limit(1)
    if connection.scalar(others) is None:
        return gone.rowcount
    return gone.rowcount + remove(connection, workspace, records, reject.c.record_keys.is_(None))


def remove(
    connection: sa.Connection,
    workspace: Workspace,
    records: Sequence[Held],
    among: sa.ColumnElement[bool] | None = None,
) -> int:
    """Delete the rejected rows of stored records; return how many."""
    names = _names(connection, workspace, records)
    by_name = _Named(workspace, list(names.values()))
    by_key = _Keyed(workspace, {one.key for one in records if one.id not in names})

    def tells(source: str, row: str) -> bool:
        return by_name.tells(source, row) or by_key.tells(source, row)

    sources = {one.source for one in records}
    may_be = sa.or_(by_name.may_be(sources), by_key.may_be(sources))
    whole = may_be if among is None else sa.and_(may_be, among)
    return _remove(connection, workspace, sources, tells, whole)


def remove_by_key(connection: sa.Connection, workspace: Workspace, keys: Collection[bytes]) -> int:
    """Delete the rejected rows of records that may be stored or not; return how many."""
    if not keys:
        return 0
    sources = set(connection.scalars(sa.select(reject.c.source).distinct()))
    by_key = _Keyed(workspace, keys)
    return _remove(connection, workspace, sources, by_key.tells, by_key.may_be(sources))


def _remove(
    connection: sa.Connection,
    workspace: Workspace,
    sources: Collection[str],
    tells: _Tells,
    among: sa.ColumnElement[bool],
) -> int:
    """Delete those of the rejected rows that are told to go; each of them is opened."""
    rows = connection.execute(
        sa.select(reject)
        .where(reject.c.source.in_(sources), reject.c.record_id.is_(None), among)
        .execution_options(yield_per=BATCH)
    )
    found = [row.id for row in rows if _is_told(workspace, row, tells)]
    if found:
        these = sa.any_(sa.cast(found, sa.ARRAY(sa.BigInteger)))
        connection.execute(sa.delete(reject).where(reject.c.id == these))
    return len(found)


def _is_told(workspace: Workspace, row: sa.Row[Any], tells: _Tells) -> bool:
    place = RejectPlace(row.source, row.fingerprint, row.position, row.field)
    try:
        text = workspace.vault.open_reject(place, bytes(row.sealed))
    except KithError:
        return False  # nobody can read it
    return tells(row.source, text.reveal(reason=REASON))


class _Named:
    """Tells whether a row is about one of some records whose ids are known."""

    def __init__(self, workspace: Workspace, names: Sequence[Sensitive]) -> None:
        self._workspace = workspace
        self._declared = workspace.declaration.sources
        opened = [name.reveal(reason=REASON) for name in names]
        self._each = [words_of(name) for name in opened]
        words = [re.escape(name) for name in opened]
        self._words = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)") if words else None
        self._apart = [parts for parts in map(columns_of, opened) if len(parts) > 1]

    def may_be(self, sources: Collection[str]) -> sa.ColumnElement[bool]:
        """What holds of every row that ``tells`` would tell, and of few others."""
        if self._words is None:
            return sa.false()
        numbers = self._workspace.vault.reject_words
        all_of_one = (
            sa.and_(reject.c.source == one, reject.c.words.op("@>")(_these(numbers(one, words))))
            for one in sources
            for words in self._each
        )
        return sa.or_(reject.c.words.is_(None), *all_of_one)

    def tells(self, source: str, row: str) -> bool:
        if self._words is None:
            return False
        if self._words.search(row):
            return True
        escaped = "\\" in row or '""' in row
        if not escaped and not any(all(part in row for part in parts) for parts in self._apart):
            return False  # nearly every row ends here
        declared = self._declared.get(source)
        texts = parts_of(row, declared.delimiter) if declared else parts_of(row)
        return any(self._words.search(text) for text in texts) or any(
            texts.issuperset(parts) for parts in self._apart
        )


class _Keyed:
    """Tells whether a row is about one of some records of which the keys are left."""

    def __init__(self, workspace: Workspace, keys: Collection[bytes]) -> None:
        self._declared = workspace.declaration.sources
        self._record_keys = RecordKeys(workspace.keyring)
        self._keys = frozenset(keys)

    def may_be(self, sources: Collection[str]) -> sa.ColumnElement[bool]:
        """What holds of every row that ``tells`` would tell, and of few others."""
        if not self._keys:
            return sa.false()
        keys = reject.c.record_keys
        # Kept under another declaration they are others, where an id has several columns.
        parted = [one for one in sources if len(_columns(self._declared, one)) > 1]
        return sa.or_(
            keys.is_(None),
            reject.c.source.in_(parted),
            keys.op("&&")(sa.cast(sorted(self._keys), sa.ARRAY(sa.LargeBinary))),
        )

    def tells(self, source: str, row: str) -> bool:
        if not self._keys:
            return False
        keys = possible_keys(self._record_keys, source, self._declared.get(source), row)
        return keys is None or not self._keys.isdisjoint(keys)


def _these(numbers: Sequence[int]) -> sa.ColumnElement[Any]:
    return sa.cast(numbers, sa.ARRAY(sa.SmallInteger))


def _columns(declared: Mapping[str, SourceDeclaration], source: str) -> Sequence[str]:
    return declared[source].record_id if source in declared else ()


def _names(
    connection: sa.Connection, workspace: Workspace, records: Sequence[Held]
) -> dict[int, Sensitive]:
    """The sources' own ids of these records by number, as far as they open."""
    columns = record.c
    rows = connection.execute(
        sa.select(
            columns.id,
            columns.revision,
            data_key.c.key_version,
            data_key.c.wrapped,
            contact.c.fields[1].label("field"),
            contact.c.cells[1].label("cell"),
        )
        .join(contact, contact.c.record_id == columns.id)
        .join(data_key, sa.and_(data_key.c.record_id == columns.id, data_key.c.tier == _TIER))
        .where(columns.id.in_([one.id for one in records]))
    )
    found = {}
    for row in rows:
        wrapped = WrappedKey(row.key_version, bytes(row.wrapped))
        try:
            opened = workspace.vault.open_cell(
                _TIER, row.field, row.id, row.revision, wrapped, bytes(row.cell)
            )
        except KithError:
            continue
        found[row.id] = Sensitive(plaintext.decode(opened.reveal(reason=REASON))[0][0])
    return found
