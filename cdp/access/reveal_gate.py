"""One clear field of one person: the gate's narrowest door.

Every invariant of ``cdp/access/gate.py`` holds here too. In addition, each named by a test in
``tests/integration/reveals``:

1. A field of the sensitive tier is shown only under a request of the same subject for this
   very person, field and purpose, which somebody else approved. It is used up by one showing.
2. Everything is decided again when it is shown: who asks, who approved, the policy, the person.
3. Within an hour nobody is shown more than the limits say. A refused attempt counts for nothing.
   The refusal depends on what the subject was shown, and not on the person.
4. Whoever breaks the glass is shown it at once, beyond the limits and without a second person,
   but nothing that policy does not grant them. It waits for review from that moment on, also
   when there was no value behind the glass, and who has an overdue or unjustified one cannot.
5. "No such person" and "not yours" give one answer, one event and the same statements, and no
   request is stored for either. So do, to who holds an approval, somebody who is no more, who
   is elsewhere now and who became somebody else.
6. An answer says until when it may be looked at.
"""

import datetime as dt
from dataclasses import replace
from typing import Final, NamedTuple

import sqlalchemy as sa

from cdp import logs
from cdp.access import opening, reveals
from cdp.access.answers import NOT_FOUND, Denial, DenialKind, Revealed
from cdp.access.gate import Gate, withheld
from cdp.access.reveal_states import Act, Actor, Deed, Request, State
from cdp.access.reveals import Wish
from cdp.access.second_person import current_subject, needs_full
from cdp.access.trail import Attempt
from cdp.audit import event, log
from cdp.audit.errors import DetailRefused
from cdp.profiles import reader
from cdp.profiles.reader import Located
from connectors.vocabulary import IDENTITY_FIELDS
from policies.decision import Subject
from policies.reasons import Reason
from policies.reveal_limits import Shown, next_possible
from policies.vocabulary import (
    SENSITIVE,
    Action,
    FieldClass,
    Treatment,
    needs_approval,
)

# Refusals that depend on the person: one answer and one event for all of them.
_ROWS: Final = frozenset({Reason.OUTSIDE_SCOPE, Reason.NO_STORE})
_NO_VALUE: Final = Denial(DenialKind.NOT_FOUND, "no_value", "This person has no such value.")
_BARRED: Final = Denial(
    DenialKind.FORBIDDEN,
    "glass_barred",
    "You broke the glass before, and that was not justified or not reviewed in time: have it "
    "reviewed first.",
)
_ALREADY: Final = Denial(
    DenialKind.SETTLED, "already_asked", "You have a request for this that has not ended."
)
_MANY_OPEN: Final = Denial(
    DenialKind.LIMITED, "too_many_open", "Withdraw a request, or wait until one is answered."
)
_NO_NEED: Final = Denial(
    DenialKind.SETTLED, "no_approval_needed", "No second person is needed: reveal the field."
)
_log = logs.get_logger("kith.access")


