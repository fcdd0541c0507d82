"""What a file is by its first bytes: `connectors/sources/forms.py`."""

import io
import zipfile

import openpyxl
import pytest

from connectors.declaration import parse_source
from connectors.errors import Stop
from connectors.registry import open_source
from connectors.sources import forms

PERSON = "13957140286"


def workbook() -> bytes:
    """A small one."""
    book = openpyxl.Workbook()
    book.active.append(["card", "phone"])
    book.active.append(["K1", PERSON])
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def archive() -> bytes:
    """A ZIP of something else."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as packed:
        packed.writestr("members.csv", f"card,phone\nK1,{PERSON}\n")
    return written.getvalue()


def compound(stream: str) -> bytes:
    """An OLE file with one stream: its header, and a directory in the second sector."""
    header = bytearray(512)
    header[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    header[30] = 9
    header[48] = 1
    return bytes(header) + bytes(512) + stream.encode("utf-16-le").ljust(512, b"\0")


PAGE = f"<html><head></head><table><tr><td>{PERSON}</td></tr></table></html>"
FILES = {
    "an .xlsx workbook": workbook(),
    "a Parquet file": b"PAR1....PAR1",
    "a ZIP archive": archive(),
    "packed with gzip": b"\x1f\x8b\x08",
    "a workbook with a password": compound("EncryptedPackage"),
    "an old .xls workbook": compound("Workbook"),
    "a PDF": b"%PDF-1.7",
    "an SQLite database": b"SQLite format 3\0",
    "a 7z archive": b"7z\xbc\xaf\x27\x1c",
    "a RAR archive": b"Rar!\x1a",
    "a web page (HTML)": PAGE.encode("gb18030"),
    "a file of XML": b'\xef\xbb\xbf<?xml version="1.0"?><Workbook/>',
}
PAGES = (
    PAGE,
    f"\ufeff \r\n{PAGE}",
    f"<!DOCTYPE html>{PAGE}",
    "<META charset=gb2312><table></table>",
    f'<?xml version="1.0"?>\n{PAGE}',
)
TEXTS = ("card,phone\n", "", "<a>,<b>\n", "{}\n", "PK,phone\n", "卡号,手机\n", "[x],y\n")


@pytest.mark.parametrize("name", FILES)
def test_each_form_is_known(name: str) -> None:
    """By its signature, wherever the file is being read."""
    file = io.BytesIO(FILES[name])
    file.seek(3)
    found = forms.form_of(file)
    assert found is not None
    assert found.name == name
    assert found.next_step
    assert file.tell() == 3


@pytest.mark.parametrize("text", PAGES)
def test_a_page_is_known_by_its_first_words(text: str) -> None:
    """Behind a mark, spaces or a declaration of XML too."""
    found = forms.form_of(io.BytesIO(text.encode()))
    assert found is not None
    assert found.name == "a web page (HTML)"


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_a_text(text: str) -> None:
    """Whatever it says."""
    assert forms.form_of(io.BytesIO(text.encode())) is None


def test_what_is_cut_off_is_told_all_the_same() -> None:
    """Nothing of a broken file ends in an error of its own."""
    for data in FILES.values():
        for end in range(0, min(len(data), 700), 7):
            forms.form_of(io.BytesIO(data[:end]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"id": 1}', True),
        ("\ufeff\n { }", True),
        ('[{"id": 1}]', True),
        ("[[1]]", True),
        ("[bold],b", False),
        ("{x},y", False),
        ("id,name", False),
        ("", False),
    ],
)
def test_json_begins_as_objects_and_lists_do(text: str, expected: bool) -> None:  # noqa: FBT001
    """A heading may begin with a bracket."""
    assert forms.is_json(io.BytesIO(text.encode())) is expected


@pytest.mark.parametrize("connector", ["csv", "jsonl"])
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_text_is_not_read_as_one(tmp_path, connector, name) -> None:
    """It is refused by what it is, with the next step, and not for its encoding."""
    (tmp_path / "x").write_bytes(FILES[name])
    entry = {"connector": connector, "location": "x", "record_id": "card",
             "fields": {"phone": "phone"}, "encoding": "auto"}  # fmt: skip
    source = open_source(parse_source("till", entry), tmp_path)
    with pytest.raises(Stop, match="not_text") as stop:
        list(source.read())
    assert name in stop.value.next_step
    assert PERSON not in str(stop.value)
    assert [one.rule for one in source.check()] == ["not_text"]


@pytest.mark.parametrize("name", [one for one in FILES if one != "an .xlsx workbook"])
def test_what_is_no_workbook_is_called_what_it_is(tmp_path, name) -> None:
    """A page called .xlsx, an old or a locked one: each has another next step."""
    (tmp_path / "x.xlsx").write_bytes(FILES[name])
    entry = {"connector": "xlsx", "location": "x.xlsx", "record_id": "card",
             "fields": {"phone": "phone"}}  # fmt: skip
    source = open_source(parse_source("till", entry), tmp_path)
    with pytest.raises(Stop, match="not_a_workbook") as stop:
        list(source.read())
    assert name in stop.value.next_step
    (tmp_path / "x.xlsx").write_bytes(b"card,phone\n")
    with pytest.raises(Stop, match="connector: csv"):
        list(source.read())
    (tmp_path / "x.xlsx").write_bytes(workbook()[:300])
    with pytest.raises(Stop, match="not_a_workbook"):
        list(source.read())
