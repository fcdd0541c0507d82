"""The features key rotated; invariants of `cdp/keys/feature_rows.py`."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.errors import Refused, Stop
from cdp.keys import feature_rows
from cdp.keys.carrying_out import carry_out
from cdp.keys.rotating import bring_under
from cdp.resolution import epochs
from cdp.resolution.feature_keys import in_force
from cdp.resolution.loading import load_features
from cdp.resolution.online import Arrivals
from cdp.resolution.run import resolve
from cdp.resolution.simulating import simulate
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.vault.errors import KeyMissing
from cdp.vault.keyring import KeyRing
from cdp.workspace import Workspace
from identity.columns import Columns
from identity.model import Model
from tests.integration.keys.rotated import (
    feature_keys,
    new_version,
    who_is_who,
)

pytestmark = pytest.mark.integration
NEWEST = sa.text("SELECT feature_key FROM kith.record ORDER BY id DESC LIMIT 1")


class KilledError(Exception):
    """Stands for the end of the process."""


def quiet(*_: object) -> None:
    """Say nothing."""


def rotated(town: Workspace, batch: int = 50) -> Any:
    return carry_out(town, "features", quiet, batch=batch)


def keys_at_rest(town: Workspace) -> set[int]:
    """Every keyed value that stands in an epoch."""
    with town.engine.connect() as connection:
        models = connection.scalars(sa.select(schema.epoch.c.model)).all()
    return {
        int(key) for model in models for shares in model["frequencies"].values() for key in shares
    } - {0}


def shapes(town: Workspace) -> dict[str, Any]:
    """Which records have equal features, whatever the keys are; and all keys."""
    with town.engine.connect() as connection:
        loaded = load_features(connection, town.vault)
    columns = Columns.of(loaded.table)
    found: dict[str, Any] = {"keys": set()}
    for name, keys in columns.singles.items():
        found["keys"] |= set(keys.tolist()) - {0}
        found[name] = alike(enumerate(keys.tolist()))
    for name, several in columns.lists.items():
        found["keys"] |= set(several.keys.tolist())
        pairs = zip(several.rows().tolist(), several.keys.tolist(), strict=True)
        found[name] = alike(pairs)
    return found


def alike(held: Iterable[tuple[int, int]]) -> Counter[frozenset[int]]:
    """The groups of records with one key, however many keys give the same group."""
    groups: dict[int, set[int]] = defaultdict(set)
    for record, key in held:
        if key:
            groups[key].add(record)
    return Counter(frozenset(group) for group in groups.values())


def test_who_is_who_stays(town: Workspace) -> None:
    """Invariant 2: after a rotation, and another one, a full resolve changes nobody."""
    before = who_is_who(town)
    for version in (2, 3):
        assert new_version(town, "features") == version
        report = rotated(town)
        assert report.complete
        assert (report.version, feature_keys(town)) == (version, {version})
        assert who_is_who(town) == before
        again = resolve(town, full=True)
        assert again.nothing_new
        assert not again.trained
        assert who_is_who(town) == before


def test_no_key_of_before_is_left(town: Workspace) -> None:
    """Invariant 4: features and frequencies are others, as many, and equal where they were."""
    features, stored = shapes(town), keys_at_rest(town)
    new_version(town, "features")
    rotated(town)
    now, renewed = shapes(town), keys_at_rest(town)
    assert not features["keys"] & now["keys"]
    assert len(features["keys"]) == len(now["keys"])
    for name in features.keys() - {"keys"}:
        assert features[name] == now[name], name
    assert len(renewed) == len(stored)
    assert not stored & renewed
    with town.engine.connect() as connection:
        (epoch,) = connection.execute(sa.select(schema.epoch)).all()
    assert (epoch.active, epoch.model["feature_key"]) == (True, 2)


@pytest.mark.parametrize("where", ["before the switch", "amid records", "before the resolve"])
def test_killed_it_goes_on(town: Workspace, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Invariants 1 and 3: whatever is stored, a resolve finds the same; then it goes on."""
    before = who_is_who(town)
    new_version(town, "features")

    def die(*_: object, **__: object) -> None:
        raise KilledError

    seal, made = feature_rows.FeatureRows.make, []

    def few(self: feature_rows.FeatureRows, *given: Any) -> Any:
        made.append(given)
        return seal(self, *given) if len(made) < 3 else die()

    with monkeypatch.context() as patch:
        if where == "before the switch":
            patch.setattr(feature_rows, "switch", die)
        elif where == "amid records":
            patch.setattr(feature_rows.FeatureRows, "make", few)
        else:
            patch.setattr(feature_rows, "resolve", die)
        with pytest.raises(KilledError):
            rotated(town, batch=30)
    assert feature_keys(town) == {"before the switch": {1}, "amid records": {1, 2}}.get(where, {2})
    assert resolve(town, full=True).nothing_new
    assert who_is_who(town) == before
    assert rotated(town).complete
    assert feature_keys(town) == {2}
    assert resolve(town, full=True).nothing_new
    assert who_is_who(town) == before


