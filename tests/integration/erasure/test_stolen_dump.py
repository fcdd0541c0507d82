"""A dump of the whole database, the key table included, opens nothing without the root."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.errors import KithError
from cdp.ingest.sync import sync
from cdp.storage import schema
from cdp.vault.blind import BlindIndexer
from cdp.vault.envelope import WrappedKey
from cdp.vault.keyring import KeyRing
from cdp.vault.rejects import RejectPlace
from cdp.vault.vault import Vault
from cdp.workspace import Workspace
from tests.integration.erasure.backups import dump, text_of
from tests.integration.erasure.household import CANARIES, CARD
from tests.journeys import marks
from tests.journeys.tills import write_till

pytestmark = pytest.mark.integration

Attempt = tuple[str, Callable[[], object]]  # on what, and how it is made


def attempts(connection: sa.Connection, thief: Vault) -> Iterator[Attempt]:
    """Every cell, feature blob and rejected row of the dump, under every wrapped key in it."""
    wrapped = [
        WrappedKey(row.key_version, bytes(row.wrapped))
        for row in connection.execute(sa.select(schema.data_key))
    ]
    for table in (schema.contact, schema.sensitive, schema.masked):
        for row in connection.execute(sa.select(table)):
            for field, cell in zip(row.fields, row.cells, strict=True):
                place = (table.name, field, row.record_id, row.revision)
                for key in wrapped:
                    yield (
                        table.name,
                        lambda p=place, k=key, c=bytes(cell): thief.open_cell(*p, k, c),
                    )
    for row in connection.execute(sa.select(schema.record)):
        for key in wrapped:
            yield (
                "features",
                lambda r=row, k=key: thief.open_features(r.id, r.revision, k, bytes(r.features)),
            )
    for row in connection.execute(sa.select(schema.reject)):
        kept = RejectPlace(row.source, row.fingerprint, row.position, row.field)
        yield "reject", lambda p=kept, s=bytes(row.sealed): thief.open_reject(p, s)


def opened(connection: sa.Connection, vault: Vault) -> list[str]:
    """What each attempt that succeeds was made on."""
    found = []
    for name, attempt in attempts(connection, vault):
        try:
            attempt()
        except KithError:
            continue
        found.append(name)
    return found


def test_all_tables_and_the_keys_without_the_root_open_nothing(
    shop: Workspace, tmp_path: Path
) -> None:
    """Vault 3: with the thief's own ring of the same workspace id every attempt is refused."""
    write_till(shop.settings.declaration.parent, [{**CARD, "phone": "12"}])
    assert sync(shop, "till").set_aside == 1
    own = KeyRing.create(tmp_path / "made-up.json", shop.id)
    with shop.engine.connect() as connection:
        tried = [name for name, _ in attempts(connection, shop.vault)]
        stolen = opened(connection, Vault(own, shop.id))
        mine = opened(connection, shop.vault)
    assert len(tried) > 80
    assert stolen == []
    # The search does open what the right ring opens, of every kind.
    assert set(mine) == set(tried) == {"contact", "sensitive", "masked", "features", "reject"}


def test_a_dump_says_nothing_in_the_clear_and_no_guess_can_be_tested(
    shop: Workspace, tmp_path: Path
) -> None:
    """Without the ring a guessed phone gives an index that stands nowhere in the dump."""
    text = text_of(dump(shop, tmp_path / "stolen.dump"))
    # What was spent is an attribute, and attributes are in the clear: THREATS says so.
    clear = [one for one in CANARIES if one != CARD["spent"]]
    assert not marks.search({"dump": text.encode()}, marks.needles(clear))
    own = KeyRing.create(tmp_path / "made-up.json", shop.id)
    for ring, there in ((own, False), (shop.keyring, True)):
        indexer = BlindIndexer(ring)
        found = [value.hex() in text for _, value in indexer.asked("phone", None, "+8613957140286")]
        assert any(found) is there


def test_the_ring_of_another_makes_no_workspace_of_it(shop: Workspace, tmp_path: Path) -> None:
    """A made-up ring with the right id is refused before anything is read."""
    own = KeyRing.create(tmp_path / "made-up.json", shop.id)
    with shop.engine.connect() as connection:
        check = connection.scalar(sa.select(schema.workspace.c.key_check))
    with pytest.raises(KithError):
        own.confirm(shop.id, bytes(check or b""))
