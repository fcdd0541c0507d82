"""``cdp source init``: a new entry of cdp.yaml, from a file, a table or a preset."""

import stat
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from cdp import declaration
from cdp.cli import files, output, session, tables
from cdp.declaration import Declaration
from cdp.errors import Stop
from cdp.ingest.drafting import inserted, unfilled
from cdp.ingest.guessing import Guess
from cdp.settings import Settings
from cdp.whole_files import PRIVATE, whole_file
from connectors.errors import DeclarationError
from connectors.presets.catalogue import Preset, preset, presets

Answers = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        help="NAME=VALUE: a scope, by field or as the preset asks; record_id=COLUMN[,COLUMN]; "
        "sheet=NAME; heading=yes; encoding=NAME, such as cp1250; phone=COUNTRY, such as DE; "
        "birth_date=FORMAT, such as %d/%m/%Y.",
    ),
]


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
    answers: Answers = None,
    write: Annotated[bool, typer.Option("--write", help="Put it into cdp.yaml.")] = False,
    as_json: session.Json = False,
) -> None:
    """Draft the entry of a new source. Shows headings, shares and counts, never a value.

    Example: cdp source init members.xlsx --with loyalty_card=kith --write
    """
    from_table = dsn is not None or table is not None
    if from_table and (file is not None or from_preset is not None):
        raise typer.BadParameter("name a table of a database, or a file or a preset: not both")
    settings = session.settings()
    given = _answers(answers)
    facts: dict[str, Any] = {}
    if from_preset is not None:
        source, entry = _of_preset(from_preset, name, (settings, file, given), write=write)
    elif from_table:
        asked = tables.asked(settings, dsn, table, name, as_json=as_json)
        if asked is None:
            return
        source, entry, found = tables.guessed(asked, _declared(settings.declaration), given)
        facts = _facts(found)
    elif file is not None:
        declared = _declared(settings.declaration)
        source, entry, found = files.guessed(file, name, settings, declared, given)
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
    location = files.location_of(file, settings) if file else None
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
        raise typer.BadParameter("write --with NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _filled(
    chosen: Preset, source: str, given: dict[str, str], location: str | None, *, write: bool
) -> str:
    """A preset's entry; what nobody answered is shown as asked, and never written."""
    asked = {} if write else {name: f"<{name}>" for name in chosen.asks}
    return chosen.written(source, asked | given, location)


def _declared(path: Path) -> Declaration:
    """cdp.yaml, or what one begins with where there is none yet."""
    if path.exists():
        return declaration.load(path)
    return declaration.parse(yaml.safe_load(declaration.STARTER), path)


def _write(path: Path, source: str, entry: str) -> None:
    """Put the entry into cdp.yaml: all of it or nothing, and only if the whole is valid."""
    missing = unfilled(entry)
    if missing:
        step = f"give each by --with FIELD=VALUE, or --with record_id=COLUMN: {'; '.join(missing)}"
        raise Stop("not_filled_in", step, source=source)
    path = path.resolve()  # a link stays one
    text = path.read_text("utf-8") if path.exists() else declaration.STARTER
    before = declaration.content_of(text, path) or {}
    if source in (before.get("sources") or {}):
        raise Stop("source_there", "choose another --name, or edit the entry", source=source)
    whole = inserted(text, entry)
    after = _with_only_more(before, whole, source, path)
    try:
        declaration.parse(after, path)
    except DeclarationError as error:
        raise Stop("declaration_wrong", str(error), path=path) from error
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else PRIVATE
    with whole_file(path, mode) as file:
        file.write(whole)


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
