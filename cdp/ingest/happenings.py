"""Events as they are stored, and what the database already knows of them.

Invariants, each named by a test in ``tests/integration/inbound``:

1. A message has an effect once, however often and by however many senders at once it is sent.
2. An event of a record that stands as destroyed is not stored.
3. Events of a device are its owner's from the moment that somebody trusted says whose it is,
   those that came before included, and also where the device is a record of its own.
4. With a record its events go, and a device of somebody destroyed is not heard any more until
   somebody trusted says whose it is now.
5. Of what is told at once by many nothing is lost.
6. What is left out of a body is counted once, however often it is sent; what is not sure to have
   been counted (a process was killed in between) is not counted again.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from cdp.ingest.judging import Judged
from cdp.ingest.remembered import remember
from cdp.ingest.removed import require_not_removed
from cdp.storage import schema
from cdp.storage.bulk import insert
from cdp.storage.statements import Statement, array, ask, bytes_array, send
from cdp.vault import plaintext
from cdp.vault.envelope import WrappedKey
from cdp.vault.vault import CONTACT, SENSITIVE
from cdp.workspace import Workspace
from connectors.events.telling import KEPT, KEPT_SENSITIVE, Told, joined
from connectors.record import Raw, Sensitive

REASON = "merge what a source told of a record"


@dataclass(frozen=True, slots=True)
class Standing(Raw):
    """How the database stands to some messages.

    Attributes:
        seen: names of messages that had their effect.
        owners: record id by subject, where it is known whose it is.
        gone: subjects that stand as destroyed.
    """

    seen: frozenset[bytes] = field(repr=False)
    owners: Mapping[bytes, int] = field(repr=False)
    gone: frozenset[bytes] = field(repr=False)


def hold(connection: sa.Connection, keys: Iterable[bytes]) -> None:
    """Let nobody else merge what is told of these records until the transaction ends.

    Also of those that are not stored yet, which no row could hold. Call it before anything is
    looked up; these locks come before all others.
    """
    stripes = {int.from_bytes(key[:2]) % _STRIPES for key in keys}
    send(connection, _HOLD, array(sorted(stripes)))


def standing(connection: sa.Connection, source: str, messages: Sequence[Judged]) -> Standing:
    """Look messages up: in one statement, whatever their number."""
    subjects = dict.fromkeys(one.subject for one in messages)
    names = bytes_array(one.message for one in messages)
    seen, owners, gone = set(), {}, set()
    for what, key, number in ask(connection, _STANDING, source, names, bytes_array(subjects)):
        if what == "seen":
            seen.add(bytes(key))
        elif what == "gone":
            gone.add(bytes(key))
        else:
            owners[bytes(key)] = int(number)
    return Standing(frozenset(seen), owners, frozenset(gone))


def told_of(
    connection: sa.Connection, workspace: Workspace, keys: Iterable[bytes]
) -> dict[bytes, Told]:
    """Open what was told of records so far, and hold them until the transaction ends.

    Args:
        connection: in the transaction that stores what is told now.
        workspace: whose.
        keys: of the records; one that is not stored is left out.

    Raises:
        KeyWithheld, KeyMissing, CellRefused, WrappedKeyRefused, CellGarbled: see the vault.
    """
    wanted = bytes_array(sorted(keys))
    send(connection, _HELD, wanted)
    parts: dict[bytes, list[Sensitive]] = {}
    for key, number, revision, tier, cell, version, wrapped in ask(connection, _TOLD, wanted):
        name = _CELLS[tier]
        opened = workspace.vault.open_cells(
            tier, number, revision, WrappedKey(version, bytes(wrapped)), {name: bytes(cell)}
        )[name]
        text = plaintext.decode(opened.reveal(reason=REASON))[0][0]
        parts.setdefault(bytes(key), []).append(Sensitive(text))
    return {key: joined(several) for key, several in parts.items()}


def write(
    connection: sa.Connection,
    source: str,
    messages: Iterable[Judged],
    owners: Mapping[bytes, int],
    received: dt.datetime,
) -> None:
    """Store events, each under its owner if there is one."""
    insert(
        connection,
        schema.event,
        (
            (
                source,
                one.message,
                one.kind,
                one.name,
                one.subject,
                owners.get(one.subject),
                one.properties,
                list(one.purposes),
                one.at,
                received,
            )
            for one in messages
        ),
    )


def join(connection: sa.Connection, devices: Mapping[bytes, int], new: Mapping[bytes, int]) -> None:
    """Say whose devices are, and give owners what came before anybody knew.

    Args:
        connection: in the transaction that stored the records.
        devices: record id by the subject of a device.
        new: record id by the key of records that were not there before.
    """
    if devices:
        ordered = sorted(devices)
        numbers = array(devices[one] for one in ordered)
        send(connection, _JOIN, bytes_array(ordered), numbers)
    if adopted := {**new, **devices}:
        ordered = sorted(adopted)
        send(connection, _ADOPT, bytes_array(ordered), array(adopted[one] for one in ordered))


def tally(
    connection: sa.Connection, source: str, day: dt.date, left_out: Mapping[str, int]
) -> None:
    """Count what was left out, by rule. The last write of a transaction: others wait for it.

    Raises:
        Refused: the source was removed.
    """
    if left_out:
        require_not_removed(connection, source)
        rules = sorted(left_out)
        counts = array(left_out[one] for one in rules)
        send(connection, _TALLY, source, day.isoformat(), array(rules), counts)


def tally_once(
    connection: sa.Connection,
    source: str,
    name: bytes,
    span: tuple[dt.datetime, dt.datetime],
    left_out: Mapping[str, int],
) -> None:
    """Count what was left out of a body, unless its sender sent that again.

    Args:
        connection: see ``tally``.
        source: of the body.
        name: keyed hash that names the body.
        span: when it came, and until when it is the same one.
        left_out: counts by rule.
    """
    received, until = span
    if left_out and remember(connection, source, _COUNTED + name, until, received):
        tally(connection, source, received.date(), left_out)


def tallied(connection: sa.Connection) -> list[tuple[Any, ...]]:
    """Return source, day, rule and count of all that was left out."""
    table = schema.event_tally
    columns = table.c.source, table.c.day, table.c.rule, table.c.count
    return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(*columns[:3]))]


_COUNTED = b"="  # begins the name of what was only counted: it is no message that had its effect
_STRIPES = 4096  # locks; two records on one stripe only wait for each other without need
_HOLD = Statement(
    "hold_stripes",
    ("integer[]",),
    "SELECT pg_advisory_xact_lock(11303, x.stripe) FROM unnest($1) AS x(stripe)",
)
_CELLS = {CONTACT: KEPT, SENSITIVE: KEPT_SENSITIVE}
_STANDING = Statement(
    "event_standing",
    ("text", "bytea[]", "bytea[]"),
    """
    SELECT 'seen', e.message, NULL::bigint FROM kith.event e
     WHERE e.source = $1 AND e.message = ANY($2)
    UNION ALL
    SELECT CASE WHEN x.owner IS NULL THEN 'gone' ELSE 'owner' END, x.key, x.owner
      FROM (SELECT y.key, coalesce(
                       (SELECT d.record_id FROM kith.event_device d WHERE d.subject = y.key),
                       (SELECT r.id FROM kith.record r WHERE r.key = y.key)
                   ) AS owner
              FROM unnest($3) AS y(key)) x
     WHERE x.owner IS NOT NULL
        OR EXISTS (SELECT FROM kith.event_device d WHERE d.subject = x.key)
        OR 'shred' = (
         SELECT s.kind FROM kith.shred s WHERE s.key = x.key ORDER BY s.sequence DESC LIMIT 1)
    """,
)
_HELD = Statement(
    "hold_told",
    ("bytea[]",),
    "SELECT id FROM kith.record WHERE key = ANY($1) ORDER BY id FOR NO KEY UPDATE",
)
_TOLD = Statement(
    "told",
    ("bytea[]",),
    " UNION ALL ".join(
        f"""
        SELECT r.key, r.id, c.revision, '{tier}', c.cells[array_position(c.fields, '{cell}')],
               k.key_version, k.wrapped
          FROM kith.record r
          JOIN kith_vault.{tier} c ON c.record_id = r.id
          JOIN kith_keys.data_key k ON k.record_id = r.id AND k.tier = '{tier}'
         WHERE r.key = ANY($1) AND '{cell}' = ANY(c.fields)
        """
        for tier, cell in _CELLS.items()
    ),
)
_JOIN = Statement(
    "join_devices",
    ("bytea[]", "bigint[]"),
    """
    INSERT INTO kith.event_device (subject, record_id)
    SELECT x.subject, x.record_id FROM unnest($1, $2) AS x(subject, record_id)
    ON CONFLICT (subject) DO UPDATE SET record_id = excluded.record_id
    WHERE event_device.record_id IS DISTINCT FROM excluded.record_id
    """,
)
_ADOPT = Statement(
    "adopt_events",
    ("bytea[]", "bigint[]"),
    """
    UPDATE kith.event e SET record_id = x.record_id
      FROM unnest($1, $2) AS x(subject, record_id)
     WHERE e.subject = x.subject AND e.record_id IS NULL
    """,
)
_TALLY = Statement(
    "tally_events",
    ("text", "date", "text[]", "bigint[]"),
    """
    INSERT INTO kith.event_tally (source, day, rule, count)
    SELECT $1, $2, x.rule, x.count FROM unnest($3, $4) AS x(rule, count)
    ON CONFLICT (source, day, rule) DO UPDATE SET count = event_tally.count + excluded.count
    """,
)
