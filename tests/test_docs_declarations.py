"""What pages show of ``cdp.yaml`` is what an editor accepts with the published schema."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from connectors.presets.catalogue import presets
from tests.test_docs import DOCS, PAGES, ROOT, blocks

SCHEMA: dict[str, Any] = json.loads(
    (ROOT / "connectors" / "declaration.schema.json").read_text("utf-8")
)
WHOLE = Draft202012Validator(SCHEMA)
HEREDOC = re.compile(r"cat > cdp.yaml <<'END'\n(.*?)\nEND", re.DOTALL)
SECTIONS = frozenset(SCHEMA["properties"])
OTHERS = {"write-a-tag.md", "keep-sources-running.md"}  # tag rules; settings of Prometheus

CONNECTOR = {"read-an-api.md": "http"}  # of keys that stand alone on a page


def shown(page: Path) -> Iterator[dict[str, Any]]:
    """Every declaration on a page, or part of one."""
    written = [*blocks(page, frozenset({"yaml"})), *HEREDOC.findall(page.read_text("utf-8"))]
    for text in written:
        content = yaml.safe_load(text)
        assert isinstance(content, dict), text
        yield content


def faults(content: dict[str, Any]) -> list[str]:
    """What the schema says against it; a page may leave out what it is not about."""
    return [
        f"{'.'.join(map(str, one.absolute_path))}: {one.message}"
        for one in WHOLE.iter_errors(content)
        if one.validator != "required"
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_declares_an_editor_accepts(page: Path) -> None:
    """Sections, and keys of one source that stand alone."""
    known = SCHEMA["$defs"]["source"]["properties"]
    for content in shown(page):
        assert faults(content) == []
        parts = set(content) & set(known) - SECTIONS
        if parts and page.name not in OTHERS:
            entry = {"connector": CONNECTOR.get(page.name, "csv")}
            entry |= {key: content[key] for key in parts}
            assert faults({"sources": {"x": entry}}) == []


def test_the_whole_file_of_the_first_page_is_accepted() -> None:
    """Nothing that is required is left out there."""
    [content] = shown(DOCS / "howto" / "first-source.md")
    assert list(WHOLE.iter_errors(content)) == []


@pytest.mark.parametrize("name", presets())
def test_a_preset_that_was_written_out_is_accepted(name: str) -> None:
    """With its answers, as `cdp source init --preset` puts it into the file."""
    one = presets()[name]
    entry = yaml.safe_load(one.written("x", dict.fromkeys(one.asks, "kith"), None))
    assert list(WHOLE.iter_errors({"sources": entry})) == []


def test_a_wrong_word_on_a_page_would_be_noticed() -> None:
    """The schema is closed: a key or a value that there is not is found."""
    for part in ({"locaton": "x"}, {"mode": "sometimes"}, {"fields": {"phone": {}}}):
        assert faults({"sources": {"x": {"connector": "csv", **part}}})
