"""Rejected rows that need not be opened: what rules them out never hides a row of a person."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa

from cdp.erasure import rejected
from cdp.erasure.targets import Held
from cdp.ingest.destroyed import possible_keys
from cdp.ingest.writing import MOST_WORDS, SetAside, write_set_aside
from cdp.storage import schema
from cdp.vault.keyed import RecordKeys
from cdp.vault.rejects import RejectPlace
from cdp.workspace import Workspace
from connectors.mapping import join_record_id
from connectors.possible_ids import kept
from connectors.record import Sensitive
from tests.integration.erasure.household import (
    BELLA_NAME,
    CARD_NAME,
    declared,
    key,
    replayed,
    shred,
)
from tests.journeys import tills
from tests.journeys.tills import APP, TILL

pytestmark = pytest.mark.integration
NAMES = (
    "C900001", "oAnna-Marked_01", "BJ01|C900001", r"a\|b|C9", "张三", "no 7 b", "7", "---",
    "x@y.example.com", "C900001" * 20, "ß", "a.b-c", "550e8400-e29b-41d4", "|",
)  # fmt: skip


def write(workspace: Workspace, rows: Sequence[tuple[str, str]], *, keyed: bool = False) -> None:
    """Keep rows as rejected ones of a source, as a sync does."""
    keys = RecordKeys(workspace.keyring)
    with workspace.engine.begin() as connection:
        for number, (source, text) in enumerate(rows):
            found = possible_keys(keys, source, workspace.declaration.sources.get(source), text)
            known = None if found is None or not keyed else tuple(sorted(found))
            one = SetAside(number, "", "made up", "no step", Sensitive(text), None, keys=known)
            write_set_aside(
                connection, workspace.vault, source, "made up", [one], workspace.now()
            )  # fmt: skip


def left(connection: sa.Connection) -> list[int]:
    """The numbers of the rows that are there."""
    return sorted(connection.scalars(sa.select(schema.reject.c.position)))


def both_ways(
    workspace: Workspace, remove: Callable[[sa.Connection], int]
) -> tuple[list[int], list[int]]:
    """What stays of all rejected rows: where they are ruled out, and where each is opened."""
    stays = []
    with workspace.engine.connect() as connection:
        for blind in (False, True):
            if blind:
                every = sa.update(schema.reject).values(words=None, record_keys=None)
                connection.execute(every)
            before = len(left(connection))
            gone = remove(connection)
            stays.append(left(connection))
            assert before - gone == len(stays[-1])
            connection.rollback()
    return stays[0], stays[1]


def opened(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[RejectPlace]:
    """The rejected rows that are opened from now on."""
    found: list[RejectPlace] = []
    real = type(workspace.vault).open_reject

    def opens(vault: object, place: RejectPlace, sealed: bytes) -> Sensitive:
        found.append(place)
        return real(vault, place, sealed)  # type: ignore[arg-type]

    monkeypatch.setattr(type(workspace.vault), "open_reject", opens)
    return found


def texts(dice: np.random.Generator, name: str) -> list[str]:
    """Rows that name somebody, nearly name them, or do not, written in many ways."""
    nearly = [name, name, name + "x", "x" + name, name[1:] or "y", name.upper(), "other"]
    near = nearly[dice.integers(len(nearly))]
    others = ["张敏", "13957140286", "a, b", 'say "so"', "7", near]
    cells = [others[place] for place in dice.integers(len(others), size=4)]
    row = {"id": near, "note": f"see {near}, please", "n": 7, "deep": [{"x": cells}]}
    escaped = json.dumps(row).replace("C", "\\u0043")
    parts = dict(enumerate(near.split("|")))
    found = [
        ",".join(cells), ";".join([*cells, near]), f'"{near}",{cells[0]},"x""{near}"',
        json.dumps(row, ensure_ascii=False), escaped, escaped[:-3], escaped + "}",
        json.dumps(parts), f"{near}\t{cells[1]}", f"'{near}'", near, "", f"\\n{near}",
        json.dumps({"note": near * 40}), f"x{near}", f"{near} \ud867",
    ]  # fmt: skip
    ids = [near, name, None]
    wrapped = [kept(ids[dice.integers(3)], one, json.dumps([near])) for one in found]
    return [*found, *wrapped, kept("somebody", f"knows {near}")]


@pytest.mark.parametrize("seed", range(2))
def test_both_ways_find_the_same_rows_of_a_name(
    shop: Workspace, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejected 8: of many kinds of ids, and rows written in many ways, among two sources."""
    dice = np.random.default_rng(seed)
    rows = [
        (("till", "app")[dice.integers(2)], text) for name in NAMES for text in texts(dice, name)
    ]
    write(shop, rows, keyed=bool(seed % 2))
    for name in NAMES:
        known = {1: Sensitive(name)}
        monkeypatch.setattr(rejected, "_names", lambda *_, known=known: known)
        held = [Held(1, b"", source, "active", None) for source in ("till", "app")]
        ruled, each = both_ways(shop, lambda one, held=held: rejected.remove(one, shop, held))
        assert ruled == each, name
        assert len(each) < len(rows)


