"""Why one question is answered as it is, and what would have to be otherwise. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from cdp.policy import circumstances
from cdp.policy.diff import REFUSED, level
from policies.decision import Decision, Policy, Subject
from policies.reasons import Reason
from policies.vocabulary import (
    EVERY_CIRCUMSTANCES,
    ROLE_NODES,
    Action,
    Circumstances,
    FieldClass,
    Purpose,
    Role,
)

_PLAIN: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.NEEDS_PERSON: "a person: say whose data it is about",
        Reason.OUTSIDE_SCOPE: "a subject at a node above one of the person's stores",
        Reason.NO_STORE: "a subject at the only brand of the organisation",
        Reason.UNKNOWN_NODE: "a node of the organisation in cdp.yaml",
        Reason.OUTSIDE_KEY: "a key or session that is for this action",
        Reason.OUTSIDE_CONTRACT: "a contract that names this field and this purpose",
    }
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision, taken apart.

    Attributes:
        subject: id, role and node.
        question: action, field and purpose, as asked.
        decision: allowed, and how far.
        reason: its code; ``sentence`` says it.
        rule: the policy line that decided, with its number; ``default`` for none.
        reach: whose people the row filter lets through for this action and purpose.
        conditions: each outcome that there is in other circumstances, and in which.
        needed: what would have to be otherwise; empty where it is allowed clear.
        version: of the policy.
    """

    subject: Mapping[str, str]
    question: Mapping[str, str]
    allowed: bool
    decision: str
    reason: str
    sentence: str
    rule: str
    reach: str
    conditions: Mapping[str, str]
    needed: tuple[str, ...]
    version: str

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


def under(subject: Subject, held: Circumstances) -> Subject:
    """Return the same subject in other circumstances."""
    return replace(subject, circumstances=held)


def explain(
    policy: Policy,
    subject: Subject,
    action: str,
    field: str,
    purpose: str,
    stores: frozenset[str] | None,
) -> Explanation:
    """Decide one question and say why; see `policies.decision.Policy.decide`."""
    decision = policy.decide(subject, action, field, purpose, stores)
    outcomes = {
        one: policy.decide(replace(subject, circumstances=one), action, field, purpose, stores)
        for one in EVERY_CIRCUMSTANCES
    }
    levels: dict[str, list[Any]] = {}
    for one, outcome in outcomes.items():
        levels.setdefault(level(outcome), []).append(one)
    conditions = {word: circumstances.when(held) for word, held in levels.items()}
    return Explanation(
        subject={"id": subject.id, "role": str(subject.role), "node": subject.node},
        question={"action": action, "field": field, "purpose": purpose},
        allowed=decision.allowed,
        decision=level(decision),
        reason=decision.reason.value,
        sentence=decision.reason.sentence,
        rule=decision.rule,
        reach=_reach(policy, subject, action, purpose),
        conditions={} if len(conditions) == 1 else conditions,
        needed=tuple(_needed(policy, subject, decision, (action, field, purpose))),
        version=policy.version,
    )


def _reach(policy: Policy, subject: Subject, action: str, purpose: str) -> str:
    scope = policy.scope(subject, action, purpose)
    if scope.all:
        return "everybody, also people of no store"
    if not scope.stores:
        return "nobody"
    return f"people of {', '.join(sorted(scope.stores))}"


def _needed(
    policy: Policy, subject: Subject, decision: Decision, asked: tuple[str, str, str]
) -> Iterator[str]:
    if decision.reason in _PLAIN:
        yield _PLAIN[decision.reason]
    elif decision.reason is Reason.WRONG_NODE:
        kinds = ", ".join(sorted(ROLE_NODES[Role(subject.role)]))
        yield f"a subject at a node of this kind: {kinds}"
    elif decision.reason is Reason.NEEDS_APPROVAL:
        roles = ", ".join(_roles(policy, Action.APPROVE, FieldClass.NONE, asked[2]))
        yield f"the approval of a second person, of the role {roles or 'that may approve: none'}"
    elif decision.reason is Reason.NOT_NOW:
        yield f"these circumstances: {_conditions(policy, subject, asked)}"
    elif decision.reason in {Reason.NO_RULE, Reason.DENIED, Reason.LOWERED}:
        yield from _other_lines(policy, decision, asked)
    elif decision.reason is not Reason.GRANTED:
        yield f"a word that policies know: {_known(decision.reason)}"


def _other_lines(policy: Policy, decision: Decision, asked: tuple[str, str, str]) -> Iterator[str]:
    action, field, purpose = asked
    if decision.reason is Reason.NO_RULE:
        yield "a line of policy.csv that allows it: docs/howto/change-the-policy.md"
    else:
        yield f"policy.csv without {decision.rule}"
    others = _roles(policy, action, field, purpose)
    if others:
        yield f"or somebody of another role, to whom it is open: {', '.join(others)}"


def _roles(policy: Policy, action: str, field: str, purpose: str) -> list[str]:
    """The roles that a line opens this to, in some circumstances."""
    table = policy.compiled.table
    return [
        role.value
        for role in Role
        if any(one.allowed for one in table.get((role.value, action, field, purpose), ()))
    ]


def _conditions(policy: Policy, subject: Subject, asked: tuple[str, str, str]) -> str:
    action, field, purpose = asked
    verdicts = policy.compiled.table[subject.role, action, field, purpose]
    return circumstances.when(
        [one for one in EVERY_CIRCUMSTANCES if level(verdicts[one]) != REFUSED]
    )


def _known(reason: Reason) -> str:
    kinds = {
        Reason.UNKNOWN_ROLE: Role,
        Reason.UNKNOWN_ACTION: Action,
        Reason.UNKNOWN_FIELD: FieldClass,
        Reason.UNKNOWN_PURPOSE: Purpose,
    }
    return ", ".join(kinds[reason]) if reason in kinds else "see docs/howto/read-the-policy.md"