def test_a_record_that_arrives_between_waits(town: Workspace) -> None:
    """Between switch and resolve a record is stored and waits; then it joins its person.

    Whoever has known the older version from before keys with the one that is in force, from
    the first record on (invariant 4).
    """
    before = len(who_is_who(town)["people"])
    new_version(town, "features")
    arrivals = Arrivals(town, "miniprogram")
    first = arrivals.resolve([another_account(town, "x1")])
    assert first.resolved
    feature_rows.switch(town)
    sent = arrivals.resolve([another_account(town, "x2")])
    assert (sent.stored, sent.resolved) == (1, False)
    with town.engine.connect() as connection:
        assert connection.scalar(NEWEST) == 2
    rotated(town)
    late = arrivals.resolve([another_account(town, "x3")])
    assert late.profiles == first.profiles
    assert feature_keys(town) == {2}
    now = Arrivals(town, "miniprogram").resolve([another_account(town, "x4")])
    assert now.profiles == first.profiles
    assert len(who_is_who(town)["people"]) == before + 4
    after = who_is_who(town)
    assert resolve(town, full=True).nothing_new
    assert who_is_who(town) == after
    assert rotated(town).rows == 0


def another_account(town: Workspace, openid: str) -> str:
    """A row of the mini-program with a unionid, under another openid."""
    declared = town.declaration.source("miniprogram")
    lines = (town.settings.declaration.parent / declared.location).read_bytes().splitlines()
    row = next(json.loads(line) for line in lines if b'"unionid": "o' in line)
    return json.dumps({**row, "openid": openid}, ensure_ascii=False)


def test_nobody_resolves_at_the_switch(town: Workspace) -> None:
    """While others resolve the switch is refused, nothing changes, and it says how to go on."""
    new_version(town, "features")
    with (
        only_one(town.engine, "resolve", "wait"),
        pytest.raises(Refused, match="cdp key rotate features --resume"),
    ):
        rotated(town)
    assert feature_keys(town) == {1}
    assert rotated(town).complete


def test_an_epoch_file_of_before_is_brought_along(town: Workspace) -> None:
    """An epoch that was written to a file before the rotation decides as it did."""
    with town.engine.connect() as connection:
        model = epochs.named(connection, epochs.ACTIVE)
    content = Model.from_json(json.loads(json.dumps(model.to_json())))
    new_version(town, "features")
    rotated(town)
    found = simulate(town, content)
    assert (found.created, found.merged, found.split) == (0, 0, 0)
    with pytest.raises(Stop, match="newer_features_key"):
        simulate(town, replace(content, feature_key=9))


def test_a_record_of_a_newer_key_is_named(town: Workspace) -> None:
    """A restored half: a record says a version that the workspace does not name yet."""
    with town.engine.begin() as connection:
        connection.execute(sa.text("UPDATE kith.record SET feature_key = 7 WHERE id = 3"))
    with pytest.raises(Stop, match="record 3: features_of_a_newer_key"):
        resolve(town, full=True)


def test_a_ring_without_the_version_is_told(town: Workspace) -> None:
    """With the ring of before the rotation nothing is compared, and the error says what lacks."""
    copy = town.settings.key_ring.read_bytes()
    new_version(town, "features")
    rotated(town)
    with town.engine.begin() as connection:
        connection.execute(sa.text("UPDATE kith.record SET feature_key = 1 WHERE id = 3"))
    town.settings.key_ring.write_bytes(copy)
    older = replace(town, keyring=KeyRing.open(town.settings.key_ring))
    with pytest.raises(KeyMissing, match="restore the newest copy"):
        resolve(older, full=True)
    with town.engine.connect() as connection:
        assert in_force(connection) == 2


def test_features_that_do_not_open_are_named_and_passed_over(town: Workspace) -> None:
    """A changed blob stays what it is; the others are brought under the new version."""
    new_version(town, "features")
    with town.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE kith.record SET features = features || '\\x00' WHERE id = 3")
        )
    feature_rows.switch(town)
    report = bring_under(town, feature_rows.FeatureRows(town), quiet)
    assert set(report.refused) == {3}
    assert not report.complete
    assert feature_keys(town) == {1, 2}