@pytest.mark.parametrize("columns", [1, 2])
def test_both_ways_find_the_same_rows_of_a_key(shop: Workspace, columns: int) -> None:
    """Rejected 8: of a record of which only its key is left, and of ids of more columns."""
    dice = np.random.default_rng(1)
    rows = [("till", text) for name in NAMES for text in texts(dice, name)]
    write(shop, rows, keyed=True)
    shop = under(shop, {**TILL, "record_id": ["card", "name"][:columns]})
    parted = [join_record_id(["C900001", "张敏"]), join_record_id(["C900001", "7"])]
    keys = {key(shop, f"till:{name}") for name in (*NAMES, *parted)}
    for one in (key(shop, f"till:{name}") for name in (NAMES[0], parted[0])):
        ruled, each = both_ways(shop, lambda c, one=one: rejected.remove_by_key(c, shop, [one]))
        assert ruled == each
    ruled, each = both_ways(shop, lambda one: rejected.remove_by_key(one, shop, keys))
    assert ruled == each
    assert len(each) < len(rows)


def under(workspace: Workspace, till: dict[str, object]) -> Workspace:
    """The shop with another till."""
    folder = workspace.settings.declaration.parent
    tills.write_declaration(folder, declared(sources={"till": till, "app": APP}))
    return replace(workspace, now=workspace.now)  # read anew


