"""One decision: may this be done, how much is shown, and why.

Guarantees:

1. What is not allowed is refused, with a reason from a closed set. A word, role,
   node, purpose or field that is not known is refused, never passed over.
2. The row filter (``scope``) and the decision on one person agree: whoever is
   outside the scope is refused. An empty scope means nobody, never everybody.
3. A person with no store is visible only from the sole brand of the organisation.
4. A service gets a field only if its contract names the field and the purpose.
5. An export, and a reveal of a sensitive field, needs a second person, who is somebody else and
   may approve. An emergency does without, for a role that may break the glass, and stretches
   nothing else.
6. A line with a condition grants only while it holds. Of what nobody told, nothing holds.
7. A key with scopes, or whatever else narrows a subject's actions, never widens them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from policies.conditions import needed
from policies.declarations import PurposeRule
from policies.masks import masker
from policies.organisation import Organisation
from policies.persons import same_person
from policies.reasons import Reason
from policies.vocabulary import (
    DATA_FIELDS,
    NO_CIRCUMSTANCES,
    ON_ONE_PERSON,
    ROLE_NODES,
    Action,
    Circumstances,
    FieldClass,
    Purpose,
    Role,
    Treatment,
    needs_approval,
)

DEFAULT_RULE: Final = "default"


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks, and in which circumstances.

    Attributes:
        id: of the principal.
        role: one role, at one node: somebody with several acts in one at a time.
        node: of the organisation.
        contract_fields, contract_purpose: of a service.
        circumstances: what holds while this is asked.
        actions: the only ones that the key or session is for; None: no such limit.
    """

    id: str
    role: str
    node: str
    contract_fields: frozenset[str] | None = None
    contract_purpose: str | None = None
    circumstances: Circumstances = NO_CIRCUMSTANCES
    actions: frozenset[str] | None = None


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
Verdicts = tuple[Decision, ...]
"""One decision for each combination of circumstances, at the place of its number."""
_ENUMS: Final = (
    (Role, Reason.UNKNOWN_ROLE),
    (Action, Reason.UNKNOWN_ACTION),
    (FieldClass, Reason.UNKNOWN_FIELD),
    (Purpose, Reason.UNKNOWN_PURPOSE),
)


def refused(reason: Reason, rule: str = DEFAULT_RULE) -> Decision:
    """Return a refusal that shows nothing."""
    return Decision(allowed=False, treatment=Treatment.OMIT, reason=reason, rule=rule)


_REFUSALS: Final = {reason: refused(reason) for reason in Reason}
_NEEDS_PERSON: Final = _REFUSALS[Reason.NEEDS_PERSON]
_OUTSIDE_SCOPE: Final = _REFUSALS[Reason.OUTSIDE_SCOPE]
_NO_STORE: Final = _REFUSALS[Reason.NO_STORE]


class _Entry(NamedTuple):
    """The verdicts of one key, and what else has to be asked about it."""

    verdicts: Verdicts
    has_terms: bool  # a contract or a second person may matter
    needs_approval: bool
    needs_person: bool


