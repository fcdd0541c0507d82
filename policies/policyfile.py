"""Read policy.csv strictly: every word is known, every line means something.

Casbin's own readers accept any line, split on brackets and drop what they do
not understand; here a line is either understood or the whole file is refused.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations
from types import MappingProxyType
from typing import Final, TypeVar

from policies.errors import PolicyRefusedError, quoted
from policies.vocabulary import (
    EVERY_CIRCUMSTANCES,
    NO_CIRCUMSTANCES,
    Action,
    Circumstances,
    Effect,
    FieldClass,
    Purpose,
    Role,
    Treatment,
    deniable,
    grantable,
)

POLICY_FILE: Final = "policy.csv"
_GROUP: Final = re.compile(r"[a-z][a-z_]{0,39}")
_TREATMENTS: Final = MappingProxyType({treatment.word: treatment for treatment in Treatment})
# Every way to write a condition: its names in any order.
_CONDITIONS: Final = MappingProxyType(
    {
        "+".join(names): one
        for one in EVERY_CIRCUMSTANCES
        if one
        for names in permutations(one.word.split("+"))
    }
)
_FIELD_WORDS: Final = frozenset(field.value for field in FieldClass)

_Word = TypeVar("_Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Rule:
    """One ``p`` line."""

    role: Role
    action: Action
    target: str  # a field class, or the name of a group
    treatment: Treatment
    purpose: Purpose
    effect: Effect
    line: int = 0
    condition: Circumstances = NO_CIRCUMSTANCES  # that an allow line needs

    @property
    def words(self) -> tuple[str, str, str, str, str, str, str]:
        """The line as Casbin reads it."""
        return (
            self.role.value,
            self.action.value,
            self.target,
            self.treatment.word,
            self.purpose.value,
            self.effect.value,
            self.condition.word,
        )

    @property
    def text(self) -> str:
        """The line as a reader of the file sees it."""
        words = self.words if self.condition else self.words[:6]
        return f"line {self.line}: p, {', '.join(words)}"


@dataclass(frozen=True, slots=True)
class Rules:
    """A checked policy file."""

    rules: tuple[Rule, ...]
    groups: Mapping[str, frozenset[FieldClass]]

    def fields_of(self, target: str) -> frozenset[FieldClass]:
        """Return the field classes that a line's target stands for."""
        group = self.groups.get(target)
        return frozenset({FieldClass(target)}) if group is None else group


def _refuse(line: int | None, rule: str, next_step: str) -> PolicyRefusedError:
    return PolicyRefusedError(POLICY_FILE, rule, next_step, line)


def read_rules(text: str) -> Rules:
    """Parse the text of a policy file.

    Raises:
        PolicyRefusedError: a line is unparsable, uses an unknown word, contradicts
            or repeats another one, or there is no ``p`` line at all.
    """
    rows = list(_rows(text))
    groups = _read_groups([row for row in rows if row[1][0] == "g"])
    rules = tuple(_read_rule(line, cells[1:], groups) for line, cells in rows if cells[0] == "p")
    if not rules:
        raise _refuse(None, "there is no p line", "restore the file: an empty policy is a mistake")
    parsed = Rules(rules, groups)
    check_rules(parsed)
    return parsed


def check_rules(parsed: Rules) -> None:
    """Refuse lines that repeat or contradict each other, and lines that cannot be meant.

    Raises:
        PolicyRefusedError: naming the later of two lines, or the line itself.
    """
    seen: defaultdict[tuple[str, ...], list[Rule]] = defaultdict(list)
    for rule in parsed.rules:
        alike = seen[rule.words[:5]]
        for earlier in alike:
            _check_beside(rule, earlier)
        alike.append(rule)
        if rule.effect is Effect.DENY and rule.condition:
            raise _refuse(
                rule.line,
                "it denies under a condition",
                "let a deny hold always, and give the condition to the allow line",
            )
        _check_treatment(rule, parsed.fields_of(rule.target))


