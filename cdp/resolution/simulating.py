"""What another epoch would change, worked out in memory: nothing of it is stored.

Invariants, each named by a test in ``tests/integration/test_epochs.py``:
    1. What a shadow run announces is what the switch would do, profile by profile, as long
       as no record comes or changes in between.
    2. It writes nothing about anybody.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
import yaml

from cdp.errors import Stop
from cdp.resolution import decisions
from cdp.resolution.changes import NONE, compare
from cdp.resolution.feature_keys import epoch_under
from cdp.resolution.loading import Loaded, load_features
from cdp.resolution.storing import anchors_before
from cdp.storage import schema
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from identity import batch
from identity.churn import Churn, churn
from identity.duckdb_engine import Limits
from identity.model import Model
from identity.pairs import Ints
from identity.sharing import MOST_HOLDERS

Progress = Callable[[str], None]
EXAMPLES = 20  # of each kind, unless more are asked for
RULES: Final = ("join_bits", "suggest_bits", "most_people")
_MOST_BITS: Final = 1000  # far beyond what all evidence together can say
_BITS: Final = (-_MOST_BITS, _MOST_BITS, "a number of bits, such as 3.5")
_WHOLE: Final = frozenset({"most_people"})
_BOUNDS: Final = {
    "join_bits": _BITS,
    "suggest_bits": _BITS,
    "most_people": (1, MOST_HOLDERS - 1, f"a whole number from 1 to {MOST_HOLDERS - 1}"),
}


@dataclass(frozen=True, slots=True)
class Simulation:
    """What would change.

    Attributes:
        profiles_now, profiles_then: how many there are and would be.
        waiting: records that are new or changed since the last resolve; what they change
            is among the rest.
        created, merged, split: how many profiles would come into being, end in another
            (the older id stays), or split off another.
        churn: how far the partitions are apart, over the records that have a profile.
        creations: profile ids, the first few.
        merges: (the id that stays, the id that would lead to it), the first few.
        splits: (the id that would split off, the id it splits from), the first few.
    """

    profiles_now: int
    profiles_then: int
    waiting: int
    created: int
    merged: int
    split: int
    churn: Churn
    creations: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    splits: tuple[tuple[str, str], ...]

    @property
    def nothing_new(self) -> bool:
        """Whether everybody would stay as they are."""
        return not (self.created or self.merged or self.split or self.churn.changed_share)

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        return {
            **asdict(self),
            "creations": list(self.creations),
            "merges": [{"into": into, "gone": gone} for into, gone in self.merges],
            "splits": [{"new": new, "out_of": out_of} for new, out_of in self.splits],
        }


def simulate(
    workspace: Workspace, model: Model, limit: int = EXAMPLES, progress: Progress = lambda _: None
) -> Simulation:
    """Decide everybody under ``model`` and say what that would change.

    Args:
        workspace: whose records are decided.
        model: the epoch to try.
        limit: how many examples of each kind.
        progress: told the name of each step.
    """
    progress("opening features")
    with snapshot(workspace) as connection:
        loaded = load_features(connection, workspace.vault)
        model = epoch_under(workspace.vault.layers, model, loaded.feature_key)
        constraints = loaded.numbered(decisions.active_constraints(connection))
        limits = Limits(workspace.settings.memory_mb, workspace.settings.threads)
        gathered = batch.gather(loaded.table, model.most_people, limits, progress)
        found = batch.judge(gathered, model, limits, progress, constraints)
        return compared(connection, workspace, loaded, loaded.translated(found), limit)


def snapshot(workspace: Workspace) -> sa.Connection:
    """A connection that sees the database as it is at one moment."""
    return workspace.engine.connect().execution_options(isolation_level="REPEATABLE READ")


def compared(
    connection: sa.Connection,
    workspace: Workspace,
    loaded: Loaded,
    found: batch.Resolution,
    limit: int,
) -> Simulation:
    """Hold a partition in memory against the one that is stored."""
    seen, now = loaded.seen, found.anchors
    was = anchors_before(connection, workspace, seen.ids)
    changes = compare(seen.ids, was, now)
    shown = [part[:limit] for part in (changes.created, changes.into, changes.gone, changes.new,
                                       changes.out_of)]  # fmt: skip
    names = _names(connection, RecordKeys(workspace.keyring), np.concatenate(shown))
    created, into, gone, new, out_of = ([names[one] for one in p.tolist()] for p in shown)
    known = was != NONE
    records = seen.ids[known].tolist()
    return Simulation(
        profiles_now=len(np.unique(was[known])),
        profiles_then=len(np.unique(now)),
        waiting=int((seen.dirty | ~known).sum()),
        created=len(changes.created),
        merged=len(changes.gone),
        split=len(changes.new),
        churn=churn(
            dict(zip(records, was[known].tolist(), strict=True)),
            dict(zip(records, now[known].tolist(), strict=True)),
        ),
        creations=tuple(created),
        merges=tuple(zip(into, gone, strict=True)),
        splits=tuple(zip(new, out_of, strict=True)),
    )


def _names(connection: sa.Connection, keys: RecordKeys, anchors: Ints) -> Mapping[int, str]:
    record = schema.record.c
    wanted = np.unique(anchors).tolist()
    rows = connection.execute(sa.select(record.id, record.key).where(record.id.in_(wanted)))
    return {row.id: keys.profile_id(bytes(row.key)) for row in rows}


# ── a rule file ─────────────────────────────────────────────────────────────


def tightened(model: Model, path: Path) -> Model:
    """The epoch with the numbers of a rule file in place of its own.

    A rule file is YAML or JSON: some of ``RULES``, each with a number, and nothing else.

    Raises:
        Stop: it is missing, or says something else; the entry is named.
    """
    rules = _rules(path)
    unknown = sorted(str(name) for name in rules if name not in RULES)
    if unknown:
        raise Stop("rule_unknown", f"use {', '.join(RULES)}", path=path, entry=unknown[0][:40])
    for name, value in rules.items():
        if not _fits(name, value):
            raise Stop("rule_is_no_number", f"write {_BOUNDS[name][2]}", path=path, entry=name)
    tried = replace(
        model,
        join_bits=float(rules.get("join_bits", model.join_bits)),
        suggest_bits=float(rules.get("suggest_bits", model.suggest_bits)),
        most_people=int(rules.get("most_people", model.most_people)),
    )
    if tried.suggest_bits > tried.join_bits:
        raise Stop(
            "suggest_above_join",
            "keep suggest_bits at or below join_bits",
            path=path,
            join_bits=str(tried.join_bits),
            suggest_bits=str(tried.suggest_bits),
        )
    return tried


def _fits(name: str, value: object) -> bool:
    """Whether it is a number, of the kind and the size that the entry takes."""
    if isinstance(value, bool) or not isinstance(value, int if name in _WHOLE else (int, float)):
        return False
    low, high, _ = _BOUNDS[name]
    return low <= value <= high


def _rules(path: Path) -> dict[Any, Any]:
    if not path.is_file():
        raise Stop("no_such_rule_file", "name a YAML or JSON file", path=path)
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (UnicodeDecodeError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise Stop("rule_unreadable", "make it valid YAML or JSON", path=path) from error
    if not isinstance(content, dict) or not content:
        raise Stop(
            "rule_empty", f"write lines such as join_bits: 4 ({', '.join(RULES)})", path=path
        )
    return content
