"""Measuring a workspace from the command line: truth, thresholds, charts, models."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import sqlalchemy as sa

from cdp.demo.world import write_world
from cdp.whole_files import whole_file
from tests.journeys.commands import Shell
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, server: sa.URL) -> Iterator[Shell]:
    """A small made-up world, synced and resolved."""
    folder = tmp_path_factory.mktemp("town")
    with Databases(server) as databases:
        write_world(folder, people=200, seed=5)
        made = Shell(folder, databases.copy(None), folder / "home")
        made.run("init")
        made.run("source", "sync")
        made.run("identity", "resolve")
        yield made


def test_a_sweep_measures_each_threshold_and_changes_nothing(shell: Shell) -> None:
    """The row of the threshold in force equals the profiles; higher ones join no more pairs."""
    page, before = shell.folder / "sweep.html", shell.run("identity", "export", "--out", "a.csv")
    found = shell.run(
        *("identity", "evaluate", "--truth", "truth.csv", "--at", "0", "--at", "9"),
        *("--html", str(page), "--json"),
    ).json
    rows = {row["threshold"]: row for row in found["sweep"]["rows"]}
    active = shell.run("identity", "model", "show", "--json").json["join_bits"]
    assert sorted(rows) == sorted({0, 9, active})
    for measure in ("precision", "recall", "bcubed_f1", "linkable_recall"):
        assert rows[active][measure] == pytest.approx(found[measure])
    assert rows[0]["profiles"] <= rows[9]["profiles"]
    assert {"pos", "mini"} & {line["kind"] for line in found["sources"]}
    assert {"phone", "unionid"} <= {line["kind"] for line in found["identifiers"]}
    resolved = found["records"] + found["unlabelled"]
    assert sum(line["records"] for line in found["sources"]) == resolved
    assert 0 < found["unlinkable_share"] < 1
    assert page.stat().st_mode & 0o777 == 0o600
    assert "<script" not in page.read_text(encoding="utf-8")
    after = shell.run("identity", "export", "--out", "b.csv")
    assert before.code == after.code == 0
    assert (shell.folder / "a.csv").read_bytes() == (shell.folder / "b.csv").read_bytes()


def test_evidence_and_weights_are_drawn(shell: Shell) -> None:
    """The charts of a pair and of the model are files for their owner, without a record's name."""
    shell.run("identity", "export", "--out", "members.csv")
    homes: dict[str, list[str]] = {}
    with (shell.folder / "members.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            homes.setdefault(row["profile_id"], []).append(f"{row['source']}:{row['record_id']}")
    one, other = next(names for names in homes.values() if len(names) == 2)
    pair, model = shell.folder / "pair.svg", shell.folder / "model.svg"
    shell.run("identity", "explain", one, other, "--svg", str(pair))
    shell.run("identity", "model", "show", "--svg", str(model))
    for path in (pair, model):
        text = path.read_text(encoding="utf-8")
        assert ET.fromstring(text).tag.endswith("svg")  # noqa: S314 - made a line above
        assert path.stat().st_mode & 0o777 == 0o600
        assert one.partition(":")[2] not in text
    assert "any two records" in pair.read_text(encoding="utf-8")


def test_models_are_compared_line_by_line(shell: Shell) -> None:
    """A model and its own file are the same; a changed threshold is one line."""
    epoch = shell.run("identity", "model", "show", "--json").json
    own, other = shell.folder / "own.json", shell.folder / "other.json"
    own.write_text(json.dumps(epoch), encoding="utf-8")
    other.write_text(json.dumps(epoch | {"join_bits": 99.5}), encoding="utf-8")
    assert shell.run("identity", "model", "diff", "active", str(own), "--json").json == []
    changed = shell.run("identity", "model", "diff", "active", str(other), "--json").json
    assert changed == [{"place": "join_bits", "one": epoch["join_bits"], "other": 99.5}]


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("model", "diff", "active", "no-such-epoch"), "no_such_epoch"),
        (("model", "diff", "active", "truth.csv"), "epoch_unreadable"),
        (("evaluate", "--truth", "truth.csv", "--at", "nan"), "threshold_wrong"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    shell: Shell, words: tuple[str, ...], rule: str
) -> None:
    """A model that is none and a threshold that is no number are refused with the next step."""
    assert rule in shell.run("identity", *words, code=1).err


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path: Path) -> None:
    """A file appears whole or not at all: after a failure the earlier one still stands."""
    out = tmp_path / "chart.svg"
    out.write_text("old", encoding="utf-8")

    def fail() -> None:
        with whole_file(out) as file:
            file.write("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["chart.svg"]
    assert out.read_text(encoding="utf-8") == "old"
