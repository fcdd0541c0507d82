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

from cdp.errors import Stop
from cdp.profiles.build import rebuild
from cdp.resolution import blocks, edges, epochs
from cdp.resolution.blocks import HOLDER, Blocked
from cdp.resolution.decisions import active_constraints
from cdp.resolution.opened import Opened
from cdp.resolution.storing import Outcome, Seen, anchors_before, apply
from cdp.storage.locks import until_commit
from cdp.vault.keyed import BlockKeyer, RecordKeys
from cdp.workspace import Workspace
from identity import sharing
from identity.batch import FLOOR_BITS, rules_of
from identity.blocking import MOST
from identity.clusters import LARGEST, Constraints, Pairs, decide
from identity.columns import Bools, Columns, Ints
from identity.components import connected
from identity.model import Model
from identity.pairs import places
from identity.scorer import Scorer, compare
from identity.sharing import MOST_HOLDERS, PhoneUse

NONE: Ints = np.zeros(0, np.int64)
_NO_KEYS = Blocked(NONE, NONE, NONE)


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

    def __init__(
        self, connection: sa.Connection, workspace: Workspace, epoch: str, model: Model
    ) -> None:
        self._connection = connection
        self._workspace = workspace
        self._epoch, self._model = epoch, model
        self._keyer = BlockKeyer(workspace.keyring)
        self._scorer = Scorer(model)
        self._opened = Opened(workspace.vault)
        self._constraints = Constraints.none()
        self._gone: Ints = NONE  # records that are about to be deleted
        self._looked_at: Ints = NONE  # records whose keys are found anew
        self._renewed: Ints = NONE  # records whose candidates are found anew
        self._start: Ints = NONE  # where the touched components are reached from
        self._people: dict[int, int] = {}  # stored form of a number -> people, now
        self._counted: dict[int, int] = {}  # those that this repair counted anew
        self._fresh = self._old = _NO_KEYS  # keys of the looked-at records, after and before
        self.nodes: Ints = NONE  # of every touched component
        self.compared = 0
        self._candidates = self._score(NONE, NONE)

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
        """The profiles that these records are in now, ascending."""
        found = self._connection.scalars(_PROFILES, {"ids": sorted(records)})
        return tuple(sorted(found))

    # ── finding ─────────────────────────────────────────────────────────────

    def find(self, dirty: Collection[int], removed: Collection[int] = ()) -> None:
        """Find everything that these records touch.

        Args:
            dirty: records that are new or changed.
            removed: records that are about to be deleted: they end up alone.
        """
        self._gone = _ids(removed)
        named = np.union1d(_ids(dirty), self._gone)
        self._opened.open(self._connection, named.tolist())
        self._old = blocks.stored_of(self._connection, named)
        others = np.setdiff1d(self._recount(named), named)
        self._opened.open(self._connection, others.tolist())
        self._looked_at = np.union1d(named, others)
        self._old = self._old.and_also(blocks.stored_of(self._connection, others))
        staying = self._opened.of(np.setdiff1d(self._looked_at, self._gone))
        self._fresh = blocks.blocked_by(self._keyer, staying, self._judged(staying))
        self._constraints = active_constraints(self._connection)
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
        before = blocks.people_on(self._connection, numbers)
        turned = [
            key for key, now in self._counted.items()
            if self._use(now) != self._use(before.get(key, 1))
        ]  # fmt: skip
        return blocks.members(self._connection, _ids(turned), None)[1]

    def _use(self, people: int) -> int:
        """What counts about a number: one person's, several people's, or nobody's."""
        return 0 if people == 1 else 1 if people <= self._model.most_people else 2

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
        at, _ = blocks.members(self._connection, keys, most)
        before = np.bincount(at, minlength=len(keys))
        turned = keys[(before > MOST) != (before - fewer + more > MOST)]
        return np.setdiff1d(blocks.members(self._connection, turned, None)[1], self._gone)

    def _renew(self, records: Ints) -> None:
        """Find and score the pairs of these records with everybody in a common block."""
        self._renewed = records
        others = blocks.stored_of(self._connection, np.setdiff1d(records, self._looked_at))
        keys = np.unique(others.and_also(self._fresh).making_pairs().key)
        held = np.bincount(np.searchsorted(keys, self._old.take(np.isin(self._old.key, keys)).key))
        most = MOST + 1 + int(held.max(initial=0))
        place, member = blocks.members(self._connection, keys, most)
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
        return edges.reach(self._connection, self._start)

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
        pairs = edges.direct_among(self._connection, self.nodes)
        settled = ~np.isin(pairs, self._renewed).any(axis=1)
        return pairs[settled, 0], pairs[settled, 1]

    def _score(self, low: Ints, high: Ints) -> Pairs:
        """Score pairs of record ids."""
        ids = np.union1d(low, high)
        self._opened.open(self._connection, ids.tolist())
        judged = self._judged(self._opened.of(ids))
        self.compared += len(low)
        return self._scorer.weigh(
            compare(judged, np.searchsorted(judged.ids, low), np.searchsorted(judged.ids, high))
        )

    # ── deciding and storing ────────────────────────────────────────────────

    def store(self, at: dt.datetime) -> Repaired:
        """Decide the touched components and write what changed."""
        self._opened.open(self._connection, self.nodes.tolist())
        pairs, direct, anchors = self._decided()
        was = anchors_before(self._connection, self.nodes, self.nodes)
        nodes = self.nodes.tolist()
        seen = Seen(
            self.nodes,
            np.array([self._opened.revision[one] for one in nodes], np.int64),
            np.array([self._opened.dirty[one] for one in nodes], np.bool_),
        )
        blocks.remove(self._connection, self._old.without(self._fresh))
        blocks.append(self._connection, self._fresh.without(self._old))
        blocks.store_people(self._connection, self._counted)
        edges.store_some(self._connection, self.nodes, (pairs, direct), self._epoch)
        keys = RecordKeys(self._workspace.keyring)
        outcome = apply(self._connection, keys, seen, (was, anchors), self._epoch, at)
        return Repaired(outcome, len(nodes), self.compared)

    def _decided(self) -> tuple[Pairs, Bools, Ints]:
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
        given = placed(candidates.and_also(self._score(*self._kept())))
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


