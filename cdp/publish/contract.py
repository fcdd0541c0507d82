"""What a destination may get of a person. Pure.

Invariants, each named by a test in ``tests/unit/publish/test_contract.py``:

1. A field is sent only if the destination declares it and policy allows it to a service
   with exactly this contract. What is declared and not allowed is withheld, with a reason.
2. The sensitive tier is never sent, whatever policy says.
3. A person is included only if the purpose holds for them and they are in the scope.
4. A destination to which nothing may be sent is refused, not published to in silence.
5. Two contracts that say the same have the same terms; a changed field, treatment,
   purpose or address changes them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cdp.declaration import Declaration
from cdp.errors import Refused, Stop
from cdp.profiles.reader import StoredProfile
from cdp.resolution.announcing import MESSAGES
from connectors.destination_declaration import DestinationDeclaration
from connectors.vocabulary import IDENTITY_FIELDS, SENSITIVE_FIELDS
from policies.decision import Policy, Scope, Subject
from policies.vocabulary import Action, FieldClass, Role, Treatment

TERMS_VERSION: Final = 1
SENSITIVE_TIER: Final = "sensitive_tier"
NOT_PUBLISHED: Final = "not_published"
_WHOLE_PARTS: Final = frozenset(
    {FieldClass.PROFILE_ID, FieldClass.ATTRIBUTES, FieldClass.TAGS, FieldClass.STORES}
)


@dataclass(frozen=True, slots=True)
class Withheld:
    """A declared field that is not sent, and the code of the reason."""

    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Contract:
    """What one destination gets, decided once for a run."""

    destination: str
    purpose: str
    subject: Subject
    scope: Scope
    treatments: Mapping[FieldClass, Treatment]  # of what is sent, and of nothing else
    fields: tuple[str, ...]  # what is sent, in the order of the declaration
    withheld: tuple[Withheld, ...]
    policy_version: str
    terms: str  # canonical; part of every digest

    def includes(self, stored: StoredProfile) -> bool:
        """Say whether this person is sent to the destination (invariant 3)."""
        return self.purpose in stored.purposes and self.scope.includes(frozenset(stored.stores))


def contract_of(policy: Policy, declared: DestinationDeclaration, subject: Subject) -> Contract:
    """Intersect what the destination declares with what policy allows its service.

    Raises:
        Refused: nothing may be sent, or messages would not say whom they are about.
    """
    treatments: dict[FieldClass, Treatment] = {}
    withheld: list[Withheld] = []
    for field in declared.fields:
        treatment, reason = _treatment(policy, subject, declared.purpose, field)
        if treatment is Treatment.OMIT:
            withheld.append(Withheld(field, reason))
        else:
            treatments[FieldClass(field)] = treatment
    _refuse_useless(declared, treatments, withheld)
    fields = tuple(field.value for field in treatments)
    return Contract(
        destination=declared.name,
        purpose=declared.purpose,
        subject=subject,
        scope=policy.scope(subject, Action.PUBLISH, declared.purpose),
        treatments=MappingProxyType(treatments),
        fields=fields,
        withheld=tuple(withheld),
        policy_version=policy.version,
        terms=_terms(declared, treatments),
    )


def subject_for(declaration: Declaration, name: str) -> Subject:
    """Return who receives: the principal of that destination, or one for it alone.

    Without a principal of its own a destination receives at the brand.

    Raises:
        Stop: several brands, or principals at different nodes, and nobody says which.
    """
    contract = declaration.destinations[name]
    owners = [
        one
        for one in declaration.principals.values()
        if one.role is Role.SERVICE and one.destination == name
    ]
    nodes = {one.node for one in owners} or _brand(declaration)
    if len(nodes) != 1:
        raise Stop(
            "node_of_destination_unclear",
            "give it one principal with role service, destination and node",
            destination=name,
        )
    actor = min((one.id for one in owners), default=f"destination.{name}")
    return Subject(
        actor, Role.SERVICE.value, nodes.pop(), frozenset(contract.fields), contract.purpose
    )


def _brand(declaration: Declaration) -> set[str]:
    brand = declaration.organisation.sole_brand
    return set() if brand is None else {brand}


def _treatment(policy: Policy, subject: Subject, purpose: str, field: str) -> tuple[Treatment, str]:
    if field in SENSITIVE_FIELDS:
        return Treatment.OMIT, SENSITIVE_TIER
    decision = policy.decide(subject, Action.PUBLISH, field, purpose, None)
    if field in IDENTITY_FIELDS or not decision.allowed:
        return decision.treatment, decision.reason.value
    # Numbers, tags and stores have no masked form: they are sent whole or not at all.
    if field in _WHOLE_PARTS and decision.treatment is Treatment.CLEAR:
        return decision.treatment, decision.reason.value
    return Treatment.OMIT, NOT_PUBLISHED


def _refuse_useless(
    declared: DestinationDeclaration,
    treatments: Mapping[FieldClass, Treatment],
    withheld: Iterable[Withheld],
) -> None:
    if not treatments:
        reasons = ", ".join(sorted({one.reason for one in withheld}))
        raise Refused(
            "nothing_may_be_sent",
            f"correct its purpose or fields; policy says: {reasons}",
            destination=declared.name,
        )
    if declared.connector == MESSAGES and FieldClass.PROFILE_ID not in treatments:
        raise Refused(
            "message_without_profile_id",
            "declare profile_id among its fields: every message names its profile",
            destination=declared.name,
        )


def _terms(declared: DestinationDeclaration, treatments: Mapping[FieldClass, Treatment]) -> str:
    content = {
        "version": TERMS_VERSION,
        "connector": declared.connector,
        "location": declared.location,
        "purpose": declared.purpose,
        "fields": sorted((field.value, treatment.word) for field, treatment in treatments.items()),
    }
    return json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
