"""Read profiles: find them, load what is known without opening anything, open what is asked.

Invariants, each named by a test in ``tests/integration/test_profiles.py``:

1. Loading opens no cell. `open_fields` opens the cells it is asked for and no other.
2. For a purpose, a value comes only from a record whose own consent covers it.
3. A value that was opened is a `Sensitive` until the one road out shows it.
4. A record whose data key is gone gives nothing, and the next record stands in for it.
5. Evidence holds comparison names, levels and bits, never a value.
6. Nothing of a frozen record is found, loaded or opened.

Who may see what is decided in ``cdp/access/gate.py``; nothing here decides it.
"""

import datetime as dt
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.profiles import survivorship
from cdp.profiles.attributes import combine
from cdp.profiles.evidence import Evidence, Link, Member, findings
from cdp.profiles.rows import ACTIVE, facts
from cdp.profiles.sealed import Sealed, chosen, formed
from cdp.profiles.survivorship import RecordFacts
from cdp.storage.schema import (
    blind_index,
    contact,
    edge,
    epoch,
    membership,
    profile,
    record,
    redirect,
    sensitive,
)
from cdp.storage.statements import Row, Statement, array, ask
from cdp.vault import plaintext
from cdp.vault.blind import BlindIndexer, BlindIndexes
from cdp.vault.errors import KeyMissing
from cdp.vault.vault import CONTACT, MASKED, SENSITIVE, Vault
from connectors.record import AttributeValue, Raw, Sensitive
from connectors.vocabulary import IDENTITY_FIELDS, SENSITIVE_FIELDS

REASON: Final = "read the golden value of a field"
_NONE: Final[Mapping[str, Collection[str]]] = MappingProxyType({})
MOST_HOPS: Final = 32  # merges of merges; a longer chain is a loop

# `RecordKeys.profile_id`: p and 20 characters of Crockford's base 32.
_PROFILE_ID: Final = re.compile(r"p[0-9a-hjkmnp-tv-z]{20}", re.ASCII)

_CURRENT: Final = sa.text(
    """
    WITH RECURSIVE hop(id, depth) AS (
        SELECT CAST(:id AS text), 0
        UNION ALL
        SELECT r.new_id, hop.depth + 1
          FROM hop JOIN kith.redirect AS r ON r.old_id = hop.id
         WHERE hop.depth < :most
           AND NOT EXISTS (SELECT 1 FROM kith.profile AS p WHERE p.id = hop.id)
    )
    SELECT p.id, p.stores, p.purposes
      FROM hop JOIN kith.profile AS p ON p.id = hop.id
     ORDER BY hop.depth LIMIT 1
    """
)
# Planned once: with its row policies a plan takes longer than the few rows that it fetches.
_PROFILES: Final = Statement(
    "profiles",
    ("text[]",),
    "SELECT id, anchor_id, revision, stores, golden, attributes, purposes, updated_at "
    "FROM kith.profile WHERE id = ANY($1)",
)
_TAGS: Final = Statement(
    "tags_of",
    ("text[]",),
    "SELECT profile_id, name, value FROM kith.tag WHERE profile_id = ANY($1) "
    "ORDER BY profile_id, name",
)


@dataclass(frozen=True, slots=True)
class StoredProfile(Raw):
    """A profile as it is stored, and its records in the order in which they give values.

    The first eight parts are the row itself, over all records. The methods answer for a
    purpose; ``None`` is every record, for the platform's own work.
    """

    id: str
    anchor_id: int
    revision: int
    stores: tuple[str, ...]
    golden: Mapping[str, int]
    attributes: Mapping[str, AttributeValue] = field(repr=False)
    purposes: tuple[str, ...]
    updated_at: dt.datetime
    records: tuple[RecordFacts, ...]

    @property
    def refused(self) -> tuple[str, ...]:
        """The purposes that the person refused in some record."""
        return survivorship.refused_purposes(self.records)

    def golden_for(self, purpose: str | None) -> dict[str, int]:
        """Which record gives each field, for a purpose."""
        return survivorship.golden_for(self.records, purpose)

    def attributes_for(self, purpose: str | None) -> dict[str, AttributeValue]:
        """The combined attributes of the records that the purpose may use."""
        return combine([r.attributes for r in survivorship.covering(self.records, purpose)])

    def stores_for(self, purpose: str | None) -> tuple[str, ...]:
        """The stores of the records that the purpose may use."""
        return survivorship.stores(survivorship.covering(self.records, purpose))


