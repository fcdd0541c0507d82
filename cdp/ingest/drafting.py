"""The entry of a source in cdp.yaml, drafted from a guess. Pure.

Invariants, each named by a test in ``tests/unit/ingest/test_drafting.py``:
    1. A draft holds headings, shares and counts, never a value.
    2. What only a person can know stands as ``<...>``, which no declaration accepts.
    3. Inserting an entry leaves every other line of the file as it was.
"""

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import yaml

from cdp.errors import Stop
from cdp.ingest.guessing import UNSTEADY, ColumnGuess, Guess
from connectors.table import Table
from connectors.vocabulary import IDENTITY_FIELDS
from identity.catalogue import Catalogue

MOST_CANDIDATES: Final = 5  # of a record id, named in a comment
MOST_LEFT_OUT: Final = 60  # columns that are named in a comment
_PLAIN: Final = re.compile(r"[^\W\d_][\w.]*")
_SECTION: Final = re.compile(r"^sources:[ \t]*(\{\})?[ \t]*(#.*)?$", re.MULTILINE)
_UNCLEAR: Final = "<format of the birth_date: day or month first>"
_CUT: Final = re.compile(r"[0-9](\.[0-9]+)?[eE]\+[0-9]{2,3}")  # a long number, as Excel shows it
_NO_ID: Final = "none is unique and filled"
_INDENT: Final = 2  # of entries in a draft


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the person says of the new source.

    Attributes:
        name: it gets.
        connector: that reads it.
        location: of the file.
        delimiter: of a CSV file.
        record_id: columns that name a record; empty: the likeliest.
        scopes: field -> where its identifier is unique; of a birth date, the format; of a phone,
            the country of numbers that name none.
        more: further lines, behind the connector.
    """

    name: str
    connector: str
    location: str
    delimiter: str
    record_id: Sequence[str]
    scopes: Mapping[str, str]
    more: Sequence[str] = ()


def draft(wanted: Wanted, table: Table, guess: Guess, known: Catalogue) -> str:
    """The entry as YAML text, to stand under ``sources:``."""
    lines = [f"  {wanted.name}:", *(f"    {line}" for line in _lines(wanted, table, guess, known))]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _lines(wanted: Wanted, table: Table, guess: Guess, known: Catalogue) -> Iterator[str]:
    yield f"connector: {wanted.connector}"
    if wanted.location:
        yield f"location: {_scalar(wanted.location)}"
    yield from wanted.more
    if table.encoding:
        yield f"encoding: {table.encoding}  # detected"
    if wanted.connector == "csv" and wanted.delimiter != ",":
        yield f"delimiter: {json.dumps(wanted.delimiter)}"
    if table.sheet:
        names = (f"{_visible(o)}{' (hidden)' * (o in table.hidden)}" for o in table.sheets)
        others = f"  # not read: {', '.join(names)}" if table.sheets else ""
        yield f"sheet: {_scalar(table.sheet)}{others}"
    yield from _record_id(wanted, guess)
    if guess.store:
        yield f"store: {_scalar(guess.store)}"
    yield "fields:"
    chosen = [one for one in guess.columns if one.chosen]
    for one in chosen or ():
        yield f"  {one.field}: {_mapping(one, wanted, known)}  # {_reason(one, wanted)}"
    if not chosen:
        yield f"  {_asked('a field')}: {_asked('a column')}  # no column looks like one"
    yield from _left_out(table, guess, wanted)
    yield "# State on what ground, and for what, these people may be processed. Without it, for"
    yield "# nothing:  consent: {basis: membership, purposes: [service]}"


def _record_id(wanted: Wanted, guess: Guess) -> Iterator[str]:
    ids = _record_ids(wanted, guess)
    if not ids:
        there = ", ".join(_visible(one[0]) for one in guess.record_ids[:MOST_CANDIDATES])
        why = f"unique in these rows, and no names for good: {there}" if there else _NO_ID
        yield f"record_id: {_asked('the columns that name a record')}  # {why}"
        return
    others = [" and ".join(map(_visible, one)) for one in guess.record_ids if one != ids][
        :MOST_CANDIDATES
    ]
    comment = f"  # filled and unique too: {', '.join(others)}" if others else ""
    shown = _scalar(ids[0]) if len(ids) == 1 else f"[{', '.join(map(_scalar, ids))}]"
    yield f"record_id: {shown}{comment}"


def _record_ids(wanted: Wanted, guess: Guess) -> tuple[str, ...]:
    """The columns to take. A name or a birthday that is unique in a sample is not taken.

    The second person of that name would be taken for the first one, changed.
    """
    fields = {one.column: one.field for one in guess.columns}
    steady = (one for one in guess.record_ids if len(one) > 1 or fields[one[0]] not in UNSTEADY)
    return tuple(wanted.record_id) or next(steady, ())


def _mapping(one: ColumnGuess, wanted: Wanted, known: Catalogue) -> str:
    column = _scalar(one.column)
    field = one.field or ""
    if field == "phone":
        return _phone(one, column, wanted.scopes.get("phone"))
    if one.split:
        return f'{{column: {column}, split: "{one.split}"}}'
    if one.formats:
        given = wanted.scopes.get(field)
        forms = [given] if given else [_UNCLEAR] if len(one.formats) > 1 else list(one.formats)
        return f"{{column: {column}, formats: {json.dumps(forms)}}}"
    if field not in known.types or not known[field].scoped:
        return column
    given = wanted.scopes.get(field)
    scope = _scalar(given) if given else _asked(f"{known[field].scope} of the {field}")
    return f"{{column: {column}, scope: {scope}}}"


def _phone(one: ColumnGuess, column: str, country: str | None) -> str:
    more = [f'split: "{one.split}"'] if one.split else []
    if country is not None or one.foreign:
        more.append(f"country: {_scalar(country) if country else _asked('country of the phone')}")
    return f"{{column: {column}, {', '.join(more)}}}" if more else column


def _reason(one: ColumnGuess, wanted: Wanted) -> str:
    reason = f"{one.confidence:.0%} sure, {one.filled} values"
    if len(one.formats) > 1 and one.field not in wanted.scopes:
        return f"{reason}; all of them read as {' and as '.join(one.formats)}"
    return reason


def _left_out(table: Table, guess: Guess, wanted: Wanted) -> Iterator[str]:
    """Columns that nothing is read from: whoever needs one, maps it."""
    used = {guess.store, *_record_ids(wanted, guess)}
    left = [one for one in guess.columns if not one.chosen and one.column not in used]
    if left:
        yield "# Not read, and so not stored. Map what you need, under fields or attributes:"
    for one in left[:MOST_LEFT_OUT]:
        kind = f"looks like {one.field}" if one.field else one.type or "text"
        if one.filled and all(map(_CUT.fullmatch, table.texts(one.column))):
            kind = "digits are lost: format it as text in the spreadsheet, and export it again"
        yield f"#   {_visible(one.column)}: {kind if one.filled else 'empty'}"
    if len(left) > MOST_LEFT_OUT:
        yield f"#   and {len(left) - MOST_LEFT_OUT} more"
    if table.more:
        yield f"# {table.more:,} more columns were not looked at: name what you need by hand."


def _asked(what: str) -> str:
    return json.dumps(f"<{what}>")


def _scalar(text: str) -> str:
    """Text as a YAML scalar: bare where YAML reads it back as this text."""
    if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    return f'"{_visible(text)}"'


def _visible(text: str) -> str:
    """Text on one line, with what does not show written as YAML's double quotes take it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in escaped)


