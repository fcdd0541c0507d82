"""The plain rule: records with the same phone or the same union id are one person.

This is what a shop does without a matching engine, run on the same files, as the
baseline that the demo prints beside its own figures. It is meant to be fair:

- a phone is its digits without the country prefix 86 or 0086; what is then not eleven
  digits long is dropped, which drops empty, masked and privacy numbers;
- it knows no list of placeholders, but a number on more than 50 records joins nobody:
  without that cap one placeholder would join hundreds, and precision would say nothing
  about the rule itself;
- WeCom's remark phones all count, and joining is transitive.
"""

import csv
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cdp.demo.disjoint import DisjointSets
from cdp.demo.files import read_workbook

CAP = 50  # records on one number or union id; more join nobody
_NO_DIGIT = re.compile(r"\D")
_LONGEST_LINE = 100_000  # characters; a longer line is no record of a person

RecordKey = tuple[str, str]  # (source, record id)
_Row = tuple[RecordKey, list[tuple[str, str]]]


def rule_clusters(folder: Path) -> dict[RecordKey, int]:
    """Run the rule on a world's folder; return record -> cluster, for every readable row."""
    keys: dict[RecordKey, int] = {}
    carriers: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for key, values in _rows(folder / "data"):
        at = keys.setdefault(key, len(keys))
        for value in values:
            carriers[value].add(at)
    sets = DisjointSets(len(keys))
    for records in carriers.values():
        if len(records) <= CAP:
            first, *others = sorted(records)
            for other in others:
                sets.join(first, other)
    return {key: sets.find(at) for key, at in keys.items()}


def plain_phone(text: str) -> str | None:
    """Return the eleven digits of a phone, or None if it has not eleven."""
    digits = _NO_DIGIT.sub("", unicodedata.normalize("NFKC", text))
    if len(digits) > 11:
        digits = digits.removeprefix("00").removeprefix("86")
    return digits if len(digits) == 11 else None


def _rows(data: Path) -> Iterator[_Row]:
    for row in _csv_rows(data / "pos.csv", "gb18030"):
        yield from _row("pos", row.get("卡号"), [row.get("手机号")])
    for row in _csv_rows(data / "shop.csv", "utf-8"):
        yield from _row("shop", row.get("buyer_id"), [row.get("phone")])
    for account in _json_rows(data / "miniprogram.jsonl"):
        phone = _within(account, "phone_info", "purePhoneNumber")
        yield from _row("miniprogram", account.get("openid"), [phone], account.get("unionid"))
    for contact in _json_rows(data / "wecom.jsonl"):
        phones = contact.get("remark_mobiles") or ()
        yield from _row("wecom", contact.get("external_userid"), phones, contact.get("unionid"))
    yield from _sheet_rows(data / "legacy.xlsx")


def _within(row: dict[str, Any], outer: str, inner: str) -> object:
    found = row.get(outer)
    return found.get(inner) if isinstance(found, dict) else None


def _row(
    source: str, record_id: object, phones: Iterable[object], unionid: str | None = None
) -> Iterator[_Row]:
    """Yield the row's record and its joining values, unless the record id is missing."""
    if not record_id:
        return
    values = [("phone", phone) for text in phones if (phone := plain_phone(str(text or "")))]
    if unionid:
        values.append(("unionid", unionid))
    yield (source, str(record_id)), values


def _lines(path: Path, encoding: str) -> Iterator[str]:
    for raw in path.read_bytes().splitlines():
        if len(raw) <= _LONGEST_LINE:
            yield raw.decode(encoding, errors="replace")


def _csv_rows(path: Path, encoding: str) -> Iterator[dict[str, str]]:
    reader = csv.reader(_lines(path, encoding))
    header = next(reader)
    for cells in reader:
        if len(cells) == len(header):
            yield dict(zip(header, cells, strict=True))


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    for line in _lines(path, "utf-8"):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict):
            yield row


def _sheet_rows(path: Path) -> Iterator[_Row]:
    header, *rows = read_workbook(path)
    number, phone = header.index("编号"), header.index("手机")
    for row in rows:
        yield from _row("legacy", row[number], [row[phone]])
