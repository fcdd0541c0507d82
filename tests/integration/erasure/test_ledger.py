"""The ledger in its two places: one writer at a time, and nothing that can be bent."""

import datetime as dt
import errno
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from cdp.erasure.shredding import Shredded
from cdp.erasure.status import status
from cdp.errors import KithError, Refused
from cdp.storage import schema
from cdp.vault import shreds
from cdp.vault.errors import OtherWorkspace, ShredLedgerAltered, ShredLedgerUnwritable
from cdp.vault.shred_file import ShredFile
from cdp.workspace import Workspace, open_workspace
from tests.integration.erasure.household import (
    ACCOUNT_NAME,
    ALL,
    BELLA_NAME,
    CARD_NAME,
    SECOND_NAME,
    WHY,
    as_text,
    eraser,
    key,
    replayed,
    shred,
    stored_keys,
)

pytestmark = pytest.mark.integration


def test_two_shreds_at_once_come_one_after_the_other(shop: Workspace) -> None:
    """Ledger 3: four people destroy four records; the ledger is one chain of four lines."""

    def work(name: str) -> object:
        return eraser(shop).shred(name, WHY)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(work, (*ALL, BELLA_NAME)))
    assert all(isinstance(one, Shredded) for one in done)
    assert sorted(one.lines for one in done if isinstance(one, Shredded)) == [
        (1,),
        (2,),
        (3,),
        (4,),
    ]
    assert stored_keys(shop) == set()
    assert status(shop).lines == 4


def test_two_shreds_of_one_record_at_once_are_one(shop: Workspace) -> None:
    """Ledger 3: the second finds that nothing is left to do, and writes no line."""

    def work(name: str) -> object:
        try:
            return eraser(shop).shred(name, WHY)
        except Refused as error:
            return error.rule

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(work, (CARD_NAME, CARD_NAME)))
    assert "already_shredded" in done
    assert status(shop).lines == 1


def test_whoever_reads_meanwhile_waits_for_the_commit(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ledger 1: between the file and the commit a reader is not told that all was restored."""
    real = ShredFile.append
    seen: list[Future[str]] = []
    with ThreadPoolExecutor(1) as pool:

        def appends(self: ShredFile, lines: list[shreds.Line]) -> None:
            real(self, lines)
            seen.append(pool.submit(read))

        def read() -> str:
            with shop.engine.begin() as connection:
                shop.check_ledger(connection)
            return "in order"

        monkeypatch.setattr(ShredFile, "append", appends)
        shred(shop, CARD_NAME)
    assert [one.result() for one in seen] == ["in order"]


def test_a_full_disk_destroys_nothing(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ledger 1: no room for the line: a typed error, and the record is there as before."""
    shred(shop, BELLA_NAME)
    before, content = as_text(shop), shop.settings.shred_ledger.read_bytes()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ShredLedgerUnwritable, match="No space left"):
        eraser(shop).shred(CARD_NAME, WHY)
    monkeypatch.undo()
    assert as_text(shop) == before
    assert shop.settings.shred_ledger.read_bytes() == content
    shred(shop, CARD_NAME)


def test_with_the_clock_set_back_the_sequence_still_decides(shop: Workspace) -> None:
    """Destroyed, let in, destroyed again, each a day earlier: the last line counts."""
    start = shop.now()
    for day, work in enumerate(("shred", "readmit")):
        past = replace(shop, now=lambda day=day: start - dt.timedelta(days=day))
        getattr(eraser(past), work)(CARD_NAME, WHY)
    with shop.engine.connect() as connection:
        times = connection.scalars(
            sa.select(schema.shred.c.at).order_by(schema.shred.c.sequence)
        ).all()
    assert times == [start, start]
    assert status(shop).shredded == 0


ALTERED: dict[str, Callable[[bytes], bytes]] = {
    "reason": lambda text: text.replace(b"ticket L-7", b"ticket L-8", 1),
    "middle": lambda text: b"\n".join(text.split(b"\n")[:2] + text.split(b"\n")[3:]),
    "workspace": lambda text: text.replace(b'"workspace":"', b'"workspace":"0', 1),
    "garbled": lambda text: text[:-40] + b"\n",
}


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_ledger_is_refused_by_whoever_uses_it(shop: Workspace, how: str) -> None:
    """Ledger 2: nothing is written behind a ledger that is not genuine from its first line."""
    shred(shop, CARD_NAME, ACCOUNT_NAME, SECOND_NAME)
    file = shop.settings.shred_ledger
    file.write_bytes(ALTERED[how](file.read_bytes()))
    kind = OtherWorkspace if how == "workspace" else ShredLedgerAltered
    for work in (
        lambda: eraser(shop).shred(BELLA_NAME, WHY),
        lambda: eraser(shop).readmit(CARD_NAME, WHY),
        lambda: replayed(shop),
        lambda: status(shop),
    ):
        with pytest.raises(kind):
            work()
    assert stored_keys(shop) == {key(shop, BELLA_NAME)}


def test_an_altered_line_in_the_database_is_found(shop: Workspace) -> None:
    """Ledger 2: a row edited by an administrator does not let a record in."""
    shred(shop, CARD_NAME, ACCOUNT_NAME)
    with shop.engine.begin() as connection:
        connection.execute(
            sa.update(schema.shred).where(schema.shred.c.sequence == 1).values(kind="readmit")
        )
    with pytest.raises(ShredLedgerAltered):
        status(shop)
    with shop.engine.begin() as connection:
        connection.execute(sa.delete(schema.shred).where(schema.shred.c.sequence == 2))
    with pytest.raises(KithError, match="restored_before_shred"):
        open_workspace(shop.settings)
