"""The index key rotated while reads and writes go on."""

import threading
from typing import Self

import numpy as np
import pytest
import sqlalchemy as sa

from cdp.errors import Refused
from cdp.ingest import index_keys, index_state, reindex
from cdp.ingest.prepare import Preparer
from cdp.ingest.storing import reading_of
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.vault.blind import BlindIndexer
from cdp.vault.errors import VersionInUse
from cdp.vault.index_plan import Spread
from cdp.vault.keyed import BlockKeyer
from connectors.record import FieldValue, Record, Sensitive
from tests.integration.retailer import NOW
from tests.integration.vault.indexed import PAIR, Indexed, holders, people, quiet

pytestmark = pytest.mark.integration

NATIONAL_ID = "11010519491231002X"


def test_a_rotation_makes_every_row_anew(shop: Indexed) -> None:
    """Invariant 3: exact identifiers and compounds, as ingest would write them now."""
    shop.declare(surname_phone=PAIR)
    phones = people(shop, 7)
    shop.built()
    before = shop.rows()
    assert index_keys.begin_epoch(shop.workspace) == (2, True)
    told: list[tuple[int, int]] = []
    report = reindex.reindex(shop.workspace, lambda *done: told.append(done), batch=3)
    assert report.complete
    assert (report.epoch, report.records, report.rows) == (2, 7, len(before))
    assert told[0] == (0, 7)
    assert (7, 7) in told
    newest = BlindIndexer(shop.workspace.keyring, 2)
    after = {row for row in shop.rows() if row[2] == 2}
    assert {row[3] for row in after if row[1] == "phone"} == {
        newest.index("phone", None, phone) for phone in phones
    }
    assert {row[:2] for row in after} == {row[:2] for row in before}
    assert before <= shop.rows(), "the old rows are there until they are retired"
    # A second time there is nothing to do, and no third key is made.
    assert index_keys.begin_epoch(shop.workspace) == (2, False)
    again = reindex.reindex(shop.workspace, quiet)
    assert (again.records, again.rows) == (0, 0)


def test_retiring_takes_only_what_nobody_needs(shop: Indexed) -> None:
    """State invariants 1 and 2: refused while a record has old rows alone; then they go."""
    phones = people(shop, 4)
    shop.built()
    with pytest.raises(VersionInUse, match="in force"):
        index_state.retire(shop.workspace, 1, quiet)
    shop.new_key()
    with pytest.raises(VersionInUse, match="cdp index rotate"):
        index_state.retire(shop.workspace, 1, quiet)
    reindex.reindex(shop.workspace, quiet)
    old = sum(row[2] == 1 for row in shop.rows())
    assert index_state.retire(shop.workspace, 1, quiet, dry_run=True) == old
    assert sum(row[2] == 1 for row in shop.rows()) == old
    assert index_state.retire(shop.workspace, 1, quiet) == old
    assert {row[2] for row in shop.rows()} == {2}
    assert [len(holders(shop, phone)) for phone in phones] == [1] * 4


def test_a_row_written_late_with_the_old_key_is_not_lost(shop: Indexed) -> None:
    """State invariant 1: check and deletion are one statement; the next rotation finds the row."""
    people(shop, 2)
    shop.new_key()
    reindex.reindex(shop.workspace, quiet)
    number, late = shop.member("欧阳晚", "+8613955550000")
    with shop.engine.begin() as connection:
        table = schema.blind_index
        old = BlindIndexer(shop.workspace.keyring, 1).index("phone", None, "+8613955550000")
        connection.execute(sa.delete(table).where(table.c.record_id == number))
        row = {"record_id": number, "field": "phone", "value": old, "epoch": 1}
        connection.execute(table.insert().values(row))
    assert holders(shop, "+8613955550000") == [late]
    with pytest.raises(VersionInUse):
        index_state.retire(shop.workspace, 1, quiet)
    assert reindex.reindex(shop.workspace, quiet).records == 1
    index_state.retire(shop.workspace, 1, quiet)
    assert holders(shop, "+8613955550000") == [late]


