"""Values set aside, read again: the record is then as if its row were synced today."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.ingest import values
from cdp.ingest.normalise.phone import normalise_phone
from cdp.ingest.replaying_values import replay_values
from cdp.ingest.sync import sync
from cdp.storage import schema
from cdp.workspace import Workspace
from tests.integration.feeds.deliveries import rows_of
from tests.journeys import tills
from tests.journeys.databases import Databases
from tests.journeys.state import contents, rows_as_stored
from tests.journeys.tills import APP, TILL, member, write_app, write_till

pytestmark = pytest.mark.integration

KEPT = ("cells", "indexes", "keys")


def declare(folder: Path, **till: Any) -> None:
    """Write the declaration, with more said of the till."""
    app = APP | {"fields": {**APP["fields"], "remark": "remark"}}
    tills.write_declaration(folder, tills.declaration(sources={"till": TILL | till, "app": app}))


@pytest.fixture
def shop(tmp_path: Path, databases: Databases, template: str) -> Iterator[Workspace]:
    """A workspace with a till and an app, whose members have remarks."""
    declare(tmp_path / "shop")
    opened = tills.open_shop(tmp_path / "shop", databases.copy(template))
    yield opened
    opened.engine.dispose()


@pytest.fixture
def twin(
    shop: Workspace, tmp_path: Path, databases: Databases, template: str
) -> Iterator[Workspace]:
    """Another one under the same key ring, to compare with."""
    declare(tmp_path / "twin")
    opened = tills.open_shop(tmp_path / "twin", databases.copy(template), shop.settings.key_ring)
    yield opened
    opened.engine.dispose()


def today(workspace: Workspace, **till: Any) -> Workspace:
    declare(workspace.declaration.folder, **till)
    return tills.reopen(workspace, workspace.settings)


def delivered(workspace: Workspace, *rows: dict[str, str]) -> int:
    write_till(workspace.declaration.folder, rows)
    return sync(workspace, "till").set_aside


def replayed(workspace: Workspace, source: str = "till", **more: Any) -> dict[str, Any]:
    done = replay_values(workspace, source, **more).to_dict()
    return {name: one for name, one in done.items() if one and name != "source"}


def reads_short_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on 4711 is somebody's phone, as if a release had learnt to read it."""

    def read(text: str, _: Any, reading: Any) -> Any:
        return normalise_phone(text.replace("4711", "13957140286"), reading.region)

    monkeypatch.setattr(values, "_NORMALISERS", {**values._NORMALISERS, "phone": read})


FULL = member(
    "C1",
    name="歐陽曉梅",
    phone="4711",
    email="Anna@Example.com",
    id_number="11010519491231002X",
    birthday="1949-12-31",
    no_ads="yes",
)


