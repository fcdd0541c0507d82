"""What other systems ask of our policy: may she do this, who may, what may she do.

The question and the answer are those of the Authorization API 1.0 of the OpenID Foundation's
AuthZEN working group; ``api/routes/authzen.py`` puts them on the wire.

Invariants, each named by a test in ``tests/integration/api/test_authzen.py``:

1. The answer is the one of ``Policy.decide``, and nothing else decides.
2. Who asks about somebody else may do so by policy (``decide``), and each request has an event.
3. A word or a name that is not known is a refusal with its reason, never an error.
4. Of a person nothing is told: "no such person" and "not hers" are one answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from cdp.access import principals, rows
from cdp.access.answers import Denial, DenialKind
from cdp.access.principals import Standing
from cdp.access.trail import Attempt
from cdp.audit import log
from cdp.errors import KithError
from cdp.profiles import reader
from cdp.profiles.reader import Located
from cdp.storage import scopes
from cdp.storage.schema import principal
from cdp.workspace import Workspace
from policies.decision import NOBODY, Decision, Policy, Reason, Subject, refused
from policies.vocabulary import Action, Circumstances, FieldClass, NodeKind, Purpose

PRINCIPAL: Final = "principal"
FIELD, STORE, PROFILE = "field", "store", "profile"
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
        tried = Attempt(
            self._asker,
            "policy.decide",
            Purpose.SERVICE,
            self._policy.version,
            self._workspace.now(),
            self._request_id,
        )
        own = set(about) == {self._asker.id}
        decision = self._policy.decide(
            self._asker, Action.DECIDE, FieldClass.NONE, Purpose.SERVICE, None
        )
        if own or decision.allowed:
            log.append(self._connection, tried.allowed("", ()))
            return None
        log.append(self._connection, tried.denied(decision.reason.value))
        return Denial(DenialKind.FORBIDDEN, decision.reason.value, decision.reason.sentence)

    def answer(self, question: Question) -> Decision:
        """Decide one question. A profile that is out of reach is answered like none."""
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
            return self._about(subject, question)
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
                self.answer(replace(question, who=Who(PRINCIPAL, one, each))).allowed
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

    def _about(self, subject: Subject, question: Question) -> Decision:
        """Decide about one person; whoever is out of reach, or did not agree, is nobody."""
        found = self._located(question.what.id)
        stores = found.stores if found else frozenset[str]()
        decision = self._policy.decide(
            subject, question.action, question.what.field, question.purpose, stores
        )
        if decision.reason in _NOT_THEIRS:
            return refused(Reason.OUTSIDE_SCOPE)
        if decision.allowed and not (found and self._agreed(found, question.purpose)):
            return refused(Reason.OUTSIDE_SCOPE)
        return decision

    def _located(self, profile_id: str) -> Located | None:
        scopes.locate(self._connection)
        known = reader.is_profile_id(profile_id)
        found = reader.locate(self._connection, profile_id) if known else None
        rows.enter(self._connection, self._workspace, NOBODY)
        return found

    def _agreed(self, found: Located, purpose: str) -> bool:
        needed = self._policy.compiled.purposes[Purpose(purpose)].consent
        return not needed or purpose in found.purposes

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
        held = Circumstances(0)
        for one in Circumstances:
            if one.word in words:
                held |= one
        return replace(subject, circumstances=held)

    def _standing(self, name: str) -> Standing | None:
        if name not in self._known:
            self._read(principal.c.id == name)
        return self._known.setdefault(name, None)

    def _read(self, which: sa.ColumnElement[bool]) -> None:
        columns = principal.c.id, principal.c.assignments, principal.c.destination
        for row in self._connection.execute(sa.select(*columns).where(which)):
            self._known[row.id] = Standing(row.id, tuple(row.assignments), row.destination)
