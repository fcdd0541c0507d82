"""The main job end to end: accuracy beside the plain rule's, and how long it takes.

Both sides are measured on the same files in the same run. Takes a workspace folder of its
own, thrown away afterwards.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.report import report
from cdp.cli.journey import Journey
from cdp.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the demo once and report."""
    with tempfile.TemporaryDirectory(prefix="kith-", ignore_cleanup_errors=True) as folder:
        environment = {**os.environ, "CDP_HOME": str(Path(folder) / "home")}
        settings = Settings.from_environment(environment)
        journey = Journey.begin(settings, "retail", arguments.people, arguments.seed)
        result = journey.run(quiet=True)
    metrics = {
        "precision": result["precision"],
        "linkable_recall": result["linkable_recall"],
        "rule_precision": result["rule_precision"],
        "rule_linkable_recall": result["rule_linkable_recall"],
        "seconds": result["seconds"],
        "webhook_messages": result["webhook"]["messages"],
        "webhook_verified": result["webhook"]["verified"],
    }
    targets = [
        ("precision", ">=", 0.98),
        ("linkable_recall", ">=", 0.95),
        ("seconds", "<=", 120.0),
        ("webhook_verified", "==", float(metrics["webhook_messages"])),
    ]
    return report("demo", metrics, targets)