class RevealGate(Gate):
    """The gate, with reveals. Stateless: any number of threads may use it."""

    def for_request(self, request_id: str) -> "RevealGate":
        """Return the same gate, whose audit events carry ``request_id``."""
        return RevealGate(self._workspace, request_id, self._indexer)

    def reveal(
        self,
        connection: sa.Connection,
        subject: Subject,
        profile_id: str,
        field: str,
        purpose: str,
        reason: str,
    ) -> Revealed | Denial:
        """Show one field of one person in the clear, for a reason that is kept.

        Args:
            connection: in a transaction.
            subject: who asks.
            profile_id: whose field.
            field: an identity field; of the sensitive tier, one that a request was approved for.
            purpose: what for.
            reason: typed by the subject; no personal data (``cdp.audit.event.screen``).
        """
        wish = Wish(_actor(subject), profile_id, field, purpose, reason)
        return self._revealed(connection, subject, wish, broken=False)

    def break_glass(
        self,
        connection: sa.Connection,
        subject: Subject,
        profile_id: str,
        field: str,
        purpose: str,
        reason: str,
    ) -> Revealed | Denial:
        """Show it at once, as an emergency that somebody else reviews; see `reveal`."""
        wish = Wish(_actor(subject), profile_id, field, purpose, reason)
        return self._revealed(connection, subject, wish, broken=True)

    def request(
        self,
        connection: sa.Connection,
        subject: Subject,
        profile_id: str,
        field: str,
        purpose: str,
        reason: str,
    ) -> Request | Denial:
        """Ask for a second person's approval to reveal one field of one person; see `reveal`.

        Whether the person has a value there is not looked at.
        """
        attempt = self._attempt(subject, "reveal.request", purpose)
        wish = Wish(_actor(subject), profile_id, field, purpose, reason)
        against = _unusable(reason) or self._against_anybody(subject, wish, broken=False)
        if against is None and not needs_approval(Action.REVEAL, field):
            against = _NO_NEED
        if against is not None:
            return _refuse(connection, attempt, wish, against)
        reveals.lock(connection, subject.id)
        reveals.end_what_is_over(connection, attempt.at)
        mine = reveals.waiting(connection, subject.id, attempt.at)
        found = self._locate(connection, subject, Action.REVEAL, purpose, profile_id)
        reach = self._policy.scope(subject, Action.REVEAL, purpose)
        if len(mine) >= reveals.MOST_OPEN:  # whoever it is about
            return _refuse(connection, attempt, wish, _MANY_OPEN)
        if found is None or not reach.includes(found.stores) or not self._agreed(found, purpose):
            return _refuse(connection, attempt, wish, NOT_FOUND)
        wish = replace(wish, profile_id=found.id)
        if any(_covers(one, wish) for one in mine):
            return _refuse(connection, attempt, wish, _ALREADY)
        request = reveals.new(connection, wish, attempt.at)
        if request is None:
            return _refuse(connection, attempt, wish, _ALREADY)
        log.append(connection, attempt.allowed(found.id, (field,), reason))
        return request

    # ── inside ──────────────────────────────────────────────────────────────

    def _revealed(
        self, connection: sa.Connection, subject: Subject, wish: Wish, *, broken: bool
    ) -> Revealed | Denial:
        action = "profile.break_glass" if broken else "profile.reveal"
        attempt = self._attempt(subject, action, wish.purpose)
        against = _unusable(wish.reason) or self._against_anybody(subject, wish, broken=broken)
        if against is not None:
            return _refuse(connection, attempt, wish, against)
        known = self._known(connection, attempt, wish, broken=broken)
        if known.barred:
            return _refuse(connection, attempt, wish, _BARRED)
        at = attempt.subject, Action.REVEAL, wish.purpose
        found = self._locate(connection, *at, wish.profile_id)
        current = replace(wish, profile_id=found.id) if found else wish
        # Of somebody out of reach no grant is known: whether they went, or went elsewhere, or
        # became somebody else, is not to be told by whether it still holds.
        reach = self._policy.scope(subject, Action.REVEAL, wish.purpose)
        met = found is not None and reach.includes(found.stores)
        met = met and self._agreed(found, wish.purpose)
        grant = next((one for one in known.grants if met and _covers(one, current)), None)
        approver = known.approvers.get(grant.id) if grant else None
        stores = found.stores if found else frozenset[str]()
        decision = self._policy.decide(
            subject, Action.REVEAL, wish.field, wish.purpose, stores, approver, emergency=broken
        )
        if decision.reason not in _ROWS and decision.treatment is not Treatment.CLEAR:
            against = _forbidden(decision.reason)
        elif not broken:
            against = self._waits(known.shown, current, attempt.at)
        if against is None and (not decision.allowed or not self._agreed(found, wish.purpose)):
            against = NOT_FOUND
        if against is not None:
            return _refuse(connection, attempt, wish, against)
        return self._opened(connection, attempt, current, grant, broken=broken)

    def _opened(
        self,
        connection: sa.Connection,
        attempt: Attempt,
        wish: Wish,
        grant: Request | None,
        *,
        broken: bool,
    ) -> Revealed | Denial:
        """Show it, the glass being broken first and the event written before anything is opened."""
        request = reveals.new(connection, wish, attempt.at, broken=True) if broken else grant
        if broken:
            _log.warning("glass_broken", principal=wish.requester.id, request_id=self._request_id)
        trust = self._workspace.declaration.trust
        stored = reader.load_many(connection, [wish.profile_id], trust).get(wish.profile_id)
        if stored is None or wish.field not in stored.golden_for(wish.purpose):
            return _refuse(connection, attempt, wish, _NO_VALUE)
        log.append(connection, attempt.allowed(stored.id, (wish.field,), wish.reason))
        # Whatever the log says was shown has used its grant and counts, also if nothing opens.
        if grant is not None:
            reveals.carry_out(connection, grant, Deed(Act.USE, wish.requester), attempt.at)
        reveals.count(connection, wish, request.id if request else None, attempt.at)
        vault = self._workspace.vault
        opened = reader.open_fields(connection, vault, stored, [wish.field], wish.purpose)
        if wish.field not in opened:
            return _NO_VALUE
        seconds = self._workspace.declaration.reveals.shown_seconds
        return Revealed(
            value=opened[wish.field].reveal(reason=wish.reason),
            treatment=Treatment.CLEAR.word,
            shown_until=attempt.at + dt.timedelta(seconds=seconds),
            request=request.id if request else None,
            review_by=request.ends_at if request and broken else None,
        )

    def _against_anybody(self, subject: Subject, wish: Wish, *, broken: bool) -> Denial | None:
        """Say why this subject may reveal such a field of nobody at all."""
        field, purpose = wish.field, wish.purpose
        decision = self._policy.decide(
            subject, Action.REVEAL, field, purpose, None, emergency=broken
        )
        reason = decision.reason
        if reason is Reason.NEEDS_PERSON or (reason is Reason.NEEDS_APPROVAL and not broken):
            if field not in IDENTITY_FIELDS:
                return _forbidden(Reason.NO_RULE)
            if not opening.holds(self._workspace, field):
                return withheld(field)
            return self._against_breaking(subject, purpose) if broken else None
        return _forbidden(reason)

    def _against_breaking(self, subject: Subject, purpose: str) -> Denial | None:
        decision = self._policy.decide(subject, Action.BREAK_GLASS, FieldClass.NONE, purpose, None)
        if not decision.allowed:
            return _forbidden(decision.reason)
        return needs_full(self._workspace)

    def _known(
        self, connection: sa.Connection, attempt: Attempt, wish: Wish, *, broken: bool
    ) -> "_Known":
        """What is known of the subject, under their lock. The person is not looked up yet."""
        reveals.lock(connection, wish.requester.id)
        mine: list[Request] = []
        second = needs_approval(Action.REVEAL, wish.field)
        if second or broken:
            reveals.end_what_is_over(connection, attempt.at)
        if second and not broken:
            waiting = reveals.waiting(connection, wish.requester.id, attempt.at, held=True)
            mine = [one for one in waiting if one.state is State.APPROVED]
        return _Known(
            shown=reveals.past(connection, wish.requester.id, attempt.at),
            grants=mine,
            approvers={
                one.id: current_subject(connection, self._workspace, one.second, attempt.at)
                for one in mine
                if (one.field, one.purpose) == (wish.field, wish.purpose)
            },
            barred=broken and reveals.barred(connection, wish.requester.id, attempt.at),
        )

    def _agreed(self, found: Located | None, purpose: str) -> bool:
        """Say whether there is such a person, whom the purpose may meet."""
        needed = self._consent(purpose)
        return found is not None and (needed is None or needed in found.purposes)

    def _waits(self, shown: list[Shown], wish: Wish, now: dt.datetime) -> Denial | None:
        """Say from when on the limits allow it; None: now."""
        limits = self._workspace.declaration.reveals
        sensitive = wish.field in SENSITIVE
        then = next_possible(shown, wish.profile_id, limits, now, sensitive=sensitive)
        if then is None:
            return None
        sentence = f"You have revealed as much as an hour allows: again at {then:%H:%M:%S} UTC."
        return Denial(DenialKind.LIMITED, "reveal_limit", sentence, then)


