"""``cdp source init FILE``: a new entry of cdp.yaml, from a file, whatever it is called."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from cdp.declaration import Declaration
from cdp.errors import Stop
from cdp.ingest.drafting import Wanted, draft, require_questions
from cdp.ingest.first_row import FirstRow
from cdp.ingest.guessing import Guess, guess
from cdp.ingest.normalise.pinyin import sound
from cdp.ingest.storing import reading_under
from cdp.settings import Settings
from cdp.workspace import utc_now
from connectors.declaration_schema import is_identifier
from connectors.errors import ConnectorError
from connectors.registry import SOURCES
from connectors.sources import forms
from connectors.sources.encodings import DECLARABLE
from connectors.table import Table, Tabular, unmapped

JSON_NAMES: Final = frozenset({".jsonl", ".ndjson", ".json"})
BOOKS: Final = {forms.WORKBOOK: "xlsx", forms.PARQUET: "parquet"}
HEADED: Final = frozenset({"csv", "xlsx"})  # whose columns are called by their first row
QUESTIONS: Final = frozenset({"record_id", "sheet", "heading", "encoding"})
DELIMITERS: Final = (",", ";", "\t", "|")
_IN_WORDS: Final = frozenset(" _-.()（）*/")  # of a heading of one column
FEWEST_COLUMNS: Final = 2  # of a sheet that may be a list of people
MOST_SHEETS: Final = 20  # looked at


def guessed(
    file: Path,
    name: str | None,
    settings: Settings,
    declared: Declaration,
    given: Mapping[str, str],
) -> tuple[str, str, Guess]:
    """Draft the entry of a file.

    Args:
        file: any file; its bytes say what it is, before its name does.
        name: of the new source; None: that of the file.
        settings: of the process.
        declared: cdp.yaml, or an empty one.
        given: answers, by name.

    Returns:
        The name of the source, its entry and what was guessed.

    Raises:
        Stop, ConnectorError: it cannot be read, or its first row is no heading.
    """
    source = name or name_of(file)
    connector = _connector_of(source, file)
    table, delimiter = _table(source, connector, file, given)
    _require_rows(table, connector, file)
    found = guess(table, reading_under(declared, utc_now().date()))
    if connector in HEADED and given.get("heading") != "yes":
        _require_heading(found.first_row, file)
    elif found.first_row is FirstRow.PERSON and connector not in HEADED:
        raise Stop("keys_are_values", "write fixed keys, and the values behind them", path=file)
    ids = given.get("record_id", "").split(",") if "record_id" in given else []
    if any(one not in table.columns for one in ids):
        raise Stop("no_such_column", f"name one of: {', '.join(table.columns)}", path=file)
    require_questions(given, declared.identifiers, QUESTIONS)
    wanted = Wanted(source, connector, location_of(file, settings), delimiter, ids, given)
    return source, draft(wanted, table, found, declared.identifiers), found


def name_of(file: Path) -> str:
    """The name of a file as that of a source: letters without accents, Chinese as it sounds."""
    plain = "".join(map(_spelled, unicodedata.normalize("NFKD", file.stem.casefold())))
    name = "_".join(re.findall(r"[a-z0-9]+", plain)).lstrip("0123456789_")
    if not is_identifier(name):
        raise Stop("name_needed", "give the source a name: --name NAME", path=file)
    return name


def location_of(file: Path, settings: Settings) -> str:
    """Relative to the folder of cdp.yaml where the file lies in it."""
    whole, folder = file.resolve(), settings.declaration.parent.resolve()
    return str(whole.relative_to(folder) if whole.is_relative_to(folder) else whole)


def _spelled(letter: str) -> str:
    if unicodedata.combining(letter):
        return ""
    return f"{sound(letter, surname_first=False)}_" if "\u4e00" <= letter <= "\u9fff" else letter


def _connector_of(source: str, file: Path) -> str:
    """What reads a file: told by its bytes, and of a text by its name where those leave it open."""
    if not file.is_file():
        # what is wrong with the place is said as every reader says it
        _looked_at(source, "csv", file, None, ",")
    with file.open("rb") as opened:
        form, json = forms.form_of(opened), forms.is_json(opened)
    if form in BOOKS:
        return BOOKS[form]
    if form is not None:
        raise Stop("unknown_form", f"it is {form.name}. {form.next_step}", path=file)
    return "jsonl" if json or file.suffix.lower() in JSON_NAMES else "csv"


def _require_rows(table: Table, connector: str, file: Path) -> None:
    """Refuse a file whose columns nobody could judge by what is in them."""
    several = [
        one for one in table.columns if any(isinstance(r.get(one), tuple) for r in table.rows)
    ]
    if connector == "jsonl" and len(table.rows) == 1 and len(several) > 1:
        step = "write the items of its list one a line, such as: jq -c '.data.list[]' FILE"
        raise Stop("rows_in_a_list", step, path=file)
    if table.rows:
        if len(table.columns) == 1:
            _require_one_column(table, file)
        return
    if connector == "jsonl":
        step = "write one JSON object a line; of a list: jq -c '.[]' FILE, of others: jq -c . FILE"
        raise Stop("no_line_is_an_object", step, path=file)
    if table.crooked:
        step = "look at its quotes, and whether rows have as many cells as the heading"
        raise Stop("no_row_can_be_read", step, path=file, rows=table.crooked)
    raise Stop("no_rows", "export it with some rows: columns are judged by them", path=file)


def _require_one_column(table: Table, file: Path) -> None:
    """Refuse rows that a sign cuts into cells which is no delimiter here."""
    heading, texts = table.columns[0], table.texts(table.columns[0])
    signs = {one for one in heading if not (one.isalnum() or one in _IN_WORDS)}
    if any(all(text.count(one) == heading.count(one) for text in texts) for one in signs):
        step = "have its cells parted by comma, semicolon, tab or |"
        raise Stop("delimiter_unknown", step, path=file)


def _require_heading(row: FirstRow, file: Path) -> None:
    if row is not FirstRow.HEADING:
        step = "name the columns in the first row of the file"
        if row is FirstRow.UNCLEAR:
            step += ", in words of any shop; if it does name them: --with heading=yes"
        raise Stop("no_heading", step, path=file)


def _table(source: str, connector: str, file: Path, given: Mapping[str, str]) -> tuple[Table, str]:
    """The first rows, by the delimiter that gives the most columns, of the best sheet."""
    signs = DELIMITERS if connector == "csv" else (",",)
    sheet, encoding = given.get("sheet"), given.get("encoding", "auto")
    if encoding not in DECLARABLE:
        raise Stop("encoding_unknown", f"give one of: {', '.join(DECLARABLE)}", path=file)
    tables: dict[str, Table] = {}
    refused: list[ConnectorError] = []
    for sign in signs:
        try:
            tables[sign] = _looked_at(source, connector, file, sheet, sign, encoding)
        except ConnectorError as error:  # by another delimiter it may be in order
            refused.append(error)
    best = max(tables, key=lambda one: _fitting(tables[one]), default="")
    twice = [one for one in refused if one.rule == "duplicate_column"]
    if not best or (twice and len(tables[best].columns) < FEWEST_COLUMNS):
        raise (twice or refused)[0]
    table = tables[best]
    if sheet is None and (len(table.columns) < FEWEST_COLUMNS or not table.rows):
        table = max((table, *_other_sheets(source, file, table)), key=_size)
    return table, best


def _fitting(table: Table) -> tuple[int, int]:
    return len(table.columns), -table.crooked


def _looked_at(
    source: str, connector: str, file: Path, sheet: str | None, sign: str, encoding: str = "auto"
) -> Table:
    probe = unmapped(source, connector, file.name, encoding=encoding, delimiter=sign, sheet=sheet)
    reader = SOURCES[connector](probe, file.resolve().parent)
    if not isinstance(reader, Tabular):
        raise Stop("no_guess_for_this_form", "describe it by hand, or save it as CSV")
    return reader.table()


def _other_sheets(source: str, file: Path, table: Table) -> Iterator[Table]:
    """The other sheets of a workbook whose first one is a cover, or instructions.

    What somebody hid is left alone: a copy of before, or a list that choices come from.
    """
    for sheet in [one for one in table.sheets if one not in table.hidden][:MOST_SHEETS]:
        try:
            yield _looked_at(source, "xlsx", file, sheet, ",")
        except ConnectorError:
            continue  # empty, or a drawing: nothing to choose


def _size(table: Table) -> int:
    return len(table.columns) * len(table.rows)
