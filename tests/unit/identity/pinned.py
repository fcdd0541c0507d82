"""The pinned vectors: made-up records, and the features they had when they were pinned.

`python -m tests.unit.identity.pinned` writes them anew. Do that only together with a new
`identity.features.VERSION`: features of two kinds under one version never meet again.
"""

import json
from pathlib import Path

from identity import features
from tests.unit.ingest.delivered import features_of

PATH = Path(__file__).parent / "vectors.json"


def load():
    """The pinned file."""
    return json.loads(PATH.read_text(encoding="utf-8"))


def derived(fields):
    """Today's features of one record, lists in ascending order."""
    found = features_of(**fields)
    return {
        name: sorted(set(value)) if isinstance(value, list) else value
        for name, value in sorted(found.items())
    }


def renew():
    """Write today's features into the file."""
    pinned = load()
    pinned["version"] = features.VERSION
    for row in pinned["records"]:
        row["features"] = derived(row["fields"])
    text = json.dumps(pinned, ensure_ascii=False, indent=1)
    PATH.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    renew()
