"""Profiles on a real database: rebuilt from records, found, loaded and opened."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.errors import Stop
from cdp.profiles import reader
from cdp.profiles.build import PART, rebuild
from cdp.storage import schema, statements
from cdp.storage.bulk import copy_in
from cdp.vault.blind import BlindIndexer
from connectors.record import Sensitive
from identity.comparisons import COMPARISONS, MISSING
from tests.integration.retailer import NOW, TRUST, Retailer

pytestmark = pytest.mark.integration
PHONE, OTHER = "+8613911112222", "+8613733334444"


@pytest.fixture
def retailer(engine: sa.Engine, home: Path) -> Retailer:
    return Retailer(engine, home)


def opened(retailer: Retailer, profile_id: str, fields: list[str], purpose: str | None) -> dict:
    with retailer.engine.connect() as connection:
        stored = reader.load(connection, profile_id, TRUST)
        assert stored is not None
        values = reader.open_fields(connection, retailer.workspace.vault, stored, fields, purpose)
    assert all(type(value) is Sensitive for value in values.values())
    return {field: value.reveal(reason="test") for field, value in values.items()}


# ── build ───────────────────────────────────────────────────────────────────


def test_a_profile_row_follows_from_its_records(retailer: Retailer) -> None:
    """Build 1: golden pointers, attributes, purposes, stores and size come from the records."""
    shop = retailer.record(
        "shop",
        {"name": "赵一", "phone": PHONE, "email": "zhao@example.com"},
        purposes=("service", "marketing"),
        attributes={"orders": 2, "total_spent": "10.10", "last_order": "2026-01-02"},
    )
    till = retailer.record(
        "pos",
        {"name": "赵一一", "masked_name": "赵*"},
        store="BJ01",
        purposes=("service", "analysis"),
        refused=("marketing",),
        attributes={"orders": 3, "total_spent": "0.2", "last_order": "2026-03-04"},
    )
    profile_id = retailer.person(shop, till)
    with retailer.engine.connect() as connection:
        stored = reader.load(connection, profile_id, TRUST)
    assert stored is not None
    assert stored.golden == {"email": shop, "name": till, "phone": shop}
    assert stored.attributes == {"last_order": "2026-03-04", "orders": 5, "total_spent": "10.3"}
    assert (stored.purposes, stored.refused) == (("analysis", "service"), ("marketing",))
    assert (stored.stores, stored.revision) == (("BJ01",), 1)
    assert [one.id for one in stored.records] == [till, shop]


def test_a_rebuild_that_changes_nothing_writes_nothing(retailer: Retailer) -> None:
    """Build 2: only rows that differ are written, and their revision goes up by one."""
    one = retailer.person(retailer.record("pos", {"phone": PHONE}))
    two = retailer.person(retailer.record("pos", {"phone": OTHER}))
    later = NOW + dt.timedelta(days=1)
    with retailer.engine.begin() as connection:
        assert rebuild(connection, TRUST, [one, two, "p00000000000000000000"], later) == 0
        connection.execute(
            sa.update(schema.record)
            .where(
                schema.record.c.id
                == sa.select(schema.profile.c.anchor_id)
                .where(schema.profile.c.id == two)
                .scalar_subquery()
            )
            .values(store="BJ02")
        )
        assert rebuild(connection, TRUST, [one, two, two], later) == 1
        rows = connection.execute(
            sa.select(schema.profile.c.id, schema.profile.c.revision, schema.profile.c.updated_at)
        ).all()
    assert {row.id: (row.revision, row.updated_at) for row in rows} == {
        one: (1, NOW),
        two: (2, later),
    }


def test_a_rebuild_opens_nothing(retailer: Retailer) -> None:
    """Build 3: profiles are built although no data key is there to open anything."""
    record = retailer.record("pos", {"phone": PHONE, "national_id": "11010519491231002X"})
    with retailer.engine.begin() as connection:
        connection.execute(sa.delete(schema.data_key))
    profile_id = retailer.person(record)
    with retailer.engine.connect() as connection:
        stored = reader.load(connection, profile_id, TRUST)
    assert stored is not None
    assert stored.golden == {"national_id": record, "phone": record}


def test_many_profiles_are_rebuilt_at_once(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20,000 profiles of 48,000 records take two statements for every 5,000 of them."""
    people, records = 20_000, 48_000
    at = NOW.isoformat()
    with engine.begin() as connection:
        copy_in(
            connection,
            schema.record,
            (
                [
                    number,
                    "pos" if number % 2 else "shop",
                    number.to_bytes(16, "big"),
                    b"c",
                    1,
                    "BJ01",
                    "membership",
                    ["service"],
                    [],
                    '{"orders": 1}',
                    1,
                    b"f",
                    1,
                    at,
                    at,
                    False,
                ]
                for number in range(1, records + 1)
            ),
        )
        copy_in(
            connection,
            schema.contact,
            ([n, 1, ["name", "phone"], [b"a", b"b"]] for n in range(1, records + 1)),
        )
        copy_in(
            connection,
            schema.profile,
            ([f"p{n:020}", n, 0, 0, [], "{}", "{}", [], at] for n in range(1, people + 1)),
        )
        copy_in(
            connection,
            schema.membership,
            ([n, f"p{(n - 1) % people + 1:020}", at] for n in range(1, records + 1)),
        )
        connection.execute(sa.text("ANALYZE"))
        asked: list[str] = []
        run = statements._run

        def counted(held: sa.Connection, text: str, *rest: Any, **more: Any) -> Any:
            asked.append(text)
            return run(held, text, *rest, **more)

        monkeypatch.setattr(statements, "_run", counted)
        changed = rebuild(connection, TRUST, [f"p{n:020}" for n in range(1, people + 1)], NOW)
        orders = connection.scalar(
            sa.select(sa.func.sum(schema.profile.c.attributes["orders"].as_integer()))
        )
    assert (changed, orders) == (people, records)
    assert len(asked) == 2 * people / PART


