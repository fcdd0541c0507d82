"""Resolve a few records among many: the same answer as a full run, for the price of a few.

A record that is new, changed or about to go touches a bounded part of the whole: the
records that it shares a block with, the numbers that it holds, and the components that
it joins or leaves. That part is opened, compared, decided and stored again, by the very
functions of a full run, in the caller's transaction.

Invariants, each named by a test in ``tests/integration/test_repair.py``:
    1. Incremental equals batch: whatever the order and the portions in which records
       come, change and go, people, ids, edges and blocking keys are those of one full
       run under the same epoch.
    2. What is global is counted anew where it is touched: how many people use a number,
       and how many records share a block. Where a limit is crossed, everybody behind
       that number or in that block is looked at again.
    3. Nothing outside the touched components is read or written.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from cdp.resolution import blocks, edges
from cdp.resolution.blocks import HOLDER, Blocked
from cdp.resolution.decisions import active_constraints
from cdp.resolution.opened import Opened
from cdp.resolution.readiness import Ready
from cdp.resolution.storing import Outcome, Seen, anchors_before, apply
from cdp.vault.keyed import BlockKeyer, RecordKeys
from cdp.workspace import Workspace
from identity import sharing
from identity.batch import FLOOR_BITS, rules_of
from identity.blocking import MOST
from identity.clusters import LARGEST, Constraints, Pairs, decide
from identity.columns import Bools, Columns, Ints
from identity.comparisons import COMPARISONS
from identity.components import connected
from identity.pairs import places
from identity.scorer import compare
from identity.sharing import MOST_HOLDERS, PhoneUse

NONE: Ints = np.zeros(0, np.int64)
_NO_KEYS = Blocked(NONE, NONE, NONE)
_NO_PAIRS = Pairs(
    NONE,
    NONE,
    np.zeros(0),
    np.zeros((0, len(COMPARISONS)), np.int8),
    np.zeros((0, len(COMPARISONS))),
)


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair looked at and what it changed."""

    outcome: Outcome
    judged: int  # records of the touched components
    compared: int  # pairs scored


