"""Rows of an API become the records that the same rows become in a file of JSON lines."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Mark, Source
from connectors.credentials import Credentials
from connectors.declaration import parse_source
from connectors.record import Record, Rejection
from connectors.registry import open_source
from connectors.sources.http_feed import HttpFeed
from connectors.testing import contents
from tests.integration.http_source import api
from tests.integration.http_source.api import Api, Reply, World
from tests.presets.retailer import SAMPLES, entries

JSON_LINES = sorted(path.stem for path in SAMPLES.glob("*.jsonl"))


@pytest.mark.parametrize("name", JSON_LINES)
def test_every_sample_of_a_preset_is_read_alike(name: str, tmp_path: Path) -> None:
    """The same fields, attributes, consent and problems, through two pages and a dead link."""
    entry: Any = entries()[name]
    lines = (SAMPLES / f"{name}.jsonl").read_bytes()
    (tmp_path / "rows.jsonl").write_bytes(lines)
    file = open_source(parse_source(name, {**entry, "location": "rows.jsonl"}), tmp_path)
    assert isinstance(file, Source)
    expected = [contents(one) for one in file.read()]
    rows = [json.loads(line) for line in lines.splitlines()]
    with Api(api.paged(rows, "link", size=len(rows) // 2 + 1)) as server:
        server.faults = [None, Reply(status=502)]
        more = {"connector": "http", "rows": "data", "location": f"{server.url}/members"}
        declaration = parse_source(name, {**entry, **more, "paging": {"type": "link"}})
        feed = HttpFeed(declaration, Credentials(name, {}), World().ways())
        given = [one for one in feed.read(None) if not isinstance(one, Mark)]
    assert len(given) == len(expected) > 1
    for one, wanted in zip(given, expected, strict=True):
        assert isinstance(one, Record | Rejection)
        assert contents(replace(one, position=wanted[1])) == wanted  # type: ignore[type-var]
