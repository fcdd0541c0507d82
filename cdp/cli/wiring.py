"""``cdp source init``: a new entry of cdp.yaml, from a file, a table or a preset."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from cdp import declaration
from cdp.cli import output, session, tables
from cdp.declaration import Declaration
from cdp.errors import Stop
from cdp.ingest.drafting import Wanted, draft, inserted, unfilled
from cdp.ingest.guessing import Guess, guess
from cdp.ingest.normalise.pinyin import sound
from cdp.ingest.storing import reading_under
from cdp.settings import Settings
from cdp.workspace import utc_now
from connectors.declaration_schema import is_identifier
from connectors.errors import ConnectorError, DeclarationError
from connectors.presets.catalogue import Preset, preset, presets
from connectors.registry import SOURCES
from connectors.table import Table, Tabular, unmapped

CONNECTORS: Final = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".parquet": "parquet",
}
DELIMITERS: Final = (",", ";", "\t", "|")
FEWEST_COLUMNS: Final = 2  # of a sheet that may be a list of people
MOST_SHEETS: Final = 20  # looked at
MODE: Final = 0o600


def init(  # noqa: PLR0913, PLR0917 - three ways to a source, and what is asked of each
    file: Annotated[Path | None, typer.Argument(help="CSV, JSON lines, XLSX or Parquet.")] = None,
    from_preset: Annotated[
        str | None, typer.Option("--preset", help="Take a preset instead of guessing.")
    ] = None,
    dsn: Annotated[
        str | None,
        typer.Option(help="Of a database: env:SOURCE_NAME, file:PATH or ring:NAME. No password."),
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="Of that database; without it, its tables are listed.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the new source.")] = None,
    answers: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="NAME=VALUE: a scope, by field or as the preset asks; record_id=COLUMN[,COLUMN]; "
            "sheet=NAME; phone=COUNTRY, such as DE; birth_date=FORMAT, such as %d/%m/%Y.",
        ),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Put it into cdp.yaml.")] = False,
    as_json: session.Json = False,
) -> None:
    """Draft the entry of a new source. Shows headings, shares and counts, never a value."""
    settings = session.settings()
    given = _answers(answers)
    facts: dict[str, Any] = {}
    if from_preset is not None:
        source, entry = _of_preset(from_preset, name, (settings, file, given), write=write)
    elif dsn is not None or table is not None:
        asked = tables.asked(settings, dsn, table, name, as_json=as_json)
        if asked is None:
            return
        source, entry, found = tables.guessed(asked, _declared(settings.declaration), given)
        facts = _facts(found)
    elif file is not None:
        source = name or _name_of(file)
        entry, found = _guessed(file, source, settings, given)
        facts = _facts(found)
    else:
        _list_presets(as_json=as_json)
        return
    if write:
        _write(settings.declaration, source, entry)
    if as_json:
        output.as_json({"source": source, "yaml": entry, "asked": unfilled(entry), **facts})
        return
    typer.echo(entry, nl=False)
    _say_what_next(source, entry, settings, written=write)


def _of_preset(
    named: str,
    name: str | None,
    asked: tuple[Settings, Path | None, dict[str, str]],
    *,
    write: bool,
) -> tuple[str, str]:
    settings, file, given = asked
    chosen = preset(named)
    source = name or chosen.name
    location = _location(file, settings) if file else None
    return source, _filled(chosen, source, given, location, write=write)


def _facts(found: Guess) -> dict[str, Any]:
    return {"columns": [asdict(one) for one in found.columns], "rows": found.rows}


def _say_what_next(source: str, entry: str, settings: Settings, *, written: bool) -> None:
    for one in unfilled(entry):
        output.say(f"Fill in: {output.plain(one)}")
    if written:
        output.say(f"Written into {output.plain(str(settings.declaration))}.")
        output.say(f"Next: cdp source check {source}, then cdp source preview {source}")
    else:
        output.say("Put it under sources: in cdp.yaml, or run this again with --write.")


def _list_presets(*, as_json: bool) -> None:
    if as_json:
        output.as_json([{"preset": p.name, "about": p.about, "asks": dict(p.asks)}
                        for p in presets().values()])  # fmt: skip
        return
    rows = [(one.name, one.about, "\n".join(one.asks)) for one in presets().values()]
    output.table("Presets", ("--preset", "for", "asks --with"), rows)
    output.say("Or name a file, to have its columns guessed: cdp source init FILE")


def _answers(written: list[str] | None) -> dict[str, str]:
    pairs = [one.partition("=") for one in written or ()]
    if any(not sign or not name for name, sign, _ in pairs):
        raise Stop("answer_form", "write --with NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _filled(
    chosen: Preset, source: str, given: dict[str, str], location: str | None, *, write: bool
) -> str:
    """A preset's entry; what nobody answered is shown as asked, and never written."""
    asked = {} if write else {name: f"<{name}>" for name in chosen.asks}
    return chosen.written(source, asked | given, location)


def _name_of(file: Path) -> str:
    """The name of a file as that of a source: letters without accents, Chinese as it sounds."""
    plain = "".join(map(_spelled, unicodedata.normalize("NFKD", file.stem.casefold())))
    name = "_".join(re.findall(r"[a-z0-9]+", plain)).lstrip("0123456789_")
    if not is_identifier(name):
        raise Stop("name_needed", "give the source a name: --name NAME", path=file)
    return name


