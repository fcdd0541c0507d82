"""A source's data contract where one row does not tell: pauses, freshness, volume.

Invariants, each named by a test in ``tests/integration/sync/test_contracts.py``:
    1. Of a batch that pauses its source nothing is stored; of a delivery that is stale, or of an
       unusual size, nothing at all.
    2. What is told names source, rule, column and next step, never a value.
    3. Where the contract warns, the rows are stored as they would be without it.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import sqlalchemy as sa

from cdp.errors import Stop
from cdp.storage.schema import sync_run
from connectors.base import Source
from connectors.contract_terms import Contract, Freshness, Volume
from connectors.declaration import SourceDeclaration
from connectors.digests import sha256_hex
from connectors.record import RAW_LIMIT, Breach, Raw, Record, Rejection, Sensitive

FEWEST_RUNS: Final = 3  # earlier deliveries, before anything is usual
_LOOKED_AT: Final = 100  # runs, to find that many deliveries among them


class ContractPause(Stop):
    """A demand is broken whose contract says that the source pauses."""


@dataclass(frozen=True, slots=True)
class ContractFinding:
    """A demand that was broken, and by how many rows.

    Attributes:
        rule: which one.
        subject: the column or field; of the volume, the source.
        action: reject, pause or warn.
        rows: how many rows broke it; 0 where it is the delivery as a whole.
        next_step: what to do.
    """

    rule: str
    subject: str
    action: str
    rows: int
    next_step: str


@dataclass(frozen=True, slots=True)
class Delivery(Raw):
    """What there is to know of a delivery as a whole.

    Attributes:
        rows: how many.
        newest: the newest day in the column of freshness; None: no row has one.
    """

    rows: int
    newest: dt.date | None = field(repr=False)


class Watch:
    """Looks at what a source delivers, batch by batch."""

    def __init__(self, source: SourceDeclaration) -> None:
        self._source = source.name
        self._contract = source.contract
        self._whole: list[ContractFinding] = []
        self._counted: Counter[Breach] = Counter()

    @property
    def findings(self) -> tuple[ContractFinding, ...]:
        """What was broken so far, of the delivery and then by rule and column."""
        rows = [
            ContractFinding(one.rule, one.subject, one.action, count, one.next_step)
            for one, count in sorted(
                self._counted.items(), key=lambda item: (item[0].rule, item[0].subject)
            )
        ]
        return (*self._whole, *rows)

    def look_ahead(
        self, engine: sa.Engine, source: Source, fingerprint: str, today: dt.date
    ) -> None:
        """Hold a whole delivery against freshness and volume: one reading of it, if asked for.

        Args:
            engine: of the workspace.
            source: that delivers.
            fingerprint: of its content, which is not worked out once more.
            today: the day of the sync.

        Raises:
            Stop: a rule that pauses is broken.
        """
        contract = self._contract
        if contract is None or (contract.freshness is None and contract.volume is None):
            return
        usual: list[int] = []
        if contract.volume is not None:
            with engine.connect() as connection:
                usual = earlier_rows(connection, self._source, fingerprint, contract.volume.runs)
        delivery = delivery_of(source.read(), today + dt.timedelta(days=1))
        self._whole = judged(contract, delivery, usual, today)
        for one in self._whole:
            if one.action == "pause":
                raise self._pause(one.rule, one.next_step, column=one.subject)

    def look(self, batch: Iterable[object]) -> None:
        """Count what the rows of a batch break, before any of it is stored.

        Raises:
            Stop: a row breaks a demand that pauses the source.
        """
        if self._contract is None:
            return
        found: Counter[Breach] = Counter()
        for row in batch:
            if not isinstance(row, Record | Rejection):
                continue
            for breach in row.breaches:
                if breach.action == "pause":
                    raise self._pause(
                        breach.rule, breach.next_step, position=row.position, column=breach.subject
                    )
                found[breach] += 1
        self._counted += found

    def _pause(self, rule: str, next_step: str, **where: object) -> ContractPause:
        step = f"{next_step} Then sync again: it goes on where it stopped"
        return ContractPause(rule, step, source=self._source, **where)


def read_under(read_as: str, contract: Contract | None) -> str:
    """Name a way of reading with its contract: what another one rejected is judged anew."""
    if contract is None:
        return read_as
    return sha256_hex([read_as.encode(), repr(contract).encode()])


def require_rows_only(source: SourceDeclaration) -> None:
    """Check that the contract of a feed asks nothing of a delivery as a whole: it has none.

    Raises:
        Stop: it asks for freshness or a volume.
    """
    contract = source.contract
    if contract is not None and (contract.freshness or contract.volume):
        step = "remove freshness and volume from its contract: a feed is never whole"
        raise Stop("contract_not_for_feeds", step, source=source.name)


def unless_paused(record: Record, text: str) -> Record | Rejection:
    """A record that was sent, or the rejection where its contract would pause a source.

    Nothing goes on or stops behind a single record: its sender, who has it, is told.
    """
    for breach in record.breaches:
        if breach.action == "pause":
            return Rejection(
                record.source,
                record.position,
                None,
                breach.rule,
                breach.next_step,
                Sensitive(text[:RAW_LIMIT]),
                record.record_id,
                record.breaches,
            )
    return record


def delivery_of(rows: Iterable[Record | Rejection], latest: dt.date) -> Delivery:
    """Count a delivery, and find its newest day.

    Args:
        rows: of the delivery.
        latest: the last day that counts: one row of a day to come would pass for fresh for ever.
    """
    count, newest, last = 0, "", latest.isoformat()
    for row in rows:
        count += 1
        if isinstance(row, Record) and row.day is not None and row.day <= last:
            newest = max(newest, row.day)
    return Delivery(count, dt.date.fromisoformat(newest) if newest else None)


def judged(
    contract: Contract, delivery: Delivery, usual: Sequence[int], today: dt.date
) -> list[ContractFinding]:
    """Which rules a delivery breaks as a whole. Pure.

    Args:
        contract: of the source.
        delivery: what there is to know of it.
        usual: rows of earlier deliveries.
        today: the day of the sync.
    """
    found: list[ContractFinding] = []
    if contract.freshness is not None:
        found += _stale(contract.freshness, delivery.newest, today)
    if contract.volume is not None and len(usual) >= min(FEWEST_RUNS, contract.volume.runs):
        found += _unusual(contract.volume, delivery.rows, median(usual))
    return found


def _stale(
    freshness: Freshness, newest: dt.date | None, today: dt.date
) -> Iterable[ContractFinding]:
    if newest is not None and (today - newest).days <= freshness.days:
        return
    if newest is None:
        what = "No row has a day there"
    else:
        what = f"No row is of the last {freshness.days} days, as agreed"
    step = f"{what}: deliver newer rows, or correct contract.freshness."
    yield ContractFinding("contract_freshness", freshness.column, freshness.action, 0, step)


def _unusual(volume: Volume, rows: int, usual: float) -> Iterable[ContractFinding]:
    below = volume.least is not None and rows < volume.least * usual
    above = volume.most is not None and rows > volume.most * usual
    if below or above:
        step = (
            f"{rows} rows where {usual:g} are usual: look whether the delivery is whole, "
            "or correct contract.volume."
        )
        yield ContractFinding("contract_volume", "(rows)", volume.action, 0, step)


def earlier_rows(connection: sa.Connection, source: str, fingerprint: str, most: int) -> list[int]:
    """Rows of the last deliveries that were taken in whole, each content once, newest first.

    Args:
        connection: to read with.
        source: whose.
        fingerprint: of the delivery at hand, which is not counted.
        most: how many at the most.
    """
    runs = connection.execute(
        sa.select(sync_run.c.fingerprint, sync_run.c.read)
        .where(
            sync_run.c.source == source,
            sync_run.c.finished_at.is_not(None),
            sync_run.c.fingerprint != fingerprint,
        )
        .order_by(sync_run.c.id.desc())
        .limit(_LOOKED_AT)
    )
    rows: dict[str, int] = {}
    for one in runs:
        rows.setdefault(one.fingerprint, one.read)
    return list(rows.values())[:most]