def test_a_value_that_reads_now_is_in_the_record(
    shop: Workspace, twin: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells, indexes, features and consent are those of a sync of today (1, 3)."""
    assert delivered(shop, FULL, member("C2", phone="4712")) == 2
    reads_short_numbers(monkeypatch)
    assert replayed(shop) == {
        "tried": 2,
        "values": 1,
        "still_bad": {rows_of(shop, schema.reject)[0].rule: 1},
        "left": 1,
    }
    assert delivered(twin, FULL, member("C2", phone="4712")) == 1
    one, other = contents(shop), contents(twin)
    assert {name: one[name] for name in KEPT} == {name: other[name] for name in KEPT}
    for number, record in one["records"].items():
        again = other["records"][number]
        assert record["features"] == again["features"]
        for name in ("content", "purposes", "refused", "basis", "store", "attributes"):
            assert record[name] == again[name], name
    assert [r["revision"] for r in one["records"].values()] == [2, 1]
    report = sync(shop, "till")
    assert (report.unchanged, report.nothing_new) == (2, True)


def test_several_values_of_one_field_are_read_apart(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that read go in, and the field waits with all of them where one does not."""
    split = {"fields": {**TILL["fields"], "phone": {"column": "phone", "split": "[/]"}}}
    shop = today(shop, **split)
    assert delivered(shop, member("C1", phone="4711/04711"), member("C2", phone="[4711/12")) == 2
    reads_short_numbers(monkeypatch)
    done = replayed(shop)
    assert (done["tried"], done["values"], done["left"]) == (2, 1, 1)
    phones = [cell for name, cell in contents(shop)["cells"].items() if name[1] == "contact.phone"]
    assert len(phones) == 1


def test_an_attribute_of_another_type_is_read(shop: Workspace) -> None:
    """The declaration of today decides, for attributes and for stores (1)."""
    assert delivered(shop, member("C1", spent="some", store="XX99")) == 2
    kind = {"attributes": {"total_spent": {"column": "spent", "type": "category"}}}
    shop = today(shop, **kind)
    done = replayed(shop)
    assert (done["tried"], done["values"], done["left"]) == (2, 1, 1)
    [record] = rows_of(shop, schema.record)
    assert record.attributes == {"total_spent": "some"}
    assert record.dirty
    organisation = [
        *tills.ORGANISATION,
        {"id": "XX99", "kind": "store", "parent": "kith", "name": "x"},
    ]
    declared = tills.declaration(organisation=organisation, sources={"till": TILL | kind})
    tills.write_declaration(shop.declaration.folder, declared)
    shop = tills.reopen(shop, shop.settings)
    assert replayed(shop) == {"tried": 1, "values": 1}
    assert rows_of(shop, schema.record)[0].store == "XX99"
    assert rows_of(shop, schema.reject) == []


def test_a_record_that_cannot_be_put_together_is_left_alone(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A remark gave its name twice over: what was delivered is not known any more (2)."""
    row = {
        "openid": "oMarkedOne00000000000000001",
        "name": "张敏",
        "remark": "李娜",
        "phones": "4711",
    }
    write_app(shop.declaration.folder, [row])
    assert sync(shop, "app").set_aside >= 1
    count = len(rows_of(shop, schema.reject))
    reads_short_numbers(monkeypatch)
    before = rows_as_stored(shop.engine)
    assert replayed(shop, "app") == {"tried": count, "not_replayable": count, "left": count}
    assert rows_as_stored(shop.engine) == before


def test_features_that_differ_are_left_alone(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells alone do not say that a record is the same (2)."""
    assert delivered(shop, FULL) == 1
    reads_short_numbers(monkeypatch)
    with shop.engine.begin() as connection:
        connection.execute(sa.update(schema.record).values(feature_version=1))
    assert replayed(shop)["not_replayable"] == 1


def test_a_frozen_record_and_one_that_does_not_open_are_left_alone(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads what a person froze; what does not open is not tried (2)."""
    assert delivered(shop, FULL) == 1
    reads_short_numbers(monkeypatch)
    with shop.engine.begin() as connection:
        connection.execute(sa.update(schema.record).values(state="frozen"))
    assert replayed(shop) == {}
    with shop.engine.begin() as connection:
        connection.execute(sa.update(schema.record).values(state="active"))
        connection.execute(sa.update(schema.reject).values(position=99))
    assert replayed(shop) == {}
    assert len(rows_of(shop, schema.reject)) == 1


def test_a_second_replay_and_a_rehearsal_change_nothing(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is still bad stays; a rehearsal only says (4, 5)."""
    assert delivered(shop, FULL, member("C2", phone="12")) == 2
    before = rows_as_stored(shop.engine)
    assert replayed(shop)["left"] == 2
    assert rows_as_stored(shop.engine) == before
    reads_short_numbers(monkeypatch)
    assert replayed(shop, rehearse=True)["values"] == 1
    assert rows_as_stored(shop.engine) == before
    assert replayed(shop)["values"] == 1
    before = rows_as_stored(shop.engine)
    assert replayed(shop)["left"] == 1
    assert rows_as_stored(shop.engine) == before
