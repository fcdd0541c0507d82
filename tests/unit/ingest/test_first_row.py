"""Whether the first row of a file is a heading: `cdp/ingest/first_row.py`."""

import datetime as dt

import pytest

from cdp.ingest.first_row import FirstRow
from cdp.ingest.guessing import guess
from cdp.ingest.values import Reading
from connectors.table import Table

READING = Reading(dt.date(2026, 5, 4))
NAMES = ("王建国", "张敏", "李娜", "陈思远")
PHONES = tuple(f"1385716031{n}" for n in range(4))


def judged(heading: tuple[str, ...], *columns: tuple[str, ...]) -> FirstRow:
    rows = tuple(dict(zip(heading, cells, strict=True)) for cells in zip(*columns, strict=True))
    return guess(Table(heading, rows), READING).first_row


@pytest.mark.parametrize(
    ("heading", "columns"),
    [
        (("李静怡", "13957140286"), (NAMES, PHONES)),
        (("李静怡",), (NAMES,)),
        (("李静怡", "上海"), (NAMES, ("杭州", "北京", "深圳", "广州"))),
        (("李静怡", "电话销售"), (NAMES, ("门店", "直播", "团购", "老客"))),
        (("12", "Anna Smith"), (("13", "14", "15", "16"), ("A B", "C D", "E F", "G H"))),
        (("Anna Smith", "a@example.com"), (("A B", "C D", "E F", "G H"), PHONES)),
        (("张敏", "x"), (NAMES, ("a", "b", "c", "d"))),
    ],
)
def test_a_person_is_no_heading(
    heading: tuple[str, ...], columns: tuple[tuple[str, ...], ...]
) -> None:
    """A name over names, a number over numbers, a word that stands below too."""
    assert judged(heading, *columns) is FirstRow.PERSON


@pytest.mark.parametrize(
    ("heading", "columns"),
    [
        (("Anna Smith", "London"), (("A B", "C D", "E F", "G H"), ("Rome", "Oslo", "Bonn", "Ulm"))),
        (("Anna",), (("Ben", "Cleo", "Dan", "Eve"),)),
    ],
)
def test_what_nothing_tells_is_unclear(
    heading: tuple[str, ...], columns: tuple[tuple[str, ...], ...]
) -> None:
    """Words over words: no word of it is one for a column."""
    assert judged(heading, *columns) is FirstRow.UNCLEAR


@pytest.mark.parametrize(
    ("heading", "columns"),
    [
        (("姓名", "手机"), (NAMES, PHONES)),
        (("nombre", "celular"), (("A B", "C D", "E F", "G H"), PHONES)),
        (("等级", "金额"), (("金卡", "银卡", "铜卡", "无"), ("12.5", "13", "14", "15.5"))),
        (("姓名", "李静怡", "备注", "手机"), (NAMES, NAMES, NAMES, PHONES)),
    ],
)
def test_a_heading_is_one(heading: tuple[str, ...], columns: tuple[tuple[str, ...], ...]) -> None:
    """Words for columns, or words over numbers, where they outweigh what speaks against."""
    assert judged(heading, *columns) is FirstRow.HEADING