def _check_beside(rule: Rule, earlier: Rule) -> None:
    """Refuse the later of two lines about the same thing, unless each adds something."""
    either = {rule.condition, earlier.condition}
    if earlier.effect is not rule.effect:
        how = "contradicts"
    elif rule.condition & earlier.condition in either:  # one of them is enough for both
        how = "repeats"
    else:
        return
    raise _refuse(rule.line, f"it {how} line {earlier.line}", "keep one of the two lines")


def _check_treatment(rule: Rule, fields: frozenset[FieldClass]) -> None:
    """Refuse a line that grants what cannot be granted, or takes away what nobody can have."""
    fitting, done = (grantable, "granted") if rule.effect is Effect.ALLOW else (deniable, "denied")
    for field in sorted(fields):
        fit = fitting(rule.action, field)
        if rule.treatment not in fit:
            words = " or ".join(treatment.word for treatment in fit)
            raise _refuse(
                rule.line,
                f"{rule.action} on {field} cannot be {done} with {rule.treatment.word}",
                f"write {words}" if fit else "remove the line",
            )


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells); one physical line is one row, so a quote cannot swallow more."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            cells = next(csv.reader([line], strict=True, skipinitialspace=True))
        except csv.Error:
            raise _refuse(number, "it is not a line of CSV", "check its quotes") from None
        cells = [cell.strip() for cell in cells]
        if cells[0] not in {"p", "g"}:
            raise _refuse(number, f"it starts with {quoted(cells[0])}", "start it with p or g")
        expected = (7, 8) if cells[0] == "p" else (3,)
        if len(cells) not in expected:
            raise _refuse(
                number,
                f"it has {len(cells)} columns instead of {' or '.join(map(str, expected))}",
                "compare it with the comment at the top of the file",
            )
        yield number, cells


def _read_groups(
    rows: list[tuple[int, list[str]]],
) -> Mapping[str, frozenset[FieldClass]]:
    groups: dict[str, set[FieldClass]] = {}
    for line, (_, field, group) in rows:
        if not _GROUP.fullmatch(group) or group in _FIELD_WORDS:
            raise _refuse(
                line,
                f"{quoted(group)} cannot name a group",
                "use lower-case letters and _, and no field's name",
            )
        members = groups.setdefault(group, set())
        member = _word(FieldClass, "field", field, line)
        if member is FieldClass.NONE or member in members:
            raise _refuse(line, f"{member} cannot join {group} here", "remove the line")
        members.add(member)
    return MappingProxyType({name: frozenset(members) for name, members in groups.items()})


def _read_rule(line: int, cells: list[str], groups: Mapping[str, frozenset[FieldClass]]) -> Rule:
    role, action, target, treatment, purpose, effect, *condition = cells
    if target not in groups:
        target = _word(FieldClass, "field or group", target, line).value
    if treatment not in _TREATMENTS:
        raise _unknown(line, "treatment", treatment, list(_TREATMENTS))
    if condition and condition[0] not in _CONDITIONS:
        words = [one.word for one in Circumstances]
        raise _unknown(line, "condition", condition[0], [*words, "several joined by +"])
    return Rule(
        role=_word(Role, "role", role, line),
        action=_word(Action, "action", action, line),
        target=target,
        treatment=_TREATMENTS[treatment],
        purpose=_word(Purpose, "purpose", purpose, line),
        effect=_word(Effect, "effect", effect, line),
        line=line,
        condition=_CONDITIONS[condition[0]] if condition else NO_CIRCUMSTANCES,
    )


def _word(kind: type[_Word], what: str, word: str, line: int) -> _Word:
    try:
        return kind(word)
    except ValueError:
        raise _unknown(line, what, word, [member.value for member in kind]) from None


def _unknown(line: int, what: str, word: str, known: list[str]) -> PolicyRefusedError:
    return _refuse(line, f"unknown {what} {quoted(word)}", f"use one of {', '.join(known)}")
