"""How things stand with what was erased: ledger, frozen records, what is not scrubbed yet."""

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from cdp.erasure import ledger, scrubbing
from cdp.storage.schema import profile, published, record
from cdp.vault.shreds import Kind, Line, standing
from cdp.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Status:
    """What ``cdp vault status`` says.

    Attributes:
        lines: of the ledger.
        head: the seal of the last line; kept elsewhere, it shows a ledger that was cut.
        shredded: records that stand as destroyed.
        frozen: records that are stored and not read.
        not_scrubbed: tables that may hold bytes of a shredded record.
        pending_since: when the oldest of those was destroyed.
        untold: people whom a destination is still to be told to forget, by destination.
        exports: files in the folder of exports that are older than the last shred.
    """

    lines: int
    head: str
    shredded: int
    frozen: int
    not_scrubbed: tuple[str, ...]
    pending_since: dt.datetime | None
    untold: dict[str, int]
    exports: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        return asdict(self)


def status(workspace: Workspace) -> Status:
    """Check the whole ledger, and say how things stand.

    Raises:
        RestoredBeforeShred, ShredLedgerBehind, ShredLedgerAltered, OtherWorkspace.
    """
    with workspace.engine.begin() as connection:
        lines = ledger.checked(connection, workspace)
        left = scrubbing.pending(connection)
        frozen = sa.select(sa.func.count()).where(record.c.state == "frozen")
        gone = ~sa.exists().where(profile.c.id == published.c.profile_id)
        told = sa.select(published.c.destination, sa.func.count()).where(gone)
        by_name = told.group_by(published.c.destination).order_by(published.c.destination)
        untold = connection.execute(by_name).all()
        return Status(
            lines=len(lines),
            head=lines[-1].mac.hex() if lines else "",
            shredded=len(standing(lines)),
            frozen=connection.scalar(frozen) or 0,
            not_scrubbed=left.relations,
            pending_since=left.since,
            untold={row[0]: row[1] for row in untold},
            exports=_older_exports(workspace, lines),
        )


def _older_exports(workspace: Workspace, lines: list[Line]) -> tuple[str, ...]:
    shreds = [one.entry.at for one in lines if one.entry.kind is Kind.SHRED]
    folder = workspace.settings.exports
    if not shreds or not folder.exists():
        return ()
    last = shreds[-1].timestamp()
    files = (one for one in sorted(folder.rglob("*")) if one.is_file())
    return tuple(str(one.relative_to(folder)) for one in files if one.stat().st_mtime < last)