@dataclass(frozen=True, slots=True)
class Located:
    """What decides who may see a profile, and nothing more."""

    id: str
    stores: frozenset[str]
    purposes: frozenset[str]


def is_profile_id(text: str) -> bool:
    """Say whether ``text`` has the shape of a profile id; anything else names nobody."""
    return _PROFILE_ID.fullmatch(text) is not None


def find(
    connection: sa.Connection,
    indexer: BlindIndexer | BlindIndexes,
    field: str,
    scope: str | None,
    value: str,
    purpose: str | None = None,
) -> list[str]:
    """Return the ids of the profiles that hold an identifier, in alphabetical order.

    Args:
        connection: any.
        indexer: of the workspace's key ring; every epoch it holds is asked.
        field: one of ``cdp.vault.blind.INDEXED_FIELDS``.
        scope: of the identifier, as its source declares it; None for no scope.
        value: canonical, as ``cdp.ingest.normalise`` gives it.
        purpose: look only at records whose consent covers it.

    Raises:
        NotIndexable: a field that is not indexed, or an empty value.
    """
    asked = indexer.asked(field, scope, value)
    statement = (
        sa.select(membership.c.profile_id)
        .distinct()
        .join_from(blind_index, membership, membership.c.record_id == blind_index.c.record_id)
        .join(record, record.c.id == blind_index.c.record_id)
        .where(blind_index.c.field == field, record.c.state == ACTIVE)
        .where(sa.tuple_(blind_index.c.epoch, blind_index.c.value).in_(asked))
        .where(*_covering(purpose))
        .order_by(membership.c.profile_id)
    )
    return list(connection.scalars(statement))


def _covering(purpose: str | None) -> tuple[sa.ColumnElement[bool], ...]:
    covers = record.c.purposes.contains([purpose]), ~record.c.refused.contains([purpose])
    return () if purpose is None else covers


def locate(connection: sa.Connection, profile_id: str) -> Located | None:
    """Return the existing profile that ``profile_id`` is or leads to, or None."""
    row = connection.execute(_CURRENT, {"id": profile_id, "most": MOST_HOPS}).one_or_none()
    return None if row is None else Located(row.id, frozenset(row.stores), frozenset(row.purposes))


def locate_many(connection: sa.Connection, profile_ids: Collection[str]) -> list[Located]:
    """Return the profiles that exist under these very ids, in alphabetical order."""
    statement = (
        sa.select(profile.c.id, profile.c.stores, profile.c.purposes)
        .where(profile.c.id == sa.any_(sa.literal(list(profile_ids), ARRAY(sa.Text))))
        .order_by(profile.c.id)
    )
    return [Located(i, frozenset(s), frozenset(p)) for i, s, p in connection.execute(statement)]


def current_id(connection: sa.Connection, profile_id: str) -> str | None:
    """Return the id of the existing profile that ``profile_id`` is or leads to, or None."""
    found = locate(connection, profile_id)
    return None if found is None else found.id


def ids_of(connection: sa.Connection, profile_id: str) -> tuple[str, list[str]]:
    """Return the current id of a person and every earlier one that leads to it."""
    current = current_id(connection, profile_id) or profile_id
    earlier = sa.select(redirect.c.old_id).where(redirect.c.new_id == current)
    return current, sorted(connection.scalars(earlier))


