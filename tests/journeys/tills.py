"""A tiny retailer with one till and one shop, written as files and wired by hand."""

import csv
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from cdp.settings import Settings
from cdp.storage.engine import open_engine
from cdp.workspace import Workspace, create

HEADER = ("card", "name", "phone", "email", "id_number", "birthday", "store", "spent", "no_ads")
ORGANISATION = [
    {"id": "kith", "kind": "brand", "name": "Kith Retail"},
    {"id": "BJ01", "kind": "store", "parent": "kith", "name": "朝阳店"},
    {"id": "SZ01", "kind": "store", "parent": "kith", "name": "南山店"},
]
TILL: dict[str, Any] = {
    "connector": "csv",
    "location": "till.csv",
    "encoding": "utf-8",
    "record_id": "card",
    "store": "store",
    "fields": {
        "loyalty_card": {"column": "card", "scope": "kith"},
        "name": "name",
        "phone": "phone",
        "email": "email",
        "national_id": "id_number",
        "birth_date": "birthday",
    },
    "attributes": {"total_spent": {"column": "spent", "type": "decimal"}},
    "consent": {
        "basis": "membership",
        "purposes": ["service", "marketing", "analysis"],
        "opt_out": {"column": "no_ads", "values": ["yes"], "purposes": ["marketing"]},
    },
}
APP: dict[str, Any] = {
    "connector": "jsonl",
    "location": "app.jsonl",
    "encoding": "utf-8",
    "record_id": "openid",
    "fields": {
        "openid": {"column": "openid", "scope": "app01"},
        "unionid": {"column": "unionid", "scope": "kith"},
        "name": "name",
        "phone": "phones",
    },
    "consent": {"basis": "consent", "purposes": ["service", "marketing"]},
}


def declaration(**more: Any) -> dict[str, Any]:
    """``cdp.yaml`` of this retailer; ``more`` replaces whole sections."""
    return {
        "version": 1,
        "organisation": ORGANISATION,
        "sources": {"till": TILL, "app": APP},
        "destinations": {},
        "principals": [{"id": "headquarters", "role": "headquarters", "node": "kith"}],
        **more,
    }


def member(card: str, **values: str) -> dict[str, str]:
    """One line of the till."""
    usual = {"name": "张敏", "phone": "13957140286", "store": "BJ01", "spent": "10.00"}
    return dict.fromkeys(HEADER, "") | usual | {"card": card} | values


def crowd(count: int) -> list[dict[str, str]]:
    """So many members, each different, every fiftieth with something to set aside."""
    given = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平"
    rows = []
    for n in range(count):
        name = "王李张刘陈杨黄赵吴周"[n % 10] + given[n % 20] + given[n // 20 % 20]
        phone = "12" if n % 50 == 7 else f"139{n:08}"
        rows.append(member(f"C{n:06}", name=name, phone=phone, email=f"m{n}@example.com"))
    return rows


def write_till(folder: Path, rows: Iterable[Mapping[str, str] | Sequence[str]]) -> None:
    """Write ``till.csv``: mappings by column, or lists of cells as they are."""
    with (folder / "till.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for row in rows:
            writer.writerow([row[c] for c in HEADER] if isinstance(row, Mapping) else row)


def write_app(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write ``app.jsonl``."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / "app.jsonl").write_text("".join(lines), encoding="utf-8")


def write_declaration(folder: Path, content: Mapping[str, Any] | None = None) -> Path:
    """Write ``cdp.yaml`` and say where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cdp.yaml"
    text = yaml.safe_dump(content or declaration(), allow_unicode=True, sort_keys=False)
    path.write_text(text, encoding="utf-8")
    return path


def settings(folder: Path, database_url: str, batch_rows: int = 1000) -> Settings:
    """Settings of a workspace whose files and home lie in ``folder``."""
    return Settings(folder / "home", folder / "cdp.yaml", database_url, batch_rows, 512, 2)


def open_shop(folder: Path, database_url: str, ring: Path | None = None) -> Workspace:
    """Make the workspace of ``folder``; with ``ring``, under a copy of that key ring."""
    if not (folder / "cdp.yaml").exists():
        write_declaration(folder)
    chosen = settings(folder, database_url)
    if ring is not None:
        chosen.home.mkdir(mode=0o700)
        shutil.copy2(ring, chosen.key_ring)
    return create(chosen)


def reopen(workspace: Workspace, settings: Settings) -> Workspace:
    """The same workspace on the database that other settings name."""
    engine = open_engine(settings.database_url, settings.database_folder)
    return replace(workspace, settings=settings, engine=engine)


def with_batches(workspace: Workspace, batch_rows: int) -> Workspace:
    """The same workspace with another batch size."""
    return replace(workspace, settings=replace(workspace.settings, batch_rows=batch_rows))
