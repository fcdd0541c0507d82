"""A workspace that holds many made-up records: ingested, sealed and resolved by the product.

Rows are written as JSON lines of two apps, so that two processes read them side by side.
"""

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from benchmarks import people
from cdp.ingest.normalise.surnames import SINGLE_SURNAMES
from cdp.ingest.side_by_side import sync_all
from cdp.resolution.run import resolve
from cdp.settings import Settings
from cdp.workspace import Workspace, create

APPS = ("app_a", "app_b")
MEMORY_MB = 8000
_SURNAMES = sorted(SINGLE_SURNAMES)
# The 3,755 characters of level 1 of GB/T 2312, which stand in rows 16 to 55 of its table.
_CHARACTERS = [
    bytes((0xA0 + row, 0xA0 + cell)).decode("gb2312")
    for row in range(16, 55)
    for cell in range(1, 95)
]
_FIELDS = {
    "openid": {"column": "openid", "scope": "held"},
    "unionid": {"column": "unionid", "scope": "held"},
    "loyalty_card": {"column": "card", "scope": "held"},
    "name": "name",
    "phone": "phone",
    "birth_date": "birth",
    "city": "city",
    "gender": "gender",
}


def quiet(done: int, expected: int | None) -> None:
    """Say nothing."""
    del done, expected


@dataclass(frozen=True, slots=True)
class Held:
    """The workspace, and how long it took to get there."""

    workspace: Workspace
    seconds: float


@contextlib.contextmanager
def held(records: int, seed: int) -> Iterator[Held]:
    """Open a workspace that holds ``records`` resolved records; it is thrown away afterwards."""
    with tempfile.TemporaryDirectory(prefix="kith-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        _declare(root)
        crowd = people.draw(records, seed)
        for part, app in enumerate(APPS):
            write(root / f"{app}.jsonl", rows(crowd, np.arange(part, records, len(APPS)), "r"))
        environment = {
            **os.environ,
            "CDP_HOME": str(root / "home"),
            "CDP_CONFIG": str(root / "cdp.yaml"),
            "CDP_MEMORY_MB": str(MEMORY_MB),
        }
        workspace = create(Settings.from_environment(environment))
        started = time.perf_counter()
        sync_all(workspace, APPS, quiet)
        resolve(workspace)
        yield Held(workspace, time.perf_counter() - started)
        workspace.engine.dispose()


def rows(crowd: people.Crowd, chosen: people.Ints, prefix: str) -> Iterator[dict[str, str]]:
    """What an app would send of the chosen records; their ids begin with ``prefix``."""
    for at in chosen.tolist():
        row = {
            "name": _name(crowd, at),
            "phone": f"13{crowd.phone[at] % 10**9:09}" if crowd.phone[at] else "",
            "birth": _date(int(crowd.birth[at])),
            "city": _CHARACTERS[crowd.city[at]] + _CHARACTERS[crowd.city[at] // 2],
            "gender": " MF"[crowd.gender[at]].strip(),
        }
        row |= {name: f"{name}{getattr(crowd, name)[at]:09}" for name in ("unionid", "card")}
        told = {name: text for name, text in row.items() if text and _is_told(crowd, name, at)}
        yield {"openid": f"{prefix}{at:012}", **told}


def _is_told(crowd: people.Crowd, name: str, at: int) -> bool:
    return name not in {"unionid", "card", "city"} or bool(getattr(crowd, name)[at])


def _name(crowd: people.Crowd, at: int) -> str:
    if not crowd.surname[at]:
        return ""
    first = "*" if crowd.masked[at] else _CHARACTERS[crowd.first[at]]
    end = _CHARACTERS[crowd.second[at]] if crowd.second[at] else ""
    return str(_SURNAMES[crowd.surname[at] % len(_SURNAMES)] + first + end)


def _date(birth: int) -> str:
    return f"{birth // 10_000:04}-{birth // 100 % 100:02}-{birth % 100:02}" if birth else ""


def write(path: Path, lines: Iterator[dict[str, str]]) -> None:
    """Write JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _declare(root: Path) -> None:
    consent = {"basis": "consent", "purposes": ["service", "marketing"]}
    sources = {
        app: {
            "connector": "jsonl",
            "location": f"{app}.jsonl",
            "encoding": "utf-8",
            "record_id": "openid",
            "fields": _FIELDS,
            "consent": consent,
        }
        for app in APPS
    }
    destination = {
        "connector": "webhook",
        "location": "http://127.0.0.1:9/hook",
        "purpose": "marketing",
        "fields": ["profile_id", "name", "phone"],
        "secret": "crm",
    }
    declared = {
        "version": 1,
        "organisation": [{"id": "held", "kind": "brand", "name": "Held"}],
        "sources": sources,
        "destinations": {"crm": destination},
        "principals": [],
    }
    (root / "cdp.yaml").write_text(yaml.safe_dump(declared, allow_unicode=True), encoding="utf-8")
