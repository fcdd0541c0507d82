"""Which circumstances a policy depends on at all: of the others nobody has to ask. Pure."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from policies.vocabulary import EVERY_CIRCUMSTANCES, NO_CIRCUMSTANCES, Circumstances


def needed(table: Mapping[tuple[str, ...], Sequence[object]]) -> Mapping[str, Circumstances]:
    """Return by role which circumstances change some decision; roles without any are left out.

    Args:
        table: decisions by (role, action, field class, purpose), one for each combination of
            circumstances at the place of its number.
    """
    found: dict[str, Circumstances] = {}
    for (role, *_), verdicts in table.items():
        if verdicts.count(verdicts[0]) == len(verdicts):
            continue
        for one in Circumstances:
            if any(verdicts[held] != verdicts[held | one] for held in EVERY_CIRCUMSTANCES):
                found[role] = found.get(role, NO_CIRCUMSTANCES) | one
    return MappingProxyType(found)
