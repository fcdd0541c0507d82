"""A source's data contract where one row does not tell: pauses, freshness, volume.

Here of files, which are whole; of feeds, see ``cdp/ingest/feed_contract.py``.

Invariants, each named by a test in ``tests/integration/sync/test_contracts.py``:
    1. Of a batch that pauses its source nothing is stored; of a delivery that is stale, or of an
       unusual size, nothing at all.
    2. What is told names source, rule, column and next step, never a value.
    3. Where the contract warns, the rows are stored as they would be without it.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final

import sqlalchemy as sa

from cdp.errors import Stop
from cdp.ingest import findings
from cdp.ingest.findings import ContractFinding
from cdp.storage.schema import sync_run
from connectors.base import Source
from connectors.contract_terms import Contract, Freshness, Volume
from connectors.declaration import SourceDeclaration
from connectors.digests import sha256_hex
from connectors.record import RAW_LIMIT, Breach, Raw, Record, Rejection, Sensitive

FRESHNESS: Final = "contract_freshness"
VOLUME: Final = "contract_volume"
WHOLE: Final = frozenset({FRESHNESS, VOLUME})
OF_ROWS: Final = frozenset(
    f"contract_{one}" for one in ("required", "readable", "type", "range", "allowed")
)
ROWS: Final = "(rows)"  # stands for the column where it is about how many there are
FEWEST_RUNS: Final = 3  # earlier deliveries, before anything is usual
_LOOKED_AT: Final = 100  # runs, to find that many deliveries among them


class ContractPause(Stop):
    """A demand is broken whose contract says that the source pauses."""


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
        self, engine: sa.Engine, source: Source, fingerprint: str, now: dt.datetime
    ) -> None:
        """Hold a whole delivery against freshness and volume: one reading of it, if asked for.

        Args:
            engine: of the workspace.
            source: that delivers.
            fingerprint: of its content, which is not worked out once more.
            now: when the sync began.

        Raises:
            Stop: a rule that pauses is broken, and nobody resumed the source in spite of it.
        """
        contract, today = self._contract, now.date()
        if contract is None or (contract.freshness is None and contract.volume is None):
            return
        usual: list[int] = []
        with engine.connect() as connection:
            if contract.volume is not None:
                usual = earlier_rows(connection, self._source, fingerprint, contract.volume.runs)
            known = findings.accepted(connection, self._source)
        delivery = delivery_of(source.read(), today + dt.timedelta(days=1))
        found = judged(contract, delivery, usual, today)
        self.hold(engine, as_known(found, known, contract.volume, delivery.rows), now)

    def hold(
        self,
        engine: sa.Engine,
        found: Sequence[ContractFinding],
        now: dt.datetime,
        *,
        rules: frozenset[str] = WHOLE,
        came: bool = False,
    ) -> None:
        """Keep what is found of a delivery as a whole; pause the source where a rule says so.

        Args:
            engine: of the workspace.
            found: under ``rules``.
            now: the time.
            rules: that were looked at.
            came: whether rows came, so that what they broke is kept too.

        Raises:
            Stop: a rule that pauses is broken.
        """
        self._whole = list(found)
        # Kept before it is raised, so that whoever resumes the source is known to know.
        with engine.begin() as connection:
            self.keep(connection, now, rules=rules, came=came)
        paused = next((one for one in found if one.action == "pause"), None)
        if paused is not None:
            step = f"{paused.next_step} To take it as it is: cdp source resume NAME"
            raise ContractPause(paused.rule, step, source=self._source, column=paused.subject)

    def keep(
        self,
        connection: sa.Connection,
        now: dt.datetime,
        *,
        rules: frozenset[str] = WHOLE,
        came: bool,
    ) -> None:
        """Keep what was found until a later sync finds otherwise; of rows, where some came."""
        findings.renew(connection, self._source, rules, self._whole, now)
        if came:
            of_rows = self.findings[len(self._whole) :]
            findings.renew(connection, self._source, OF_ROWS, of_rows, now)

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
    """Name a way of reading with its contract: what another one rejected is judged anew.

    What it asks of a delivery as a whole rejects no row, and reads none in another way.
    """
    of_rows = contract.of_rows() if contract is not None else None
    if of_rows is None:
        return read_as
    return sha256_hex([read_as.encode(), repr(of_rows).encode()])


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
    about = newest.isoformat() if newest else ""
    yield ContractFinding(FRESHNESS, freshness.column, freshness.action, 0, step, about)


def _unusual(volume: Volume, rows: int, usual: float) -> Iterable[ContractFinding]:
    if is_unusual(volume, rows, usual):
        step = (
            f"{rows} rows where {usual:g} are usual: look whether the delivery is whole, "
            "or correct contract.volume."
        )
        yield ContractFinding(VOLUME, ROWS, volume.action, 0, step, str(rows))


def is_unusual(volume: Volume, rows: int, usual: float) -> bool:
    """Whether so many rows are fewer or more than agreed, where so many are usual."""
    below = volume.least is not None and rows < volume.least * usual
    above = volume.most is not None and rows > volume.most * usual
    return below or above


def as_known(
    found: Sequence[ContractFinding],
    known: Mapping[tuple[str, str], str],
    volume: Volume | None,
    rows: int,
) -> list[ContractFinding]:
    """The findings, of which those in spite of which a person resumed the source do not pause.

    A size that was accepted is the usual one until the deliveries themselves are. Pure.
    """
    size = known.get((VOLUME, ROWS), "")
    if volume is not None and size.isdecimal() and not is_unusual(volume, rows, int(size)):
        found = [replace(one, about=size) if one.rule == VOLUME else one for one in found]
    return findings.unless_accepted(found, known)


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
