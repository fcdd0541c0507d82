"""How sources stand, as text for Prometheus. Pure.

Version 0.0.4 of the text exposition format (Prometheus documentation, Exposition formats). It is
written here and not by a package: what is told stands in the database and not in this process, so
there is no registry to keep.

Invariants, each named by a test in ``tests/integration/running/test_metrics.py``:

1. A label is the name of a source, or one of a closed set of words. No value is told.
2. Whatever the sources, there is one line for each series, and one type for each name.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cdp.running.standing import OUTCOMES, SENT, STATES, Resolving, SourceStanding

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_Number = float | None


@dataclass(frozen=True, slots=True)
class _Family:
    """One name, its type, what it is about, and its series: labels, and None for no value."""

    name: str
    about: str
    series: Sequence[tuple[Mapping[str, str], _Number]]
    type: str = "gauge"


def exposed(standings: Sequence[SourceStanding], resolving: Resolving, now: dt.datetime) -> str:
    """The whole text."""
    lines: list[str] = []
    for one in (*_rows(standings), *_of_each(standings, now), *_of_resolving(resolving)):
        told = [f"{one.name}{_braced(of)} {n!r}" for of, n in one.series if n is not None]
        if told:
            lines += [f"# HELP {one.name} {one.about}", f"# TYPE {one.name} {one.type}", *told]
    return "".join(f"{line}\n" for line in lines)


def _braced(labels: Mapping[str, str]) -> str:
    # A source's name is an identifier, and the other words are ours: nothing needs escaping.
    inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _rows(standings: Sequence[SourceStanding]) -> Iterator[_Family]:
    def counted(*, sent: bool) -> list[tuple[Mapping[str, str], _Number]]:
        return [
            ({"source": one.source, "outcome": outcome}, one.outcomes.get(outcome))
            for one in standings
            if (one.state == SENT) == sent
            for outcome in OUTCOMES
        ]

    about = "Rows of all runs by how they ended."
    yield _Family("kith_source_rows_total", about, counted(sent=False), "counter")
    about = "Messages that were sent in the last day."
    yield _Family("kith_source_day_messages", about, counted(sent=True))
    states = [
        ({"source": one.source, "state": state.replace(" ", "_")}, int(one.state == state))
        for one in standings
        for state in STATES
    ]
    yield _Family("kith_source_state", "1 for the state that a source is in.", states)
    yield _found(standings)


def _found(standings: Sequence[SourceStanding]) -> _Family:
    """How much is wrong with what sources give, by rule; a source without any has no series."""
    counts = Counter((one.source, it.found.rule) for one in standings for it in one.findings)
    return _Family(
        "kith_source_findings",
        "Columns, fields or volumes that break a rule.",
        [({"source": source, "rule": rule}, n) for (source, rule), n in sorted(counts.items())],
    )


def _since(moment: dt.datetime | None, now: dt.datetime) -> _Number:
    return (now - moment).total_seconds() if moment is not None else None


def _stamp(moment: dt.datetime | None) -> _Number:
    return moment.timestamp() if moment is not None else None


def _overdue(one: SourceStanding, now: dt.datetime) -> _Number:
    return max(0.0, (now - one.due_again).total_seconds()) if one.due_again else None


_OF_EACH: Final[tuple[tuple[str, str, Callable[[SourceStanding, dt.datetime], _Number]], ...]] = (
    (
        "last_success_timestamp_seconds",
        "When a run ended well last, or the newest message came.",
        lambda one, _: _stamp(one.succeeded_at),
    ),
    ("freshness_seconds", "Time since then.", lambda one, now: _since(one.succeeded_at, now)),
    (
        "lag_seconds",
        "Time since the newest row, or since the last run where a source tells no times.",
        lambda one, _: one.read.lag,
    ),
    ("state_age_seconds", "Since the state of a feed was kept.", lambda one, _: one.state_age),
    ("volume_ratio", "Rows of the last run by the median before.", lambda one, _: one.volume),
    ("overdue_seconds", "How long it has been due.", _overdue),
    ("failures", "Failed runs in a row.", lambda one, _: one.failures),
)


def _of_each(standings: Sequence[SourceStanding], now: dt.datetime) -> Iterator[_Family]:
    for name, about, of in _OF_EACH:
        series = [({"source": one.source}, of(one, now)) for one in standings]
        yield _Family(f"kith_source_{name}", about, series)


def _of_resolving(one: Resolving) -> Iterator[_Family]:
    for name, about, number in (
        ("waiting_records", "Records that changed since the last one.", one.waiting),
        ("failures", "Failed ones in a row.", one.failures),
        ("last_success_timestamp_seconds", "When one ended well last.", _stamp(one.succeeded_at)),
        ("overdue_seconds", "How long it has been due and nobody has it.", one.overdue or 0.0),
        ("paused", "1 while it waits for a person.", int(one.state == "paused")),
    ):
        yield _Family(f"kith_resolve_{name}", about, [({}, number)])