class _Known(NamedTuple):
    """What is known of a subject before the person is looked up.

    Attributes:
        shown: within the last hour.
        grants: approved requests that have not ended.
        approvers: by grant, as they stand now; None: they may not approve any more.
        barred: they may not break the glass.
    """

    shown: list[Shown]
    grants: list[Request]
    approvers: dict[str, Subject | None]
    barred: bool


def _actor(subject: Subject) -> Actor:
    return Actor(subject.id, str(subject.role), subject.node)


def _forbidden(reason: Reason) -> Denial:
    return Denial(DenialKind.FORBIDDEN, reason.value, reason.sentence)


def _unusable(reason: str) -> Denial | None:
    try:
        event.screen(reason)
    except DetailRefused as error:
        return Denial(DenialKind.UNUSABLE, error.rule, error.next_step)
    return None


def _covers(one: Request, wish: Wish) -> bool:
    return (one.profile_id, one.field, one.purpose) == (wish.profile_id, wish.field, wish.purpose)


def _refuse(connection: sa.Connection, attempt: Attempt, wish: Wish, denial: Denial) -> Denial:
    # What was typed as a reason is kept only where it may be.
    kept = None if denial.kind is DenialKind.UNUSABLE else wish.reason
    log.append(connection, attempt.denied(denial.reason, wish.profile_id, (wish.field,), kept))
    return denial