class Repair:
    """One repair, in one transaction. Use it once.

    ``find`` only reads; ``store`` writes. In between, ``touched_keys`` and ``nodes`` say
    what must be held still.
    """

    def __init__(self, connection: sa.Connection, workspace: Workspace, epoch: Ready) -> None:
        self._connection = connection
        self._workspace = workspace
        self._epoch, self._model = epoch, epoch.model
        self._keyer = BlockKeyer(workspace.keyring)
        self._opened = Opened(workspace.vault)
        self._constraints = Constraints.none()
        self._gone: Ints = NONE  # records that are about to be deleted
        self._named: Ints = NONE  # records that the caller named
        self._looked_at: Ints = NONE  # records whose keys are found anew
        self._renewed: Ints = NONE  # records whose candidates are found anew
        self._start: Ints = NONE  # where the touched components are reached from
        self._people: dict[int, int] = {}  # stored form of a number -> people, now
        self._counted: dict[int, int] = {}  # those that this repair counted anew
        self._fresh = self._old = _NO_KEYS  # keys of the looked-at records, after and before
        self._before: dict[int, int] = {}  # what was stored of those
        self._members: dict[int, tuple[int, Ints]] = {}  # key -> asked for at most, found
        self._sorted: Columns | None = None  # everything opened, its numbers judged
        self.nodes: Ints = NONE  # of every touched component
        self.anchors: Ints = NONE  # of the nodes, once they are decided
        self.compared = 0
        self._candidates = _NO_PAIRS

    @property
    def touched_keys(self) -> Ints:
        """The stored blocking keys that the looked-at records had or get. Ascending."""
        return np.union1d(self._fresh.key, self._old.key)

    def keys_of(self, records: Collection[int]) -> Ints:
        """The stored keys that these records have or may get, found without anybody else.

        How many people use a number is not known yet; the number itself is among the keys.
        """
        ids = _ids(records)
        self._opened.open(self._connection, ids.tolist())
        raw = self._opened.of(ids)
        judged = sharing.judged(raw, PhoneUse(NONE, NONE), self._model.most_people)
        fresh = blocks.blocked_by(self._keyer, raw, judged)
        return np.union1d(fresh.key, blocks.stored_of(self._connection, ids).key)

    def profiles_of(self, records: Collection[int]) -> tuple[str, ...]:
        """The profiles that these records are in, once it is stored. Ascending."""
        anchors = self.anchors[np.searchsorted(self.nodes, _ids(records))]
        keys = RecordKeys(self._workspace.keyring)
        return tuple(sorted({keys.profile_id(self._opened.key[a]) for a in anchors.tolist()}))

    # ── finding ─────────────────────────────────────────────────────────────

    def find(
        self,
        dirty: Collection[int],
        removed: Collection[int] = (),
        unseen: Collection[int] = (),
    ) -> None:
        """Find everything that these records touch.

        Args:
            dirty: records that are new or changed.
            removed: records that are about to be deleted: they end up alone.
            unseen: those of the dirty records that were never resolved.
        """
        self._gone = _ids(removed)
        named = self._named = np.union1d(_ids(dirty), self._gone)
        self._opened.open(self._connection, named.tolist())
        self._old = blocks.stored_of(self._connection, np.setdiff1d(named, _ids(unseen)))
        others = np.setdiff1d(self._recount(named), named)
        self._opened.open(self._connection, others.tolist())
        self._looked_at = np.union1d(named, others)
        self._old = self._old.and_also(blocks.stored_of(self._connection, others))
        staying = self._opened.of(np.setdiff1d(self._looked_at, self._gone))
        self._fresh = blocks.blocked_by(self._keyer, staying, self._judged(staying))
        if self._epoch.decided:
            # What was decided about a record that goes counts no more. It is still followed
            # to everybody whom it held together.
            found = active_constraints(self._connection)
            self._constraints = found.without(self._gone)
        self._renew(np.union1d(self._looked_at, self._turned()))
        while len(crowd := self._crowd()):
            # A component too large to be compared whole is decided over its candidates,
            # weak ones included: those are not kept, and have to be found again.
            self._renew(np.union1d(self._renewed, crowd))

    def _recount(self, named: Ints) -> Ints:
        """Count the people on every number of these records; return whom that changes."""
        raw = self._opened.of(np.setdiff1d(named, self._gone))
        phones = raw.lists["phones"]
        held = blocks.number_keys(self._keyer, phones.keys)
        numbers = np.union1d(held, self._old.key[self._old.rule == HOLDER])
        if not len(numbers):
            return NONE
        place, holder = blocks.members(self._connection, numbers, MOST_HOLDERS + len(named) + 1)
        others = ~np.isin(holder, named)
        place = np.concatenate((place[others], np.searchsorted(numbers, held)))
        holder = np.concatenate((holder[others], raw.ids[phones.rows()]))
        holders = np.bincount(place, minlength=len(numbers))
        # A number that one record holds is one person's: nobody else is opened for it.
        asked = holder[(holders[place] > 1) & (holders[place] <= MOST_HOLDERS)]
        self._opened.open(self._connection, asked.tolist())
        use = sharing.count_use(self._opened.of(asked))
        people = np.ones(len(numbers), np.int64)
        known = places(numbers, blocks.number_keys(self._keyer, use.phones))
        # Holders of a number hold others too, whose other holders are not here.
        people[known[known >= 0]] = use.people[known >= 0]
        people[holders < 2] = 1
        people[holders > MOST_HOLDERS] = MOST_HOLDERS + 1
        self._counted = dict(zip(numbers.tolist(), people.tolist(), strict=True))
        self._people |= self._counted
        self._before = blocks.people_on(self._connection, numbers)
        turned = [
            key for key, now in self._counted.items()
            if self._kind(now) != self._kind(self._before.get(key, 1))
        ]  # fmt: skip
        return blocks.members(self._connection, _ids(turned), None)[1]

    def _kind(self, people: int) -> int:
        """What counts about a number: one person's, several people's, or nobody's."""
        return sharing.kind(people, self._model.most_people)

    def _judged(self, raw: Columns) -> Columns:
        """Sort numbers by how many people use them, asking for those not known yet."""
        phones = np.unique(raw.lists["phones"].keys)
        stored = blocks.number_keys(self._keyer, phones).tolist()
        unknown = [key for key in stored if key not in self._people]
        if unknown:
            found = blocks.people_on(self._connection, _ids(unknown))
            self._people |= {key: found.get(key, 1) for key in unknown}
        people = np.array([self._people[key] for key in stored], np.int64)
        return sharing.judged(raw, PhoneUse(phones, people), self._model.most_people)

    def _turned(self) -> Ints:
        """Members of blocks that became too large for pairs, or small enough."""
        came = self._fresh.without(self._old).making_pairs()
        went = self._old.without(self._fresh).making_pairs()
        keys = np.union1d(came.key, went.key)
        if not len(keys):
            return NONE
        more = np.bincount(np.searchsorted(keys, came.key), minlength=len(keys))
        fewer = np.bincount(np.searchsorted(keys, went.key), minlength=len(keys))
        most = MOST + int(np.maximum(more, fewer).max()) + 1
        at, _ = self._shared_by(keys, most)
        before = np.bincount(at, minlength=len(keys))
        turned = keys[(before > MOST) != (before - fewer + more > MOST)]
        return np.setdiff1d(blocks.members(self._connection, turned, None)[1], self._gone)

    def _shared_by(self, keys: Ints, most: int) -> tuple[Ints, Ints]:
        """``blocks.members``, asking only for what was not asked for yet."""
        asked = [key for key in keys.tolist() if self._members.get(key, (0,))[0] < most]
        if asked:
            place, member = blocks.members(self._connection, np.array(asked, np.int64), most)
            member = member[np.argsort(place, kind="stable")]
            ends = np.concatenate(([0], np.cumsum(np.bincount(place, minlength=len(asked)))))
            for at, key in enumerate(asked):
                self._members[key] = (most, member[ends[at] : ends[at + 1]])
        found = [self._members[key][1] for key in keys.tolist()]
        sizes = [len(one) for one in found]
        return np.repeat(np.arange(len(keys)), sizes), np.concatenate([NONE, *found])

    def _renew(self, records: Ints) -> None:
        """Find and score the pairs of these records with everybody in a common block."""
        self._renewed = records
        others = blocks.stored_of(self._connection, np.setdiff1d(records, self._looked_at))
        keys = np.unique(others.and_also(self._fresh).making_pairs().key)
        held = np.bincount(np.searchsorted(keys, self._old.take(np.isin(self._old.key, keys)).key))
        most = MOST + 1 + int(held.max(initial=0))
        place, member = self._shared_by(keys, most)
        # The database tells how it was; of the looked-at records it is known better.
        stays = ~np.isin(member, self._looked_at)
        fresh = self._fresh.take(np.isin(self._fresh.key, keys))
        place = np.concatenate((place[stays], np.searchsorted(keys, fresh.key)))
        member = np.concatenate((member[stays], fresh.record))
        useful = np.bincount(place, minlength=len(keys))[place] <= MOST
        low, high = blocks.pairs_with(place[useful], member[useful], records)
        self._candidates = self._score(low, high)
        strong = self._candidates.weight >= FLOOR_BITS
        start = np.union1d(low[strong], high[strong])
        self._start = np.union1d(records, start)
        self.nodes = _ids(row.id for row in self._reached())

    def _reached(self) -> Sequence[sa.Row[Any]]:
        return edges.reach(self._connection, self._start, decided=self._epoch.decided)

    def still_holds(self) -> bool:
        """Whether the touched components are what they were when they were found."""
        rows = self._reached()
        seen = self._opened.revision
        return _ids(row.id for row in rows).tolist() == self.nodes.tolist() and all(
            seen.get(row.id, row.revision) == row.revision for row in rows
        )

    def _crowd(self) -> Ints:
        """Records of components above ``LARGEST`` whose candidates are not all known."""
        if len(self.nodes) <= LARGEST:
            return NONE
        kept_low, kept_high = self._kept()
        strong = self._candidates.weight >= FLOOR_BITS
        must = self._constraints.within(self.nodes)
        low = np.concatenate((self._candidates.low[strong], kept_low))
        high = np.concatenate((self._candidates.high[strong], kept_high))
        unit = connected(
            len(self.nodes),
            np.concatenate((np.searchsorted(self.nodes, low), must.must_low)),
            np.concatenate((np.searchsorted(self.nodes, high), must.must_high)),
        )
        large = np.bincount(unit, minlength=len(self.nodes))[unit] > LARGEST
        return np.setdiff1d(self.nodes[large], self._renewed)

    def _kept(self) -> tuple[Ints, Ints]:
        """The stored pairs that a rule made, between records whose candidates stay."""
        return self._settled(_direct(edges.stored_among(self._connection, self.nodes)))

    def _settled(self, pairs: Ints) -> tuple[Ints, Ints]:
        """Those of stored pairs whose records keep their candidates."""
        settled = ~np.isin(pairs, self._renewed).any(axis=1)
        return pairs[settled, 0], pairs[settled, 1]

    def _score(self, low: Ints, high: Ints) -> Pairs:
        """Score pairs of record ids."""
        if not len(low):
            return _NO_PAIRS
        self._opened.open(self._connection, np.union1d(low, high).tolist())
        raw = self._opened.columns()
        if self._sorted is None or len(self._sorted) != len(raw):
            self._sorted = self._judged(raw)
        judged = self._sorted
        self.compared += len(low)
        return self._epoch.scorer.weigh(
            compare(judged, np.searchsorted(judged.ids, low), np.searchsorted(judged.ids, high))
        )

    # ── deciding and storing ────────────────────────────────────────────────

    def store(self, at: dt.datetime) -> Repaired:
        """Decide the touched components and write what changed."""
        self._opened.open(self._connection, self.nodes.tolist())
        stored = edges.stored_among(self._connection, self.nodes)
        pairs, direct, self.anchors = self._decided(stored)
        was = anchors_before(self._connection, self.nodes, self.nodes)
        nodes = self.nodes.tolist()
        seen = Seen(
            self.nodes,
            np.array([self._opened.revision[one] for one in nodes], np.int64),
            # Another record that waits is still to be looked at: its keys were not renewed.
            np.array([self._opened.dirty[one] for one in nodes], np.bool_)
            & np.isin(self.nodes, self._named),
            self._opened.key,
        )
        blocks.remove(self._connection, self._old.without(self._fresh))
        blocks.append(self._connection, self._fresh.without(self._old))
        renewed = {
            key: now for key, now in self._counted.items() if now != self._before.get(key, 1)
        }
        blocks.store_people(self._connection, renewed)
        edges.store_some(self._connection, stored, (pairs, direct), self._epoch.id)
        keys = RecordKeys(self._workspace.keyring)
        partition = (was, self.anchors)
        outcome = apply(self._connection, keys, seen, partition, self._epoch.id, at)
        return Repaired(outcome, len(nodes), self.compared)

    def _decided(self, stored: edges.Stored) -> tuple[Pairs, Bools, Ints]:
        """The pairs worth keeping, which of them a rule made, and every node's anchor."""
        # Ties are broken in the order of record keys, as in a full run.
        ranked = np.array([self._opened.key[one] for one in self.nodes.tolist()], "S16")
        ids = self.nodes[np.argsort(ranked)]
        place = np.empty(len(ids), np.int64)
        place[np.argsort(ranked)] = np.arange(len(ids))

        def score(low: Ints, high: Ints) -> Pairs:
            one, other = ids[low], ids[high]
            found = self._score(np.minimum(one, other), np.maximum(one, other))
            return replace(found, low=low, high=high)

        def placed(pairs: Pairs) -> Pairs:
            one = place[np.searchsorted(self.nodes, pairs.low)]
            other = place[np.searchsorted(self.nodes, pairs.high)]
            return replace(pairs, low=np.minimum(one, other), high=np.maximum(one, other))

        # A weak candidate may be of a component that is not touched.
        inside = np.isin(self._candidates.low, self.nodes) & np.isin(
            self._candidates.high, self.nodes
        )
        candidates = self._candidates.take(inside)
        given = placed(candidates.and_also(self._score(*self._settled(_direct(stored)))))
        between = self._constraints.within(self.nodes)
        decision = decide(
            np.arange(len(ids)),
            given,
            between.mapped(place),
            rules_of(self._model),
            score,
            FLOOR_BITS,
        )
        strong = np.flatnonzero(decision.pairs.weight >= FLOOR_BITS)
        kept = decision.pairs.take(strong)
        one, other = ids[kept.low], ids[kept.high]
        oldest = np.full(len(ids), np.iinfo(np.int64).max)
        np.minimum.at(oldest, decision.anchors, ids)
        named = replace(kept, low=np.minimum(one, other), high=np.maximum(one, other))
        return named, strong < len(given), oldest[decision.anchors][place]


def _direct(stored: edges.Stored) -> Ints:
    pairs = [pair for pair, row in stored.items() if row[-1]]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _ids(records: Iterable[int]) -> Ints:
    return np.array(sorted(records), np.int64)
