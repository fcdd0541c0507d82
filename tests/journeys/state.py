"""What a workspace holds, opened and named by record instead of by row number.

Two workspaces under one key ring that hold the same compare equal, whatever ids the
database handed out and whatever random nonces the vault drew.
"""

from typing import Any

import sqlalchemy as sa

from cdp.storage import schema
from cdp.vault.envelope import WrappedKey
from cdp.vault.rejects import RejectPlace
from cdp.vault.vault import CONTACT, SENSITIVE
from cdp.workspace import Workspace
from identity import features

WHY = "compare two workspaces in a test"
OF_A_RECORD = ("source", "content", "revision", "store", "basis", "purposes", "refused",
               "attributes", "feature_version", "dirty")  # fmt: skip


def contents(workspace: Workspace) -> dict[str, Any]:
    """Every record with its cells, features and indexes, every reject, in comparable form."""
    with workspace.engine.connect() as connection:
        rows = connection.execute(sa.select(schema.record).order_by(schema.record.c.id)).all()
        names = {row.id: bytes(row.key).hex() for row in rows}
        wrapped = {
            (row.record_id, row.tier): WrappedKey(row.key_version, bytes(row.wrapped))
            for row in connection.execute(sa.select(schema.data_key))
        }
        records = {
            names[row.id]: {
                **{name: getattr(row, name) for name in OF_A_RECORD},
                "features": _features(workspace, row, wrapped[row.id, CONTACT]),
            }
            for row in rows
        }
        return {
            "order": [names[row.id] for row in rows],
            "records": records,
            "cells": _cells(workspace, connection, names, wrapped),
            "keys": sorted((names[number], tier) for number, tier in wrapped),
            "indexes": sorted(
                (names[row.record_id], row.field, bytes(row.value))
                for row in connection.execute(sa.select(schema.blind_index))
            ),
            "rejects": _rejects(workspace, connection, names),
        }


def _features(workspace: Workspace, row: Any, key: WrappedKey) -> list[dict[str, Any]]:
    blob = workspace.vault.open_features_many([(row.id, row.revision, key, bytes(row.features))])
    return features.unpack([0], blob).to_pylist()


def _cells(
    workspace: Workspace,
    connection: sa.Connection,
    names: dict[int, str],
    wrapped: dict[tuple[int, str], WrappedKey],
) -> dict[tuple[str, str], str]:
    found = {}
    for tier, table in ((CONTACT, schema.contact), (SENSITIVE, schema.sensitive)):
        for row in connection.execute(sa.select(table)):
            key = wrapped[row.record_id, tier]
            for field, cell in zip(row.fields, row.cells, strict=True):
                opened = workspace.vault.open_cell(
                    tier, field, row.record_id, row.revision, key, bytes(cell)
                )
                found[names[row.record_id], f"{tier}.{field}"] = opened.reveal(reason=WHY)
    return found


def _rejects(
    workspace: Workspace, connection: sa.Connection, names: dict[int, str]
) -> list[tuple[Any, ...]]:
    found = []
    for row in connection.execute(sa.select(schema.reject)):
        place = RejectPlace(row.source, row.fingerprint, row.position, row.field)
        raw = workspace.vault.open_reject(place, bytes(row.sealed)).reveal(reason=WHY)
        found.append((*place, row.rule, row.next_step, names.get(row.record_id, ""), raw))
    return sorted(found)


def people(workspace: Workspace) -> dict[str, Any]:
    """Who belongs to whom, and how it came about."""
    with workspace.engine.connect() as connection:
        members = connection.execute(
            sa.select(schema.record.c.key, schema.membership.c.profile_id).join(
                schema.membership, schema.membership.c.record_id == schema.record.c.id
            )
        )
        event, redirect, profile = schema.profile_event, schema.redirect, schema.profile
        return {
            "members": {bytes(row.key).hex(): row.profile_id for row in members},
            "events": [
                tuple(row)
                for row in connection.execute(
                    sa.select(event.c.kind, event.c.profile_id, event.c.other_id).order_by(
                        event.c.id
                    )
                )
            ],
            "redirects": dict(
                tuple(row)
                for row in connection.execute(sa.select(redirect.c.old_id, redirect.c.new_id))
            ),
            "profiles": {
                row.id: (row.revision, row.size, row.stores, row.attributes, row.purposes)
                for row in connection.execute(sa.select(profile))
            },
        }


def rows_as_stored(engine: sa.Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, byte for byte, with the transaction that wrote it."""
    found = {}
    with engine.connect() as connection:
        for table in schema.metadata.sorted_tables:
            rows = connection.execute(
                sa.text(f"SELECT xmin::text, ctid::text, t::text FROM {table.fullname} t")
            )
            found[table.fullname] = sorted(tuple(row) for row in rows)
    return found
