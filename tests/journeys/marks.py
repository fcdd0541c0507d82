"""Marked values, every form a leak could take, and a search for them."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes

SHORTEST = 6  # bytes; a shorter needle would be found by chance
FEW_DIGITS = 10
KEYED_DIGITS = 17  # nearly every integer of 63 bits has so many, or more
_DIGITS = re.compile(rb"[0-9]+")


def needles(values: Iterable[str]) -> dict[bytes, str]:
    """Every form of every value, as bytes, with a name that says which form it is.

    The value itself and its parts (digits, the end of a number, the local part of an
    address), reversed, in other encodings, as JSON, URL, hex and base64 text, and as the
    unsalted hashes that anybody could try out.
    """
    found: dict[bytes, str] = {}
    for place, value in enumerate(values):
        for part in {value, value.lower(), value.upper(), value[::-1], *_parts(value)}:
            for form, content in _forms(part):
                if len(content) >= SHORTEST:
                    found.setdefault(content, f"mark {place} as {form}")
        for form, content in _hashes(value):
            found.setdefault(content, f"mark {place} as {form}")
    return found


def plain_needles(values: Iterable[str]) -> dict[bytes, str]:
    """The values and their digits in UTF-8 alone: for large heaps such as a data folder."""
    return {
        part.encode(): f"mark {place}"
        for place, value in enumerate(values)
        for part in {value, *_parts(value)}
        if len(part.encode()) >= SHORTEST
    }


def _parts(value: str) -> Iterator[str]:
    digits = "".join(letter for letter in value if letter.isdigit())
    if len(digits) >= 8:
        yield digits
        yield digits[-8:]
        yield digits[:-4]
    if "@" in value:
        yield value.split("@", 1)[0]


def _forms(text: str) -> Iterator[tuple[str, bytes]]:
    raw = text.encode()
    yield "text", raw
    yield "JSON", json.dumps(text)[1:-1].encode()
    yield "URL", quote(text).encode()
    for encoding in ("gb18030", "utf-16-le", "utf-16-be"):
        yield encoding, text.encode(encoding)
    for name, content in (("hex", raw), ("reversed hex", raw[::-1])):
        yield name, content.hex().encode()
        yield f"upper {name}", content.hex().upper().encode()
    for shift in range(3):
        # Wherever it stands in a longer text, these characters of its base64 are the same.
        coded = base64.b64encode(b"\0" * shift + raw)
        inner = coded[(0, 2, 3)[shift] :].rstrip(b"=")[:-1]
        yield f"base64 at {shift}", inner
        yield f"URL base64 at {shift}", inner.translate(bytes.maketrans(b"+/", b"-_"))


def _hashes(value: str) -> Iterator[tuple[str, bytes]]:
    for algorithm in (hashes.MD5(), hashes.SHA1(), hashes.SHA256()):  # noqa: S303 - looked for
        digest = hashes.Hash(algorithm)
        digest.update(value.encode())
        hashed = digest.finalize()
        yield algorithm.name, hashed
        yield f"{algorithm.name} hex", hashed.hex().encode()
        yield f"{algorithm.name} base64", base64.b64encode(hashed)[:-2]


def search(heap: Mapping[str, bytes], wanted: Mapping[bytes, str]) -> list[str]:
    """Say which needle is where; empty when nothing is found."""
    return [
        f"{where}: {name}"
        for where, content in heap.items()
        for needle, name in wanted.items()
        if needle in content and not _by_chance(needle, content)
    ]


def _by_chance(needle: bytes, content: bytes) -> bool:
    """Whether it is a few digits, and stands within keyed integers of 63 bits alone.

    There are thousands of those, and other ones in each run: eight given digits are among them
    every fiftieth time. What has so many digits itself is looked for whole.
    """
    if not needle.isdigit() or len(needle) > FEW_DIGITS:
        return False
    runs = (run for run in _DIGITS.findall(content) if needle in run)
    return all(len(run) >= KEYED_DIGITS for run in runs)


def database(engine: sa.Engine) -> dict[str, bytes]:
    """Every table of every schema but PostgreSQL's own, as text (bytes appear as hex)."""
    tables = sa.text(
        "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    heap = {}
    with engine.connect() as connection:
        for table in connection.scalars(tables).all():
            rows = connection.scalars(sa.text(f"SELECT t::text FROM {table} t"))
            heap[f"table {table}"] = "\n".join(rows).encode()
        # What the planner remembers of columns is a copy of values too.
        rows = connection.scalars(sa.text("SELECT s::text FROM pg_stats s"))
        heap["statistics"] = "\n".join(rows).encode()
    return heap


def files(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, its name included."""
    heap = {}
    for path in sorted(folder.rglob("*")):
        heap[f"name {path.name}"] = str(path.relative_to(folder)).encode()
        if path.is_file():
            heap[f"file {path.relative_to(folder)}"] = path.read_bytes()
    return heap
