"""What other systems ask of our policy: may she do this, who may, what may she do.

The question and the answer are those of the Authorization API 1.0 of the OpenID Foundation's
AuthZEN working group; ``api/routes/authzen.py`` puts them on the wire.

Invariants, each named by a test in ``tests/integration/api/test_authzen.py``:

1. The answer is the one of ``Policy.decide``, and nothing else decides.
2. Who asks about somebody else may do so by policy (``decide``), and each request has an event.
   A key that is not for that asks nothing, also about oneself.
3. A word or a name that is not known is a refusal with its reason, never an error.
4. Of a person nothing is told: "no such person" and "not hers" are one answer. Only what is done
   to one person is asked of a profile.
5. What others may do with a person is told to who may read that person for that purpose, by the
   very key that asks. To all others nobody exists.
6. Each person that was asked about has an event: which field, and whose right to it.
7. Of the asker's own right no more is told than the key, and the circumstances, allow.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from cdp.access import principals, rows
from cdp.access.answers import Denial, DenialKind
from cdp.access.principals import Standing
from cdp.access.trail import Attempt
from cdp.audit import event, log
from cdp.audit.errors import DetailRefused
from cdp.errors import KithError
from cdp.profiles import reader
from cdp.profiles.reader import Located
from cdp.storage import scopes
from cdp.storage.schema import principal
from cdp.workspace import Workspace
from policies.decision import NOBODY, Decision, Policy, Subject, refused
from policies.reasons import Reason
from policies.vocabulary import (
    NO_CIRCUMSTANCES,
    ON_ONE_PERSON,
    Action,
    Circumstances,
    FieldClass,
    NodeKind,
    Purpose,
)

PRINCIPAL: Final = "principal"
FIELD, STORE, PROFILE = "field", "store", "profile"
_ALL: Final = "everybody"  # no name: a search for all who may
_NOT_THEIRS: Final = frozenset({Reason.OUTSIDE_SCOPE, Reason.NO_STORE})


@dataclass(frozen=True, slots=True)
class Who:
    """Whose right is asked after: a principal, under one of their assignments."""

    type: str
    id: str
    acting_as: str | None = None  # role@node; None: the first of theirs


@dataclass(frozen=True, slots=True)
class What:
    """What it is about.

    Attributes:
        type: ``field``, ``store`` or ``profile``.
        id: a field class, a store of the organisation, or a profile.
        field: of a store or a profile: the field that is meant; the profile's id if none is.
        stores: of a field: of which stores the person would be; None: nobody in particular.
    """

    type: str
    id: str
    field: str = FieldClass.PROFILE_ID.value
    stores: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One question. Words may be anything: what is not known is refused."""

    who: Who
    action: str
    what: What
    purpose: str
    circumstances: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Named:
    """Somebody or something that a search found."""

    type: str
    id: str