# ── find and load ───────────────────────────────────────────────────────────


def test_a_person_is_found_by_a_full_identifier(retailer: Retailer) -> None:
    """Equal field, scope and value find the person; another scope or value does not."""
    profile_id = retailer.person(
        retailer.record("pos", {"phone": [PHONE, OTHER], "loyalty_card": "V100200"})
    )
    indexer = BlindIndexer(retailer.workspace.keyring)
    with retailer.engine.connect() as connection:
        assert reader.find(connection, indexer, "phone", None, OTHER) == [profile_id]
        assert reader.find(connection, indexer, "loyalty_card", "kith", "V100200") == [profile_id]
        assert reader.find(connection, indexer, "loyalty_card", None, "V100200") == []
        assert reader.find(connection, indexer, "phone", None, "+8613700000001") == []


def test_an_identifier_is_found_only_where_consent_covers_the_purpose(retailer: Retailer) -> None:
    """A record that was not given for a purpose is not searched for it."""
    profile_id = retailer.person(
        retailer.record("shop", {"phone": PHONE}, purposes=("analysis",)),
        retailer.record("shop", {"phone": OTHER}, refused=("marketing",)),
    )
    indexer = BlindIndexer(retailer.workspace.keyring)
    with retailer.engine.connect() as connection:
        assert reader.find(connection, indexer, "phone", None, PHONE, "analysis") == [profile_id]
        assert reader.find(connection, indexer, "phone", None, PHONE, "service") == []
        assert reader.find(connection, indexer, "phone", None, OTHER, "marketing") == []


def test_a_former_id_leads_to_the_current_one(retailer: Retailer) -> None:
    """Redirects are followed over several merges; a loop ends, and leads nowhere."""
    current = retailer.person(retailer.record("pos", {"phone": PHONE}))
    with retailer.engine.begin() as connection:
        for old, new in (("a", "b"), ("b", current), ("x", "y"), ("y", "x"), (current, "x")):
            connection.execute(schema.redirect.insert().values(old_id=old, new_id=new, at=NOW))
        assert reader.current_id(connection, "a") == current
        assert reader.current_id(connection, current) == current
        assert reader.current_id(connection, "x") is None
        loaded = reader.load(connection, "a", TRUST)
        assert loaded is not None
        assert loaded.id == current
        assert reader.load(connection, "nobody", TRUST) is None


def test_many_are_loaded_in_the_order_asked(retailer: Retailer) -> None:
    """Loading many keeps the caller's order and leaves out what does not exist."""
    ids = [retailer.person(retailer.record("pos", {"phone": PHONE})) for _ in range(3)]
    with retailer.engine.connect() as connection:
        asked = [ids[2], "p00000000000000000000", ids[0]]
        assert list(reader.load_many(connection, asked, TRUST)) == [ids[2], ids[0]]
        assert reader.load_many(connection, [], TRUST) == {}


# ── open ────────────────────────────────────────────────────────────────────


