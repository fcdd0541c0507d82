"""What one page of an API tells about its declaration. Pure."""

from collections.abc import Iterator
from typing import Any, Final

from connectors.base import Finding, Level
from connectors.cells import trim
from connectors.columns import file_columns
from connectors.declaration import SourceDeclaration
from connectors.http_declaration import HttpSpec
from connectors.sources.http_pages import Page
from connectors.sources.http_paging import Paging
from connectors.sources.http_since import Cursor
from connectors.sources.json_lines import LineRefused, cell_at

_SHOWN: Final = 30


def findings_of(
    declaration: SourceDeclaration, page: Page, cursor: Cursor | None, *, is_last: bool
) -> list[Finding]:
    """What the first page and the declaration say together."""
    spec = declaration.http
    if spec is None:
        return []
    rows = list(_rows(page))
    found = list(_about(spec))
    if not page.rows:
        step = "No row came: look whether request and rows are as the API wants them."
        found.append(Finding(Level.NOTE, "no_rows", "rows", step))
    elif not rows:
        step = "No item of the first page is an object that can be read: correct rows."
        found.append(Finding(Level.ERROR, "rows_not_read", "rows", step))
    else:
        found.extend(_missing(declaration, rows))
        if cursor is not None and declaration.feed.cursor is not None:
            found.extend(_unread(declaration.feed.cursor, cursor, rows))
    if rows and is_last and spec.paging.type != "none":
        step = "The first page is the last: if there are more rows, correct paging."
        found.append(Finding(Level.NOTE, "one_page", "paging", step))
    return found


def _about(spec: HttpSpec) -> Iterator[Finding]:
    if spec.auth.type == "query" or (spec.auth.type == "token" and not spec.auth.in_header):
        step = "Addresses are written to logs: send the key in a header, if the API takes it there."
        yield Finding(Level.WARNING, "key_in_address", "auth", step)
    if spec.request.allow_http:
        step = "Secrets and rows can be read on the way: use https://."
        yield Finding(Level.WARNING, "plain_http", "request.allow_http", step)
    if spec.paging.type != "none" and not Paging(spec).resumes:
        step = "A reading that is broken off begins anew. If rows never change their place: stable."
        yield Finding(Level.NOTE, "begins_anew", "paging", step)
        if spec.since is not None:
            step = "A row that changes place while pages are read may be passed over: read in full"
            step += " now and then, or ask by cursor, next, link or keyset."
            yield Finding(Level.WARNING, "pages_shift", "paging", step)


def _rows(page: Page) -> Iterator[dict[str, Any]]:
    for item in page.rows:
        try:
            yield page.row(item)
        except LineRefused:
            continue


def _missing(declaration: SourceDeclaration, rows: list[dict[str, Any]]) -> Iterator[Finding]:
    wanted = dict.fromkeys((*declaration.columns(), *declaration.feed.columns()))
    ids = file_columns(declaration.derived, declaration.record_id)
    there = ", ".join(list(dict.fromkeys(key for row in rows for key in row))[:_SHOWN])
    for column in wanted:
        if any(cell_at(row, column) is not None for row in rows):
            continue
        # a key may be left out where it has no value, so only the id is an error
        level = Level.ERROR if column in ids else Level.WARNING
        step = f"No row of the first page has it: correct the mapping. There are: {there}."
        yield Finding(level, "column_missing", declaration.called(column), step)


def _unread(column: str, cursor: Cursor, rows: list[dict[str, Any]]) -> Iterator[Finding]:
    cells = [cell for row in rows if isinstance(cell := cell_at(row, column), str)]
    if cells and all(cursor.read(trim(cell)) is None for cell in cells):
        step = "Declare the format that the API takes, and the time_zone of times that say none."
        yield Finding(Level.WARNING, "cursor_form", "cursor", step)
