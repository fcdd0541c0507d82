"""After a scrub no byte of a destroyed record, or of an index of it, is on the server's disk."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.erasure import scrubbing
from cdp.erasure.status import status
from cdp.errors import Refused
from cdp.publish.run import run as publish
from cdp.storage import embedded, schema
from cdp.storage.embedded import start
from cdp.workspace import Workspace, create
from tests.integration.erasure.household import (
    ALL,
    BELLA_NAME,
    CANARIES,
    CARD_NAME,
    declared,
    freeze,
    key,
    settle,
    shred,
    stored_keys,
)
from tests.journeys import marks, tills
from tests.journeys.tills import write_app, write_till

pytestmark = pytest.mark.integration


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def alone() -> Iterator[Workspace]:
    """A shop on a server of its own, so that every byte of its folder can be looked at."""
    with tempfile.TemporaryDirectory(prefix="kith-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # the embedded server has a user of its own
        tills.write_declaration(folder, declared())
        settings = tills.settings(folder, "")
        workspace = create(settings)
        try:
            settle(workspace)
            yield workspace
        finally:
            workspace.engine.dispose()
            embedded.stop(settings.database_folder)


def keyed(workspace: Workspace) -> dict[bytes, str]:
    """Every keyed or sealed form of the household's records, as bytes and as hex."""
    found: dict[bytes, str] = {}
    names = [key(workspace, name) for name in ALL]
    with workspace.engine.connect() as connection:
        records = schema.record.c
        mine = records.key.in_(names)
        for row in connection.execute(sa.select(schema.record).where(mine)):
            found[bytes(row.content)] = "content digest"
            found[bytes(row.features)[:48]] = "features"
        ids = sa.select(records.id).where(mine)
        for table in (schema.contact, schema.sensitive, schema.masked):
            for row in connection.execute(sa.select(table).where(table.c.record_id.in_(ids))):
                found |= {bytes(cell)[:48]: f"cell of {table.name}" for cell in row.cells}
        indexes = schema.blind_index
        for row in connection.execute(sa.select(indexes).where(indexes.c.record_id.in_(ids))):
            found[bytes(row.value)] = f"blind index of {row.field}"
        wrapped = schema.data_key
        for row in connection.execute(sa.select(wrapped).where(wrapped.c.record_id.in_(ids))):
            found[bytes(row.wrapped)] = "data key"
        blocks = schema.block
        mine_alone = (
            sa.select(blocks.c.key)
            .group_by(blocks.c.key)
            .having(sa.func.bool_and(blocks.c.record_id.in_(ids)))
        )
        for number in connection.scalars(mine_alone):
            found[int(number).to_bytes(8, "little", signed=True)] = "blocking key"
    as_hex = {one.hex().encode(): f"{name} in hex" for one, name in found.items() if len(one) > 8}
    return found | as_hex


def on_disk(workspace: Workspace) -> dict[str, bytes]:
    """Every file of the workspace: heap, indexes, log of changes, temporary files, exports."""
    heap = marks.files(workspace.settings.home)
    heap |= marks.files(workspace.settings.declaration.parent / "exports")
    # Of the databases that initdb made, the server uses one; the others are its templates.
    unused = ("file postgres/base/1/", "file postgres/base/4/")
    return {name: content for name, content in heap.items() if not name.startswith(unused)}


def exports(workspace: Workspace) -> Path:
    return workspace.settings.declaration.parent / "exports" / "crm.csv"


def test_no_byte_of_a_destroyed_record_is_on_the_disk(alone: Workspace) -> None:
    """Scrubbing 1: a search of every byte finds them all before, and none afterwards."""
    assert publish(alone, ["crm"])[0].stopped is None
    with alone.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))
        connection.execute(sa.text("CHECKPOINT"))
        # An error of the server must not quote what was stored, nor the statement.
        with pytest.raises(sa.exc.IntegrityError):
            connection.execute(
                sa.text("INSERT INTO kith_vault.blind_index SELECT * FROM kith_vault.blind_index")
            )
    needles = keyed(alone)
    clear = marks.plain_needles(CANARIES)
    found = {one.rsplit(": ", 1)[1] for one in marks.search(on_disk(alone), needles)}
    assert {"data key", "features", "content digest", "cell of contact", "cell of sensitive",
            "cell of masked", "blocking key"} <= found  # fmt: skip
    assert "13957140286" in exports(alone).read_text("utf-8")

    shred(alone, *ALL)
    assert publish(alone, ["crm"])[0].stopped is None
    folder = alone.settings.declaration.parent
    write_till(folder, [])
    left = {"openid": "oBellaStays1", "name": "陈思远", "phones": "13611228397"}
    write_app(folder, [left])
    one = next(needle for needle, name in needles.items() if name == "data key")
    assert marks.search(on_disk(alone), {one: "data key"})  # deleted is not overwritten
    assert status(alone).not_scrubbed == scrubbing.RELATIONS

    done = scrubbing.run(alone)

    assert done.kept == ""
    assert [one.relation for one in done.rewritten] == [*scrubbing.TABLES, scrubbing.STATISTICS]
    heap = on_disk(alone)
    assert marks.search(heap, needles) == []
    assert marks.search(heap, clear) == []
    assert any(name.startswith("file postgres/pg_wal/") for name in heap)
    assert "file postgres/log" in heap
    after = status(alone)
    assert (after.not_scrubbed, after.pending_since, after.shredded) == ((), None, 3)
    assert scrubbing.run(alone).rewritten == ()
    assert stored_keys(alone) == {key(alone, BELLA_NAME)}


