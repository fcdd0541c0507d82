"""Erasing is done in full: every record has its line, every person their event."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.access.answers import Denial
from cdp.access.principals import sync_principals
from cdp.erasure import removing
from cdp.erasure.removing import EVENT, Removed
from cdp.errors import Retry
from cdp.ingest.feed_state import beside
from cdp.ingest.reports import quiet
from cdp.resolution.announcing import UPDATED
from cdp.storage import schema
from cdp.storage.locks import Hold
from cdp.workspace import Workspace
from tests.integration.erasure.backups import dump, restore
from tests.integration.erasure.household import (
    ACCOUNT_NAME,
    ALL,
    BELLA_NAME,
    CARD_NAME,
    SECOND_NAME,
    WHO,
    WHY,
    count,
    declared,
    eraser,
    freeze,
    home_of,
    key,
    replayed,
    shred,
    stored_keys,
    unfreeze,
)
from tests.integration.erasure.test_rejected_rows import folder_of
from tests.integration.erasure.test_removing import PulledPlugError, erase, push, remover
from tests.integration.erasure.test_traces import AT, CRM, column, put
from tests.journeys import tills

pytestmark = pytest.mark.integration


def logged(workspace: Workspace, action: str) -> list[dict[str, Any]]:
    """The audit events of an action."""
    table = schema.audit_event.c
    chosen = sa.select(table.line).where(table.action == action).order_by(table.id)
    with workspace.engine.connect() as connection:
        return [json.loads(one) for one in connection.scalars(chosen)]


def test_every_record_of_a_person_has_its_line_of_the_ledger(
    shop: Workspace, tmp_path: Path
) -> None:
    """Shredding 2: all of them are kept away afterwards, from a restored backup too."""
    archive = dump(shop, tmp_path / "monday.dump")
    [done] = shred(shop, str(home_of(shop, CARD_NAME)))
    assert done.lines == (1, 2, 3)
    lines = column(shop, schema.shred.c.key)
    assert set(lines) == {key(shop, name) for name in ALL}
    restore(shop, archive)
    assert replayed(shop).destroyed.rows["record"] == 3
    assert stored_keys(shop) == {key(shop, BELLA_NAME)}


def test_a_replay_says_whom_it_destroys(shop: Workspace, tmp_path: Path) -> None:
    """Replaying 1: who had come back is named, once, by whoever replayed; else that it was done."""
    anna = home_of(shop, CARD_NAME)
    archive = dump(shop, tmp_path / "monday.dump")
    shred(shop, *ALL)
    replayed(shop)
    assert [one.get("profile_id") for one in logged(shop, "vault.replay")] == [None]
    restore(shop, archive)
    replayed(shop)
    [event] = logged(shop, "vault.replay")  # the one of before is not in the backup
    assert (event["profile_id"], event["actor"], event["detail"]) == (anna, "officer", WHY)
    assert event["decision"] == "allow"


def test_a_frozen_record_has_no_part_in_tags_and_destinations_are_told(shop: Workspace) -> None:
    """Shredding 5: what was worked out from it goes at once, and comes with it again."""
    anna, bella = home_of(shop, CARD_NAME), home_of(shop, BELLA_NAME)
    tills.write_declaration(folder_of(shop), declared(destinations={"crm": CRM}))
    shop = replace(shop, now=shop.now)  # read anew
    tags = schema.tag.c
    for work in (freeze, unfreeze):
        named = ({"profile_id": one, "name": "made_up", "value": "x", "rule_version": "1",
                  "at": AT} for one in (anna, bella))  # fmt: skip
        put(shop, schema.tag, *named)
        assert work(shop, CARD_NAME).profiles == (anna,)
        assert column(shop, tags.profile_id, tags.name == "made_up") == [bella]
        out = schema.outbox.c
        assert column(shop, out.profile_id, out.kind == UPDATED) == [anna]
        with shop.engine.begin() as connection:
            connection.execute(schema.outbox.delete())
            connection.execute(schema.tag.delete())


def test_without_an_epoch_those_who_stay_lose_what_only_it_knew(shop: Workspace) -> None:
    """Destroying 2 and 4: golden fields do not wait for a resolve, nor does consent."""
    anna = home_of(shop, CARD_NAME)
    with shop.engine.begin() as connection:
        connection.execute(sa.update(schema.epoch).values(active=False))
    numbers = column(shop, schema.record.c.id, schema.record.c.key == key(shop, SECOND_NAME))
    profile = schema.profile.c
    with shop.engine.begin() as connection:
        golden = {"nickname": str(numbers[0])}
        change = sa.update(schema.profile).where(profile.id == anna).values(golden=golden)
        connection.execute(change)
    shred(shop, SECOND_NAME)
    [golden] = column(shop, profile.golden, profile.id == anna)
    assert str(numbers[0]) not in golden.values()
    assert golden


# ── a whole source ──────────────────────────────────────────────────────────


def test_devices_of_its_people_go_with_it(shop: Workspace) -> None:
    """Removing 1: also those of which it has no event; those of another source's stay."""
    record = schema.record.c
    [mine] = column(shop, record.id, record.key == key(shop, ACCOUNT_NAME))
    [other] = column(shop, record.id, record.key == key(shop, CARD_NAME))
    put(
        shop,
        schema.event_device,
        {"subject": b"mine", "record_id": mine},
        {"subject": b"other", "record_id": other},
    )
    erase(shop, "app")
    assert column(shop, schema.event_device.c.subject) == [b"other"]