def require_questions(given: Collection[str], known: Catalogue, more: frozenset[str]) -> None:
    """Refuse answers that nobody asked for: misspelt, they would change nothing, silently.

    Args:
        given: names of answers.
        known: the types of identifiers; a field that the file lacks may be answered for.
        more: other names that may be.

    Raises:
        Stop: an answer to no question.
    """
    names = more | IDENTITY_FIELDS | set(known.types)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, sorted(names), n=1)
            step = f"did you mean {near[0]}?" if near else f"a field, or: {', '.join(sorted(more))}"
            raise Stop("no_such_question", f"{step} (--with NAME=VALUE)", name=name)


def unfilled(entry: str) -> list[str]:
    """What still stands as ``<...>`` in an entry."""
    return list(dict.fromkeys(re.findall(r'"<([^"<>]+)>"', entry)))


def inserted(text: str, entry: str) -> str:
    """The text of cdp.yaml with one more source, behind the others: the last is trusted least.

    Args:
        text: of the file.
        entry: as ``draft`` or a preset gives it.

    Raises:
        Stop: the file has a section of sources in a form that no line can be put into.
    """
    section = _SECTION.search(text)
    if section is None:
        if re.search(r"^[\"']?sources", text, re.MULTILINE):
            raise Stop(
                "sources_in_another_form",
                "write `sources:` on a line of its own, with the entries below it",
            )
        return f"{text.rstrip()}\n\nsources:\n{entry}"
    head, rest = text[: section.end()], text[section.end() :].removeprefix("\n")
    if section[1]:
        head = head.replace(section[0], section[0].replace("{}", "").rstrip())
    lines = rest.splitlines(keepends=True)
    ours = [place for place, line in enumerate(lines[: _section_end(lines)]) if line[0] in " \t"]
    last = max(ours, default=-1) + 1
    above = "".join(lines[:last])
    above += "" if not above or above.endswith("\n") else "\n"
    return f"{head}\n{above}{_indented(entry, rest)}{''.join(lines[last:])}"


def _section_end(lines: Sequence[str]) -> int:
    """The place of the next key of the file, or of the end."""
    for place, line in enumerate(lines):
        if line.strip() and line[0] not in " \t#":
            return place
    return len(lines)


def _indented(entry: str, rest: str) -> str:
    """The entry as deep as the ones that are there."""
    found = re.match(r"(?:[ \t]*(?:#.*)?\n)*( +)\S", rest)
    depth = len(found[1]) if found else _INDENT
    by = depth - _INDENT
    return "".join(
        (" " * by + line if by >= 0 else line[-by:]) if line.strip() else line
        for line in entry.splitlines(keepends=True)
    )
