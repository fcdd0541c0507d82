"""Which blind indexes a record has, and the form in which somebody's words are looked up.

Invariants, each named by a test in ``tests/unit/ingest/test_indexing.py``:
    1. The rows of a record follow from its sealed cells alone: ingest, the re-index job and
       the check of a candidate read the same texts in the same way.
    2. What is typed gives the part that the cell gives, or a problem that holds nothing of it.
    3. A record that lacks a part has no row in that index.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice, product
from types import MappingProxyType
from typing import Final

from cdp.ingest.normalise.address import normalise_place
from cdp.ingest.normalise.date import normalise_birth_date
from cdp.ingest.normalise.email import normalise_email
from cdp.ingest.normalise.gender import normalise_gender
from cdp.ingest.normalise.identifier import IdentifierKind, normalise_identifier
from cdp.ingest.normalise.name import normalise_name
from cdp.ingest.normalise.name_parts import Name, NameKind, Script
from cdp.ingest.normalise.pinyin import sound
from cdp.ingest.normalise.result import Canonical, Problem
from cdp.ingest.normalise.text import tidy
from cdp.vault.blind import INDEXED_FIELDS, BlindIndexer
from connectors.index_parts import PARTS, IndexDefinition

Cell = Sequence[tuple[str, str | None]]  # canonical texts, each with its scope
Cells = Mapping[str, Cell]
IndexRow = tuple[str, bytes]  # field or label, index

MOST_ROWS: Final = 16  # of one record in one index; a record with more phones names nobody
SHORTEST_WITH_TAIL: Final = 8  # characters; the tail of a shorter one is nearly all of it
_TAIL: Final = 4
_HEAD: Final = 7
_MAINLAND: Final = "+86"
_LIMIT: Final = 128  # characters typed


def cells_of(parts: Iterable[str]) -> set[str]:
    """The cells that these parts are read from."""
    return {cell for part in parts for cell in _CELLS.get(part, (PARTS[part].field,))}


def cells_behind(labels: Iterable[str], definitions: Mapping[str, IndexDefinition]) -> set[str]:
    """The cells that the rows of these fields and labels are made of; unknown ones need none.

    ``definitions`` are by label.
    """
    needed: set[str] = set()
    for label in labels:
        if label in INDEXED_FIELDS:
            needed.add(label)
        elif label in definitions:
            needed |= cells_of(definitions[label].parts)
    return needed


def rows_of(
    indexer: BlindIndexer, definitions: Iterable[IndexDefinition], cells: Cells
) -> tuple[IndexRow, ...]:
    """Every row of one record under the indexer's own epoch, each once, in order."""
    found = {
        (name, indexer.index(name, scope, text))
        for name in INDEXED_FIELDS & cells.keys()
        for text, scope in cells[name]
    }
    for definition in definitions:
        values = [parts_of(part, cells) for part in definition.parts]
        for together in islice(product(*values), MOST_ROWS):
            found.add((definition.label, indexer.compound(definition, together)))
    return tuple(sorted(found))


def parts_of(part: str, cells: Cells) -> list[str]:
    """The values of one part that a record has, each once, in the order of its cells."""
    return list(dict.fromkeys(filter(None, _READERS[part](cells))))


def has_parts(values: Mapping[str, str], cells: Cells) -> bool:
    """Say whether a record has every one of these parts."""
    return all(value in parts_of(part, cells) for part, value in values.items())


def typed(part: str, text: str, today: dt.date) -> str | Problem:
    """Return what somebody typed as a part, in the form in which the record's own is kept."""
    plain = tidy(text, _LIMIT)
    if isinstance(plain, Problem):
        return plain
    found = _TYPED[part](plain, today)
    return found or Problem("not_of_its_shape", f"give {PARTS[part].about}")


# ── from cells ──────────────────────────────────────────────────────────────


def _texts(cells: Cells, name: str) -> list[str]:
    return [text for text, _ in cells.get(name, ())]


def _whole(field: str) -> Callable[[Cells], Iterable[str | None]]:
    return lambda cells: _texts(cells, field)


# Several parts of a compound come from one name.
_read_name = lru_cache(1000)(normalise_name)


def _names(cells: Cells) -> list[Name]:
    read = [_read_name(text) for text in _texts(cells, "name")]
    return [name for name in read if isinstance(name, Name)]


def _surnames(cells: Cells) -> Iterable[str | None]:
    # A source that keeps the surname apart knows best where it ends.
    return _texts(cells, "surname") or [name.surname for name in _names(cells)]


def _given_names(cells: Cells) -> Iterable[str | None]:
    return _texts(cells, "given_name") or [name.given for name in _names(cells)]