def _ids(records: Iterable[int]) -> Ints:
    return np.array(sorted(records), np.int64)


_PROFILES = sa.text(
    "SELECT DISTINCT profile_id FROM kith.membership WHERE record_id = ANY(CAST(:ids AS bigint[]))"
)


def repair(
    connection: sa.Connection,
    workspace: Workspace,
    dirty: Collection[int],
    removed: Collection[int] = (),
) -> Repaired:
    """Bring the people of these records up to date, profiles included, in the transaction.

    Nobody else resolves or repairs anybody until the transaction ends.

    Raises:
        Refused: others do, for longer than a moment.
        Stop: there is no epoch yet, or the stored keys are of another version.
    """
    until_commit(connection, "repair", "wait until the other has ended, then try again")
    epoch = ready(connection)
    if epoch is None:
        raise Stop("not_resolved_yet", "run: cdp identity resolve")
    work = Repair(connection, workspace, *epoch)
    work.find(dirty, removed)
    now = workspace.now()
    repaired = work.store(now)
    rebuild(connection, workspace.declaration.trust, repaired.outcome.touched, now)
    return repaired


def forget(connection: sa.Connection, workspace: Workspace, records: Collection[int]) -> Repaired:
    """Delete records, and leave the people who stay as if these had never been there.

    Raises:
        Stop: see ``repair``.
    """
    repaired = repair(connection, workspace, (), records)
    ids = {"ids": sorted(records)}
    connection.execute(_END, ids)
    connection.execute(_DELETE, ids)
    return repaired


# Alone by now: the profile of each is its own.
_END = sa.text(
    """
    WITH gone AS (
        DELETE FROM kith.membership WHERE record_id = ANY(CAST(:ids AS bigint[]))
    )
    DELETE FROM kith.profile WHERE anchor_id = ANY(CAST(:ids AS bigint[]))
    """
)
_DELETE = sa.text("DELETE FROM kith.record WHERE id = ANY(CAST(:ids AS bigint[]))")


def repair_people(
    connection: sa.Connection, workspace: Workspace, records: Collection[int]
) -> Outcome:
    """``repair`` of records that somebody decided about."""
    return repair(connection, workspace, records).outcome


def ready(connection: sa.Connection) -> tuple[str, Model] | None:
    """The active epoch, if a full run has left everything that a repair needs; else None."""
    active = epochs.active(connection)
    if active is None:
        return None
    made = blocks.made_with(active[1].most_people)
    return active if blocks.are_current(connection, made) else None