def _spelled(letter: str) -> str:
    if unicodedata.combining(letter):
        return ""
    return f"{sound(letter, surname_first=False)}_" if "\u4e00" <= letter <= "\u9fff" else letter


def _location(file: Path, settings: Settings) -> str:
    """Relative to the folder of cdp.yaml where the file lies in it."""
    whole, folder = file.resolve(), settings.declaration.parent.resolve()
    return str(whole.relative_to(folder) if whole.is_relative_to(folder) else whole)


def _guessed(
    file: Path, source: str, settings: Settings, given: dict[str, str]
) -> tuple[str, Guess]:
    connector = CONNECTORS.get(file.suffix.lower())
    if connector is None:
        raise Stop("unknown_form", f"name a file that ends in: {', '.join(CONNECTORS)}", path=file)
    declared = _declared(settings.declaration)
    table, delimiter = _table(source, connector, file, given.get("sheet"))
    found = guess(table, reading_under(declared, utc_now().date()))
    if not found.has_heading:
        raise Stop("no_heading", "name the columns in the first row of the file", path=file)
    ids = given.get("record_id", "").split(",") if "record_id" in given else []
    lost = [one for one in ids if one not in table.columns]
    if lost:
        raise Stop("no_such_column", f"name one of: {', '.join(table.columns)}", path=file)
    wanted = Wanted(source, connector, _location(file, settings), delimiter, ids, given)
    return draft(wanted, table, found, declared.identifiers), found


def _declared(path: Path) -> Declaration:
    """cdp.yaml, or what one begins with where there is none yet."""
    if path.exists():
        return declaration.load(path)
    return declaration.parse(yaml.safe_load(declaration.STARTER), path)


def _table(source: str, connector: str, file: Path, sheet: str | None) -> tuple[Table, str]:
    """The first rows, by the delimiter that gives the most columns, of the best sheet."""
    signs = DELIMITERS if connector == "csv" else (",",)
    tables = {sign: _looked_at(source, connector, file, sheet, sign) for sign in signs}
    best = max(tables, key=lambda one: (len(tables[one].columns), -tables[one].crooked))
    table = tables[best]
    if sheet is None and (len(table.columns) < FEWEST_COLUMNS or not table.rows):
        table = max((table, *_other_sheets(source, file, table)), key=_size)
    return table, best


def _looked_at(source: str, connector: str, file: Path, sheet: str | None, sign: str) -> Table:
    probe = unmapped(source, connector, file.name, encoding="auto", delimiter=sign, sheet=sheet)
    reader = SOURCES[connector](probe, file.resolve().parent)
    if not isinstance(reader, Tabular):
        raise Stop("no_guess_for_this_form", "describe it by hand, or save it as CSV")
    return reader.table()


def _other_sheets(source: str, file: Path, table: Table) -> Iterator[Table]:
    """The other sheets of a workbook whose first one is a cover, or instructions."""
    for sheet in table.sheets[:MOST_SHEETS]:
        try:
            yield _looked_at(source, "xlsx", file, sheet, ",")
        except ConnectorError:
            continue  # empty, or a drawing: nothing to choose


def _size(table: Table) -> int:
    return len(table.columns) * len(table.rows)


def _write(path: Path, source: str, entry: str) -> None:
    """Put the entry into cdp.yaml: all of it or nothing, and only if the whole is valid."""
    missing = unfilled(entry)
    if missing:
        step = f"give each by --with FIELD=VALUE, or --with record_id=COLUMN: {'; '.join(missing)}"
        raise Stop("not_filled_in", step, source=source)
    path = path.resolve()  # a link stays one
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text("utf-8") if path.exists() else declaration.STARTER
    before = yaml.safe_load(text) or {}
    if source in (before.get("sources") or {}):
        raise Stop("source_there", "choose another --name, or edit the entry", source=source)
    whole = inserted(text, entry)
    after = _with_only_more(before, whole, source, path)
    try:
        declaration.parse(after, path)
    except DeclarationError as error:
        raise Stop("declaration_wrong", str(error), path=path) from error
    part = path.with_name(f".{path.name}.part")
    part.write_text(whole, encoding="utf-8")
    part.chmod(path.stat().st_mode if path.exists() else MODE)
    part.replace(path)


def _with_only_more(before: dict[str, Any], whole: str, source: str, path: Path) -> dict[str, Any]:
    """What a text says. Refuse one that says more than what was there, and one more source."""
    try:
        after = yaml.safe_load(whole)
    except yaml.YAMLError:  # from None: it may quote the file
        after = {}
    sources = after.get("sources") or {}
    others = {name: one for name, one in sources.items() if name != source}
    rest = {**before, "sources": before.get("sources") or {}}
    # Without a version the file was empty, and has got one.
    if source not in sources or {**after, "sources": others} != {
        "version": after["version"],
        **rest,
    }:
        step = "put the entry into the file by hand: no line can be put into it as it is written"
        raise Stop("sources_in_another_form", step, path=path)
    return dict(after)
