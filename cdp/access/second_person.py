"""The second person: who approves or rejects a request to reveal, and reviews a broken glass.

Invariants, each named by a test in ``tests/integration/reveals``:

1. Only somebody else may, whom policy lets approve for that purpose, and whose node is the
   requester's or above it. A glass that was broken at a node that is no more is reviewed by
   whoever may at a brand.
2. A request that there is not, and one that is not theirs to judge, give one answer and one
   event.
3. The second person sees who asks, the field, the purpose, the reason and the profile id.
4. Every act leaves its event, in the same transaction; so does every refusal.
5. What was settled, has ended or was withdrawn cannot be judged any more.
"""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final

import sqlalchemy as sa

from cdp.access import opening, reveals
from cdp.access.answers import Denial, DenialKind
from cdp.access.gate import withheld
from cdp.access.reveal_states import (
    GLASSES,
    REVIEWS,
    UNREVIEWED,
    Act,
    Actor,
    Deed,
    Request,
    State,
    Wrong,
    at_time,
)
from cdp.access.reveals import Reach
from cdp.access.trail import UNKNOWN, Attempt
from cdp.audit import event, log
from cdp.audit.errors import DetailRefused
from cdp.storage.schema import principal, session
from cdp.workspace import Workspace
from connectors.record import Raw
from policies.decision import Subject
from policies.persons import same_person
from policies.reasons import Reason
from policies.reveal_limits import RevealLimits
from policies.vocabulary import (
    ALL_CIRCUMSTANCES,
    SENSITIVE,
    Action,
    FieldClass,
    NodeKind,
    Purpose,
)

LONGEST_MINUTES: Final = 24 * 60
_THEIRS: Final = frozenset({Action.REVEAL, Action.BREAK_GLASS, Action.APPROVE})
_NO_SUCH: Final = Denial(
    DenialKind.NOT_FOUND, "no_such_request", "There is no such request among those you may judge."
)
_OWN: Final = Denial(
    DenialKind.FORBIDDEN, "own_request", "Nobody is the second person of their own request."
)
_NO_COMMENT: Final = Denial(DenialKind.UNUSABLE, "comment_missing", "Say why, in a few words.")
_NO_PLACE: Final = Denial(
    DenialKind.UNUSABLE, "cursor_unusable", "Pass what the last list ended with, or begin anew."
)
_TOO_LONG: Final = Denial(
    DenialKind.UNUSABLE, "grant_too_long", f"Grant 1 to {LONGEST_MINUTES} minutes."
)


@dataclass(frozen=True, slots=True)
class Judgement(Raw):
    """What a second person says.

    Attributes:
        act: approve, reject, justify or fault.
        comment: why; a review needs one. No personal data.
        minutes: how long an approved request may be used; None: as declared.
    """

    act: Act
    comment: str | None = field(default=None, repr=False)
    minutes: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """How somebody stands: what waits for a review, what they revealed, what is under way.

    Attributes:
        unreviewed: glasses that they broke and nobody has reviewed.
        to_review: of others, that they may review.
        fields, people, sensitive: revealed within the last hour.
        waiting: their own requests that may still come to something.
        to_judge: of others, that wait for a second person such as they are.
    """

    unreviewed: tuple[Request, ...]
    to_review: tuple[Request, ...]
    fields: int
    people: int
    sensitive: int
    limits: RevealLimits
    waiting: tuple[Request, ...]
    to_judge: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """Some requests; ``after``: what to ask for the next ones with, None: these are all."""

    requests: tuple[Request, ...]
    after: str | None