_ByAction = Mapping[str, Mapping[str, Mapping[str, _Entry]]]
"""Of one role: entries by action, field and purpose."""


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """One policy version, immutable: a decision for every combination of words.

    ``table`` is keyed by (role, action, field class, purpose) and holds every
    combination of the vocabulary; ``version`` is the SHA-256 of the policy's content.
    """

    version: str
    table: Mapping[tuple[str, ...], Verdicts]
    # (role, action, purpose, circumstances) allowed for some field
    granted: frozenset[tuple[str, str, str, Circumstances]]
    purposes: Mapping[Purpose, PurposeRule]
    masking: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled policy at work in one organisation. Pure: the same question, the same answer."""

    compiled: CompiledPolicy
    organisation: Organisation
    # Worked out once, for every decision looks them up. Of each role and node where the role may
    # be held, whose people it meets; and the table with what else is to be asked, a mapping for
    # each word of a question: short look-ups of known words, which stay in the cache.
    _reach: Mapping[str, Mapping[str, Scope]] = field(init=False, repr=False, compare=False)
    _entries: Mapping[str, _ByAction] = field(init=False, repr=False, compare=False)
    # Of each role with conditions, what its lines depend on.
    needed: Mapping[str, Circumstances] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_reach", _reaches(self.organisation))
        object.__setattr__(self, "_entries", _entries(self.compiled.table))
        object.__setattr__(self, "needed", needed(self.compiled.table))

    @property
    def version(self) -> str:
        """The version of the policy behind every answer, for the audit log."""
        return self.compiled.version

    def decide(  # noqa: PLR0913 - one question has this many parts
        self,
        subject: Subject,
        action: str,
        field_class: str,
        purpose: str,
        stores: frozenset[str] | None,
        approver: Subject | None = None,
        *,
        emergency: bool = False,
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
            emergency: do without the second person, if the role may break the glass.
        """
        role = subject.role
        try:
            entry = self._entries[role][action][field_class][purpose]
        except KeyError:
            return _REFUSALS[_unknown((role, action, field_class, purpose))]
        verdicts, has_terms, needs_second, needs_person = entry
        verdict = verdicts[subject.circumstances]
        if not verdict.allowed:
            return verdict
        if has_terms or subject.actions is not None:
            against = _outside_terms(subject, action, field_class, purpose)
            if against is None and needs_second:
                in_need = emergency and action == Action.REVEAL
                backed = self._backed(subject, purpose, approver, emergency=in_need)
                against = None if backed else Reason.NEEDS_APPROVAL
            if against is not None:
                return _REFUSALS[against]
        if stores is not None:
            reach = self._reach[role].get(subject.node)
            if reach is not None and (reach.all or not reach.stores.isdisjoint(stores)):
                return verdict
        return self._outside_rows(subject, stores, verdict, needs_person=needs_person)

    def scope(
        self, subject: Subject, action: str, purpose: str, approver: Subject | None = None
    ) -> Scope:
        """Return the row filter for an action: the stores whose people may be met.

        Nobody, when the role may not do this action for this purpose at all.
        """
        allowed = self._is_open(subject, action, purpose, approver)
        return self._reach[subject.role][subject.node] if allowed else NOBODY

    def treatments(
        self, subject: Subject, action: str, purpose: str, approver: Subject | None = None
    ) -> Mapping[FieldClass, Treatment]:
        """Return how each field is shown on a page of people inside ``scope``.

        Holds every field class but ``none``; what is refused is ``OMIT``.
        """
        if not self._is_open(subject, action, purpose, approver):
            return dict.fromkeys(DATA_FIELDS, Treatment.OMIT)
        backed = approver is not None and self._backed(subject, purpose, approver)
        table, held = self.compiled.table, subject.circumstances
        return {
            field: table[subject.role, action, field, purpose][held].treatment
            if _outside_terms(subject, action, field, purpose) is None
            and (backed or not needs_approval(action, field))
            else Treatment.OMIT
            for field in DATA_FIELDS
        }

    def mask(self, field_class: str, text: str) -> str:
        """Return ``text`` as its field class is masked; an unknown class shows nothing."""
        return self.masker(field_class)(text)

    def masker(self, field_class: str) -> Callable[[str], str]:
        """Return how values of a field class are masked; an unknown class shows nothing."""
        return masker(self.compiled.masking.get(field_class, ""))

    def _is_open(
        self, subject: Subject, action: str, purpose: str, approver: Subject | None
    ) -> bool:
        """Say whether the subject may do this for somebody, as far as the action goes."""
        granted = (subject.role, action, purpose, subject.circumstances) in self.compiled.granted
        return (
            granted
            and subject.node in self._reach[subject.role]
            and _outside_terms(subject, action, FieldClass.NONE, purpose) is None
            and (
                not needs_approval(action, FieldClass.NONE)
                or self._backed(subject, purpose, approver)
            )
        )

    def _outside_rows(
        self,
        subject: Subject,
        stores: frozenset[str] | None,
        verdict: Decision,
        *,
        needs_person: bool,
    ) -> Decision:
        """Return the answer about nobody in particular, or about somebody out of reach."""
        if subject.node not in self._reach[subject.role]:
            known = subject.node in self.organisation.nodes
            return _REFUSALS[Reason.WRONG_NODE if known else Reason.UNKNOWN_NODE]
        if stores is None:
            return _NEEDS_PERSON if needs_person else verdict
        return _OUTSIDE_SCOPE if stores else _NO_STORE

    def _backed(
        self,
        subject: Subject,
        purpose: str,
        approver: Subject | None,
        *,
        emergency: bool = False,
    ) -> bool:
        """Say whether a second person stands behind it, or an emergency that counts."""
        if approver is not None and not same_person(approver.id, subject.id):
            decision = self.decide(approver, Action.APPROVE, FieldClass.NONE, purpose, None)
            mine = self.organisation.stores_under(subject.node)
            if decision.allowed and mine <= self.organisation.stores_under(approver.node):
                return True
        return emergency and (
            self.decide(subject, Action.BREAK_GLASS, FieldClass.NONE, purpose, None).allowed
        )


