"""What another policy changes for people: who may do and see more, who less. Pure.

The difference is of decisions, not of lines: a line that another line already grants changes
nothing, and one deny may change a lot. Each combination of role, action, field, purpose and
circumstances is compared.

Invariants, each named by a test in ``tests/unit/policy_versions/test_diff.py``:

1. Two policies without a difference decide alike, and have the same masks and purposes.
2. Whatever lets anybody do or see more is marked ``widens``; where that cannot be told, it is
   marked too.
3. The difference the other way round has the same lines, turned round.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from cdp.policy import circumstances
from policies.decision import CompiledPolicy, Decision, Verdicts
from policies.declarations import PurposeRule
from policies.masks import MASKS
from policies.vocabulary import EVERY_CIRCUMSTANCES, Circumstances, Treatment

REFUSED: Final = "refused"
_WORDS: Final = MappingProxyType(
    {Treatment.OMIT: "allowed", Treatment.MASK: "masked", Treatment.CLEAR: "clear"}
)
_LEVELS: Final = (REFUSED, *_WORDS.values())
_Place = tuple[str, str, str, str, str]  # role, action, purpose, before, after
_Differing = tuple[str, str, str]  # before, after, when


@dataclass(frozen=True, slots=True)
class Change:
    """The same change for one role, action and purpose.

    Attributes:
        role, action, purpose: words of the vocabulary.
        fields: that it is about; ``none`` is the action itself.
        when: the circumstances, in words.
        before, after: refused, allowed (showing nothing), masked or clear.
    """

    role: str
    action: str
    purpose: str
    fields: tuple[str, ...]
    when: str
    before: str
    after: str

    @property
    def widens(self) -> bool:
        """Whether the role may do or see more."""
        return _LEVELS.index(self.after) > _LEVELS.index(self.before)


@dataclass(frozen=True, slots=True)
class Restated:
    """A mask, or a part of a purpose, that is another one."""

    what: str  # such as mask of phone
    before: str
    after: str
    widens: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two policies."""

    before: str  # version
    after: str
    changes: tuple[Change, ...]
    restated: tuple[Restated, ...]

    @property
    def widens(self) -> bool:
        """Whether anybody may do or see more."""
        return any(one.widens for one in self.changes) or any(r.widens for r in self.restated)

    @property
    def empty(self) -> bool:
        """Whether nothing changes for anybody."""
        return not self.changes and not self.restated

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "before": self.before,
            "after": self.after,
            "widens": self.widens,
            "changes": [
                {
                    "role": one.role,
                    "action": one.action,
                    "purpose": one.purpose,
                    "fields": list(one.fields),
                    "when": one.when,
                    "before": one.before,
                    "after": one.after,
                    "widens": one.widens,
                }
                for one in self.changes
            ],
            "restated": [
                {"what": r.what, "before": r.before, "after": r.after, "widens": r.widens}
                for r in self.restated
            ],
        }


def level(decision: Decision) -> str:
    """Return how far a decision goes, in a word."""
    return _WORDS[decision.treatment] if decision.allowed else REFUSED


def difference(before: CompiledPolicy, after: CompiledPolicy) -> Difference:
    """Compare two compiled policies."""
    return Difference(
        before.version,
        after.version,
        tuple(_changes(before, after)),
        (*_purposes(before.purposes, after.purposes), *_masks(before.masking, after.masking)),
    )


def _changes(before: CompiledPolicy, after: CompiledPolicy) -> Iterable[Change]:
    fields: defaultdict[tuple[_Place, str], list[str]] = defaultdict(list)
    # Few verdicts are of their own, refusals above all are shared: each two are compared once.
    compared: dict[tuple[int, int], list[_Differing]] = {}
    for (role, action, field, purpose), old in before.table.items():
        new = after.table[role, action, field, purpose]
        two = id(old), id(new)
        if two not in compared:
            compared[two] = _differing(old, new)
        for was, becomes, when in compared[two]:
            fields[(role, action, purpose, was, becomes), when].append(field)
    for (place, when), names in fields.items():
        role, action, purpose, was, becomes = place
        yield Change(role, action, purpose, tuple(names), when, was, becomes)


def _differing(old: Verdicts, new: Verdicts) -> list[_Differing]:
    """Where two answers differ: from what, to what, and in which circumstances."""
    held: defaultdict[tuple[str, str], list[Circumstances]] = defaultdict(list)
    for one in EVERY_CIRCUMSTANCES:
        pair = level(old[one]), level(new[one])
        if pair[0] != pair[1]:
            held[pair].append(one)
    return [(*pair, circumstances.when(combinations)) for pair, combinations in held.items()]


def _purposes(
    before: Mapping[Any, PurposeRule], after: Mapping[Any, PurposeRule]
) -> Iterable[Restated]:
    for purpose, old in before.items():
        new = after[purpose]
        if old.consent != new.consent:
            told = _needed(needed=old.consent), _needed(needed=new.consent)
            yield Restated(f"consent for {purpose}", *told, widens=not new.consent)
        if old.sensitive != new.sensitive:
            told = _touched(touched=old.sensitive), _touched(touched=new.sensitive)
            yield Restated(f"sensitive tier for {purpose}", *told, widens=new.sensitive)
        if old.legal_basis != new.legal_basis:
            told = old.legal_basis.value, new.legal_basis.value
            yield Restated(f"legal basis of {purpose}", *told, widens=False)
        if old.says != new.says:
            yield Restated(f"meaning of {purpose}", old.says, new.says, widens=False)


def _needed(*, needed: bool) -> str:
    return "needed" if needed else "not needed"


def _touched(*, touched: bool) -> str:
    return "may be touched" if touched else "kept out"


def _masks(before: Mapping[str, str], after: Mapping[str, str]) -> Iterable[Restated]:
    for field, old in before.items():
        new = after[field]
        if old != new:
            # Two masks that show something show other parts of a value: the new one may tell
            # what the old one did not. Only one that shows nothing surely shows no more.
            shows = MASKS[new].residual_guesses is not None
            yield Restated(f"mask of {field}", old, new, widens=shows)