class SecondPerson:
    """Who judges the requests of one workspace. Stateless: any number of threads may use it."""

    def __init__(self, workspace: Workspace, request_id: str | None = None) -> None:
        self._workspace = workspace.pinned()  # one policy for all that this decides
        self._policy = self._workspace.policy
        self._request_id = request_id

    def judge(
        self, connection: sa.Connection, subject: Subject, request_id: str, judgement: Judgement
    ) -> Request | Denial:
        """Approve or reject a request of somebody else, or review the glass they broke.

        Args:
            connection: in a transaction.
            subject: who judges.
            request_id: of the request.
            judgement: what they say.
        """
        verb = "review" if judgement.act in REVIEWS else judgement.act.value
        attempt = self._attempt(subject, f"reveal.{verb}")
        request, against = self._judged(connection, subject, request_id, attempt.at)
        if request is not None:
            attempt = replace(attempt, purpose=request.purpose)
        against = against or self._unfit(subject, request, judgement)
        if against is not None or request is None:
            return _refuse(connection, attempt, request, against or _NO_SUCH)
        minutes = judgement.minutes or self._workspace.declaration.reveals.granted_minutes
        deed = Deed(
            judgement.act, _actor(subject), judgement.comment, dt.timedelta(minutes=minutes)
        )
        return _done(connection, attempt, request, deed)

    def withdraw(
        self, connection: sa.Connection, subject: Subject, request_id: str
    ) -> Request | Denial:
        """Take a request of one's own back, also after it was approved."""
        attempt = self._attempt(subject, "reveal.withdraw")
        against = self._not_by(subject)
        request = None if against else reveals.held(connection, request_id)
        if request is None or request.requester.id != subject.id:
            return _refuse(connection, attempt, None, against or _NO_SUCH)
        attempt = replace(attempt, purpose=request.purpose)
        return _done(connection, attempt, request, Deed(Act.WITHDRAW, _actor(subject)))

    def listed(
        self,
        connection: sa.Connection,
        subject: Subject,
        states: Collection[State] = (),
        after: str | None = None,
    ) -> Listed | Denial:
        """List requests of the subject, and those of others that they may judge.

        Glasses that wait for a review come first, the oldest before all; then the newest.

        Args:
            connection: in a transaction.
            subject: who asks.
            states: the ones wanted; empty: all.
            after: what the list before this one ended with.
        """
        against = self._not_by(subject)
        place = None if after is None else reveals.placed(after)
        if after is not None and place is None:
            against = against or _NO_PLACE
        if against is not None:
            return against
        now = self._workspace.now()
        reveals.end_what_is_over(connection, now)
        found = reveals.visible(connection, self._reach(subject), states, place)
        current = [at_time(one, now) for one in found]
        more = len(found) == reveals.MOST_LISTED
        return Listed(
            tuple(one for one in current if not states or one.state in states),
            reveals.place(found[-1]) if more else None,
        )

    def status(self, connection: sa.Connection, subject: Subject) -> Status | Denial:
        """Say how the subject stands."""
        glasses = self.listed(connection, subject, UNREVIEWED)
        waiting = self.listed(connection, subject, (State.OPEN, State.APPROVED))
        if isinstance(glasses, Denial):
            return glasses
        if isinstance(waiting, Denial):
            return waiting
        shown = reveals.past(connection, subject.id, self._workspace.now())
        broken, to_review = _parted(glasses, subject)
        mine, others = _parted(waiting, subject)
        return Status(
            unreviewed=tuple(broken),
            to_review=tuple(to_review),
            fields=len(shown),
            people=len({one.person for one in shown}),
            sensitive=sum(one.sensitive for one in shown),
            limits=self._workspace.declaration.reveals,
            waiting=tuple(mine),
            to_judge=tuple(one for one in others if one.state is State.OPEN),
        )

    # ── inside ──────────────────────────────────────────────────────────────

    def _attempt(self, subject: Subject, action: str) -> Attempt:
        version, now = self._policy.version, self._workspace.now()
        return Attempt(subject, action, UNKNOWN, version, now, self._request_id)

    def _not_by(self, subject: Subject) -> Denial | None:
        """Say why the subject's key, or this process, is not for requests at all."""
        if subject.actions is not None and subject.actions.isdisjoint(_THEIRS):
            return Denial(DenialKind.FORBIDDEN, Reason.OUTSIDE_KEY, Reason.OUTSIDE_KEY.sentence)
        return needs_full(self._workspace)

    def _judged(
        self, connection: sa.Connection, subject: Subject, request_id: str, now: dt.datetime
    ) -> tuple[Request | None, Denial | None]:
        """Return the request, held, if the subject may judge it; else why not."""
        against = needs_full(self._workspace)
        if against is not None:
            return None, against
        reveals.end_what_is_over(connection, now)
        request = reveals.held(connection, request_id)
        if request is not None and same_person(request.requester.id, subject.id):
            return request, _OWN
        mine = (
            request is not None
            and self._approves(subject, request.purpose)
            and self._is_over(subject, request)
        )
        return (request, None) if mine else (None, _NO_SUCH)

    def _unfit(
        self, subject: Subject, request: Request | None, judgement: Judgement
    ) -> Denial | None:
        """Say what is wrong with the judgement itself."""
        if judgement.act in REVIEWS and not (judgement.comment or "").strip():
            return _NO_COMMENT
        if judgement.minutes is not None and not 1 <= judgement.minutes <= LONGEST_MINUTES:
            return _TOO_LONG
        if request is None:
            return None
        try:
            event.screen(_detail(request, judgement.comment))
        except DetailRefused as error:
            return Denial(DenialKind.UNUSABLE, error.rule, error.next_step)
        return self._pointless(subject, request) if judgement.act is Act.APPROVE else None

    def _pointless(self, subject: Subject, request: Request) -> Denial | None:
        """Say why the requester could not use an approval by this subject."""
        # As if everything held for the requester: whether it does is decided at the reveal.
        asking = replace(_subject(request.requester), circumstances=ALL_CIRCUMSTANCES)
        reason = self._policy.decide(
            asking, Action.REVEAL, request.field, request.purpose, None, subject
        ).reason
        if reason is Reason.NEEDS_PERSON:
            return None
        return Denial(DenialKind.FORBIDDEN, reason.value, reason.sentence)

    def _approves(self, subject: Subject, purpose: str) -> bool:
        approval = Action.APPROVE, FieldClass.NONE, purpose
        return self._policy.decide(subject, *approval, None).allowed

    def _is_over(self, subject: Subject, request: Request) -> bool:
        node = request.requester.node
        if node in self._policy.organisation.nodes:
            return self._is_above(subject, node)
        return request.state in GLASSES and self._is_at_brand(subject)

    def _is_above(self, subject: Subject, node: str) -> bool:
        return subject.node in self._policy.organisation.path(node).split("/")

    def _is_at_brand(self, subject: Subject) -> bool:
        node = self._policy.organisation.nodes.get(subject.node)
        return node is not None and node.kind is NodeKind.BRAND

    def _reach(self, subject: Subject) -> Reach:
        nodes = self._policy.organisation.nodes
        return Reach(
            subject.id,
            [one.value for one in Purpose if self._approves(subject, one)],
            [one for one in nodes if self._is_above(subject, one)],
            list(nodes) if self._is_at_brand(subject) else None,
        )


