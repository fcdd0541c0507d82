"""Decisions of people about who is who: made, kept, carried out, undone. One transaction each.

Invariants:
    1. Whoever decides is named, may do so, and gives a reason; the audit event is
       written before the decision, in the same transaction.
    2. A decision that contradicts one that counts is refused, and names it.
    3. Undone, it is as if it had never been made: the same people under the same ids.
    4. Two people who decide at once decide one after the other.
    5. A record that is erased takes its links with it.
    6. Whoever decides or rehearses takes the locks before any row, in the order of a
       run, so that nobody waits for anybody in a circle.
    7. What a rehearsal shows is in the log before it is shown.
    8. "No such decision" and "not about people of yours" are one answer, after the same
       look-ups.
    9. A merge takes every record of both people along.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from cdp.access.answers import Denial, DenialKind
from cdp.errors import Refused
from cdp.profiles import reader
from cdp.resolution import decisions, history
from cdp.resolution.links import (
    Decision,
    Kind,
    Link,
    contradicted,
    merge_links,
    not_same_links,
    split_links,
)
from cdp.resolution.permission import NOBODY, Permission
from cdp.resolution.storing import Outcome
from cdp.storage import schema
from cdp.storage.attempts import again_if_collided
from cdp.storage.locks import until_commit
from cdp.workspace import Workspace
from policies.decision import Subject
from policies.vocabulary import Action

# Bring the people of these records (ids) up to date, profiles included, in the transaction.
Repair = Callable[[sa.Connection, Workspace, Collection[int]], Outcome]

LOOK = "identity.rehearse"
UNDO = "identity.undo"
NO_SUCH_DECISION = Denial(
    DenialKind.NOT_FOUND,
    "no_such_decision",
    "There is no such decision among those that you may take back; "
    "list them with: cdp identity decisions",
)
_MOST_ABOUT = 4  # profile ids that a decision names: two people, and an old id of each
_ACTIONS = {Kind.MERGE: Action.MERGE, Kind.SPLIT: Action.SPLIT, Kind.NOT_SAME: Action.SPLIT}


@dataclass(frozen=True, slots=True)
class Held:
    """A profile, and how many records it holds."""

    profile_id: str
    records: int


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision, and what it changed at once.

    Attributes:
        decision: as it is kept.
        outcome: which profiles it merged and split.
        holds: the profiles that it is about, as they are now; by profile id.
    """

    decision: Decision
    outcome: Outcome
    holds: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Decider:
    """One person at work on decisions.

    Every method runs in the caller's transaction and gives a `Denial` where policy says
    no; commit before handing either on. Rolled back, it is a rehearsal: ``log_look``.
    """

    workspace: Workspace
    subject: Subject
    repair: Repair

    def merge(
        self, connection: sa.Connection, one: str, other: str, reason: str
    ) -> Decided | Denial:
        """Two profiles are one person.

        Raises:
            Refused: they are one already, or an earlier decision says otherwise.
        """
        people = self._allowed(connection, Kind.MERGE, (one, other), reason)
        if isinstance(people, Denial):
            return people
        if people[0] == people[1]:
            raise Refused("already_one_profile", "nothing is left to merge", profile=people[0])
        links = merge_links(*(_members(connection, profile_id) for profile_id in people))
        return self._decide(connection, Kind.MERGE, people, links, reason)

    def split(
        self, connection: sa.Connection, profile_id: str, records: Sequence[int], reason: str
    ) -> Decided | Denial:
        """Some records of a profile are one other person.

        Raises:
            Refused: they are not records of the profile, or all of it; or an earlier
                decision says otherwise.
        """
        people = self._allowed(connection, Kind.SPLIT, (profile_id,), reason)
        if isinstance(people, Denial):
            return people
        members = _members(connection, people[0])
        taken, rest = sorted(set(records)), sorted(set(members) - set(records))
        strange = [record for record in taken if record not in members]
        if strange:
            raise Refused(
                "not_a_record_of_the_profile",
                "name records that cdp identity history lists for it",
                profile=people[0],
                record=strange[0],
            )
        if not rest:
            raise Refused("nothing_would_stay", "name some of its records", profile=people[0])
        return self._decide(connection, Kind.SPLIT, people, split_links(taken, rest), reason)

    def not_same(
        self, connection: sa.Connection, one: str | int, other: str | int, reason: str
    ) -> Decided | Denial:
        """Two people, each named by a profile id or by a record, are never one.

        Raises:
            Refused: both names are one record's, or an earlier decision says otherwise.
        """
        named = [
            _home(connection, name) if isinstance(name, int) else name for name in (one, other)
        ]
        people = self._allowed(connection, Kind.NOT_SAME, named, reason)
        if isinstance(people, Denial):
            return people
        ends = [
            name if isinstance(name, int) else self._stands_for(connection, name, people)
            for name in (one, other)
        ]
        if ends[0] == ends[1]:
            raise Refused(
                "already_one_profile",
                "name two of its records, each as SOURCE:RECORD_ID",
                profile=people[0],
            )
        links = not_same_links(*ends)
        about = list(dict.fromkeys((*people, *named)))
        return self._decide(connection, Kind.NOT_SAME, about, links, reason)

    def undo(self, connection: sa.Connection, number: int, reason: str) -> Decided | Denial:
        """Take a decision back.

        Returns:
            What it changed; ``NO_SUCH_DECISION`` where there is none, or none about people
            that the subject may decide about.

        Raises:
            Refused: it was undone before.
        """
        _alone(connection)
        earlier = next(iter(decisions.read(connection, number=number)), None)
        permission = self._permission(_ACTIONS[earlier.kind if earlier else Kind.MERGE], UNDO)
        people = permission.people(connection, _concerned(connection, earlier), reason)
        if isinstance(people, Denial) and people.kind is DenialKind.UNUSABLE:
            return people
        if earlier is None or isinstance(people, Denial):
            return self._refusal() or NO_SUCH_DECISION
        if not earlier.counts:
            raise Refused(
                "already_undone",
                "nothing is left to undo",
                decision=number,
                by=earlier.undone_by,
                at=_time(earlier.undone_at),
            )
        about = dict.fromkeys(one.id for one in people) or (NOBODY,)
        permission.log_allowed(connection, about, reason)
        now = self.workspace.now()
        values = {"undone_at": now, "undone_by": self.subject.id, "undo_reason": reason}
        table = schema.decision
        connection.execute(sa.update(table).where(table.c.id == number).values(**values))
        return self._carry_out(connection, number, earlier.links)

    def log_look(self, connection: sa.Connection, rehearsed: Decided) -> None:
        """Keep that somebody saw what a decision would change; commit before it is shown.

        Args:
            connection: in a new transaction: the rehearsal's own events went with it.
            rehearsed: what the rehearsal answered.
        """
        made, outcome = rehearsed.decision, rehearsed.outcome
        moved = (one for pair in (*outcome.merges, *outcome.splits) for one in pair)
        seen = dict.fromkeys((*made.profiles, *outcome.touched, *moved))
        permission = self._permission(_ACTIONS[made.kind], LOOK)
        permission.log_allowed(connection, seen, made.undo_reason or made.reason)

    # ── inside ──────────────────────────────────────────────────────────────

    def _permission(self, action: Action, event: str) -> Permission:
        return Permission(self.workspace, self.subject, action, event)

    def _refusal(self) -> Denial | None:
        """Why the subject may take back no decision at all; None where it depends on which."""
        asked = [self._permission(action, UNDO).refusal() for action in _ACTIONS.values()]
        return None if None in asked else asked[0]

    def _allowed(
        self, connection: sa.Connection, kind: Kind, named: Iterable[str], reason: str
    ) -> list[str] | Denial:
        """The current ids of the people, once nobody else decides and policy says yes."""
        _alone(connection)
        permission = self._permission(_ACTIONS[kind], f"identity.{kind.value}")
        people = permission.people(connection, named, reason)
        return people if isinstance(people, Denial) else [one.id for one in people]

    def _stands_for(self, connection: sa.Connection, name: str, people: Sequence[str]) -> int:
        """The record that speaks for a profile id.

        Of two old ids that lead to one profile, each speaks for the record that it was
        made from: that they are not the same is what undoes a wrong merge.
        """
        current = reader.current_id(connection, name)
        own = history.anchor_of(connection, name) if people[0] == people[1] else None
        return own if own is not None else _anchor(connection, current or name)

    def _decide(
        self,
        connection: sa.Connection,
        kind: Kind,
        people: Sequence[str],
        links: Sequence[Link],
        reason: str,
    ) -> Decided:
        counting = decisions.read(connection, counting=True)
        _refuse_contradiction(links, counting)
        permission = self._permission(_ACTIONS[kind], f"identity.{kind.value}")
        permission.log_allowed(connection, people, reason)
        made = Decision(
            0,
            kind,
            tuple(people),
            self.subject.id,
            reason,
            self.workspace.now(),
            links=tuple(links),
        )
        return self._carry_out(connection, _write(connection, made), links)

    def _carry_out(self, connection: sa.Connection, number: int, links: Iterable[Link]) -> Decided:
        records = _ends(links)
        table = schema.record

        def repaired() -> Outcome:
            connection.execute(sa.update(table).where(table.c.id.in_(records)).values(dirty=True))
            return self.repair(connection, self.workspace, records)

        # A sync of these people may be in the way: the decision stands, its work is done again.
        outcome = again_if_collided(connection, repaired)
        made = decisions.read(connection, number=number)[0]
        return Decided(made, outcome, _holding(connection, records))


