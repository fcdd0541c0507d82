"""Resolve a few records among many: the same answer as a full run, for the price of a few.

A record that is new, changed or about to go touches a bounded part of the whole: the records that
it shares a block with, the numbers that it holds, and the components that it joins or leaves.
That part is opened, compared, decided and stored again, by the very functions of a full run, in
the caller's transaction.

Invariants, each named by a test in ``tests/integration/test_repair.py``:
    1. Incremental equals batch: whatever the order and the portions in which records come, change
       and go, people, ids, edges and blocking keys are those of one full run under the same epoch.
    2. What is global is counted anew where it is touched: how many people use a number, and how
       many records share a block. Where a limit is crossed, everybody behind that number or in
       that block is looked at again.
    3. Nothing outside the touched components is read or written.
    4. What was decided by is looked at again on request: the components, the revisions, how many
       people use a number, and who shares a block with a renewed record.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import sqlalchemy as sa

from cdp.resolution import block_rows, blocks, changes, edges
from cdp.resolution.blocks import HOLDER, Blocked
from cdp.resolution.decisions import active_constraints
from cdp.resolution.neighbours import Neighbours
from cdp.resolution.numbers import Numbers
from cdp.resolution.opened import Opened, Told
from cdp.resolution.pairing import Keyed, pairs_of, turned_by
from cdp.resolution.readiness import Ready
from cdp.resolution.storing import Decided, Outcome, Seen, apply, keep_from_going
from cdp.vault.keyed import BlockKeyer, RecordKeys
from cdp.workspace import Workspace
from identity import few, plain
from identity.batch import FLOOR_BITS, rules_of
from identity.blocking import MOST
from identity.clusters import LARGEST, Constraints, Pairs, decide
from identity.columns import Bools, Columns, Ints, distinct
from identity.comparisons import COMPARISONS
from identity.components import connected
from identity.pairs import places
from identity.scorer import AT_ONCE, compare, compare_all, compare_few
from identity.sharing import MOST_HOLDERS

ONE_BY_ONE = 4  # records; up to ten times as many it costs less than columns do
NONE: Ints = np.zeros(0, np.int64)
_NO_KEYS = Blocked(NONE, NONE, NONE)
_UNDECIDED = Constraints.none()
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


@dataclass(frozen=True, slots=True)
class Known:
    """What outlives a repair, and what its caller has at hand.

    Attributes:
        blocks: names blocking keys.
        names: names profiles.
        told: records whose features are known already, by record id.
    """

    blocks: BlockKeyer
    names: RecordKeys
    told: Mapping[int, Told] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, workspace: Workspace) -> "Known":
        """What every repair in a workspace needs."""
        return cls(BlockKeyer(workspace.keyring), RecordKeys(workspace.keyring))


class Repair:
    """One repair, in one transaction. Use it once.

    ``find`` only reads; ``store`` writes. In between, ``touched_keys`` and ``nodes`` say
    what must be held still.
    """

    def __init__(
        self,
        connection: sa.Connection,
        workspace: Workspace,
        epoch: Ready,
        known: Known | None = None,
    ) -> None:
        """Make it for one transaction; ``known`` spares it work that was done before."""
        known = known or Known.of(workspace)
        self._connection = connection
        self._threads = workspace.settings.threads
        self._epoch, self._model = epoch, epoch.model
        self._keyer, self._names = known.blocks.under(epoch.block_key), known.names
        self._opened = Opened(workspace.vault, dict(known.told), epoch.feature_key)
        self._neighbours = Neighbours(connection)
        self._numbers = Numbers(connection, self._keyer, epoch.model.most_people)
        self._constraints = _UNDECIDED
        self._gone: Ints = NONE  # records that are about to be deleted
        self._named: Ints = NONE  # records that the caller named
        self._looked_at: Ints = NONE  # records whose keys are found anew
        self._renewed: Ints = NONE  # records whose candidates are found anew
        self._start: Ints = NONE  # where the touched components are reached from
        self._fresh = self._old = _NO_KEYS  # keys of the looked-at records, after and before
        self._sorted: Columns | None = None  # opened records, their numbers judged
        self._was: Ints = NONE  # stored anchors of the nodes
        self._stored: edges.Stored = {}  # stored edges of the nodes
        self.nodes: Ints = NONE  # of every touched component
        self.anchors: Ints = NONE  # of the nodes, once they are decided
        self.compared = 0
        self._candidates = _NO_PAIRS

    @property
    def touched_keys(self) -> Ints:
        """The stored blocking keys that the looked-at records had or get. Ascending."""
        return distinct(np.concatenate((self._fresh.key, self._old.key)))

    def keys_of(self, records: Collection[int], unseen: Collection[int] = ()) -> Ints:
        """The stored keys that these records have or may get, found without anybody else."""
        ids = _ids(records)
        self._opened.open(self._connection, ids.tolist())
        alone, shared = self._possible(self._raw(ids))
        stored = block_rows.stored_of(self._connection, _lacking(ids, _ids(unseen)))
        return distinct(np.concatenate((alone.key, shared.key, stored.key)))

    def profiles_of(self, records: Collection[int]) -> tuple[str, ...]:
        """The profiles that these records are in, once it is stored. Ascending."""
        anchors = self.anchors[np.searchsorted(self.nodes, _ids(records))]
        named = self._opened.keys_of(distinct(anchors).tolist())
        return tuple(sorted(map(self._names.profile_id, named.values())))

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
        named = self._named = _ids({*dirty, *removed})
        self._opened.open(self._connection, named.tolist())
        self._old = block_rows.stored_of(self._connection, _lacking(named, _ids(unseen)))
        staying = _lacking(named, self._gone)
        raw = self._raw(staying)
        alone = self._look_around(raw)
        known = self._neighbours, self._opened
        turned = self._neighbours.everybody(self._numbers.recount(raw, named, self._old, known))
        if len(others := _lacking(distinct(turned), named)):
            self._opened.open(self._connection, others.tolist())
            self._old = self._old.and_also(block_rows.stored_of(self._connection, others))
            staying = distinct(np.concatenate((staying, others)))
        self._looked_at = distinct(np.concatenate((named, others)))
        if len(others) or not self._numbers.alone:
            alone = self._blocked(staying)
        self._fresh = alone
        crossed = _lacking(turned_by(self._neighbours, self._keyed), self._gone)
        self._renew(distinct(np.concatenate((self._looked_at, crossed))))
        while len(crowd := self._crowd()):
            # A component too large to be compared whole is decided over its candidates,
            # weak ones included: those are not kept, and have to be found again.
            self._renew(distinct(np.concatenate((self._renewed, crowd))))

    def _raw(self, records: Ints) -> Columns | blocks.Records:
        """Opened records (ascending), one by one where they are few."""
        if len(records) <= ONE_BY_ONE:
            return self._opened.plain(records.tolist())
        return self._opened.of(records.tolist())

    def _possible(self, raw: Columns | blocks.Records) -> tuple[Blocked, Blocked]:
        if isinstance(raw, Columns):
            return blocks.possible(self._keyer, raw, self._model.most_people)
        return blocks.possible_few(self._keyer, raw, self._model.most_people)

    def _blocked(self, records: Ints) -> Blocked:
        """The keys of opened records (ascending)."""
        if len(records) <= ONE_BY_ONE:
            few = self._opened.plain(records.tolist())
            return blocks.blocked_few(self._keyer, few, self._numbers.judged_few(few))
        raw = self._opened.of(records.tolist())
        return blocks.blocked_by(self._keyer, raw, self._judged(records))

    def _look_around(self, raw: Columns | blocks.Records) -> Blocked:
        """Ask at once for all that is going to be needed of whoever shares a key with these.

        Returns:
            The keys of these records if nobody else uses their numbers.
        """
        alone, shared = self._possible(raw)
        possible = alone.and_also(shared)
        held, first, count = np.unique(possible.key, return_index=True, return_counts=True)
        limit = np.where(possible.rule[first] == HOLDER, MOST_HOLDERS, MOST)
        place, member = self._neighbours.of(held, limit + count + 1)
        sizes = np.bincount(place, minlength=len(held))
        useful = member[(sizes <= limit)[place]]
        self._opened.open(self._connection, useful.tolist())
        known = self._opened.records
        if len(known) <= plain.MOST:
            self._numbers.learn_few(self._opened.plain(known))
        else:
            self._numbers.learn(self._opened.of(known))
        return alone

    def _renew(self, records: Ints) -> None:
        """Find and score the pairs of these records with everybody in a common block."""
        self._renewed = records
        low, high = self._pairs(self._neighbours)
        self._candidates = self._score(low, high)
        strong = self._candidates.weight >= FLOOR_BITS
        self._start = distinct(np.concatenate((records, low[strong], high[strong])))
        self._reach()
        if self._epoch.decided:
            # What was decided about a record that goes counts no more. It is still followed
            # to everybody whom it held together.
            found = active_constraints(self._connection, self.nodes.tolist())
            self._constraints = found.without(self._gone)

    @property
    def _keyed(self) -> Keyed:
        return Keyed(self._looked_at, self._fresh, self._old)

    def _pairs(self, neighbours: Neighbours) -> tuple[Ints, Ints]:
        """The pairs of the renewed records with everybody in a common block."""
        return pairs_of(self._connection, neighbours, self._keyed, self._renewed)

    def _reach(self) -> bool:
        """Find the touched components; say whether every record is as it was when opened."""
        reached = edges.reach(self._connection, self._start, decided=self._epoch.decided)
        rows = reached.records
        self.nodes = np.array([row[0] for row in rows], np.int64)
        anchors = [changes.NONE if row[-1] is None else row[-1] for row in rows]
        self._was = np.array(anchors, np.int64)
        self._stored = reached.stored
        return self._opened.holds((row[0], row[1]) for row in rows)

    def still_holds(self) -> bool:
        """Whether what the touched components were found by is as it was (invariant 4)."""
        before = self.nodes
        same = self._reach() and np.array_equal(before, self.nodes)
        return same and self._numbers.still_hold() and self._blocks_hold()

    def _blocks_hold(self) -> bool:
        """Whether everybody who is renewed shares a block with the same records still.

        Nobody else changes a block of the looked-at records once their keys are held. Of who
        is renewed because of another no key is: a block of theirs may have become too large.
        """
        if len(self._renewed) == len(self._looked_at):
            return True
        low, high = self._pairs(Neighbours(self._connection))
        found = self._candidates
        return np.array_equal(low, found.low) and np.array_equal(high, found.high)

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
        return _lacking(self.nodes[large], self._renewed)

    def _kept(self) -> tuple[Ints, Ints]:
        """The stored pairs that a rule made, between records whose candidates stay."""
        return self._settled(_direct(self._stored))

    def _settled(self, pairs: Ints) -> tuple[Ints, Ints]:
        """Those of stored pairs whose records keep their candidates."""
        low, high = pairs[:, 0], pairs[:, 1]
        settled = (places(self._renewed, low) < 0) & (places(self._renewed, high) < 0)
        return low[settled], high[settled]

    def _judged(self, records: Ints) -> Columns:
        """Opened records (ascending), their numbers sorted by how many people use them."""
        if self._sorted is None or (places(self._sorted.ids, records) < 0).any():
            self._sorted = self._numbers.judged(self._opened.of(self._opened.records))
        known = self._sorted
        all_of_them = len(known) == len(records)
        return known if all_of_them else known.take(np.searchsorted(known.ids, records))

    def _score(self, low: Ints, high: Ints) -> Pairs:
        """Score pairs of record ids."""
        if not len(low):
            return _NO_PAIRS
        records = distinct(np.concatenate((low, high)))
        self._opened.open(self._connection, records.tolist())
        self.compared += len(low)
        if len(low) <= few.MOST:
            told = self._numbers.judged_few(self._opened.plain(records.tolist()))
            return self._epoch.scorer.weigh(compare_few(told, low, high))
        judged = self._judged(records)
        at = np.searchsorted(judged.ids, low), np.searchsorted(judged.ids, high)
        if len(low) <= AT_ONCE:
            return self._epoch.scorer.weigh(compare(judged, *at))
        return self._epoch.scorer.weigh(compare_all(judged, *at, self._threads))

    # ── deciding and storing ────────────────────────────────────────────────

    def store(self, at: dt.datetime) -> Repaired:
        """Decide the touched components and write what changed."""
        nodes = self.nodes.tolist()
        self._opened.open(self._connection, nodes)
        pairs, direct, self.anchors = self._decided(self._stored)
        revisions, dirty = self._opened.seen(self.nodes)
        # Another record that waits is still to be looked at: its keys were not renewed.
        dirty &= places(self._named, self.nodes) >= 0
        seen = Seen(self.nodes, revisions, dirty, self._opened.keys_of(nodes))
        come = self._fresh.without(self._old)
        if len(come) > block_rows.FEW or len(pairs) > edges.FEW:
            keep_from_going(self._connection, distinct(np.append(come.record, self.nodes)))
        block_rows.store_some(self._connection, self._old, self._fresh)
        self._numbers.store()
        edges.store_some(self._connection, self._stored, (pairs, direct), self._epoch.id)
        partition = (self._was, self.anchors)
        outcome = apply(self._connection, self._names, seen, partition, Decided(self._epoch.id, at))
        return Repaired(outcome, len(nodes), self.compared)

    def _decided(self, stored: edges.Stored) -> tuple[Pairs, Bools, Ints]:
        """The pairs worth keeping, which of them a rule made, and every node's anchor."""
        if len(self.nodes) == 1:
            return _NO_PAIRS, np.zeros(0, np.bool_), self.nodes
        # Ties are broken in the order of record keys, as in a full run.
        nodes = self.nodes.tolist()
        keys = self._opened.keys_of(nodes)
        ids = np.array(sorted(nodes, key=keys.__getitem__), np.int64)
        place = np.empty(len(ids), np.int64)
        place[np.searchsorted(self.nodes, ids)] = np.arange(len(ids))

        def score(low: Ints, high: Ints) -> Pairs:
            one, other = ids[low], ids[high]
            found = self._score(np.minimum(one, other), np.maximum(one, other))
            return replace(found, low=low, high=high)

        def placed(pairs: Pairs) -> Pairs:
            one = place[np.searchsorted(self.nodes, pairs.low)]
            other = place[np.searchsorted(self.nodes, pairs.high)]
            return replace(pairs, low=np.minimum(one, other), high=np.maximum(one, other))

        # A weak candidate may be of a component that is not touched.
        found = self._candidates
        inside = (places(self.nodes, found.low) >= 0) & (places(self.nodes, found.high) >= 0)
        candidates = found if inside.all() else found.take(inside)
        given = placed(candidates.and_also(self._score(*self._settled(_direct(stored)))))
        between = self._constraints
        if between is not _UNDECIDED:
            between = between.within(self.nodes).mapped(place)
        decision = decide(
            np.arange(len(ids)), given, between, rules_of(self._model), score, FLOOR_BITS
        )
        strong = np.flatnonzero(decision.pairs.weight >= FLOOR_BITS)
        kept = decision.pairs.take(strong)
        one, other = ids[kept.low], ids[kept.high]
        oldest = np.full(len(ids), np.iinfo(np.int64).max)
        np.minimum.at(oldest, decision.anchors, ids)
        named = replace(kept, low=np.minimum(one, other), high=np.maximum(one, other))
        return named, strong < len(given), oldest[decision.anchors][place]


def _direct(stored: edges.Stored) -> Ints:
    return np.array([pair for pair, row in stored.items() if row[-1]], np.int64).reshape(-1, 2)


def _ids(records: Iterable[int]) -> Ints:
    return np.array(sorted(records), np.int64)


def _lacking(records: Ints, others: Ints) -> Ints:
    """Those of the records that are none of the others (ascending)."""
    return records[places(others, records) < 0] if len(others) else records
