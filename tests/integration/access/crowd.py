"""A retailer with people who have hostile values everywhere, for lists and figures."""

from collections.abc import Callable
from decimal import Decimal
from functools import cached_property
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from cdp.access.answers import Denial, Page
from cdp.access.filters import Criterion, Filter
from cdp.access.gate import Gate
from cdp.access.listing import Listing
from cdp.profiles import reader
from cdp.profiles.reader import StoredProfile
from cdp.storage import schema
from policies.decision import Subject
from tests.integration.retailer import NOW, Retailer

NASTY: Final = (
    "",
    "%",
    "_",
    "ＢＪ０１",
    "BJ01\u200f",
    "BJ0_",
    "o'clock",
    "all",
    "{}",
    "NULL",
    "\\",
    '"',
)
STORES: Final = (None, "BJ01", "BJ02", "SZ01", *NASTY)
VALUES: Final = (
    *NASTY, 0, 1, 5, -3, 10**15, "5", "5.0", "1280.5", "-0.5", "１２", "\u200f5", "NaN", "Infinity",
    "1e5", "0x10", " 5", "5 ", "2026-05-04", "true", "null", True, False, "a" * 300, "漢字",
)  # fmt: skip
NAMES: Final = ("orders", "grade", "名", "%")
TAGS: Final = ("lifecycle", "_")
CONSENTS: Final = (
    ("service", "marketing", "analysis"),
    ("service", "analysis"),
    ("marketing",),
    ("service", "marketing"),
)
SUBJECTS: Final = {
    node: Subject(f"hq.{node}", "headquarters", node)
    for node in ("kith", "north", "south", "empty")
}


class Crowd:
    """People on one database, and what is asked of them."""

    def __init__(self, retailer: Retailer, engine: sa.Engine) -> None:
        self.retailer = retailer
        self.engine = engine
        self.people: dict[str, StoredProfile] = {}
        self.tags: dict[str, dict[str, str]] = {}

    @cached_property
    def gate(self) -> Gate:
        """The gate."""
        return Gate(self.retailer.workspace)

    def page(self, subject: Subject, purpose: str, *more: Any) -> Page | Denial:
        """A page, in a transaction of its own."""
        with self.engine.begin() as connection:
            return self.gate.list_page(connection, subject, purpose, *more)

    def listed(self, subject: Subject, purpose: str, listing: Listing, limit: int = 7) -> list[str]:
        """Everybody whom a list shows, page by page."""
        found: list[str] = []
        after: str | None = None
        while True:
            page = self.page(subject, purpose, after, limit, listing)
            assert isinstance(page, Page), page
            found += [one.profile_id for one in page.people]
            after = page.after
            if after is None:
                return found

    def one_by_one(self, subject: Subject, purpose: str, where: Filter) -> set[str]:
        """Whom policy lets the subject list, asked of each, who meet the filter as shown."""
        policy = self.retailer.workspace.policy
        rule = policy.compiled.purposes[purpose]
        return {
            one.id
            for one in self.people.values()
            if policy.decide(subject, "list", "profile_id", purpose, frozenset(one.stores)).allowed
            and (not rule.consent or purpose in one.purposes)
            and all(wanted in one.purposes for wanted in where.consents)
            and all(self.meets(one, criterion, purpose) for criterion in where.criteria)
        }

    def meets(self, one: StoredProfile, criterion: Criterion, purpose: str) -> bool:
        """The specification of a condition."""
        if criterion.field == "tags":
            return self.tags.get(one.id, {}).get(str(criterion.name)) == criterion.equals
        if criterion.field == "stores":
            return criterion.equals in one.stores_for(purpose)
        value = known(one, str(criterion.name), purpose)
        if criterion.equals is not None:
            return type(value) is type(criterion.equals) and value == criterion.equals
        number = as_number(value)
        least, most = criterion.at_least, criterion.at_most
        return number is not None and (
            (least is None or number >= least) and (most is None or number <= most)
        )


def known(one: StoredProfile, name: str, purpose: str) -> Any:
    """What a purpose may know of an attribute; None where a record it may not use contributes."""
    own = [record for record in one.records if name in record.attributes]
    return one.attributes_for(purpose).get(name) if all(r.covers(purpose) for r in own) else None


def as_number(value: Any) -> Decimal | None:
    """The number that a value is."""
    if isinstance(value, bool) or value is None:
        return None
    text = str(value)
    digits = text.removeprefix("-").replace(".", "", 1)
    whole = (
        digits.isascii() and digits.isdecimal() and text[-1] != "." and text.lstrip("-")[0] != "."
    )
    return Decimal(text) if whole else None


def crowd(engine: sa.Engine, folder: Path, size: int = 60) -> Crowd:
    """Make a crowd: every hostile value somewhere, in records of one or two to a person."""
    retailer = Retailer(engine, folder)
    values, stores, consents = cycle(VALUES), cycle(STORES), cycle(CONSENTS)
    ids = []
    for place in range(size):
        records = [
            retailer.record(
                "pos" if number == 0 else "legacy",
                {"name": f"金{place}", "phone": f"+86139{place:08}"},
                store=next(stores),
                purposes=next(consents),
                refused=("marketing",) if place % 11 == 0 else (),
                attributes={
                    NAMES[(place + step) % len(NAMES)]: next(values)
                    for step in range((place + number) % len(NAMES))
                },
            )
            for number in range(1 + (place % 3 == 0))
        ]
        ids.append(retailer.person(*records))
    made = Crowd(retailer, engine)
    _ = made.gate  # it looks once which policy is in force
    with engine.begin() as connection:
        for name, places in zip(TAGS, (range(0, size, 2), range(0, size, 3)), strict=True):
            rows = [
                {"profile_id": ids[place], "name": name, "value": NASTY[place % len(NASTY)]}
                for place in places
            ]
            more = {"rule_version": "1", "at": NOW}
            connection.execute(schema.tag.insert(), [row | more for row in rows])
        trust = retailer.workspace.declaration.trust
        made.people = reader.load_many(connection, ids, trust)
        made.tags = reader.tags_of(connection, ids)
    return made


def statements_of(engine: sa.Engine, asked: Callable[[], Any]) -> tuple[Any, list[str]]:
    """The answer to what is asked, and every statement that it took, without its values."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        return asked(), seen
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