def _alone(connection: sa.Connection) -> None:
    """Nobody else decides, resolves or repairs until the transaction ends.

    The lock "repair" comes before any record is written: whoever resolves single records
    shares it, and would wait for such a record while it was waited for here.
    """
    for work in ("resolve", "repair"):
        until_commit(connection, work, "wait until the other has ended, then decide again")


def _refuse_contradiction(links: Sequence[Link], counting: Sequence[Decision]) -> None:
    for one in counting:
        if set(links) <= set(one.links):
            raise Refused(
                "already_decided",
                "nothing is left to decide",
                decision=one.id,
                by=one.actor,
                at=_time(one.at),
            )
    earlier = contradicted(links, counting)
    if earlier is not None:
        raise Refused(
            f"contradicts an earlier decision ({earlier.kind.words})",
            f"if that one was wrong, undo it first: cdp identity undo {earlier.id} --reason WHY",
            decision=earlier.id,
            by=earlier.actor,
            at=_time(earlier.at),
        )


def _write(connection: sa.Connection, made: Decision) -> int:
    table = schema.decision
    number = connection.execute(
        sa.insert(table)
        .values(
            kind=made.kind.value,
            profiles=list(made.profiles),
            actor=made.actor,
            reason=made.reason,
            at=made.at,
        )
        .returning(table.c.id)
    ).scalar_one()
    connection.execute(
        sa.insert(schema.decision_link),
        [
            {"decision_id": number, "low_id": one.low, "high_id": one.high, "kind": one.kind.value}
            for one in made.links
        ],
    )
    return int(number)