def test_only_what_is_asked_for_is_opened(
    retailer: Retailer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reader 1: a cell that nobody asked for stays sealed, and loading opens none."""
    profile_id = retailer.person(
        retailer.record(
            "pos", {"name": "赵一", "phone": PHONE, "national_id": "11010519491231002X"}
        )
    )
    seen: list[tuple[str, tuple[str, ...]]] = []
    vault = retailer.workspace.vault
    real = type(vault).open_cells

    def watched(self, tier, record_id, revision, wrapped, sealed):
        seen.append((tier, tuple(sealed)))
        return real(self, tier, record_id, revision, wrapped, sealed)

    monkeypatch.setattr(type(vault), "open_cells", watched)
    with retailer.engine.connect() as connection:
        assert reader.load(connection, profile_id, TRUST) is not None
    assert seen == []
    assert opened(retailer, profile_id, ["phone", "city"], "service") == {"phone": PHONE}
    assert seen == [("contact", ("phone",))]
    assert opened(retailer, profile_id, ["national_id"], None) == {
        "national_id": "11010519491231002X"
    }
    assert seen[1:] == [("sensitive", ("national_id",))]


def test_a_value_comes_only_from_a_record_whose_consent_covers_the_purpose(
    retailer: Retailer,
) -> None:
    """Reader 2 and 3: the till's phone serves service, the shop's marketing; both stay wrapped."""
    profile_id = retailer.person(
        retailer.record("pos", {"phone": PHONE}, purposes=("service",)),
        retailer.record("shop", {"phone": OTHER}, purposes=("service", "marketing")),
    )
    assert opened(retailer, profile_id, ["phone"], "service") == {"phone": PHONE}
    assert opened(retailer, profile_id, ["phone"], "marketing") == {"phone": OTHER}
    assert opened(retailer, profile_id, ["phone"], "fraud") == {}
    assert opened(retailer, profile_id, ["phone"], None) == {"phone": PHONE}


def test_an_incomplete_name_or_a_lent_number_is_never_opened_as_golden(retailer: Retailer) -> None:
    """Masked names, privacy numbers, nicknames and remarks stand in for nothing."""
    profile_id = retailer.person(
        retailer.record(
            "shop",
            {
                "masked_name": "赵**",
                "privacy_phone": "+8613911112222;ext=12",
                "nickname": "小赵",
                "remark": "赵一 朝阳店",
            },
        )
    )
    asked = ["name", "phone", "masked_name", "privacy_phone"]
    assert opened(retailer, profile_id, asked, "service") == {}


def test_a_record_without_its_key_gives_nothing(retailer: Retailer) -> None:
    """Reader 4: when a data key is destroyed, the next record stands in."""
    first = retailer.record("pos", {"phone": PHONE, "city": "北京市"})
    profile_id = retailer.person(first, retailer.record("shop", {"phone": OTHER}))
    with retailer.engine.begin() as connection:
        connection.execute(sa.delete(schema.data_key).where(schema.data_key.c.record_id == first))
    assert opened(retailer, profile_id, ["phone", "city"], "service") == {"phone": OTHER}


# ── evidence ────────────────────────────────────────────────────────────────


def _edge(low: int, high: int, levels: int) -> dict[str, object]:
    numbers = [COMPARISONS[0].level_number(0), 0, *[MISSING] * (levels - 2)]
    bits = [6.5, -1.5, *[0.0] * (levels - 2)]
    return {
        "low_id": low, "high_id": high, "weight": 5.0, "levels": numbers, "weights": bits,
        "epoch": "e1", "direct": True,
    }  # fmt: skip


def _epoch(names: list[str]) -> dict[str, object]:
    labels = {c.name: [{"level": level.label} for level in c.levels] for c in COMPARISONS}
    return {"version": 1, "comparisons": {name: labels.get(name, []) for name in names}}


def test_evidence_names_comparisons_levels_and_bits(retailer: Retailer) -> None:
    """Reader 5: why records were joined is told without a single value, in a fixed order."""
    one, two = retailer.record("pos", {"phone": PHONE}), retailer.record("shop", {"phone": PHONE})
    stranger = retailer.record("shop", {"phone": OTHER})
    profile_id = retailer.person(one, two)
    with retailer.engine.begin() as connection:
        connection.execute(
            schema.epoch.insert().values(
                id="e1", model=_epoch([c.name for c in COMPARISONS]), active=True, at=NOW
            )
        )
        for low, high in ((one, two), (two, stranger)):
            connection.execute(schema.edge.insert().values(_edge(low, high, len(COMPARISONS))))
        evidence = reader.evidence(connection, profile_id)
    assert [member.record_id for member in evidence.records] == [one, two]
    (link,) = evidence.links
    assert (link.low_id, link.high_id, link.bits, link.epoch) == (one, two, 5.0, "e1")
    assert [(f.comparison, f.level, f.bits) for f in link.findings] == [
        ("name", "equal", 6.5),
        ("phone", "differs", -1.5),
    ]
    assert PHONE not in repr(evidence)


def test_evidence_of_another_release_is_not_guessed(retailer: Retailer) -> None:
    """An edge whose comparisons have no certain names is refused, and says what to run."""
    one, two = retailer.record("pos", {"phone": PHONE}), retailer.record("shop", {"phone": PHONE})
    profile_id = retailer.person(one, two)
    with retailer.engine.begin() as connection:
        connection.execute(
            schema.epoch.insert().values(id="e1", model=_epoch(["name"]), active=True, at=NOW)
        )
        connection.execute(schema.edge.insert().values(_edge(one, two, len(COMPARISONS))))
        with pytest.raises(Stop, match="evidence_of_another_version"):
            reader.evidence(connection, profile_id)
