"""A source, looked at before anything is read in.

What its reader finds, what its first rows come to under mapping and contract, what nobody mapped.
What most of the first rows have in common is a mistake of the declaration; what a few have is
listed by `cdp source rejects` once they were read in.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from cdp.ingest.contract import FRESHNESS
from cdp.ingest.detecting import personal
from cdp.ingest.guessing import is_national
from cdp.ingest.values import Reading, read_record
from connectors.base import Feed, Finding, Level, Source
from connectors.declaration import SourceDeclaration
from connectors.errors import ConnectorError
from connectors.record import Breach, Record, Rejection
from connectors.sources.local_file import FileSource
from connectors.table import Sampled, Tabular

FIRST_ROWS: Final = 100  # that are read as a sync would
REASON: Final = "look at the first rows"
SLOW: Final = "time_limit"
MOST: Final = 0.5  # of them; what befalls more of them than this is told


def looked_at(
    source: Source | Feed, declaration: SourceDeclaration, reading: Reading
) -> list[Finding]:
    """What a check finds, what the first rows come to, and columns of personal data.

    A column that is an attribute is no field: attributes are stored as they are, open to
    whoever reads the database.
    """
    found = source.check()
    if any(one.level is Level.ERROR for one in found):
        return found
    near = source.from_afar() if isinstance(source, FileSource) else source
    try:
        if isinstance(near, Sampled):
            rows = near.first(FIRST_ROWS)
            found += [*of_first_rows(rows, reading), *_without_day(rows, declaration)]
        if isinstance(near, Tabular):
            found += personal(near.table(), declaration, reading)
    except ConnectorError as stop:
        # What takes too long for a look may be read all the same.
        level = Level.WARNING if stop.rule == SLOW else Level.ERROR
        found.append(Finding(level, stop.rule, declaration.name, stop.next_step))
    return found


def of_first_rows(rows: Sequence[Record | Rejection], reading: Reading) -> list[Finding]:
    """What befalls most of the rows, and whatever would pause the source. Pure."""
    return [*_rejected(rows), *_broken(rows), *_set_aside(rows, reading), *_of_no_country(rows)]


def _without_day(
    rows: Sequence[Record | Rejection], declaration: SourceDeclaration
) -> Iterator[Finding]:
    """A column of freshness that no row has a day in: its first sync would break the contract."""
    fresh = declaration.contract.freshness if declaration.contract else None
    records = [row for row in rows if isinstance(row, Record)]
    if fresh is not None and records and all(row.day is None for row in records):
        step = f"None of the first {len(records)} rows has a day there: name another column, or "
        step += "the formats of its days under contract.freshness.formats."
        yield Finding(Level.WARNING, FRESHNESS, fresh.column, step)


def _rejected(rows: Sequence[Record | Rejection]) -> Iterator[Finding]:
    refused = [row for row in rows if isinstance(row, Rejection) and not row.breaches]
    for rule, count in Counter(row.rule for row in refused).items():
        if count > MOST * len(rows):
            first = next(row for row in refused if row.rule == rule)
            level = Level.ERROR if count == len(rows) else Level.WARNING
            step = f"{count} of the first {len(rows)} rows would be rejected: {first.next_step}"
            yield Finding(level, rule, f"row {first.position}", step)


def _broken(rows: Sequence[Record | Rejection]) -> Iterator[Finding]:
    counted: Counter[Breach] = Counter(breach for row in rows for breach in row.breaches)
    for breach, count in counted.items():
        if breach.action == "pause" or count > MOST * len(rows):
            what = {"pause": "would pause the source", "reject": "would be rejected"}
            step = f"{count} of the first {len(rows)} rows {what.get(breach.action, 'break it')}"
            yield Finding(Level.WARNING, breach.rule, breach.subject, f"{step}: {breach.next_step}")


def _set_aside(rows: Sequence[Record | Rejection], reading: Reading) -> Iterator[Finding]:
    """Fields that most rows lose: another format, another country, another column."""
    lost: Counter[tuple[str, str, str]] = Counter()
    filled: Counter[str] = Counter()
    for row in rows:
        if isinstance(row, Record):
            problems = read_record(row, reading).problems
            lost.update({(one.field, one.rule, one.next_step) for one in problems})
            filled.update({*row.fields, *row.attributes, *(one.field for one in problems)})
    for (field, rule, next_step), count in lost.items():
        if count > MOST * filled[field]:
            step = f"{count} of the first {filled[field]} values would be set aside: {next_step}"
            yield Finding(Level.WARNING, rule, field, step)


def _of_no_country(rows: Sequence[Record | Rejection]) -> Iterator[Finding]:
    """Phones that are read as Chinese ones for want of another word."""
    phones = [
        one.value.reveal(reason=REASON)
        for row in rows
        if isinstance(row, Record)
        for one in row.fields.get("phone", ())
        if not one.formats
    ]
    count = sum(map(is_national, phones))
    if count > MOST * len(phones):
        step = f"{count} of the first {len(phones)} numbers name no country and are no Chinese "
        step += "mobiles: declare country under fields.phone (CN, DE ...); without it they are "
        step += "read as Chinese."
        yield Finding(Level.WARNING, "phone_country_unclear", "phone", step)
