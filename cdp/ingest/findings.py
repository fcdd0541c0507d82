"""What is wrong with what sources give, kept until it is over.

A finding names rule, heading and counts; it holds no value.

Invariants, each named by a test in ``tests/integration/feeds``:
    1. What is found again changes nothing; what is over is forgotten.
    2. What a person resumed a source in spite of is told and pauses it no more, until it is
       another breach: newer rows that became old, another day, a size further off.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.storage.source_schema import source_finding

_F = source_finding.c
_SAID = ("action", "rows", "next_step", "about")


@dataclass(frozen=True, slots=True)
class ContractFinding:
    """A demand that was broken, and by how many rows.

    Attributes:
        rule: which one.
        subject: the column or field; of the volume, the source.
        action: reject, pause or warn.
        rows: how many rows broke it; 0 where it is the delivery as a whole.
        next_step: what to do.
        about: which breach it is, where the same rule is broken again.
    """

    rule: str
    subject: str
    action: str
    rows: int
    next_step: str
    about: str = ""

    def to_dict(self) -> dict[str, object]:
        """A plain object for ``--json``."""
        names = ("rule", "subject", "action", "rows", "next_step")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class KeptFinding:
    """A finding that stands, since when, and whether a person resumed the source in spite of it."""

    source: str
    found: ContractFinding
    first_at: dt.datetime
    accepted: bool

    def to_dict(self) -> dict[str, object]:
        """A plain object for ``--json``."""
        return {
            **self.found.to_dict(),
            "first_at": self.first_at.isoformat(),
            "accepted": self.accepted,
        }


def kept(connection: sa.Connection, sources: Sequence[str]) -> list[KeptFinding]:
    """What stands of these sources, the oldest first."""
    chosen = sa.select(source_finding).where(_F.source.in_(sources))
    return [
        KeptFinding(
            row.source,
            ContractFinding(row.rule, row.subject, row.action, row.rows, row.next_step, row.about),
            row.first_at,
            row.accepted_at is not None,
        )
        for row in connection.execute(chosen.order_by(_F.first_at, _F.rule, _F.subject))
    ]


def accepted(connection: sa.Connection, source: str) -> dict[tuple[str, str], str]:
    """The breaches in spite of which a person resumed a source: by rule and subject."""
    return {
        (one.found.rule, one.found.subject): one.found.about
        for one in kept(connection, [source])
        if one.accepted
    }


def unless_accepted(
    found: Sequence[ContractFinding], known: Mapping[tuple[str, str], str]
) -> list[ContractFinding]:
    """The findings, of which those that a person knows of pause no more. Pure."""
    return [
        replace(one, action="warn")
        if one.action == "pause" and known.get((one.rule, one.subject)) == one.about
        else one
        for one in found
    ]


def renew(
    connection: sa.Connection,
    source: str,
    rules: Collection[str],
    found: Sequence[ContractFinding],
    now: dt.datetime,
) -> list[ContractFinding]:
    """Keep these findings of these rules, and forget the others; return those that are new."""
    there = {
        (one.found.rule, one.found.subject): one.found
        for one in kept(connection, [source])
        if one.found.rule in rules
    }
    named = {(one.rule, one.subject): one for one in found}
    for key in there.keys() - named.keys():
        _forget(connection, source, key)
    for key, one in named.items():
        if there.get(key) != one:
            _keep(connection, source, one, now)
    return [one for key, one in named.items() if key not in there]


def accept(connection: sa.Connection, source: str, now: dt.datetime) -> int:
    """A person resumes a source: what paused it is known; return how much that was."""
    known = sa.update(source_finding).where(
        _F.source == source, _F.action == "pause", _F.accepted_at.is_(None)
    )
    return connection.execute(known.values(accepted_at=now)).rowcount


def _keep(connection: sa.Connection, source: str, one: ContractFinding, now: dt.datetime) -> None:
    fresh = insert(source_finding).values(
        source=source,
        rule=one.rule,
        subject=one.subject,
        first_at=now,
        **{name: getattr(one, name) for name in _SAID},
    )
    same = _F.about == fresh.excluded.about
    connection.execute(
        fresh.on_conflict_do_update(
            index_elements=["source", "rule", "subject"],
            set_={name: fresh.excluded[name] for name in _SAID}
            | {
                "accepted_at": sa.case((same, _F.accepted_at)),
                "first_at": sa.case((same, _F.first_at), else_=fresh.excluded.first_at),
            },
        )
    )


def _forget(connection: sa.Connection, source: str, key: tuple[str, str]) -> None:
    rule, subject = key
    connection.execute(
        sa.delete(source_finding).where(_F.source == source, _F.rule == rule, _F.subject == subject)
    )
