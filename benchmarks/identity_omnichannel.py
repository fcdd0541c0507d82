"""People of the made-up retailer: precision and linkable recall, at usual and twice the noise.

The worlds are written anew by the generator of the demo and read from its files by the
product's own ingest; identity is unsupervised, with the thresholds of a new epoch. Beside it
stand the plain rule (same phone or same unionid) on the same files, and a stock Splink model
on the same records as text. All figures are pairwise; the worst of the seeds counts.
"""

import argparse
import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import yaml

from benchmarks import stock
from benchmarks.report import report
from cdp.demo.rule import rule_clusters
from cdp.demo.truth import truth_rows
from cdp.demo.world import write_world
from cdp.ingest.features import derive
from cdp.ingest.values import Reading, Values, read_record
from cdp.vault.keyed import FeatureKeyer
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import system_randomness
from cdp.vault.ring_document import RingDocument
from connectors.base import Source
from connectors.declaration import parse_source
from connectors.record import Record
from connectors.registry import open_source
from identity import batch, features
from identity.duckdb_engine import Limits
from identity.model import UNTRAINED

TODAY = date(2026, 6, 30)  # the last day of the made-up world
LIMITS = Limits(memory_mb=3000, threads=1)
PROCESSES = 2
TWICE = 2.0  # the noise of the noisy worlds
# Column of the text table <- identity field, for the stock model.
TEXT = {
    "name": "name",
    "phone": "phone",
    "dob": "birth_date",
    "unionid": "unionid",
    "card": "loyalty_card",
    "city": "city",
    "gender": "gender",
}
Key = tuple[str, str]  # source, record id


@dataclass(frozen=True, slots=True)
class World:
    """Which world to measure; ``splink`` asks for the stock model as well."""

    seed: int
    noise: float
    people: int
    splink: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--noisy-seeds", type=int, nargs="+", default=[1, 2])


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every world, two at a time, and report the worst."""
    first = arguments.seeds[0]
    worlds = [World(seed, 1.0, arguments.people, seed == first) for seed in arguments.seeds]
    noisy = [World(seed, TWICE, arguments.people, splink=False) for seed in arguments.noisy_seeds]
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        measured = list(pool.map(measure, [*worlds, *noisy]))
    usual, worse = measured[: len(worlds)], measured[len(worlds) :]
    metrics = {
        **_worst(usual, ("precision", "linkable_recall", "f1")),
        **{
            f"noisy_{key}": value
            for key, value in _worst(worse, ("precision", "linkable_recall")).items()
        },
        **_worst(usual, ("rule_precision", "rule_linkable_recall")),
        "splink_f1": usual[0]["splink_f1"],
        "seeds": float(len(usual)),
        "noisy_seeds": float(len(worse)),
    }
    targets = [
        ("precision", ">=", 0.99),
        ("linkable_recall", ">=", 0.97),
        ("noisy_precision", ">=", 0.985),
        ("noisy_linkable_recall", ">=", 0.95),
    ]
    return report("identity.omnichannel", metrics, targets)


def _worst(measured: Sequence[Mapping[str, float]], keys: Iterable[str]) -> dict[str, float]:
    return {key: min(one[key] for one in measured) for key in keys}


def measure(world: World) -> dict[str, float]:
    """Write one world, find its people, and hold them against the truth."""
    with tempfile.TemporaryDirectory(prefix="kith-") as name:
        folder = Path(name)
        written = write_world(folder, people=world.people, seed=world.seed, noise=world.noise)
        truth = {
            (source, record): (person, group)
            for source, record, person, group in truth_rows(written.delivered)
        }
        keys, table, text = read(folder, with_text=world.splink)
        rule = rule_clusters(folder)
    found, _ = batch.resolve(table, None, UNTRAINED, LIMITS)
    # A row that the truth does not know is a broken one, and nobody's.
    ours = dict(zip(keys, found.anchors.tolist(), strict=True))
    figures = pairwise(ours, truth)
    of_rule = pairwise(rule, truth)
    figures |= {f"rule_{key}": of_rule[key] for key in ("precision", "linkable_recall")}
    if text is not None:
        splink = dict(zip(keys, stock.clusters(text), strict=True))
        figures["splink_f1"] = pairwise(splink, truth)["f1"]
    return figures


def read(folder: Path, *, with_text: bool) -> tuple[list[Key], pa.Table, pa.Table | None]:
    """Every readable record as ingest reads it, under keys of this run's own.

    Returns:
        The records; their keyed features in the same order, ids from 1 on; and, if asked
        for, the same values as text.
    """
    declared = yaml.safe_load((folder / "cdp.yaml").read_text(encoding="utf-8"))
    stores = tuple(node["name"] for node in declared["organisation"])
    reading = Reading(TODAY, labels=stores)
    key = FeatureKeyer(KeyRing.of(RingDocument.fresh(uuid4(), system_randomness))).key
    keys: list[Key] = []
    packed: list[bytes] = []
    text: list[dict[str, str | None]] = []
    for name, entry in declared["sources"].items():
        source = open_source(parse_source(name, entry), folder)
        assert isinstance(source, Source)  # noqa: S101 - a file, and no feed
        for row in source.read():
            if not isinstance(row, Record):
                continue
            values = read_record(row, reading)
            keys.append((name, row.record_id.reveal(reason="compare with the truth")))
            packed.append(features.pack(derive(values, key)))
            if with_text:
                text.append(_text(values))
    ids = range(1, len(keys) + 1)
    table = pa.table({"unique_id": list(ids)}) if with_text else None
    if table is not None:
        for column in TEXT:
            told = pa.array([one[column] for one in text], pa.string())
            table = table.append_column(column, told)
    return keys, features.unpack(list(ids), packed), table


def _text(values: Values) -> dict[str, str | None]:
    first = {column: values.first(field) for column, field in TEXT.items()}
    return {column: one.canonical if one is not None else None for column, one in first.items()}


def pairwise(found: Mapping[Key, int], truth: Mapping[Key, tuple[str, str]]) -> dict[str, float]:
    """Precision, recall of the linkable pairs, and F1 against all true pairs.

    Args:
        found: the person of every record that was read; any other is alone, so that a record
            that is not read never raises the recall.
        truth: who each record is, and its linkable group.
    """
    counts = {name: Counter[Any]() for name in ("found", "right", "true", "linkable", "linked")}
    for key, (person, group) in truth.items():
        ours = found.get(key, key)  # numbers name people, keys are pairs of text
        counts["found"][ours] += 1
        counts["right"][ours, person] += 1
        counts["true"][person] += 1
        counts["linkable"][group] += 1
        counts["linked"][ours, group] += 1
    pairs = {name: sum(n * (n - 1) // 2 for n in of.values()) for name, of in counts.items()}
    return {
        "precision": pairs["right"] / max(1, pairs["found"]),
        "linkable_recall": pairs["linked"] / max(1, pairs["linkable"]),
        "f1": 2 * pairs["right"] / max(1, pairs["found"] + pairs["true"]),
    }