def _entries(table: Mapping[tuple[str, ...], Verdicts]) -> dict[str, _ByAction]:
    """Return what each role, action, field and purpose is answered, and what else is to be asked.

    Few fields differ in their answers, so most share one mapping of purposes.
    """
    purposes = [purpose.value for purpose in Purpose]
    made: dict[tuple[int, bool, bool, bool], _Entry] = {}
    shared: dict[tuple[object, ...], dict[str, _Entry]] = {}

    def entry(verdicts: Verdicts, told: tuple[bool, bool, bool]) -> _Entry:
        return made.setdefault((id(verdicts), *told), _Entry(verdicts, *told))

    def by_purpose(role: Role, action: Action, field: FieldClass) -> dict[str, _Entry]:
        words, second = (role.value, action.value, field.value), needs_approval(action, field)
        told = role is Role.SERVICE or second, second, action in ON_ONE_PERSON
        found = [table[*words, purpose] for purpose in purposes]
        same = (*map(id, found), told)
        if same not in shared:
            answers = zip(purposes, found, strict=True)
            shared[same] = {purpose: entry(verdicts, told) for purpose, verdicts in answers}
        return shared[same]

    return {
        str(role): {
            action.value: {field.value: by_purpose(role, action, field) for field in FieldClass}
            for action in Action
        }
        for role in Role
    }


def _reaches(organisation: Organisation) -> dict[str, dict[str, Scope]]:
    scopes = {
        node: Scope(all=organisation.sole_brand == node, stores=organisation.stores_under(node))
        for node in organisation.nodes
    }
    return {
        str(role): {
            node.id: scopes[node.id] for node in organisation.nodes.values() if node.kind in kinds
        }
        for role, kinds in ROLE_NODES.items()
    }


def _outside_terms(subject: Subject, action: str, field_class: str, purpose: str) -> Reason | None:
    """Say what the subject's own key or contract has against it."""
    if subject.actions is not None and action not in subject.actions:
        return Reason.OUTSIDE_KEY
    if subject.role != Role.SERVICE:
        return None
    named = field_class == FieldClass.NONE or (
        subject.contract_fields is not None and field_class in subject.contract_fields
    )
    inside = named and subject.contract_purpose == purpose
    return None if inside else Reason.OUTSIDE_CONTRACT


def _unknown(key: tuple[str, str, str, str]) -> Reason:
    """Name the first word of a key that the vocabulary does not hold."""
    return next(
        reason
        for word, (kind, reason) in zip(key, _ENUMS, strict=True)
        if word not in {member.value for member in kind}
    )
