"""Files that somebody hands in: epochs and rules; invariants of `cdp/resolution/epochs.py`."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdp.errors import Stop
from cdp.resolution import epochs
from cdp.resolution.simulating import tightened
from identity import features
from identity.comparisons import COMPARISONS
from identity.model import VERSION, Model

SHARPENED = {level.frequency_of for one in COMPARISONS for level in one.levels} - {None}
MADE_UP = Model(
    prior=1e-3,
    weights={
        c.name: tuple((0.5 / (place + 1), 0.01 * (place + 1)) for place in range(len(c.levels)))
        for c in COMPARISONS
    },
    frequencies={str(feature): {0: 0.01, 9: 0.25} for feature in SHARPENED},
    join_bits=3.0,
    suggest_bits=-3.0,
    most_people=4,
)


def change(place: tuple[str | int, ...], value: object) -> Callable[[dict[str, Any]], None]:
    def changed(content: Any) -> None:
        for name in place[:-1]:
            content = content[name]
        content[place[-1]] = value

    return changed


FIRST = ("comparisons", "name", 0)
WRONG_FILES = {
    "another version": (change(("version",), VERSION + 1), "epoch_of_another_version.*learn"),
    "other features": (
        change(("feature_version",), features.VERSION - 1),
        "epoch_for_other_features.*model learn",
    ),
    "altered threshold": (change(("join_bits",), 1.0), "epoch_altered.*delete its line"),
    "altered share": (change(("frequencies", "name", "0"), 0.5), "epoch_altered"),
    "altered bits": (change((*FIRST, "bits"), 99.0), "entry comparisons / name / .*not_used"),
    "unknown entry": (change(("exec",), "rm"), "entry exec: epoch_says_what_is_not_used"),
    "m above 1": (change((*FIRST, "m"), 1.5), "epoch_damaged"),
    "m that is true": (change((*FIRST, "m"), True), "epoch_damaged"),  # noqa: FBT003
    "suggesting above joining": (change(("suggest_bits",), 50.0), "epoch_damaged"),
    "a share lost": (lambda content: content["frequencies"].popitem(), "epoch_damaged"),
}


@pytest.mark.parametrize(("changed", "words"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_file_that_is_not_what_it_says_is_refused(
    tmp_path: Path, changed: Callable[[dict[str, Any]], None], words: str
) -> None:
    """`epochs`, invariants 2 and 3: the error names the rule and the next step."""
    content = epochs.document(MADE_UP)
    changed(content)
    file = tmp_path / "epoch.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(Stop, match=words):
        epochs.read_file(file)


def test_a_file_changed_on_purpose_is_another_epoch(tmp_path: Path) -> None:
    """`epochs`, invariants 1 and 2: without the line of its id it is read, under its own id."""
    content = epochs.document(MADE_UP)
    del content["id"]
    file = tmp_path / "epoch.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    assert epochs.read_file(file) == MADE_UP
    content["join_bits"] = 9
    del content["comparisons"]["name"][0]["bits"]
    file.write_text(json.dumps(content), encoding="utf-8")
    read = epochs.read_file(file)
    assert read == replace(MADE_UP, join_bits=9.0)
    assert epochs.id_of(read) != epochs.id_of(MADE_UP)
    file.write_text(epochs.file_text(read), encoding="utf-8")
    assert epochs.read_file(file) == read


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (None, "no_such_epoch"),
        ("", "epoch_unreadable"),
        ("[]", "epoch_unreadable"),
        ('{"comparisons": {}, "version": 1, "version": 1}', "epoch_unreadable"),
        ("[" * 100_000, "epoch_unreadable"),
    ],
)
def test_what_is_no_epoch_file_is_refused(tmp_path: Path, text: str | None, rule: str) -> None:
    """Nothing, something else, an entry that stands there twice, and brackets without end."""
    file = tmp_path / "epoch.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(Stop, match=rule):
        epochs.read_file(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("join_bit: 4", "entry join_bit: rule_unknown; next: use join_bits, suggest_bits"),
        ("join_bits: '4'", "rule_is_no_number"),
        ("join_bits: true", "rule_is_no_number"),
        ("join_bits: .nan", "rule_is_no_number"),
        ("join_bits: .inf", "rule_is_no_number"),
        ("join_bits: 1" + "0" * 400, "rule_is_no_number"),
        ("most_people: 2.5", "a whole number from 1 to 199"),
        ("most_people: 0", "a whole number from 1 to 199"),
        ("suggest_bits: 90", "suggest_above_join"),
        ("join_bits: !!python/object/apply:os.getcwd []", "rule_unreadable"),
        ("- join_bits", "rule_empty"),
        ("", "rule_empty"),
    ],
)
def test_a_rule_file_says_numbers_and_nothing_else(tmp_path: Path, text: str, words: str) -> None:
    """A closed set of entries, each with a number; anything else is named and refused."""
    file = tmp_path / "rule.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Stop, match=words):
        tightened(MADE_UP, file)


def test_a_rule_file_may_be_json(tmp_path: Path) -> None:
    """Both forms give the same epoch, and what is not named stays."""
    rule, same = tmp_path / "rule.yaml", tmp_path / "rule.json"
    rule.write_text("join_bits: 7\nmost_people: 2\n", encoding="utf-8")
    same.write_text('{"join_bits": 7, "most_people": 2}', encoding="utf-8")
    read = tightened(MADE_UP, rule)
    assert read == tightened(MADE_UP, same) == replace(MADE_UP, join_bits=7.0, most_people=2)
