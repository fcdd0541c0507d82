"""A retailer that declares compound indexes, and what is asked of them."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from cdp.access.answers import Denial, View
from cdp.access.by_parts import PartsGate
from cdp.access.principals import subject_of
from cdp.ingest.reindex import build
from cdp.profiles import reader
from cdp.storage import schema
from cdp.vault.blind import BlindIndexes
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import system_randomness
from cdp.vault.ring_editing import RingEditor
from cdp.vault.ring_edits import add_version
from cdp.workspace import Workspace
from connectors.record import Sensitive
from tests.integration.retailer import NOW, Retailer, declaration

PAIR = {"parts": ["surname", "phone_tail_4"], "bits": 12}
DATED = {"parts": ["name", "birth_date"]}
SECRET = {"parts": ["birth_year", "national_id_tail_4"]}


class Indexed:
    """The retailer, its gate, and its indexes as the database has them."""

    def __init__(self, engine: sa.Engine, home: Path, **indexes: Any) -> None:
        self.retailer = Retailer(engine, home)
        self.engine = engine
        self.declare(**(indexes or {"surname_phone": PAIR}))

    @property
    def workspace(self) -> Workspace:
        """The retailer's workspace."""
        return self.retailer.workspace

    def declare(self, **indexes: Any) -> None:
        """Write ``cdp.yaml`` anew with these indexes."""
        path = self.workspace.settings.declaration
        content = declaration() | {"indexes": indexes}
        path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        self.workspace.__dict__.pop("declaration", None)
        assert self.workspace.declaration.indexes.keys() == indexes.keys()
        self.gate = PartsGate(self.workspace)

    def member(self, name: str, phone: str, store: str = "BJ01", **more: Any) -> tuple[int, str]:
        """A person of one record; returns record and profile id."""
        fields = {"name": name, "phone": phone} | more.pop("fields", {})
        number = self.retailer.record("pos", fields, store=store, **more)
        return number, self.retailer.person(number)

    def built(self) -> None:
        """Build the compounds for all that is stored."""
        build(self.workspace, lambda *_: None)

    def match(self, who: str, purpose: str = "service", **given: str) -> list[View] | Denial:
        """A look-up by parts, in a transaction of its own."""
        subject = subject_of(self.workspace, who)
        typed = {part: Sensitive(text) for part, text in given.items()}
        with self.engine.begin() as connection:
            return self.gate.find_by_parts(connection, subject, typed, purpose)

    def found(self, who: str, purpose: str = "service", **given: str) -> list[str]:
        """The ids that a look-up by parts shows."""
        views = self.match(who, purpose, **given)
        assert isinstance(views, list), views
        return [view.profile_id for view in views]

    def new_key(self) -> int:
        """Put a new index key in force, as another process would."""
        editor = RingEditor(
            self.workspace.settings.key_ring, self.workspace.id, self.workspace.providers
        )
        used = dict.fromkeys({row[2] for row in self.rows()}, 1)
        document = editor.edit(
            lambda ring: add_version(ring, "blind-index", used, system_randomness, NOW)
        )
        version = document.keys["blind-index"].current
        self.workspace.keyring.secret("blind-index", version)
        return version

    def rows(self) -> set[tuple[int, str, int, bytes]]:
        """Every index row: record, label, epoch, value."""
        table = schema.blind_index
        with self.engine.connect() as connection:
            return {
                (row.record_id, row.field, row.epoch, bytes(row.value))
                for row in connection.execute(sa.select(table))
            }

    def asked(self, phone: str) -> tuple[tuple[int, bytes], ...]:
        """What a look-up by a whole phone asks for."""
        return BlindIndexes(self.workspace.keyring).asked("phone", None, phone)


def quiet(_done: int, _expected: int) -> None:
    """Say nothing."""


def people(shop: Indexed, count: int) -> list[str]:
    """So many members; their phones."""
    phones = [f"+86139{n:08}" for n in range(10, 10 + count)]
    for n, phone in enumerate(phones):
        shop.member(f"欧阳小{chr(0x4E00 + n)}", phone)
    return phones


def holders(shop: Indexed, phone: str) -> list[str]:
    """Who holds a phone, by every epoch."""
    with shop.engine.connect() as connection:
        return reader.find(connection, BlindIndexes(shop.workspace.keyring), "phone", None, phone)


def other(shop: Indexed, keyring: KeyRing) -> Workspace:
    """The same workspace with another ring in its process."""
    mine = shop.workspace
    return Workspace(mine.settings, mine.engine, keyring, mine.now)