def _time(at: dt.datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None


def _anchor(connection: sa.Connection, profile_id: str) -> int:
    table = schema.profile
    return int(
        connection.execute(
            sa.select(table.c.anchor_id).where(table.c.id == profile_id)
        ).scalar_one()
    )


def _members(connection: sa.Connection, profile_id: str) -> list[int]:
    table = schema.membership
    return list(
        connection.scalars(sa.select(table.c.record_id).where(table.c.profile_id == profile_id))
    )


def _concerned(connection: sa.Connection, earlier: Decision | None) -> list[str]:
    """The profiles that a decision is about now: those it named, and who holds its records.

    Where there is no decision, as many are looked up, and it is about ``NOBODY``.
    """
    named = (*earlier.profiles, *(NOBODY,) * _MOST_ABOUT) if earlier else (NOBODY,) * _MOST_ABOUT
    there = [one for one in named[:_MOST_ABOUT] if reader.current_id(connection, one)]
    # Its people may all have ended; whom it still holds together or apart have not.
    holding = _holding(connection, _ends(earlier.links if earlier else ()))
    concerned = dict.fromkeys((*there, *(one.profile_id for one in holding)))
    return list(concerned) if earlier else [NOBODY]


def _ends(links: Iterable[Link]) -> list[int]:
    """The linked records, ascending."""
    return sorted({record for one in links for record in (one.low, one.high)})


def _holding(connection: sa.Connection, records: Sequence[int]) -> tuple[Held, ...]:
    """The profiles that hold these records now, in alphabetical order."""
    table = schema.membership
    mine = sa.select(table.c.profile_id).where(table.c.record_id.in_(records))
    statement = (
        sa.select(table.c.profile_id, sa.func.count())
        .where(table.c.profile_id.in_(mine))
        .group_by(table.c.profile_id)
        .order_by(table.c.profile_id)
    )
    return tuple(Held(profile_id, size) for profile_id, size in connection.execute(statement))


def _home(connection: sa.Connection, record: int) -> str:
    table = schema.membership
    statement = sa.select(table.c.profile_id).where(table.c.record_id == record)
    return connection.scalar(statement) or ""
