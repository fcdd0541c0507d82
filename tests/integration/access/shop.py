"""A shop with two people, its gate, and what each role asks of it."""

from pathlib import Path

import sqlalchemy as sa

from cdp.access.answers import Denial, Page, View
from cdp.access.principals import subject_of
from cdp.access.reveal_gate import RevealGate
from cdp.storage import schema
from connectors.record import Sensitive
from tests.integration.retailer import NOW, Retailer

NAME, PHONE, EMAIL, BORN = "欧阳金丝", "+8613912346789", "canary.bird@example.com", "1990-02-17"
CARD, OPENID, NATIONAL_ID = "V100200300", "oAbCdEfGh_123456", "11010519491231002X"
NOTE, NICK = "金丝雀备注", "金丝雀昵称"
VALUES = (NAME, PHONE, EMAIL, BORN, CARD, OPENID, NATIONAL_ID, NOTE, NICK)
NOBODY_ID = "p0000000000000000000z"
ROLES = (
    "clerk.bj01", "clerk.sz01", "manager.bj01", "manager.empty", "headquarters",
    "compliance", "operator", "crm", "weekly", "stray",
)  # fmt: skip


class Shop:
    """A retailer with two people, and its gate."""

    def __init__(self, engine: sa.Engine, home: Path) -> None:
        self.retailer = Retailer(engine, home)
        self.engine = engine
        self.gate = RevealGate(self.retailer.workspace)
        self.till = self.retailer.record(
            "pos",
            {
                "name": NAME, "phone": PHONE, "birth_date": BORN, "gender": "female",
                "loyalty_card": CARD, "city": "北京市", "note": NOTE,
            },
            store="BJ01",
            attributes={"orders": 2},
        )  # fmt: skip
        legacy = self.retailer.record(
            "legacy",
            {"national_id": NATIONAL_ID, "email": EMAIL, "openid": OPENID, "nickname": NICK},
            purposes=("service",),
            attributes={"orders": 5},
        )
        self.ada = self.retailer.person(self.till, legacy)
        self.far = self.retailer.person(
            self.retailer.record(
                "shop",
                {"name": "赵一", "phone": PHONE},
                store="SZ01",
                refused=("marketing",),
                attributes={"orders": 1},
            )
        )
        with engine.begin() as connection:
            connection.execute(
                schema.tag.insert().values(
                    profile_id=self.ada, name="lifecycle", value="active", rule_version="1", at=NOW
                )
            )

    def subject(self, who: str):
        """Who asks, by id."""
        return subject_of(self.retailer.workspace, who)

    def view(self, who: str, profile_id: str, purpose: str = "service") -> View | None:
        """One person, in a transaction of its own."""
        with self.engine.begin() as connection:
            return self.gate.view(connection, self.subject(who), profile_id, purpose)

    def find(self, who: str, field: str, typed: str, purpose="service", scope=None):
        """A look-up, in a transaction of its own."""
        with self.engine.begin() as connection:
            return self.gate.find(
                connection, self.subject(who), field, scope, Sensitive(typed), purpose
            )

    def reveal(self, who: str, profile_id: str, field: str, reason="Call back about ticket 4711"):
        """A reveal for service, in a transaction of its own."""
        with self.engine.begin() as connection:
            return self.gate.reveal(
                connection, self.subject(who), profile_id, field, "service", reason
            )

    def page(self, who: str, purpose="service", after=None, limit=50) -> Page | Denial:
        """A page, in a transaction of its own."""
        with self.engine.begin() as connection:
            return self.gate.list_page(connection, self.subject(who), purpose, after, limit)


def fields_of(view: View | None) -> dict[str, tuple[str, str]] | None:
    return None if view is None else {f: (s.treatment, s.value) for f, s in view.fields.items()}


MASKED = {
    "name": ("mask", "欧阳**"),
    "phone": ("mask", "139****6789"),
    "email": ("mask", "c***@example.com"),
    "birth_date": ("mask", "1990-**-**"),
    "loyalty_card": ("mask", "****0300"),
    "gender": ("clear", "female"),
    "city": ("clear", "北京市"),
}