def needs_full(workspace: Workspace) -> Denial | None:
    """Say that this process, which lacks keys, keeps no requests; None: it keeps them.

    A process that cannot open the sensitive tier has no say in who may.
    """
    lacking = sorted(one for one in SENSITIVE if not opening.holds(workspace, one))
    return withheld(lacking[0]) if lacking else None


def current_subject(
    connection: sa.Connection, workspace: Workspace, actor: Actor | None, now: dt.datetime
) -> Subject | None:
    """Return a second person as policies know them now; None: they hold that role no more.

    Whatever they had to be in, such as their shift, they were in when they approved.
    """
    if actor is None:
        return None
    assignment = f"{actor.role}@{actor.node}"
    row = connection.execute(
        sa.select(principal.c.assignments, principal.c.locked_at).where(principal.c.id == actor.id)
    ).one_or_none()
    if row is not None and row.locked_at is not None:
        return None
    declared = workspace.declaration.principals.get(actor.id)
    if declared is not None:
        written = {one.text for one in declared.assignments}
        holds = assignment in written and (row is None or assignment in row.assignments)
    else:  # by claims: what they hold stands in their sessions
        claimed = sa.select(session.c.id).where(
            session.c.principal_id == actor.id,
            session.c.ended_at.is_(None),
            session.c.ends_at > now,
            session.c.assignments.contains([assignment]),
        )
        holds = row is not None and bool(connection.scalar(sa.select(claimed.exists())))
    return replace(_subject(actor), circumstances=ALL_CIRCUMSTANCES) if holds else None


def _parted(listed: Listed, subject: Subject) -> tuple[list[Request], list[Request]]:
    """Part the subject's own requests from those of others."""
    mine = [one for one in listed.requests if one.requester.id == subject.id]
    return mine, [one for one in listed.requests if one.requester.id != subject.id]


def _actor(subject: Subject) -> Actor:
    return Actor(subject.id, str(subject.role), subject.node)


def _subject(actor: Actor) -> Subject:
    return Subject(actor.id, actor.role, actor.node)


def _detail(request: Request, comment: str | None) -> str:
    return f"request {request.id}: {comment}" if comment else f"request {request.id}"


def _refuse(
    connection: sa.Connection, attempt: Attempt, request: Request | None, denial: Denial
) -> Denial:
    person, fields = (request.profile_id, (request.field,)) if request else (None, ())
    log.append(connection, attempt.denied(denial.reason, person, fields))
    return denial


def _done(
    connection: sa.Connection, attempt: Attempt, request: Request, deed: Deed
) -> Request | Denial:
    done = reveals.carry_out(connection, request, deed, attempt.at)
    if isinstance(done, Wrong):
        state = at_time(request, attempt.at).state
        denial = Denial(DenialKind.SETTLED, "request_settled", f"This request is {state} already.")
        return _refuse(connection, attempt, request, denial)
    detail = _detail(request, deed.comment)
    log.append(connection, attempt.allowed(request.profile_id or "", (request.field,), detail))
    return done