def load(connection: sa.Connection, profile_id: str, trust: Sequence[str]) -> StoredProfile | None:
    """Return one profile, following redirects, or None. See `load_many`."""
    current = current_id(connection, profile_id)
    if current is None:
        return None
    return load_many(connection, [current], trust).get(current)


def load_many(
    connection: sa.Connection, profile_ids: Collection[str], trust: Sequence[str]
) -> dict[str, StoredProfile]:
    """Return existing profiles by id, in the order of ``profile_ids``; redirects stay unread.

    Args:
        connection: any.
        profile_ids: current ids; those that do not exist are left out.
        trust: source names, the most trusted first (``workspace.declaration.trust``).
    """
    wanted = list(dict.fromkeys(profile_ids))
    if not wanted:
        return {}
    rows = ask(connection, _PROFILES, array(wanted))
    records = dict(facts(connection, wanted, trust))
    found = {row[0]: _stored(row, records.get(row[0], ())) for row in rows}
    return {profile_id: found[profile_id] for profile_id in wanted if profile_id in found}


def _stored(row: Row, records: tuple[RecordFacts, ...]) -> StoredProfile:
    one, anchor, revision, stores, golden, attributes, purposes, at = row
    frozen = MappingProxyType(golden), MappingProxyType(attributes)
    known = one, anchor, revision, tuple(stores)
    return StoredProfile(*known, *frozen, tuple(purposes), at, records)


