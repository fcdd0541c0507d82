"""Who somebody is by the claims of an identity provider: a closed list of exact matches.

Guarantees:

1. A claim gives a role only where a declared line names the claim and its very text. There are
   no expressions, no prefixes, no other spelling, and nothing is read out of the text.
2. Whoever matches no line holds no role: there is no default.
3. A node comes from the line, or from a claim that is the id of a declared node.
4. An id that the audit log could not hold names nobody: an address of mail, a phone number. Nor
   does one under which Kith itself stands in the log, in any spelling.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from policies.errors import PoliciesError, quoted
from policies.organisation import Organisation
from policies.vocabulary import Role

_SOURCE: Final = "sign_in.oidc"
_KEYS: Final = frozenset({"principal", "roles"})
_LINE_KEYS: Final = frozenset({"claim", "equals", "role", "node", "node_claim"})
MOST_ASSIGNMENTS: Final = 32
RESERVED: Final = frozenset({"cli", "command-line", "init", "kith", "unknown"})
"""Whom the audit log names where no principal acts."""
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
# As the audit log judges them: a whole id that is a phone, card or ID number.
_PERSONAL_NUMBER: Final = re.compile(r"[._:-]*(?:\d[._:-]*){5,20}[Xx]?")


class ClaimsRefusedError(PoliciesError):
    """The mapping of claims to roles cannot be used."""


class Assignment(NamedTuple):
    """A role, held at a node of the organisation."""

    role: Role
    node: str

    @property
    def text(self) -> str:
        """As people write it: ``manager@BJ01``."""
        return f"{self.role.value}@{self.node}"


class ClaimRule(NamedTuple):
    """One line: this claim with this text gives this role, there."""

    claim: str
    equals: str
    role: Role
    node: str | None
    node_claim: str | None


@dataclass(frozen=True, slots=True)
class ClaimMapping:
    """The whole mapping: which claim names the principal, and the lines in their order."""

    principal: str
    rules: tuple[ClaimRule, ...]


class Unmatched(NamedTuple):
    """Nobody: the code of why the claims let nobody in."""

    reason: str


class Matched(NamedTuple):
    """Who the claims say it is."""

    principal: str
    assignments: tuple[Assignment, ...]


def is_principal_id(name: object) -> bool:
    """Say whether a text can name a principal: the audit log must be able to hold it."""
    return (
        isinstance(name, str)
        and _ID.fullmatch(name) is not None
        and _PERSONAL_NUMBER.fullmatch(name) is None
        and name.casefold() not in RESERVED
    )


def read_claims(entry: object, organisation: Organisation) -> ClaimMapping:
    """Check the mapping of cdp.yaml.

    Raises:
        ClaimsRefusedError: it is not of its form, or names what is not there.
    """
    if not isinstance(entry, Mapping) or set(entry) != _KEYS:
        raise _refused("it needs principal and roles, and nothing else", "write both")
    lines = entry["roles"]
    if not isinstance(lines, list) or not lines:
        raise _refused("it names no role", "list at least one line under roles")
    rules = tuple(_rule(line, at, organisation) for at, line in enumerate(lines, 1))
    return ClaimMapping(_word(entry["principal"], "principal"), rules)


def matched(
    mapping: ClaimMapping, claims: Mapping[str, object], organisation: Organisation
) -> Matched | Unmatched:
    """Return who the claims of a verified token say it is, and what they may act as."""
    name = claims.get(mapping.principal)
    if not isinstance(name, str) or not is_principal_id(name):
        return Unmatched("principal_claim_unusable")
    found = dict.fromkeys(
        Assignment(rule.role, node)
        for rule in mapping.rules
        if rule.equals in _texts(claims.get(rule.claim))
        for node in ((rule.node,) if rule.node else _texts(claims.get(str(rule.node_claim))))
    )
    if any(one.node not in organisation.nodes for one in found):
        return Unmatched("node_claim_unknown")
    if not found:
        return Unmatched("no_role_matches")
    if len(found) > MOST_ASSIGNMENTS:
        return Unmatched("too_many_roles")
    return Matched(name, tuple(found))


def _texts(claim: object) -> tuple[str, ...]:
    """The texts of a claim: itself, or the members of its list. Anything else has none."""
    if isinstance(claim, str):
        return (claim,)
    if isinstance(claim, list):
        return tuple(one for one in claim if isinstance(one, str))
    return ()


def _rule(line: object, position: int, organisation: Organisation) -> ClaimRule:
    where = f"line {position} of roles"
    if not isinstance(line, Mapping) or not {"claim", "equals", "role"} <= set(line):
        raise _refused(f"{where} is not whole", "give it claim, equals, role and a node")
    if unknown := sorted(map(str, set(line) - _LINE_KEYS)):
        raise _refused(f"{where} has the unknown key {quoted(unknown[0])}", "remove it")
    node, node_claim = line.get("node"), line.get("node_claim")
    if (node is None) == (node_claim is None):
        raise _refused(f"{where} must say where", "give it either node or node_claim")
    if node is not None and _word(node, f"the node of {where}") not in organisation.nodes:
        raise _refused(f"{where} has the unknown node {quoted(node)}", "use a declared node")
    if node_claim is not None:
        _word(node_claim, f"the node_claim of {where}")
    return ClaimRule(
        _word(line["claim"], f"the claim of {where}"),
        _word(line["equals"], f"equals of {where}"),
        _role(line["role"], where),
        node,
        node_claim,
    )


def _role(word: object, where: str) -> Role:
    people: Iterable[Role] = (role for role in Role if role is not Role.SERVICE)
    found = next((role for role in people if role == word), None)
    if found is None:
        raise _refused(
            f"{where} has the role {quoted(word)}, which no person holds",
            f"use one of {', '.join(role for role in Role if role is not Role.SERVICE)}",
        )
    return found


def _word(text: object, what: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise _refused(f"{what} is no text", "write a text, quoted if it is all digits")
    return text


def _refused(rule: str, next_step: str) -> ClaimsRefusedError:
    return ClaimsRefusedError(_SOURCE, rule, next_step)
