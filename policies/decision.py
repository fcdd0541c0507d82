"""One decision: may this be done, how much is shown, and why.

Guarantees:

1. What is not allowed is refused, with a reason from a closed set. A word, role,
   node, purpose or field that is not known is refused, never passed over.
2. The row filter (``scope``) and the decision on one person agree: whoever is
   outside the scope is refused. An empty scope means nobody, never everybody.
3. A person with no store is visible only from the sole brand of the organisation.
4. A service gets a field only if its contract names the field and the purpose.
5. An export needs a second person, who is somebody else and may approve.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from policies.declarations import PurposeRule
from policies.masks import mask
from policies.organisation import Organisation
from policies.vocabulary import (
    DATA_FIELDS,
    NEEDS_APPROVAL,
    ON_ONE_PERSON,
    ROLE_NODES,
    Action,
    FieldClass,
    Purpose,
    Role,
    Treatment,
)

DEFAULT_RULE: Final = "default"


class Reason(StrEnum):
    """Why a decision came out as it did; ``sentence`` says it to a person."""

    GRANTED = "granted"
    LOWERED = "lowered"
    DENIED = "denied"
    NO_RULE = "no_rule"
    UNKNOWN_ROLE = "unknown_role"
    UNKNOWN_ACTION = "unknown_action"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_PURPOSE = "unknown_purpose"
    UNKNOWN_NODE = "unknown_node"
    WRONG_NODE = "wrong_node"
    OUTSIDE_CONTRACT = "outside_contract"
    NEEDS_APPROVAL = "needs_approval"
    NEEDS_PERSON = "needs_person"
    OUTSIDE_SCOPE = "outside_scope"
    NO_STORE = "no_store"

    @property
    def sentence(self) -> str:
        """The reason in plain words."""
        return _SENTENCES[self]


_SENTENCES: Final = MappingProxyType(
    {
        Reason.GRANTED: "A policy line allows it.",
        Reason.LOWERED: "One policy line allows more, but another one takes part of it away.",
        Reason.DENIED: "A policy line denies it.",
        Reason.NO_RULE: "No policy line allows it.",
        Reason.UNKNOWN_ROLE: "The role is not one that policies know.",
        Reason.UNKNOWN_ACTION: "The action is not one that policies know.",
        Reason.UNKNOWN_FIELD: "The field is not one that policies know.",
        Reason.UNKNOWN_PURPOSE: "The purpose is not one that policies know.",
        Reason.UNKNOWN_NODE: "The subject's node is not part of the organisation.",
        Reason.WRONG_NODE: "This role is not held at this level of the organisation.",
        Reason.OUTSIDE_CONTRACT: "The contract of this service names another purpose or not this "
        "field.",
        Reason.NEEDS_APPROVAL: "A second person, who may approve, has to approve it first.",
        Reason.NEEDS_PERSON: "The request does not say whose data it is about.",
        Reason.OUTSIDE_SCOPE: "The person belongs to no store under the subject's node.",
        Reason.NO_STORE: "The person belongs to no store, so only the brand level sees them.",
    }
)


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks. A service also carries the fields and the purpose of its contract."""

    id: str
    role: str
    node: str
    contract_fields: frozenset[str] | None = None
    contract_purpose: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer; ``rule`` is the policy line that decided, or ``default``."""

    allowed: bool
    treatment: Treatment
    reason: Reason
    rule: str


@dataclass(frozen=True, slots=True)
class Scope:
    """The stores whose people a subject may meet; ``all`` includes people with no store."""

    all: bool
    stores: frozenset[str]

    def includes(self, stores: frozenset[str]) -> bool:
        """Say whether a person of these stores is inside; no stores needs ``all``."""
        return self.all or not self.stores.isdisjoint(stores)


NOBODY: Final = Scope(all=False, stores=frozenset())
_ENUMS: Final = (
    (Role, Reason.UNKNOWN_ROLE),
    (Action, Reason.UNKNOWN_ACTION),
    (FieldClass, Reason.UNKNOWN_FIELD),
    (Purpose, Reason.UNKNOWN_PURPOSE),
)


def refused(reason: Reason, rule: str = DEFAULT_RULE) -> Decision:
    """Return a refusal that shows nothing."""
    return Decision(allowed=False, treatment=Treatment.OMIT, reason=reason, rule=rule)


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """One policy version, immutable: a decision for every combination of words.

    ``table`` is keyed by (role, action, field class, purpose) and holds every
    combination of the vocabulary; ``version`` is the SHA-256 of the policy's content.
    """

    version: str
    table: Mapping[tuple[str, ...], Decision]
    granted: frozenset[tuple[str, str, str]]  # (role, action, purpose) allowed for some field
    purposes: Mapping[Purpose, PurposeRule]
    masking: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled policy at work in one organisation. Pure: the same question, the same answer."""

    compiled: CompiledPolicy
    organisation: Organisation

    @property
    def version(self) -> str:
        """The version of the policy behind every answer, for the audit log."""
        return self.compiled.version

    def decide(
        self,
        subject: Subject,
        action: str,
        field_class: str,
        purpose: str,
        stores: frozenset[str] | None,
        approver: Subject | None = None,
    ) -> Decision:
        """Decide one request.

        Args:
            subject: who asks.
            action: a word of ``Action``.
            field_class: a word of ``FieldClass``; ``none`` for the action itself.
            purpose: a word of ``Purpose``.
            stores: the stores of the person in question, empty if they have none; None when
                no one person is in question (a look-up before its row filter, a page, an
                action on the platform). Actions on one person refuse None.
            approver: the second person, where the action needs one.
        """
        key = (subject.role, action, field_class, purpose)
        verdict = self.compiled.table.get(key)
        if verdict is None:
            return refused(_unknown(key))
        if not verdict.allowed:
            return verdict
        reason = (
            self._outside_duty(subject, action, purpose, approver)
            or _outside_contract(subject, field_class)
            or self._outside_rows(subject, action, stores)
        )
        return verdict if reason is None else refused(reason)

    def scope(
        self, subject: Subject, action: str, purpose: str, approver: Subject | None = None
    ) -> Scope:
        """Return the row filter for an action: the stores whose people may be met.

        Nobody, when the role may not do this action for this purpose at all.
        """
        if (subject.role, action, purpose) not in self.compiled.granted:
            return NOBODY
        if self._outside_duty(subject, action, purpose, approver) is not None:
            return NOBODY
        return self._reach(subject)

    def treatments(
        self, subject: Subject, action: str, purpose: str, approver: Subject | None = None
    ) -> Mapping[FieldClass, Treatment]:
        """Return how each field is shown on a page of people inside ``scope``.

        Holds every field class but ``none``; what is refused is ``OMIT``.
        """
        if (subject.role, action, purpose) not in self.compiled.granted or (
            self._outside_duty(subject, action, purpose, approver) is not None
        ):
            return dict.fromkeys(DATA_FIELDS, Treatment.OMIT)
        return {
            field: self.compiled.table[subject.role, action, field, purpose].treatment
            if _outside_contract(subject, field) is None
            else Treatment.OMIT
            for field in DATA_FIELDS
        }

    def mask(self, field_class: str, text: str) -> str:
        """Return ``text`` as its field class is masked; an unknown class shows nothing."""
        return mask(self.compiled.masking.get(field_class, ""), text)

    def _outside_duty(
        self, subject: Subject, action: str, purpose: str, approver: Subject | None
    ) -> Reason | None:
        """Say why the subject may not do this here at all, whoever it is about."""
        node = self.organisation.nodes.get(subject.node)
        if node is None:
            return Reason.UNKNOWN_NODE
        if node.kind not in ROLE_NODES[subject.role]:
            return Reason.WRONG_NODE
        if subject.role == Role.SERVICE and subject.contract_purpose != purpose:
            return Reason.OUTSIDE_CONTRACT
        if action in NEEDS_APPROVAL and not self._approved(subject, purpose, approver):
            return Reason.NEEDS_APPROVAL
        return None

    def _approved(self, subject: Subject, purpose: str, approver: Subject | None) -> bool:
        if approver is None or approver.id == subject.id:
            return False
        decision = self.decide(approver, Action.APPROVE, FieldClass.NONE, purpose, None)
        return decision.allowed and self.organisation.stores_under(
            subject.node
        ) <= self.organisation.stores_under(approver.node)

    def _reach(self, subject: Subject) -> Scope:
        return Scope(
            all=self.organisation.sole_brand == subject.node,
            stores=self.organisation.stores_under(subject.node),
        )

    def _outside_rows(
        self, subject: Subject, action: str, stores: frozenset[str] | None
    ) -> Reason | None:
        if stores is None:
            return Reason.NEEDS_PERSON if action in ON_ONE_PERSON else None
        if self._reach(subject).includes(stores):
            return None
        return Reason.OUTSIDE_SCOPE if stores else Reason.NO_STORE


def _outside_contract(subject: Subject, field_class: str) -> Reason | None:
    if subject.role != Role.SERVICE or field_class == FieldClass.NONE:
        return None
    named = subject.contract_fields is not None and field_class in subject.contract_fields
    return None if named else Reason.OUTSIDE_CONTRACT


def _unknown(key: tuple[str, str, str, str]) -> Reason:
    """Name the first word of a key that the vocabulary does not hold."""
    return next(
        reason
        for word, (kind, reason) in zip(key, _ENUMS, strict=True)
        if word not in {member.value for member in kind}
    )
