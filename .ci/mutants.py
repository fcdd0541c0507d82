"""Plant mistakes in what guards people, one at a time; count what tests notice.

``make mutants`` runs this in a copy of the tree (build/mutants), so that a broken-off run
leaves nothing behind. What is mutated and which tests are asked stands in pyproject.toml,
``[tool.mutmut]``. docs/MUTANTS.md explains the survivors.

Exit code 0: the score is at least TARGET. 1: it is below, or nothing was measured.
"""
# ruff: noqa: INP001, S603, T201 - a script beside the product, for the terminal

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "mutants"
COPIED = ("api", "cdp", "connectors", "identity", "policies", "tests", "pyproject.toml")
TARGET = 0.85
# A mutant that makes the tests run without end was noticed: a person would notice too.
NOTICED = frozenset({"killed", "timeout"})
LEFT_OUT = frozenset({"not checked", "skipped"})


def main() -> int:
    """Copy, run, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="mutants tried at once")
    parser.add_argument("only", nargs="*", help="such as 'cdp.vault.cells*'; nothing: all")
    arguments = parser.parse_args()
    _copy()
    run = ["run", "--max-children", str(arguments.jobs), *arguments.only]
    code = _mutmut(*run).returncode
    fates = _fates()
    if code or not fates:
        print(f"the run ended with {code}: see above", file=sys.stderr)
        return 1
    return 0 if _report(fates) >= TARGET else 1


def _copy() -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, WORK / name, ignore=ignored)
        else:
            shutil.copy(source, WORK / name)


def _mutmut(*words: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mutmut", *words]
    out = subprocess.PIPE if quiet else None
    return subprocess.run(command, cwd=WORK, check=False, stdout=out, text=True)


def _fates() -> dict[str, str]:
    """What became of every mutant that was tried."""
    listed = _mutmut("results", "--all", "true", quiet=True).stdout.splitlines()
    pairs = [line.strip().rsplit(": ", 1) for line in listed if ": " in line]
    return {name: fate for name, fate in pairs if fate not in LEFT_OUT}


def _report(fates: dict[str, str]) -> float:
    tried: Counter[str] = Counter()
    noticed: Counter[str] = Counter()
    for name, fate in fates.items():
        module = name.split(".x", 1)[0]
        tried[module] += 1
        noticed[module] += fate in NOTICED
    print()
    for name in sorted(name for name, fate in fates.items() if fate not in NOTICED):
        print(f"{fates[name]}: {name}")
    for module in sorted(tried):
        share = noticed[module] / tried[module]
        print(f"{module:32} {noticed[module]:5} of {tried[module]:5}  {share:7.1%}")
    score = noticed.total() / tried.total()
    result = {"mutants": tried.total(), "noticed": noticed.total(), "score": round(score, 4)}
    print(json.dumps({**result, "target": TARGET, "met": score >= TARGET}))
    return score


if __name__ == "__main__":
    sys.exit(main())
