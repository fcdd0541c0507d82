"""Whatever is wrong in ``cdp.yaml`` is named with its place and the next step, and never quoted."""

import copy
import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cdp import declaration
from cdp.errors import Stop
from tests.test_docs import DOCS

FILE = Path("cdp.yaml")
CANARY = "hunter2 张敏"
GONE, RENAMED = object(), object()
WRONG: tuple[Any, ...] = (
    None, 1, -1.5, True, "", "  ", CANARY, "x" * 300, [], {}, [1], [CANARY], {"x": 1}, {1: 2},
    [[]], [None], {"a": {}}, float("nan"), dt.date(2026, 5, 4), b"x", 10**30, GONE, RENAMED,
)  # fmt: skip


def whole() -> dict[str, Any]:
    """The declaration of the first page, with a section of each other kind."""
    page = (DOCS / "howto" / "first-source.md").read_text("utf-8")
    found = re.search(r"cat > cdp.yaml <<'END'\n(.*?)\nEND", page, re.DOTALL)
    assert found
    content: dict[str, Any] = yaml.safe_load(found[1])
    content["trust"] = ["till"]
    content["indexes"] = {"who": {"parts": ["birth_date", "name"]}}
    content["destinations"] = {
        "crm": {
            "connector": "webhook",
            "location": "https://crm.example.com/hook",
            "purpose": "marketing",
            "fields": ["profile_id", "name"],
            "secret": "crm",
        }
    }
    till = content["sources"]["till"]
    till["schedule"] = {"daily": "02:30", "time_zone": "Asia/Shanghai"}
    till["contract"] = {"columns": {"name": {"required": True}}}
    return content


def places(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a declaration."""
    if above:
        yield above
    inner = (
        node if isinstance(node, dict) else dict(enumerate(node if isinstance(node, list) else ()))
    )
    for key, value in inner.items():
        yield from places(value, (*above, key))


def broken(place: tuple[Any, ...], wrong: Any) -> dict[str, Any]:
    """The declaration, with one thing in it wrong."""
    content = copy.deepcopy(whole())
    holder: Any = content
    for key in place[:-1]:
        holder = holder[key]
    if wrong is GONE:
        del holder[place[-1]]
    elif wrong is RENAMED and isinstance(holder, dict):
        holder[f"{place[-1]}x"] = holder.pop(place[-1])
    elif wrong is not RENAMED:
        holder[place[-1]] = wrong
    return content


def test_the_whole_is_right() -> None:
    """What is broken below was in order before."""
    assert declaration.parse(whole(), FILE).trust == ("till",)


@pytest.mark.parametrize("place", list(places(whole())), ids=lambda one: ".".join(map(str, one)))
def test_whatever_is_wrong_is_named(place: tuple[Any, ...]) -> None:
    """By file, section, entry or key, with what to do; it is never a crash, and never quoted."""
    names = {FILE.name, *map(str, place)}
    for wrong in WRONG:
        try:
            declaration.parse(broken(place, wrong), FILE)
        except Stop as stop:
            said = str(stop)
            assert "; next: " in said
            assert any(name in said for name in names), said
            # Ids of nodes and people are named; of what a system gives, a secret may be pasted.
            assert CANARY not in said or place[0] in {"organisation", "principals"}


def test_a_source_that_is_trusted_twice_is_refused() -> None:
    """Which of the two places counts would be a guess."""
    with pytest.raises(Stop, match="trust_incomplete"):
        declaration.parse(whole() | {"trust": ["till", "till"]}, FILE)