def tags_of(connection: sa.Connection, profile_ids: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the tags of each profile that has any, names in alphabetical order."""
    found: dict[str, dict[str, str]] = {}
    for profile_id, name, value in ask(connection, _TAGS, array(profile_ids)):
        found.setdefault(profile_id, {})[name] = value
    return found


def evidence(connection: sa.Connection, profile_id: str, purpose: str | None = None) -> Evidence:
    """Return every stored comparison between records of one profile, by record id.

    What a frozen record says is not shown, not even how far it agrees with another.

    Args:
        connection: any.
        profile_id: a current id; one that does not exist has no records and no links.
        purpose: leave out records whose consent does not cover it.

    Raises:
        Stop: an edge was scored by an epoch of another release.
    """
    members = connection.execute(
        sa.select(record.c.id, record.c.source, record.c.store, record.c.first_seen_at)
        .join(membership, membership.c.record_id == record.c.id)
        .where(membership.c.profile_id == profile_id, record.c.state == ACTIVE)
        .where(*_covering(purpose))
        .order_by(record.c.id)
    ).all()
    among = sa.any_(sa.literal([row.id for row in members], ARRAY(sa.BigInteger)))
    edges = connection.execute(
        sa.select(edge)
        .where(edge.c.low_id == among, edge.c.high_id == among)
        .order_by(edge.c.low_id, edge.c.high_id)
    ).all()
    named = sa.select(epoch.c.id, epoch.c.model).where(epoch.c.id.in_({e.epoch for e in edges}))
    models = {row.id: row.model for row in connection.execute(named)}
    links = [
        Link(e.low_id, e.high_id, e.weight, e.epoch, findings(e.levels, e.weights, models[e.epoch]))
        for e in edges
    ]
    return Evidence(profile_id, tuple(Member(*row) for row in members), tuple(links))


# ── opening ─────────────────────────────────────────────────────────────────


def open_fields(
    connection: sa.Connection,
    vault: Vault,
    stored: StoredProfile,
    fields: Iterable[str],
    purpose: str | None,
) -> dict[str, Sensitive]:
    """Open the golden values of one person; see `open_many`."""
    return open_many(connection, vault, [stored], fields, purpose).get(stored.id, {})


def open_many(
    connection: sa.Connection,
    vault: Vault,
    people: Sequence[StoredProfile],
    fields: Iterable[str],
    purpose: str | None,
    known: Mapping[str, Collection[str]] = _NONE,
) -> dict[str, dict[str, Sensitive]]:
    """Open the golden values of several people with one statement for each tier.

    Args:
        connection: any.
        vault: of the workspace.
        people: as loaded.
        fields: identity fields; those that nobody gives are left out of the answer.
        purpose: what the values are for; None is the platform's own work.
        known: {profile id: fields of that person to leave closed}.

    Returns:
        {profile id: {field: value}}; of a field with several values, the first.

    Raises:
        KeyWithheld, KeyMissing, CellRefused, WrappedKeyRefused, CellGarbled: see the vault.
    """
    asked = IDENTITY_FIELDS.intersection(fields)
    candidates = {
        one.id: {
            field: [r.id for r in survivorship.covering(one.records, purpose) if field in r.fields]
            for field in asked.difference(known.get(one.id, ()))
        }
        for one in people
    }
    opened: dict[str, dict[str, Sensitive]] = {}
    for tier, table in ((CONTACT, contact), (SENSITIVE, sensitive)):
        names = asked & SENSITIVE_FIELDS if tier == SENSITIVE else asked - SENSITIVE_FIELDS
        for profile_id, cells in chosen(connection, table, candidates, sorted(names)).items():
            values = opened.setdefault(profile_id, {})
            for number, found in cells.items():
                values |= _open_record(vault, tier, number, found)
    return {one: dict(sorted(values.items())) for one, values in opened.items()}


def forms_many(
    connection: sa.Connection, vault: Vault, asked: Mapping[str, Mapping[str, int]], masking: str
) -> dict[str, dict[str, Sensitive | None]]:
    """Open masked forms with the `masked` key alone; arguments are those of ``sealed.formed``.

    Returns:
        {profile id: {field: form}}; None: the mask shows nothing of it. Left out: what has no
        form of these masks, or one under a key version that this process lacks.
    """
    found: dict[str, dict[str, Sensitive | None]] = {}
    for profile_id, number, names, one in formed(connection, asked, masking):
        try:
            opened = _open_whole(vault, MASKED, number, one) if one.cells else {}
        except KeyMissing:
            continue
        found.setdefault(profile_id, {}).update({name: opened.get(name) for name in names})
    return found


def open_records(
    connection: sa.Connection, vault: Vault, record_ids: Iterable[int], names: Collection[str]
) -> dict[int, dict[str, plaintext.Values]]:
    """Open the named cells of these very records, whoever they belong to.

    Returns:
        {record id: {cell: values}}; a record whose data key is gone is left out.

    Raises:
        KeyWithheld, KeyMissing, CellRefused, WrappedKeyRefused, CellGarbled: see the vault.
    """
    numbers = list(record_ids)
    found: dict[int, dict[str, plaintext.Values]] = {}
    for tier, table in ((CONTACT, contact), (SENSITIVE, sensitive)):
        asked = sorted(n for n in names if (n in SENSITIVE_FIELDS) == (tier == SENSITIVE))
        each = {str(number): {name: [number] for name in asked} for number in numbers}
        for sealed in chosen(connection, table, each, asked).values():
            for number, one in sealed.items():
                for name, content in _open_whole(vault, tier, number, one).items():
                    values = plaintext.decode(content.reveal(reason=REASON))
                    found.setdefault(number, {})[name] = values
    return found


def _open_record(vault: Vault, tier: str, number: int, sealed: Sealed) -> dict[str, Sensitive]:
    opened = _open_whole(vault, tier, number, sealed)
    return {field: _first(content) for field, content in opened.items()}


def _open_whole(vault: Vault, tier: str, number: int, sealed: Sealed) -> dict[str, Sensitive]:
    return vault.open_cells(tier, number, sealed.revision, sealed.wrapped, sealed.cells)


def _first(content: Sensitive) -> Sensitive:
    return Sensitive(plaintext.decode(content.reveal(reason=REASON))[0][0])