def test_a_shred_opens_few_rows(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejected 8: of a thousand rejected rows of others, a handful by chance and their own."""
    others = [("till", f"C{n:06},张敏,139{n:08},stray,x{n}") for n in range(1_000)]
    write(shop, [*others, ("till", "C900001,欧阳晓梅,stray"), ("till", kept("x", "C900001 knows"))])
    seen = opened(shop, monkeypatch)
    [done] = shred(shop, CARD_NAME)
    assert done.destroyed.rows["reject"] == 2
    assert 2 <= len(seen) <= 12
    with shop.engine.connect() as connection:
        assert left(connection) == list(range(1_000))


def test_a_row_without_words_is_opened(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejected 8: one of an older release, and one with so many words that none were kept."""
    many = " ".join(f"w{n}" for n in range(MOST_WORDS + 1))
    write(shop, [("till", "C900001,a"), ("till", f"{many},C900001"), ("till", f"{many},C900002")])
    old = sa.update(schema.reject).where(schema.reject.c.position == 0).values(words=None)
    with shop.engine.begin() as connection:
        connection.execute(old)
        unknown = schema.reject.c.words.is_(None)
        assert connection.scalar(sa.select(sa.func.count()).where(unknown)) == 3
    seen = opened(shop, monkeypatch)
    assert shred(shop, CARD_NAME)[0].destroyed.rows["reject"] == 2
    assert sorted(one.position for one in seen) == [0, 1, 2]


def test_a_replay_opens_no_row_of_others_where_keys_were_kept(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejected 8: what the ledger names is found by the keys of the rows of feeds."""
    shred(shop, CARD_NAME)
    others = [("till", f"C{n:06},张敏,stray") for n in range(50)]
    write(shop, [*others, ("till", "C900001,欧阳晓梅,stray")], keyed=True)
    with shop.engine.begin() as connection:
        connection.execute(schema.shred.delete())
    seen = opened(shop, monkeypatch)
    assert replayed(shop).destroyed.rows["reject"] == 1
    assert len(seen) == 1


def test_a_value_of_somebody_else_stays_whatever_it_says(shop: Workspace) -> None:
    """Rejected 4: it is no row; it goes with its own record alone."""
    with shop.engine.begin() as connection:
        bella = key(shop, BELLA_NAME)
        record = schema.record.c
        number = connection.scalar(sa.select(record.id).where(record.key == bella))
        raw = Sensitive("C900001")
        one = SetAside(1, "phone", "made up", "no step", raw, number)
        write_set_aside(connection, shop.vault, "till", "made up", [one], shop.now())
    shred(shop, CARD_NAME)
    with shop.engine.connect() as connection:
        assert left(connection) == [1]


def test_of_a_deletion_by_its_source_a_row_of_somebody_else_stays(shop: Workspace) -> None:
    """Rejected 7: a row that was kept with its own id counts for that one alone."""
    write(shop, [("till", kept("C900002", "brought along by C900001"))], keyed=True)
    held = [Held(1, key(shop, CARD_NAME), "till", "active", None)]
    with shop.engine.connect() as connection:
        name = connection.scalar(
            sa.select(schema.record.c.id).where(schema.record.c.source == "till")
        )
        held = [replace(held[0], id=name or 0)]
        unseen = SetAside(7, "", "made up", "no step", Sensitive("C900001,a,stray"), None)
        write_set_aside(connection, shop.vault, "till", "made up", [unseen], shop.now())
        assert rejected.remove_looked_into(connection, shop, held) == 1
        assert left(connection) == [0]


def test_an_id_with_a_quote_in_it_is_found_as_a_file_writes_it(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejected 4: a quote is doubled between quotes."""
    write(shop, [("till", '"C""9",张敏,stray'), ("till", '"C""8",张敏,stray')])
    monkeypatch.setattr(rejected, "_names", lambda *_: {1: Sensitive('C"9')})
    with shop.engine.connect() as connection:
        assert rejected.remove(connection, shop, [Held(1, b"", "till", "active", None)]) == 1
        assert left(connection) == [1]


@pytest.mark.parametrize("damaged", [True, False])
@pytest.mark.parametrize("keyed", [True, False])
def test_a_shred_of_a_record_that_does_not_open_finds_its_rows_by_its_key(
    shop: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    keyed: bool,  # noqa: FBT001
    damaged: bool,  # noqa: FBT001
) -> None:
    """Rejected 5: whether keys were kept beside them or not; others are not opened for it."""
    write(shop, [("till", f"C9000{n:02},a,stray") for n in range(9)], keyed=keyed)
    with shop.engine.begin() as connection:
        garbled = sa.update(schema.data_key).values(wrapped=b"x" * 60)
        connection.execute(garbled if damaged else schema.data_key.delete())
    seen = opened(shop, monkeypatch)
    assert shred(shop, CARD_NAME)[0].destroyed.rows["reject"] == 1
    with shop.engine.connect() as connection:
        assert left(connection) == [n for n in range(9) if n != 1]
    assert len(seen) == (1 if keyed else 9)


def test_a_row_of_which_nobody_can_tell_whose_it_is_goes_with_a_replay(shop: Workspace) -> None:
    """Rejected 5: of an id of several columns, with more cells than can be tried; no other row."""
    shop = under(shop, {**TILL, "record_id": ["card", "name"]})
    many = ",".join(f"n{number}" for number in range(200))
    write(shop, [("till", many), ("till", "C900002,b")], keyed=True)
    with shop.engine.connect() as connection:
        assert rejected.remove_by_key(connection, shop, [key(shop, "till:C900001|a")]) == 1
        assert left(connection) == [1]
