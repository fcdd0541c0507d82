"""What changed keys do: who is renewed by them, and which pairs the renewed ones make."""

from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from cdp.resolution import block_rows, blocks
from cdp.resolution.blocks import Blocked
from cdp.resolution.neighbours import Neighbours
from identity.blocking import MOST
from identity.columns import Ints, distinct
from identity.pairs import places


@dataclass(frozen=True, slots=True)
class Keyed:
    """Records whose keys were found anew, and are not stored yet.

    Attributes:
        records: their ids, ascending.
        fresh: the keys that they get.
        old: the keys that are stored of them.
    """

    records: Ints
    fresh: Blocked
    old: Blocked


def turned_by(neighbours: Neighbours, keyed: Keyed) -> Ints:
    """The stored members of blocks that become too large for pairs, or small enough. Ascending."""
    came = keyed.fresh.without(keyed.old).making_pairs()
    went = keyed.old.without(keyed.fresh).making_pairs()
    keys = distinct(np.concatenate((came.key, went.key)))
    if not len(keys):
        return keys
    more = np.bincount(np.searchsorted(keys, came.key), minlength=len(keys))
    fewer = np.bincount(np.searchsorted(keys, went.key), minlength=len(keys))
    at, _ = neighbours.of(keys, MOST + 1 + np.maximum(more, fewer))
    before = np.bincount(at, minlength=len(keys))
    turned = keys[(before > MOST) != (before - fewer + more > MOST)]
    return distinct(neighbours.everybody(turned))


def pairs_of(
    connection: sa.Connection, neighbours: Neighbours, keyed: Keyed, records: Ints
) -> tuple[Ints, Ints]:
    """The pairs of these records with everybody in a common block, as it is going to be.

    Args:
        connection: in a transaction.
        neighbours: who has which stored key.
        keyed: what is known better than it is stored.
        records: record ids, ascending; all of ``keyed`` are among them.

    Returns:
        Record ids low, high, each pair once, ascending. Shape (pairs,) each.
    """
    unkeyed = records[places(keyed.records, records) < 0] if len(keyed.records) else records
    others = block_rows.stored_of(connection, unkeyed)
    keys = distinct(others.and_also(keyed.fresh).making_pairs().key)
    held = np.searchsorted(keys, keyed.old.among(keys).key)
    most = MOST + 1 + np.bincount(held, minlength=len(keys))
    place, member = neighbours.of(keys, most)
    # The database tells how it was; of the looked-at records it is known better.
    stays = places(keyed.records, member) < 0
    fresh = keyed.fresh.among(keys)
    place = np.concatenate((place[stays], np.searchsorted(keys, fresh.key)))
    member = np.concatenate((member[stays], fresh.record))
    useful = np.bincount(place, minlength=len(keys))[place] <= MOST
    return blocks.pairs_with(place[useful], member[useful], records)