class Traffic:
    """Readers and writers that go on beside a job, until it is stopped."""

    def __init__(self, shop: Indexed, phones: list[str], *, writing: bool = True) -> None:
        self._shop, self._phones = shop, phones
        self._stop = threading.Event()
        self.lost: list[str] = []
        self.looked = 0
        self.written: list[str] = []
        self.errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._go_on, args=(work,))
            for work in ((self._read, self._write) if writing else (self._read,))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _go_on(self, work) -> None:
        try:
            while not self._stop.is_set():
                work()
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.errors.append(error)

    def _read(self) -> None:
        phone = self._phones[self.looked % len(self._phones)]
        self.looked += 1
        if len(holders(self._shop, phone)) != 1:
            self.lost.append(phone)

    def _write(self) -> None:
        phone = f"+86138{len(self.written) + 1:08}"
        self._shop.member("王新", phone)
        self.written.append(phone)


def test_reads_and_writes_go_on(shop: Indexed) -> None:
    """Invariant 2: at every moment of a rotation and a retirement everybody is found."""
    phones = people(shop, 40)
    shop.built()
    with Traffic(shop, phones) as first:
        shop.new_key()
        reindex.reindex(shop.workspace, quiet, batch=5)
    # That writer wrote under the key it began with, as a process that has not looked again
    # does: what it added is found, and taken along by the next run.
    with Traffic(shop, phones, writing=False) as second:
        reindex.reindex(shop.workspace, quiet, batch=5)
        index_state.retire(shop.workspace, 1, quiet)
    for traffic in (first, second):
        assert (traffic.errors, traffic.lost, traffic.looked > 0) == ([], [], True)
    assert first.written
    everybody = phones + first.written
    assert [phone for phone in everybody if len(holders(shop, phone)) != 1] == []


def test_ingest_writes_under_the_newest_key(shop: Indexed) -> None:
    """Blind invariant 4: a process that was started before a rotation follows it."""
    workspace = shop.workspace
    source = workspace.declaration.source("pos")
    reading = reading_of(workspace, NOW.date())
    preparer = Preparer(workspace.keyring, workspace.vault, source, reading)
    record = Record(
        "pos",
        Sensitive("1"),
        1,
        {
            "name": (FieldValue(Sensitive("欧阳金丝")),),
            "phone": (FieldValue(Sensitive("13912341234")),),
        },
    )
    first = preparer.prepare(record, 1, 1)
    shop.new_key()
    second = preparer.prepare(record, 1, 2)
    assert (first.epoch, second.epoch) == (1, 2)
    labels = [label for label, _ in second.indexes]
    assert labels == ["phone", "phone_tail_4+surname:12"]
    assert not {value for _, value in first.indexes} & {value for _, value in second.indexes}


def test_a_broken_off_rotation_goes_on(shop: Indexed) -> None:
    """Invariant 1: what was committed stays, and the same call does only the rest."""
    people(shop, 9)
    shop.built()
    shop.new_key()

    def ending(done: int, _expected: int) -> None:
        if done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reindex.reindex(shop.workspace, ending, batch=3)
    assert len({row[0] for row in shop.rows() if row[2] == 2}) == 6
    assert index_keys.begin_epoch(shop.workspace) == (2, False)
    assert reindex.reindex(shop.workspace, quiet, batch=3).records == 3


def test_a_changed_record_keeps_what_its_new_revision_says(shop: Indexed) -> None:
    """Invariant 3: a record that changed while its batch waited has no row of its old phone."""
    number, _ = shop.member("欧阳金丝", "+8613912341234")
    shop.new_key()
    job = reindex._Job(shop.workspace, reindex._PENDING, 10)
    (asked,) = list(job._batches())
    changed, _ = shop.member("欧阳金丝", "+8613700007777")
    with shop.engine.begin() as connection:
        # The sync's way: rows of the old revision go, those of the new one come.
        table = schema.blind_index
        connection.execute(sa.delete(table).where(table.c.record_id.in_([number, changed])))
        connection.execute(sa.delete(schema.contact).where(schema.contact.c.record_id == number))
    job._commit(asked)
    assert [row for row in shop.rows() if row[0] == number] == []


