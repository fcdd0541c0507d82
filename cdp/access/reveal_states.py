"""The life of a request to reveal, and of a broken glass. Pure.

Invariants, each named by a test in ``tests/unit/access/test_reveal_states.py``:

1. From each state only the listed acts lead on; what is settled stays settled. Only a reveal
   that was judged not justified may still be judged justified.
2. Nobody acts on their own request but to withdraw or to use it, and nobody else does those. Two
   spellings of one id are one person, and the other spelling does neither.
3. A grant is used once, and never from its end on.
4. Time never runs backwards for one request. Where a clock was set back by more than
   ``SKEW``, what was waiting or granted has ended.
5. A broken glass that nobody reviewed in time is overdue, and stays so until somebody does.
"""

import dataclasses
import datetime as dt
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from connectors.record import Raw
from policies.persons import same_person

SKEW: Final = dt.timedelta(seconds=5)
"""By how much the clocks of two machines may differ."""
WAITS: Final = dt.timedelta(hours=24)
"""How long a request waits for a second person."""
LONGEST_GRANT: Final = dt.timedelta(hours=24)
REVIEW_WITHIN: Final = dt.timedelta(hours=72)


class State(StrEnum):
    """Where a request stands."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    USED = "used"
    TO_REVIEW = "to-review"  # the glass was broken
    OVERDUE = "overdue"
    JUSTIFIED = "justified"
    NOT_JUSTIFIED = "not-justified"


class Act(StrEnum):
    """What is done to a request."""

    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    USE = "use"
    JUSTIFY = "justify"
    FAULT = "fault"  # the broken glass was not justified


UNREVIEWED: Final = (State.TO_REVIEW, State.OVERDUE)
BARRED_BY: Final = (State.OVERDUE, State.NOT_JUSTIFIED)
"""Who has one of these cannot break the glass again."""
GLASSES: Final = (*UNREVIEWED, State.JUSTIFIED, State.NOT_JUSTIFIED)
REVIEWS: Final = frozenset({Act.JUSTIFY, Act.FAULT})
_OWN: Final = frozenset({Act.WITHDRAW, Act.USE})
_NEXT: Final = MappingProxyType(
    {
        (State.OPEN, Act.APPROVE): State.APPROVED,
        (State.OPEN, Act.REJECT): State.REJECTED,
        (State.OPEN, Act.WITHDRAW): State.WITHDRAWN,
        (State.APPROVED, Act.WITHDRAW): State.WITHDRAWN,
        (State.APPROVED, Act.USE): State.USED,
        **{(state, Act.JUSTIFY): State.JUSTIFIED for state in (*UNREVIEWED, State.NOT_JUSTIFIED)},
        **{(state, Act.FAULT): State.NOT_JUSTIFIED for state in UNREVIEWED},
    }
)


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts, with the role and node under which they do."""

    id: str
    role: str
    node: str


@dataclass(frozen=True, slots=True)
class Request(Raw):
    """One request: who asks for which field of whom, why, and how it stands. No value.

    Attributes:
        latest_at: the latest time that it has seen.
        ends_at: when what it waits for ends: an answer, its use, a review.
        second: who approved, rejected or reviewed it.
    """

    id: str
    requester: Actor
    profile_id: str | None  # None: the person was destroyed
    field: str
    purpose: str
    reason: str = dataclasses.field(repr=False)
    state: State
    at: dt.datetime
    latest_at: dt.datetime
    ends_at: dt.datetime
    second: Actor | None = None
    comment: str | None = dataclasses.field(default=None, repr=False)
    second_at: dt.datetime | None = None
    used_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Deed(Raw):
    """What somebody does to a request.

    Attributes:
        act, by: what and who.
        comment: of the second person.
        granted: how long the grant is to last, of an approval.
    """

    act: Act
    by: Actor
    comment: str | None = dataclasses.field(default=None, repr=False)
    granted: dt.timedelta = LONGEST_GRANT


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why an act does not apply: ``own_request``, ``not_yours`` or ``settled``."""

    rule: str


def at_time(request: Request, now: dt.datetime) -> Request:
    """Return the request as it stands at ``now``: what has ended, has ended."""
    set_back = now < request.latest_at - SKEW
    time = max(now, request.latest_at)
    over = time >= request.ends_at
    state = request.state
    if state in {State.OPEN, State.APPROVED} and (over or set_back):
        state = State.EXPIRED
    elif state is State.TO_REVIEW and over:
        state = State.OVERDUE
    return replace(request, state=state, latest_at=time)


def after(request: Request, deed: Deed, now: dt.datetime) -> Request | Wrong:
    """Return the request after a deed at ``now``, or why the deed does not apply."""
    against = _not_theirs(request.requester.id, deed)
    if against is not None:
        return against
    current = at_time(request, now)
    state = _NEXT.get((current.state, deed.act))
    if state is None:
        return Wrong("settled")
    time = current.latest_at
    if deed.act in _OWN:
        return replace(current, state=state, used_at=time if deed.act is Act.USE else None)
    ends = current.ends_at
    if deed.act is Act.APPROVE:
        ends = time + min(deed.granted, LONGEST_GRANT)
    return replace(
        current, state=state, ends_at=ends, second=deed.by, comment=deed.comment, second_at=time
    )


def _not_theirs(requester: str, deed: Deed) -> Wrong | None:
    if deed.act in _OWN:
        return None if deed.by.id == requester else Wrong("not_yours")
    return Wrong("own_request") if same_person(deed.by.id, requester) else None