def test_the_embedded_server_keeps_no_old_log_files(alone: Workspace) -> None:
    """What the server was told when it started."""
    with alone.engine.connect() as connection:
        shown = {name: connection.scalar(sa.text(f"SHOW {name}")) for name in embedded.SETTINGS}
    assert shown == dict(embedded.SETTINGS)
    assert start(alone.settings.database_folder)  # again, and it says the same


def test_a_killed_scrub_goes_on_with_what_is_left(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scrubbing 2: what was rewritten is not rewritten again."""
    shred(shop, CARD_NAME)
    real, seen = scrubbing._Scrub._vacuum, []

    def vacuum(self: scrubbing._Scrub, relation: str) -> None:
        if len(seen) == 3:
            raise Killed
        seen.append(relation)
        real(self, relation)

    monkeypatch.setattr(scrubbing._Scrub, "_vacuum", vacuum)
    with pytest.raises(Killed):
        scrubbing.run(shop)
    assert status(shop).not_scrubbed == scrubbing.RELATIONS[3:]
    monkeypatch.setattr(scrubbing._Scrub, "_vacuum", real)
    done = scrubbing.run(shop)
    assert [one.relation for one in done.rewritten] == list(scrubbing.RELATIONS[3:-1])
    shred(shop, BELLA_NAME)
    assert status(shop).not_scrubbed[:3] == scrubbing.RELATIONS[:3]


def test_somebody_who_still_reads_from_before_is_waited_for(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scrubbing 1: while an old snapshot sees the rows, no table counts as scrubbed."""
    monkeypatch.setattr(scrubbing, "PATIENCE", 0.3)
    snapshot = shop.engine.execution_options(isolation_level="REPEATABLE READ")
    with snapshot.connect() as reader:
        assert reader.scalar(sa.text("SELECT count(*) FROM kith.record")) == 4
        shred(shop, CARD_NAME)
        with pytest.raises(Refused, match="still_being_read"):
            scrubbing.run(shop)
        assert reader.scalar(sa.text("SELECT count(*) FROM kith.record")) == 4
    assert status(shop).not_scrubbed == scrubbing.RELATIONS
    assert scrubbing.run(shop).rewritten


def test_a_table_in_use_is_named_and_the_rest_stays_done(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scrubbing 3: a lock that is not to be had ends it with a typed error."""
    monkeypatch.setattr(scrubbing, "PATIENCE", 1.0)
    shred(shop, CARD_NAME)
    with shop.engine.connect() as other:
        other.execute(sa.text("LOCK TABLE kith_vault.contact IN ACCESS SHARE MODE"))
        with pytest.raises(Refused, match=r"table_in_use|still_being_read"):
            scrubbing.run(shop)
    assert "kith_vault.contact" in status(shop).not_scrubbed


def test_a_role_that_may_not_rewrite_is_told_so(shop: Workspace) -> None:
    """Scrubbing 3: PostgreSQL passes over what a role may not vacuum, and calls it success."""
    shred(shop, CARD_NAME)
    role = f"kith_plain_{shop.id.hex[:12]}"
    with shop.engine.begin() as connection:
        connection.execute(sa.text(f"CREATE ROLE {role} LOGIN"))
        for name in ("kith", "kith_vault", "kith_keys"):
            connection.execute(sa.text(f"GRANT USAGE ON SCHEMA {name} TO {role}"))
            rights = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES"
            connection.execute(sa.text(f"GRANT {rights} IN SCHEMA {name} TO {role}"))
    plain = sa.create_engine(shop.engine.url.set(username=role))
    try:
        limited = Workspace(**{**vars_of(shop), "engine": plain})
        with pytest.raises(Refused, match="scrub_not_permitted"):
            scrubbing.run(limited)
    finally:
        plain.dispose()
        with shop.engine.begin() as connection:
            connection.execute(sa.text(f"DROP OWNED BY {role}"))
            connection.execute(sa.text(f"DROP ROLE {role}"))
    assert status(shop).not_scrubbed == scrubbing.RELATIONS


def test_old_exports_and_untold_destinations_are_named(shop: Workspace) -> None:
    """Status says which files and receivers still have what was destroyed."""
    assert publish(shop, ["crm"])[0].stopped is None
    kept = shop.settings.exports / "members.csv"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("till,C900001,p0\n", encoding="utf-8")
    old = shop.now().timestamp() - 60
    os.utime(kept, (old, old))
    shred(shop, *ALL)
    found = status(shop)
    assert found.exports == ("members.csv",)
    assert found.untold == {"crm": 1}
    assert publish(shop, ["crm"])[0].stopped is None
    assert status(shop).untold == {}
    freeze(shop, BELLA_NAME)
    assert status(shop).frozen == 1


def vars_of(workspace: Workspace) -> dict[str, object]:
    return {name: getattr(workspace, name) for name in workspace.__dataclass_fields__}
