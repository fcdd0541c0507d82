"""What a file is by its first bytes, whatever its name says.

Exports bear names of other forms: a web page called .xls, a workbook called .csv, a .csv that was
packed. Read as what they are called they are refused for a reason that leads nowhere, so they are
told by their signatures. Nothing of what a file holds is told.
"""

import re
from typing import BinaryIO, Final, NamedTuple
from zipfile import BadZipFile, ZipFile

HEAD: Final = 4096  # bytes that are looked at
_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LOCKED: Final = "EncryptedPackage".encode("utf-16-le")  # ECMA-376: a workbook with a password
_JSON: Final = re.compile(rb'\{\s*["}]|\[\s*[\[{"\]]')  # not [a word], as a heading may begin
_SHEETS: Final = "xl/workbook.xml"


class Form(NamedTuple):
    """What a file is: a name for it, and what to do with it."""

    name: str
    next_step: str


WORKBOOK: Final = Form("an .xlsx workbook", "Declare connector: xlsx, or save it as CSV.")
PARQUET: Final = Form("a Parquet file", "Declare connector: parquet.")
_SAVE: Final = "Open it in a spreadsheet program and save it as .xlsx."
_LOCKED_BOOK: Final = Form("a workbook with a password", "Save it without one.")
_OLD_BOOK: Final = Form("an old .xls workbook", _SAVE)
_PAGE: Final = Form("a web page (HTML)", _SAVE)
_XML: Final = Form("a file of XML", _SAVE)
_ZIP: Final = Form("a ZIP archive", "Unpack it and name the file inside.")
_SIGNS: Final = (
    (b"PAR1", PARQUET),
    (b"\x1f\x8b", Form("packed with gzip", "Unpack it: gzip -d FILE.")),
    (b"7z\xbc\xaf\x27\x1c", Form("a 7z archive", "Unpack it and name the file inside.")),
    (b"Rar!", Form("a RAR archive", "Unpack it and name the file inside.")),
    (b"%PDF-", Form("a PDF", "Have the system export a table: CSV or .xlsx.")),
    (b"SQLite format 3\0", Form("an SQLite database", "Read it with connector: sql.")),
)


def form_of(file: BinaryIO) -> Form | None:
    """What an open file is if it is no text, or the text of a page; its position stays.

    None: text, or of no form that is known.
    """
    here = file.tell()
    try:
        file.seek(0)
        head = file.read(HEAD)
        for sign, form in _SIGNS:
            if head.startswith(sign):
                return form
        if head.startswith(b"PK\x03\x04"):
            return _packed(file)
        if head.startswith(_OLE):
            return _compound(file, head)
        return _page(head)
    finally:
        file.seek(here)


def is_json(file: BinaryIO) -> bool:
    """Whether a text begins as JSON objects or lists do; the position stays."""
    here = file.tell()
    file.seek(0)
    head = file.read(HEAD)
    file.seek(here)
    return _JSON.match(_bare(head)) is not None


def _bare(head: bytes) -> bytes:
    for mark in _MARKS:
        head = head.removeprefix(mark)
    return head.replace(b"\0", b"").lstrip()  # of UTF-16 its ASCII letters are left


def _page(head: bytes) -> Form | None:
    start = _bare(head)[:512].lower()
    if start.startswith((b"<html", b"<!doctype html", b"<table", b"<meta", b"<head", b"<style")):
        return _PAGE
    if start.startswith(b"<?xml"):
        return _PAGE if b"<html" in head.lower() else _XML
    return None


def _packed(file: BinaryIO) -> Form:
    try:
        names = ZipFile(file).namelist()
    except (BadZipFile, OSError, ValueError):
        return _ZIP  # cut off, or damaged
    return WORKBOOK if _SHEETS in names else _ZIP


def _compound(file: BinaryIO, head: bytes) -> Form:
    """An OLE file, by the first entries of its directory ([MS-CFB] 2.2, 2.6)."""
    sector = 4096 if head[30:32] == b"\x0c\0" else 512
    file.seek((int.from_bytes(head[48:52], "little") + 1) * sector)
    return _LOCKED_BOOK if _LOCKED in file.read(HEAD) else _OLD_BOOK
