"""Masked forms made at ingest and brought up to date: `cdp/ingest/remask.py`."""

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.errors import Refused
from cdp.ingest import remask as remasking
from cdp.ingest.remask import RemaskReport, remask
from cdp.ingest.stored_cells import open_stored
from cdp.ingest.sync import sync
from cdp.profiles.sealed import formed
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.workspace import Workspace
from connectors.vocabulary import IDENTITY_FIELDS
from policies.masks import HIDDEN, mask
from tests.journeys import tills
from tests.journeys.tills import crowd, member, write_till

pytestmark = pytest.mark.integration
ANNA = member(
    "C900001",
    name="欧阳晓梅",
    phone="13957140286",
    email="anna.marked@example.com",
    id_number="11010519491231002X",
    birthday="1949-12-31",
)


@pytest.fixture
def shop(tmp_path: Path, database_url: str):
    """A till that delivered a few members."""
    shop = tills.open_shop(tmp_path / "shop", database_url)
    write_till(tmp_path / "shop", [ANNA, *crowd(20)])
    sync(shop, "till")
    yield shop
    shop.engine.dispose()


def quiet(done: int, total: int) -> None:
    """Show no progress."""


def shown(shop: Workspace, workspace: Workspace | None = None) -> dict[int, dict[str, str]]:
    """The stored masked forms of every record, opened."""
    with shop.engine.begin() as connection:
        ids = connection.scalars(sa.select(schema.record.c.id)).all()
        asked = {str(n): dict.fromkeys(IDENTITY_FIELDS, n) for n in ids}
        found = list(formed(connection, asked, (workspace or shop).forms.version))
    return {
        number: {
            name: form.reveal(reason="test")
            for name, form in shop.vault.open_cells(
                "masked", number, one.revision, one.wrapped, one.cells
            ).items()
        }
        for _, number, _, one in found
    }


def masked_clear(shop: Workspace) -> dict[int, dict[str, str]]:
    """What the clear values of every record give under their masks."""
    with shop.engine.begin() as connection:
        ids = connection.scalars(sa.select(schema.record.c.id)).all()
        cells, broken = open_stored(connection, shop, ids, IDENTITY_FIELDS)
    assert not broken
    masking = shop.forms.masking
    every = {
        number: {name: mask(masking[name], values[0][0]) for name, values in held.items()}
        for number, held in cells.items()
    }
    return {n: {k: v for k, v in held.items() if v != HIDDEN} for n, held in every.items()}


def forget(shop: Workspace) -> None:
    """Make the records those of an earlier release: without masked forms."""
    with shop.engine.begin() as connection:
        connection.execute(sa.delete(schema.masked))
        connection.execute(sa.delete(schema.data_key).where(schema.data_key.c.tier == "masked"))


def rows(shop: Workspace) -> list[tuple[object, ...]]:
    """The rows of the tier as they are stored."""
    with shop.engine.begin() as connection:
        found = connection.execute(sa.select(schema.masked).order_by(schema.masked.c.record_id))
        return [(*row[:4], tuple(map(bytes, row[4]))) for row in found]


def test_a_sync_stores_the_form_of_every_value(shop: Workspace) -> None:
    """Each record that comes in has the masked form of each field, and only forms."""
    assert shown(shop) == masked_clear(shop)
    (anna,) = [one for one in shown(shop).values() if "national_id" in one]
    assert anna == {
        "name": "欧阳**",
        "phone": "139****0286",
        "email": "a***@example.com",
        "national_id": "11****X",
        "birth_date": "1949-**-**",
    }


def test_a_changed_record_has_the_forms_of_its_new_values(shop: Workspace) -> None:
    """A new revision has new forms, and nothing is left of the old ones."""
    write_till(shop.settings.declaration.parent, [ANNA | {"phone": "13611228397"}])
    sync(shop, "till")
    assert shown(shop) == masked_clear(shop)
    assert len(rows(shop)) == len(shown(shop)) == 21
    assert "136****8397" in {one.get("phone") for one in shown(shop).values()}


def test_records_from_before_get_their_forms(shop: Workspace) -> None:
    """Remask gives every record of an earlier release its forms; a second one does nothing."""
    before = shown(shop)
    forget(shop)
    assert shown(shop) == {}
    said: list[tuple[int, int]] = []
    report = remask(shop, lambda done, total: said.append((done, total)), batch=8)
    assert report == RemaskReport(shop.forms.version, 21)
    assert said == [(8, 21), (16, 21), (21, 21)]
    assert shown(shop) == before
    stored = rows(shop)
    assert remask(shop, quiet).records == 0
    assert rows(shop) == stored


def test_a_killed_job_goes_on_where_it_stopped(shop: Workspace, monkeypatch) -> None:
    """Remask 1: what was committed stays, and the same command does the rest."""
    forget(shop)
    real, calls = remasking._batch, []

    def killed(*arguments):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(remasking, "_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        remask(shop, quiet, batch=8)
    assert len(rows(shop)) == 8
    first = rows(shop)
    monkeypatch.undo()
    assert remask(shop, quiet, batch=8).records == 13
    assert rows(shop)[:8] == first
    assert shown(shop) == masked_clear(shop)


def test_other_masks_make_every_form_anew(shop: Workspace) -> None:
    """Remask 2: after a change of masking.yaml all forms are of it, once it was run."""
    policy = shop.policy
    less = replace(policy.compiled, masking={**policy.compiled.masking, "email": "whole"})
    changed = replace(shop, pin=replace(policy, compiled=less))
    assert shown(shop, changed) == {}
    assert remask(changed, quiet).records == 21
    assert not [one for one in shown(shop, changed).values() if "email" in one]


@pytest.mark.parametrize("tier", ["contact", "sensitive", "masked"])
def test_without_a_key_nothing_is_begun(shop: Workspace, tier: str) -> None:
    """Remask 3: a process that lacks a tier's key makes no half of a record's forms."""
    forget(shop)
    less = replace(shop, keyring=shop.keyring.without(tier))
    with pytest.raises(Refused, match=f"lacking {tier}.*next: run it with the whole key ring"):
        remask(less, quiet)
    assert rows(shop) == []


def test_a_record_that_does_not_open_is_named(shop: Workspace) -> None:
    """Remask 4: a changed cell is passed over and named; the others get their forms."""
    forget(shop)
    with shop.engine.begin() as connection:
        broken = connection.scalar(sa.select(sa.func.min(schema.contact.c.record_id)))
        connection.execute(
            sa.text(
                "UPDATE kith_vault.contact SET cells = array_fill('\\x00'::bytea, "
                "ARRAY[cardinality(cells)]) WHERE record_id = :id"
            ),
            {"id": broken},
        )
    report = remask(shop, quiet)
    assert (report.records, report.broken_count, list(report.broken)) == (20, 1, [broken])
    assert broken not in shown(shop)


def test_only_one_makes_forms_at_a_time(shop: Workspace) -> None:
    """A second job is refused while the first one runs."""
    with only_one(shop.engine, "remask", "wait"), pytest.raises(Refused, match="already_running"):
        remask(shop, quiet)


def test_a_ring_of_an_earlier_release_takes_records_in(shop: Workspace) -> None:
    """Without the `masked` key records are stored as before, without forms."""
    less = replace(shop, keyring=shop.keyring.without("masked"))
    write_till(shop.settings.declaration.parent, [ANNA | {"phone": "13611228397"}])
    assert sync(less, "till").changed == 1
    assert len(rows(shop)) == 20
    assert remask(shop, quiet).records == 1
