"""The identity models of a workspace: one active epoch, earlier ones kept."""

import datetime as dt

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.storage.schema import epoch
from connectors.digests import sha256_hex
from identity.model import Model

ID_LENGTH = 12  # hex digits of the model's digest: enough to tell epochs apart


def active(connection: sa.Connection) -> tuple[str, Model] | None:
    """The id and the model of the active epoch, or None before the first run.

    Raises:
        identity.errors.ModelVersionError: the model is of another version of Kith.
    """
    row = connection.execute(
        sa.select(epoch.c.id, epoch.c.model).where(epoch.c.active)
    ).one_or_none()
    return (row.id, Model.from_json(row.model)) if row else None


def activate(connection: sa.Connection, model: Model, now: dt.datetime) -> str:
    """Store the model and make it the active one; return its id."""
    name = sha256_hex([model.to_text().encode()])[:ID_LENGTH]
    connection.execute(sa.update(epoch).where(epoch.c.id != name).values(active=False))
    connection.execute(
        insert(epoch)
        .values(id=name, model=model.to_json(), active=True, at=now)
        .on_conflict_do_update(index_elements=["id"], set_={"active": True})
    )
    return name
