"""The identity models of a workspace: one active epoch, earlier ones kept.

Invariants:
    1. An epoch's id is the digest of everything in it: equal ids, equal models.
    2. An epoch file names its id. One whose content is not that of its id was altered and
       is refused; whoever changes a file on purpose deletes that line, and the file is
       another epoch.
    3. An epoch file says nothing that is not used: an unknown entry, or bits that its m and
       u do not give, are refused.
    4. Who put an epoch in force, when and why stands with it; nobody means that a resolve
       learnt it and put it in force itself.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.errors import Stop
from cdp.storage.schema import epoch
from connectors.digests import sha256_hex
from identity import features
from identity.comparisons import COMPARISONS
from identity.epoch_diff import differences
from identity.errors import ModelVersionError
from identity.model import VERSION, Model

ID_LENGTH = 12  # hex digits of the model's digest: enough to tell epochs apart
ACTIVE = "active"  # stands for the epoch in force
ID = "id"  # of an epoch file
_LEARN = "learn one anew: cdp identity model learn --out FILE"


@dataclass(frozen=True, slots=True)
class Signature:
    """Who put an epoch in force, when and why."""

    by: str  # principal
    reason: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the list of epochs."""

    id: str
    active: bool
    at: dt.datetime  # when it was first in force
    learnt_from: int | None  # records
    join_bits: float | None
    signature: Signature | None


def id_of(model: Model) -> str:
    """The id of a model's epoch."""
    return sha256_hex([model.to_text().encode()])[:ID_LENGTH]


def active(connection: sa.Connection) -> tuple[str, Model] | None:
    """The id and the model of the active epoch, or None before the first run.

    Raises:
        identity.errors.ModelVersionError: the model is of another version of Kith.
    """
    found = stored(connection, ACTIVE)
    return (found[0], Model.from_json(found[1])) if found else None


def is_signed(connection: sa.Connection) -> bool:
    """Whether a person put the active epoch in force: then no run replaces it by itself."""
    signed = epoch.c.active & epoch.c.signed_by.is_not(None)
    return bool(connection.scalar(sa.select(sa.exists().where(signed))))


def activate(
    connection: sa.Connection, model: Model, now: dt.datetime, signature: Signature | None = None
) -> str:
    """Store the model and make it the active one; return its id.

    Without a signature, one that the epoch has already stays with it.
    """
    name = id_of(model)
    new: dict[str, Any] = {"model": model.to_json(), "active": True}
    if signature:
        new |= {
            "signed_by": signature.by,
            "reason": signature.reason,
            "signed_at": signature.at,
        }
    connection.execute(sa.update(epoch).where(epoch.c.id != name).values(active=False))
    connection.execute(
        insert(epoch)
        .values(id=name, at=now, **new)
        .on_conflict_do_update(index_elements=["id"], set_=new)
    )
    return name


def listed(connection: sa.Connection) -> list[Epoch]:
    """Every epoch that was ever in force, the newest first."""
    rows = connection.execute(sa.select(epoch).order_by(epoch.c.at.desc(), epoch.c.id))
    return [
        Epoch(
            row.id,
            row.active,
            row.at,
            # An epoch of another version of Kith is listed too, with what it says.
            row.model.get("learnt_from"),
            row.model.get("join_bits"),
            Signature(row.signed_by, row.reason, row.signed_at) if row.signed_by else None,
        )
        for row in rows
    ]


# ── files ───────────────────────────────────────────────────────────────────


def document(model: Model) -> dict[str, Any]:
    """What an epoch file says: the id, then the model."""
    return {ID: id_of(model), **model.to_json()}


def file_text(model: Model) -> str:
    """An epoch file. Equal models give equal text, so that two can be compared by line."""
    return json.dumps(document(model), ensure_ascii=False, indent=1) + "\n"


def named(connection: sa.Connection, name: str) -> Model:
    """The epoch that somebody means: ``active``, an id, or a file.

    Raises:
        Stop: there is none of that name, or the file is of another version or altered.
        identity.errors.ModelVersionError: a stored epoch is of another version of Kith.
    """
    found = stored(connection, name)
    if found:
        return Model.from_json(found[1])
    if name == ACTIVE:
        raise Stop("no_epoch", "run: cdp identity resolve")
    return read_file(Path(name))


def stored(connection: sa.Connection, name: str) -> tuple[str, Mapping[str, Any]] | None:
    """The id of a stored epoch (``active``, or its own id), and what it says, unread."""
    wanted = epoch.c.active if name == ACTIVE else epoch.c.id == name
    row = connection.execute(sa.select(epoch.c.id, epoch.c.model).where(wanted)).one_or_none()
    return (row.id, row.model) if row else None


def read_file(path: Path) -> Model:
    """Read an epoch file.

    Raises:
        Stop: it is missing, no epoch file, of another version, or altered.
    """
    content = dict(read_document(path))
    given = content.pop(ID, None)
    _refuse_other_versions(content, path)
    try:
        model = Model.from_json(content)
        _refuse_missing_frequencies(model)
    except ModelVersionError as error:
        step = f"mend what was changed in it, or {_LEARN}"
        raise Stop("epoch_damaged", step, path=path) from error
    _refuse_unused(content, model, path)
    if given is not None and given != id_of(model):
        raise Stop(
            "epoch_altered",
            "fetch the file again; if you changed it on purpose, delete its line "
            f'"{ID}": then it is an epoch of its own, to be signed as such',
            path=path,
            epoch=id_of(model),
        )
    return model


def _refuse_unused(content: Mapping[str, Any], model: Model, path: Path) -> None:
    # What the file leaves out and the model does not need, such as bits, is no harm.
    wrong = [one for one in differences(content, model.to_json()) if one.one is not None]
    if wrong:
        raise Stop(
            "epoch_says_what_is_not_used",
            "remove the entry; bits follow from m and u, which are what counts",
            path=path,
            entry=wrong[0].place,
        )


def read_document(path: Path) -> Mapping[str, Any]:
    """What stands in a file that looks like an epoch file, whatever made it.

    Raises:
        Stop: it is missing, or is something else.
    """
    if not path.is_file():
        raise Stop("no_such_epoch", "name `active`, an epoch's id or an epoch file", path=path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_each_once)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Stop("epoch_unreadable", f"name an epoch file, or {_LEARN}", path=path) from error
    if not isinstance(content, dict) or "comparisons" not in content:
        raise Stop("epoch_unreadable", f"name an epoch file, or {_LEARN}", path=path)
    return content


def _each_once(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; of two entries of one name a reader may see the one that is unused."""
    found = dict(entries)
    if len(found) < len(entries):
        raise ValueError("an entry stands there twice")
    return found


def _refuse_missing_frequencies(model: Model) -> None:
    wanted = {level.frequency_of for one in COMPARISONS for level in one.levels} - {None}
    if not wanted <= set(model.frequencies):
        raise ModelVersionError("frequencies of a feature are missing")


def _refuse_other_versions(content: Mapping[str, Any], path: Path) -> None:
    if content.get("version") != VERSION:
        raise Stop("epoch_of_another_version", _LEARN, path=path, version_of_this_kith=VERSION)
    if content.get("feature_version") != features.VERSION:
        raise Stop(
            "epoch_for_other_features",
            _LEARN,
            path=path,
            feature_version_of_this_kith=features.VERSION,
        )
