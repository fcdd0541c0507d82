"""What people decide about who is who, as links between records. Pure.

Invariants:
    1. A decision is links: two records that must be one person, or that cannot be.
       Nothing else of it counts, so it holds whatever model judges the records.
    2. Decisions that count never contradict one another: one that would is refused, and
       the earlier one is named.
    3. A decision that is undone counts for nothing.
"""

import datetime as dt
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What was decided."""

    MERGE = "merge"
    SPLIT = "split"
    NOT_SAME = "not_same"

    @property
    def words(self) -> str:
        """For people."""
        return self.value.replace("_", " ")


class LinkKind(StrEnum):
    """What a link says about two records."""

    MUST = "must"
    CANNOT = "cannot"


@dataclass(frozen=True, slots=True, order=True)
class Link:
    """Two records, the smaller id first."""

    low: int
    high: int
    kind: LinkKind


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of a person, with the links that count while it is not undone."""

    id: int
    kind: Kind
    profiles: tuple[str, ...]  # that it was made about, at the time
    actor: str
    reason: str
    at: dt.datetime
    undone_at: dt.datetime | None = None
    undone_by: str | None = None
    undo_reason: str | None = None
    links: tuple[Link, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it has not been undone."""
        return self.undone_at is None


def link(one: int, other: int, kind: LinkKind) -> Link:
    """A link between two different records, whichever is older."""
    if one == other:
        raise ValueError("a link needs two records")
    return Link(min(one, other), max(one, other), kind)


def merge_links(one: Sequence[int], other: Sequence[int]) -> tuple[Link, ...]:
    """Two people are one, with every record of both.

    Each link leads from one person to the other: what was decided is about the two, and
    not about how the records of each came together. The anchor of each is linked to every
    record of the other, so that nobody stays behind.

    Raises:
        ValueError: one side is empty, or a record stands on both.
    """
    if not one or not other:
        raise ValueError("a merge needs records on both sides")
    pairs = {(min(one), record) for record in other} | {(record, min(other)) for record in one}
    return tuple(sorted(link(a, b, LinkKind.MUST) for a, b in pairs))


def not_same_links(one: int, other: int) -> tuple[Link, ...]:
    """Two records, or the anchors of two people, are never one person."""
    return (link(one, other, LinkKind.CANNOT),)


def split_links(taken: Sequence[int], rest: Sequence[int]) -> tuple[Link, ...]:
    """Some records of a person are somebody else: one person, and none of the rest.

    Raises:
        ValueError: one side is empty, or a record stands on both.
    """
    if not taken or not rest:
        raise ValueError("a split needs records on both sides")
    first, *others = sorted(set(taken))
    together = [link(first, other, LinkKind.MUST) for other in others]
    apart = [link(one, other, LinkKind.CANNOT) for one in sorted(set(taken)) for other in rest]
    return tuple(sorted({*together, *apart}))


def contradicted(links: Iterable[Link], earlier: Sequence[Decision]) -> Decision | None:
    """The newest earlier decision that these links cannot hold beside, or None.

    A contradiction is a chain of records that must be one person between two that
    cannot be. The earlier decisions do not contradict one another.

    Args:
        links: of the decision that is to be made.
        earlier: the decisions that count.
    """
    told: list[tuple[Link, Decision | None]] = [(one, None) for one in links]
    told += [(one, decision) for decision in earlier for one in decision.links]
    beside: dict[int, list[tuple[int, Decision | None]]] = {}
    for one, decision in told:
        if one.kind is LinkKind.MUST:
            beside.setdefault(one.low, []).append((one.high, decision))
            beside.setdefault(one.high, []).append((one.low, decision))
    found: list[Decision] = []
    for one, decision in told:
        if one.kind is LinkKind.CANNOT and one.low in beside and one.high in beside:
            chain = _chain(beside, one.low, one.high)
            if chain is not None:
                found += [d for d in (*chain, decision) if d is not None]
    return max(found, key=lambda d: d.id, default=None)


def _chain(
    beside: dict[int, list[tuple[int, Decision | None]]], start: int, end: int
) -> list[Decision | None] | None:
    """The decisions along the shortest chain of musts between two records; None: no chain."""
    came: dict[int, tuple[int, Decision | None] | None] = {start: None}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        if here == end:
            break
        for other, decision in beside[here]:
            if other not in came:
                came[other] = (here, decision)
                queue.append(other)
    if end not in came:
        return None
    chain: list[Decision | None] = []
    step = came[end]
    while step is not None:
        here, decision = step
        chain.append(decision)
        step = came[here]
    return chain
