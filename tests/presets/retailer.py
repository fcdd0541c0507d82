"""A retailer whose every source is a preset, with the samples as its files."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import openpyxl
import yaml

from connectors.presets.catalogue import presets
from tests.journeys.tills import ORGANISATION

SAMPLES: Final = Path(__file__).parent / "samples"
ANSWERS: Final[Mapping[str, Mapping[str, str]]] = {
    "pos": {"brand": "kith"},
    "member_sheet": {"brand": "kith"},
    "wechat_miniprogram": {"app_id": "wx0000000000kith01", "open_platform": "kith-open"},
    "wechat_official_account": {"app_id": "wx0000000000kith99", "open_platform": "kith-open"},
    "wecom": {"corp": "ww0000000000kith", "open_platform": "kith-open"},
    "youzan": {"shop": "136000000", "open_platform": "kith-open"},
    "weimob": {"shop": "4020000000000", "open_platform": "kith-open"},
    "taobao": {"shop": "2200000000001", "brand": "kith-tmall"},
    "douyin": {"app_id": "tt0000000000kith"},
    "jd": {"app_key": "A0000000000KITH"},
    "shopify": {"shop": "kith.myshopify.invalid"},
}


def entries() -> dict[str, object]:
    """The sources as written out, read back."""
    text = "".join(one.written(name, ANSWERS[name]) for name, one in presets().items())
    written = yaml.safe_load(f"sources:\n{text}")["sources"]
    assert isinstance(written, dict)
    return written


def write(folder: Path) -> None:
    """Write ``cdp.yaml`` and the files of all sources."""
    (folder / "data").mkdir(parents=True)
    text = "".join(one.written(name, ANSWERS[name]) for name, one in presets().items())
    head = yaml.safe_dump({"version": 1, "organisation": ORGANISATION}, allow_unicode=True)
    (folder / "cdp.yaml").write_text(f"{head}sources:\n{text}", encoding="utf-8")
    for name, one in presets().items():
        write_sample(name, folder / one.location)


def write_sample(name: str, path: Path) -> None:
    """Write one sample in the form of its preset."""
    if path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        sheet = book.active
        assert sheet is not None
        with (SAMPLES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.reader(file):
                sheet.append(row)
        book.save(path)
    elif path.suffix == ".csv":
        path.write_bytes((SAMPLES / f"{name}.csv").read_text("utf-8").encode("gb18030"))
    else:
        path.write_bytes((SAMPLES / f"{name}.jsonl").read_bytes())


def truth() -> dict[tuple[str, str], str]:
    """(source, record id) to who it is."""
    with (SAMPLES / "truth.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {(row["source"], row["record_id"]): row["person"] for row in rows}


def groups(of: Mapping[tuple[str, str], str]) -> Iterator[frozenset[tuple[str, str]]]:
    """The records of each person."""
    for person in sorted(set(of.values())):
        yield frozenset(record for record, who in of.items() if who == person)