def _initials(name: Name) -> str:
    words = sound(name.full).split() if name.script is Script.HAN else name.tokens
    return "".join(sorted(word[0] for word in words if word))


def _tail(field: str) -> Callable[[Cells], Iterable[str | None]]:
    def read(cells: Cells) -> Iterable[str | None]:
        bare = (text.partition(";")[0] for text in _texts(cells, field))  # RFC 3966: ;ext=
        return [text[-_TAIL:] for text in bare if len(text) >= SHORTEST_WITH_TAIL]

    return read


def _phone_heads(cells: Cells) -> Iterable[str | None]:
    for text in _texts(cells, "phone"):
        digits = text.removeprefix(_MAINLAND).removeprefix("+")
        yield digits[:_HEAD] if len(digits) >= _HEAD + _TAIL else None


# A date is kept as YYYY-MM-DD.
_READERS: Final[Mapping[str, Callable[[Cells], Iterable[str | None]]]] = MappingProxyType(
    {
        "name": lambda cells: (" ".join(name.tokens) for name in _names(cells)),
        "surname": _surnames,
        "given_name": _given_names,
        "name_initials": lambda cells: map(_initials, _names(cells)),
        "birth_date": _whole("birth_date"),
        "birth_year": lambda cells: (text[:4] for text in _texts(cells, "birth_date")),
        "birth_month_day": lambda cells: (text[5:] for text in _texts(cells, "birth_date")),
        "gender": _whole("gender"),
        "city": _whole("city"),
        "district": _whole("district"),
        "postcode": _whole("postcode"),
        "email_domain": lambda cells: (t.rpartition("@")[2] for t in _texts(cells, "email")),
        "phone_head_7": _phone_heads,
        "phone_tail_4": _tail("phone"),
        "loyalty_card_tail_4": _tail("loyalty_card"),
        "national_id_tail_4": _tail("national_id"),
        "bank_card_tail_4": _tail("bank_card"),
    }
)
# Parts that are read from other cells than the one of their field.
_CELLS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"surname": ("name", "surname"), "given_name": ("name", "given_name")}
)


# ── from what is typed ──────────────────────────────────────────────────────

_Typed = Callable[[str, dt.date], str | Problem | None]


def _shape(pattern: str) -> _Typed:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text, _: text.upper() if compiled.fullmatch(text) else None


def _typed_name(kind: NameKind) -> _Typed:
    def read(text: str, _: dt.date) -> str | Problem | None:
        found = normalise_name(text, kind)
        if isinstance(found, Problem):
            return found
        if found.masked or (kind is NameKind.NAME and not found.complete):
            return None
        return " ".join(found.tokens) if kind is NameKind.NAME else found.full

    return read


def _typed_initials(text: str, _: dt.date) -> str | None:
    letters = text.casefold().replace(" ", "")
    return "".join(sorted(letters)) if letters.isalpha() else None


def _typed_month_day(text: str, _: dt.date) -> str | None:
    found = re.fullmatch(r"([0-9]{1,2})[-/.月]([0-9]{1,2})日?", text)
    return f"{int(found[1]):02}-{int(found[2]):02}" if found else None


def _typed_domain(text: str, _: dt.date) -> str | Problem | None:
    found = normalise_email(f"somebody@{text.removeprefix('@')}")
    return found if isinstance(found, Problem) else found.domain


def _canonical(found: Canonical | Problem) -> str | Problem:
    return found if isinstance(found, Problem) else found.canonical


_TYPED: Final[Mapping[str, _Typed]] = MappingProxyType(
    {
        "name": _typed_name(NameKind.NAME),
        "surname": _typed_name(NameKind.SURNAME),
        "given_name": _typed_name(NameKind.GIVEN_NAME),
        "name_initials": _typed_initials,
        "birth_date": lambda text, today: _canonical(normalise_birth_date(text, today=today)),
        "birth_year": _shape("[12][0-9]{3}"),
        "birth_month_day": _typed_month_day,
        "gender": lambda text, _: _canonical(normalise_gender(text)),
        "city": lambda text, _: _canonical(normalise_place(text)),
        "district": lambda text, _: _canonical(normalise_place(text)),
        "postcode": lambda text, _: _canonical(normalise_identifier(text, IdentifierKind.POSTCODE)),
        "email_domain": _typed_domain,
        "phone_head_7": _shape(f"[0-9]{{{_HEAD}}}"),
        "phone_tail_4": _shape(f"[0-9]{{{_TAIL}}}"),
        "loyalty_card_tail_4": _shape(f"[0-9A-Za-z]{{{_TAIL}}}"),
        "national_id_tail_4": _shape(f"[0-9]{{{_TAIL - 1}}}[0-9Xx]"),
        "bank_card_tail_4": _shape(f"[0-9]{{{_TAIL}}}"),
    }
)