def test_a_backfill_that_was_broken_off_is_forgotten(shop: Workspace) -> None:
    """Removing 1: its state stands under another name than the source's."""
    state = {"read_as": "r", "sealed": b"x" * 40, "newest_at": AT, "at": AT}
    put(shop, schema.source_state, {"source": beside("app"), **state})
    put(shop, schema.source_state, {"source": beside("till"), **state})
    erase(shop, "app")
    assert column(shop, schema.source_state.c.source) == [beside("till")]


def test_begun_again_it_has_no_end_until_it_is_done(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removing 4: the end of an earlier removal says nothing of what came back since."""
    ended = schema.source_removal.c.ended_at
    erase(shop, "app")
    assert None not in column(shop, ended)
    with shop.engine.begin() as connection:  # a restored record, say
        connection.execute(schema.source_removal.update().values(source="elsewhere"))
        push(shop, connection)
        connection.execute(schema.source_removal.update().values(source="app"))

    def pull(*_: object) -> None:
        raise PulledPlugError

    with pytest.raises(PulledPlugError):
        remover(shop, "app").erase(WHY, pull)
    assert column(shop, ended) == [None]
    assert erase(shop, "app").records == 1
    assert None not in column(shop, ended)


def test_who_may_erase_in_one_brand_alone_removes_no_source(shop: Workspace) -> None:
    """Removing 3: it takes the right over everybody; the refusal is kept."""
    who = [*WHO, {"id": "local", "role": "compliance", "node": "outlet"}]
    brands = [*tills.ORGANISATION, {"id": "outlet", "kind": "brand", "name": "Kith Outlet"}]
    several = {"principals": who, "organisation": brands}
    tills.write_declaration(folder_of(shop), declared() | several)
    shop = replace(shop, now=shop.now)  # read anew
    with shop.engine.begin() as connection:
        sync_principals(connection, shop.declaration, shop.now())
    for done in (
        remover(shop, "app", "local").look(WHY),
        remover(shop, "app", "local").erase(WHY, quiet),
    ):
        assert isinstance(done, Denial)
        assert done.reason == "outside_scope"
    assert len(stored_keys(shop)) == len(ALL) + 1
    assert [one["decision"] for one in logged(shop, EVENT)] == ["deny"]
    assert count(shop, schema.source_removal) == 0


@contextmanager
def lost(shop: Workspace, monkeypatch: pytest.MonkeyPatch, at: int) -> Iterator[None]:
    """The connection that holds the right to remove goes away before the look number ``at``."""
    genuine = Hold.require
    looks: list[int] = []

    def require(self: Hold, connection: sa.Connection) -> None:
        looks.append(1)
        if len(looks) == at:
            number, _ = self.process
            end = sa.text("SELECT pg_terminate_backend(:number, 5000)")
            with shop.engine.connect() as other:
                other.execute(end, {"number": number})
        genuine(self, connection)

    with monkeypatch.context() as broken:
        broken.setattr(Hold, "require", require)
        yield


@pytest.mark.parametrize("at", [1, 2, 4])
def test_whoever_lost_the_right_to_remove_commits_nothing_more(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Removing 4: somebody else may have begun; what was done before stays, with its lines."""
    monkeypatch.setattr(removing, "BATCH", 1)
    with lost(shop, monkeypatch, at), pytest.raises(Retry, match="lock_lost"):
        erase(shop, "app")
    assert len(stored_keys(shop)) == len(ALL) + 1 - (at - 1)
    assert column(shop, schema.source_removal.c.ended_at) == [None]
    assert count(shop, schema.shred) == at - 1
    done = erase(shop, "app")
    assert isinstance(done, Removed)
    assert stored_keys(shop) == {key(shop, CARD_NAME)}
    assert count(shop, schema.shred) == len(ALL)


def test_one_batch_that_could_not_be_repaired_is_told(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removing 2: whoever stays waits for a resolve, though later batches went well."""
    genuine, done = removing.destroy, []

    def destroys(*given: Any) -> Any:
        done.append(1)
        return replace(genuine(*given), repaired=len(done) > 1)

    monkeypatch.setattr(removing, "BATCH", 1)
    monkeypatch.setattr(removing, "destroy", destroys)
    assert not erase(shop, "app").repaired
    assert len(done) == len(ALL)


def test_a_shred_is_named_in_the_log_once_for_each_person(shop: Workspace) -> None:
    """Shredding 1: with who, why and whose; what was not done is not in it."""
    anna = home_of(shop, CARD_NAME)
    shred(shop, str(anna))
    [event] = logged(shop, "vault.shred")
    assert (event["actor"], event["detail"], event["profile_id"]) == ("officer", WHY, anna)
    eraser(shop).shred(BELLA_NAME, WHY, rehearse=True)
    assert len(logged(shop, "vault.shred")) == 1