class Questions:
    """Answers for one request, in its transaction and under one policy."""

    def __init__(
        self,
        workspace: Workspace,
        connection: sa.Connection,
        asker: Subject,
        request_id: str | None = None,
    ) -> None:
        self._workspace = workspace
        self._policy: Policy = workspace.policy
        self._connection = connection
        self._asker = asker
        self._request_id = request_id
        self._known: dict[str, Standing | None] = {}
        self._kept: set[tuple[str, ...]] = set()  # events of people
        nodes = workspace.declaration.organisation.nodes.values()
        self._stores = frozenset(node.id for node in nodes if node.kind is NodeKind.STORE)

    @property
    def version(self) -> str:
        """The version of the policy that answers."""
        return self._policy.version

    def refusal(self, about: Iterable[str]) -> Denial | None:
        """Keep the event of a request; say why it is not answered, if it is not.

        Args:
            about: the principals that are asked after.
        """
        tried = self._attempt(Purpose.SERVICE)
        own = set(about) == {self._asker.id}
        reason = self._policy.decide(
            self._asker, Action.DECIDE, FieldClass.NONE, Purpose.SERVICE, None
        ).reason
        if self._asker.actions is not None and Action.DECIDE not in self._asker.actions:
            reason = Reason.OUTSIDE_KEY
        elif own:
            reason = Reason.GRANTED
        if reason is Reason.GRANTED:
            log.append(self._connection, tried.allowed("", ()))
            return None
        log.append(self._connection, tried.denied(reason.value))
        return Denial(DenialKind.FORBIDDEN, reason.value, reason.sentence)

    def answer(self, question: Question) -> Decision:
        """Decide one question. A profile that is out of reach is answered like none."""
        return self._answered(question, question.who.id)

    def _answered(self, question: Question, about: str) -> Decision:
        subject = self._subject(question.who, question.circumstances)
        if subject is None:
            return refused(Reason.UNKNOWN_SUBJECT)
        what = question.what
        field, stores = what.field, what.stores
        if what.type == FIELD:
            field = what.id
        elif what.type == STORE:
            if what.id not in self._stores:
                return refused(Reason.UNKNOWN_NODE)
            stores = frozenset({what.id})
        elif what.type == PROFILE:
            return self._about(subject, question, about)
        else:
            return refused(Reason.UNKNOWN_FIELD)
        return self._policy.decide(subject, question.action, field, question.purpose, stores)

    def subjects(self, question: Question) -> list[Named]:
        """Find the principals who may do it under one of their assignments, in order of id."""
        if question.who.type != PRINCIPAL:
            return []
        self._read(sa.true())
        return [
            Named(PRINCIPAL, one)
            for one, standing in sorted(self._known.items())
            if standing is not None
            and any(
                self._answered(replace(question, who=Who(PRINCIPAL, one, each)), _ALL).allowed
                for each in standing.assignments
            )
        ]

    def resources(self, question: Question) -> list[Named]:
        """Find the fields, or the stores, that the subject may do it on; people are not listed."""
        kinds: Mapping[str, Iterable[str]] = {
            FIELD: sorted(one.value for one in FieldClass),
            STORE: sorted(self._stores),
        }
        what = question.what
        return [
            Named(what.type, one)
            for one in kinds.get(what.type, ())
            if self.answer(replace(question, what=replace(what, id=one))).allowed
        ]

    def actions(self, question: Question) -> list[str]:
        """Find the actions that the subject may do on the resource."""
        return [
            action.value
            for action in Action
            if self.answer(replace(question, action=action.value)).allowed
        ]

    # ── inside ──────────────────────────────────────────────────────────────

    def _attempt(self, purpose: str) -> Attempt:
        version, now = self._policy.version, self._workspace.now()
        return Attempt(self._asker, "policy.decide", purpose, version, now, self._request_id)

    def _about(self, subject: Subject, question: Question, about: str) -> Decision:
        """Decide about one person; whoever is out of reach, or did not agree, is nobody."""
        what = question.what
        asked = question.action, what.field, question.purpose
        if question.action not in ON_ONE_PERSON:
            decision = self._policy.decide(subject, *asked, None)
            return refused(Reason.NO_RULE) if decision.allowed else decision
        found = self._located(what.id)
        own = subject.id == self._asker.id
        if found is not None and not self._meets(found, question.purpose, own=own):
            found = None
        decision = self._policy.decide(subject, *asked, found.stores if found else frozenset())
        if decision.reason in _NOT_THEIRS or (decision.allowed and found is None):
            decision = refused(Reason.OUTSIDE_SCOPE)
        told = decision.allowed if own else found is not None
        self._keep(question, about, found.id if found and told else decision.reason)
        return decision

    def _meets(self, found: Located, purpose: str, *, own: bool) -> bool:
        """Say whether the person agreed, and, for the right of others, the asker may read them."""
        if purpose not in set(Purpose):
            return False
        needed = self._policy.compiled.purposes[Purpose(purpose)].consent
        if needed and purpose not in found.purposes:
            return False
        reach = self._policy.scope(self._asker, Action.READ, purpose)
        return own or reach.includes(found.stores)

    def _keep(self, question: Question, about: str, outcome: str) -> None:
        """Keep the event of one person asked about, once for the same field and whose right.

        Args:
            question: as asked.
            about: whose right.
            outcome: the person's id where something of them went into the answer, else a reason.
        """
        what, detail = question.what, _told(about)
        key = what.id, what.field, question.purpose, about
        if key in self._kept:
            return
        self._kept.add(key)
        attempt = self._attempt(question.purpose)
        log.append(
            self._connection,
            attempt.denied(outcome.value, what.id, (what.field,), detail)
            if isinstance(outcome, Reason)
            else attempt.allowed(outcome, (what.field,), detail),
        )

    def _located(self, profile_id: str) -> Located | None:
        scopes.locate(self._connection)
        known = reader.is_profile_id(profile_id)
        found = reader.locate(self._connection, profile_id) if known else None
        rows.enter(self._connection, self._workspace, NOBODY)
        return found

    def _subject(self, who: Who, words: frozenset[str]) -> Subject | None:
        if who.type != PRINCIPAL:
            return None
        standing = self._standing(who.id)
        assignment = principals.chosen(standing.assignments, who.acting_as) if standing else None
        if standing is None or assignment is None:
            return None
        try:
            subject = principals.acting(standing, assignment, self._workspace.declaration)
        except KithError:  # a node or a contract that this process has not heard of
            return None
        if subject.id == self._asker.id:
            asker = self._asker  # of another assignment of theirs nothing is known
            same = (subject.role, subject.node) == (asker.role, asker.node)
            held = asker.circumstances if same else NO_CIRCUMSTANCES
            return replace(subject, circumstances=held, actions=asker.actions)
        held = NO_CIRCUMSTANCES
        for one in Circumstances:
            if one.word in words:
                held |= one
        return replace(subject, circumstances=held)

    def _standing(self, name: str) -> Standing | None:
        if name not in self._known and name.isprintable():
            self._read(principal.c.id == name)
        return self._known.setdefault(name, None)

    def _read(self, which: sa.ColumnElement[bool]) -> None:
        columns = principal.c.id, principal.c.assignments, principal.c.destination
        active = sa.select(*columns).where(which, principal.c.locked_at.is_(None))
        for row in self._connection.execute(active):
            self._known[row.id] = Standing(row.id, tuple(row.assignments), row.destination)


def _told(about: str) -> str | None:
    told = f"about {about}"
    try:
        event.screen(told)
    except DetailRefused:  # an id with many digits
        return None
    return told
