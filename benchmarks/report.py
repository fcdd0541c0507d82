"""The one shape in which a benchmark answers."""

import operator
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Target = tuple[str, str, float]  # metric, operator, value

_HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
}


def report(name: str, metrics: Mapping[str, float], targets: Sequence[Target]) -> dict[str, Any]:
    """Hold what was measured against what was promised.

    Args:
        name: of the benchmark.
        metrics: what was measured; a key carries its unit.
        targets: what each metric must reach.
    """
    judged = [
        {"metric": metric, "op": op, "value": value, "met": _HOLDS[op](metrics[metric], value)}
        for metric, op, value in targets
    ]
    return {
        "name": name,
        "machine": {
            "cpus": os.cpu_count(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
        "metrics": {key: round(value, 6) for key, value in metrics.items()},
        "targets": judged,
        "met": all(one["met"] for one in judged),
    }
