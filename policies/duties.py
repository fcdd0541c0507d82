"""Separation of duties: who sees the log does not wire the sources, and neither sees people."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from policies.decision import Subject
from policies.persons import person_of
from policies.vocabulary import Role

STANDS_ALONE: Final = frozenset({Role.OPERATOR, Role.COMPLIANCE})
"""Whoever holds one of these roles holds no other one."""


@dataclass(frozen=True, slots=True)
class DutyConflict:
    """One principal with roles that nobody may hold together."""

    principal: str
    roles: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What is wrong, and what to do."""
        roles = " and ".join(self.roles)
        return f"{self.principal} is {roles}. Next: give each of these roles to somebody else."


def duty_conflicts(principals: Iterable[Subject]) -> tuple[DutyConflict, ...]:
    """Return every principal whose roles must not be held by one person, in order of id.

    Two spellings of one id (case, full-width letters, outer blanks) are one person.
    """
    roles: defaultdict[str, set[str]] = defaultdict(set)
    for principal in principals:
        roles[person_of(principal.id)].add(str(principal.role))
    return tuple(
        DutyConflict(person, tuple(sorted(held)))
        for person, held in sorted(roles.items())
        if len(held) > 1 and not STANDS_ALONE.isdisjoint(held)
    )