def test_a_new_epoch_has_blocking_keys_made_anew(shop: Indexed) -> None:
    """They derive from the same key: the next resolve is a full one, and makes all of them anew."""
    with shop.engine.begin() as connection:
        connection.execute(sa.update(schema.workspace).values(blocked_with="as before"))
    keyer = BlockKeyer(shop.workspace.keyring)
    some = np.arange(5, dtype=np.int64)
    before = keyer.keys(0, some)
    with only_one(shop.engine, "resolve", "wait"), pytest.raises(Refused, match="resolve"):
        index_keys.begin_epoch(shop.workspace)
    assert shop.workspace.keyring.current("blind-index") == 1
    index_keys.begin_epoch(shop.workspace)
    with shop.engine.connect() as connection:
        assert connection.scalar(sa.select(schema.workspace.c.blocked_with)) is None
    after = BlockKeyer(shop.workspace.keyring).keys(0, some)
    assert not set(before.tolist()) & set(after.tolist())
    # A keyer that was made before stays with its version, and gives that of the database.
    assert (keyer.keys(0, some) == before).all()
    assert (keyer.under(2).keys(0, some) == after).all()
    assert (keyer.under(1).keys(0, some) == before).all()


def test_building_twice_adds_nothing(shop: Indexed) -> None:
    """A compound that is declared later is built for all, and for those who lack it only."""
    people(shop, 5)
    shop.retailer.record("pos", {"phone": "+8613911110000"})
    first = reindex.build(shop.workspace, quiet, batch=2)
    assert (first.records, first.rows) == (5, 5)
    assert reindex.build(shop.workspace, quiet, batch=2).rows == 0
    shop.declare(surname_phone=PAIR | {"bits": 11})
    again = reindex.build(shop.workspace, quiet)
    assert (again.rows, again.stale) == (5, 5)


def test_stale_definitions_go_with_their_epoch(shop: Indexed) -> None:
    """Rows of a definition that cdp.yaml no longer has hold nothing up."""
    people(shop, 3)
    shop.built()
    shop.declare(surname_phone=PAIR | {"bits": 9})
    shop.new_key()
    assert reindex.reindex(shop.workspace, quiet).stale == 3
    index_state.retire(shop.workspace, 1, quiet)
    assert {row[1] for row in shop.rows()} == {"phone"}


def test_what_is_measured_counts_people(shop: Indexed) -> None:
    """State invariant 3: two records of one person are one holder; counts are exact."""
    one = shop.retailer.record("pos", {"name": "王小明", "phone": "+8613900001234"})
    two = shop.retailer.record("shop", {"name": "王小明", "phone": "+8613900001234"})
    shop.retailer.person(one, two)
    shop.member("王丽", "+8613700001234")
    shop.member("李丽", "+8613700005555")
    shop.retailer.record("pos", {"phone": "+8613700009999"})
    told: list[tuple[int, int]] = []
    spread = index_state.measured_spread(
        shop.workspace, ["phone_tail_4", "surname"], lambda *done: told.append(done)
    )
    assert spread == Spread.of_counts([2, 1])
    assert told[-1] == (5, 5)
    shop.declare(surname_phone={"parts": ["surname", "phone_tail_4"]})
    shop.built()
    by_label = {(s.label, s.epoch): s for s in index_state.states(shop.workspace)}
    assert by_label["phone_tail_4+surname:128", 1].spread == spread
    assert by_label["phone_tail_4+surname:128", 1].records == 4
    assert by_label["phone", 1].spread == Spread.of_counts([1, 1, 1, 1])
    assert all(state.declared and state.only_here == 0 for state in by_label.values())
