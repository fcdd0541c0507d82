"""``cdp source init`` and what ``check`` warns of, as commands."""

from collections.abc import Callable, Iterator
from pathlib import Path

import openpyxl
import pytest
import yaml

from cdp import declaration
from connectors.presets.catalogue import presets
from tests.integration import in_process
from tests.journeys import tills
from tests.journeys.commands import Outcome
from tests.journeys.databases import Databases
from tests.presets import retailer

pytestmark = pytest.mark.integration
Cdp = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a cdp.yaml that has a comment, an organisation and no source."""
    text = yaml.safe_dump({"version": 1, "organisation": tills.ORGANISATION}, allow_unicode=True)
    (tmp_path / "cdp.yaml").write_text(f"# ours\n{text}sources: {{}}\n", encoding="utf-8")
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.fixture
def cdp(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Cdp]:
    """Runs commands in that folder."""
    environment = {"CDP_CONFIG": str(folder / "cdp.yaml"), "CDP_HOME": str(folder / "home")}

    def run(*arguments: str, code: int = 0, database: str | None = None) -> Outcome:
        more = {"CDP_DATABASE_URL": database} if database else {}
        return in_process.run(monkeypatch, capsys, arguments, environment | more, code)

    return run


def test_a_file_is_wired_checked_and_synced(
    folder: Path, cdp: Cdp, databases: Databases, template: str
) -> None:
    """From a spreadsheet to records: init, init --write, check, sync; no value is ever shown."""
    sheet = folder / "data/members.xlsx"
    retailer.write_sample("member_sheet", sheet)
    shown = cdp("source", "init", str(sheet))
    assert "phone: {column: 手机, split:" in shown.out
    assert "location: data/members.xlsx" in shown.out.replace('"', "")
    told = cdp("source", "init", str(sheet), "--json")
    assert {one["field"] for one in told.json["columns"] if one["chosen"]} >= {
        "phone",
        "name",
        "national_id",
        "birth_date",
    }
    cdp("source", "init", str(sheet), "--write")
    text = (folder / "cdp.yaml").read_text("utf-8")
    assert text.startswith("# ours\n")
    again = cdp("source", "init", str(sheet), "--write", code=1)
    assert "source_there" in again.err
    workspace = tills.open_shop(folder, databases.copy(template))
    workspace.engine.dispose()
    database = str(workspace.settings.database_url)
    checked = cdp("source", "check", "members", "--json", database=database)
    assert [one["rule"] for one in checked.json] == []
    synced = cdp("source", "sync", "members", "--json", database=database)
    assert synced.json[0]["added"] == 6
    assert synced.json[0]["findings"] == []
    for outcome in (shown, told, again, checked, synced):
        assert "13957140286" not in outcome.out + outcome.err
        assert "李静怡" not in outcome.out + outcome.err


def test_a_preset_is_written_out_with_its_answers(folder: Path, cdp: Cdp) -> None:
    """A preset asks for scopes, is never written without them, and keeps its comments."""
    listed = cdp("source", "init", "--json")
    assert {one["preset"] for one in listed.json} == set(presets())
    shown = cdp("source", "init", "--preset", "taobao", "--json")
    assert shown.json["asked"] == ["shop", "brand"]
    refused = cdp("source", "init", "--preset", "taobao", "--write", code=1)
    assert "--with shop=" in refused.err
    before = (folder / "cdp.yaml").read_text("utf-8")
    answers = ("--with", "shop=2200000000001", "--with", "brand=kith")
    cdp("source", "init", "data/orders.jsonl", "--preset", "taobao", *answers, "--write",
        "--name", "tmall")  # fmt: skip
    text = (folder / "cdp.yaml").read_text("utf-8")
    assert before != text
    assert "never a key" in text
    entry = yaml.safe_load(text)["sources"]["tmall"]
    assert entry["fields"]["ouid"] == {"column": "ouid", "scope": "2200000000001"}


def test_a_file_without_a_heading_is_not_shown(folder: Path, cdp: Cdp) -> None:
    """Where the first row is a person, init refuses and quotes nothing of it."""
    (folder / "data/x.csv").write_text("13957140286,李静怡\n13857160317,王建国\n", encoding="utf-8")
    refused = cdp("source", "init", str(folder / "data/x.csv"), "--name", "x", code=1)
    assert "no_heading" in refused.err
    assert "13957140286" not in refused.out + refused.err
    assert "李静怡" not in refused.out + refused.err


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("收银会员.csv", "shou_yin_hui_yuan"),
        ("2024 Kundenübersicht-Größe.csv", "kundenubersicht_grosse"),
        ("Members (1).CSV", "members_1"),
    ],
)
def test_a_source_is_named_by_its_file(folder: Path, cdp: Cdp, file: str, name: str) -> None:
    """Whatever script it is in: Chinese as it sounds, letters without accents."""
    (folder / file).write_text("card,phone\nK1,13957140286\n", encoding="utf-8")
    assert cdp("source", "init", str(folder / file), "--json").json["source"] == name


def test_a_file_of_no_letters_asks_for_a_name(folder: Path, cdp: Cdp) -> None:
    """A number alone is no name."""
    (folder / "2024.csv").write_text("card,phone\nK1,13957140286\n", encoding="utf-8")
    assert "--name NAME" in cdp("source", "init", str(folder / "2024.csv"), code=1).err


def test_without_a_declaration_one_is_begun(folder: Path, cdp: Cdp) -> None:
    """The first source of a workspace needs no file beforehand; the organisation is filled in."""
    (folder / "cdp.yaml").unlink()
    (folder / "x.csv").write_text("card,phone\nK1,13957140286\n", encoding="utf-8")
    cdp("source", "init", str(folder / "x.csv"), "--with", "loyalty_card=kith", "--write")
    text = (folder / "cdp.yaml").read_text("utf-8")
    assert text.startswith(declaration.STARTER.partition("sources:")[0])
    assert set(declaration.load(folder / "cdp.yaml").sources) == {"x"}


def test_a_cover_sheet_is_passed_over(folder: Path, cdp: Cdp) -> None:
    """The list is what has columns and rows; another sheet is taken when it is named."""
    book = openpyxl.Workbook()
    book.active.title = "说明"
    for line in ("填写说明", "一人一行", "手机不填空格", "勿改表头"):
        book.active.append([line])
    book.create_sheet("空")
    for title in ("会员", "旧会员"):
        sheet = book.create_sheet(title)
        sheet.append(["编号", "手机"])
        for number in range(3 if title == "会员" else 2):
            sheet.append([f"{title}{number}", f"1395714{number:04}"])
    book.save(folder / "data/x.xlsx")
    asked = ("source", "init", str(folder / "data/x.xlsx"))
    shown = cdp(*asked)
    assert "sheet: 会员  # not read: 说明, 空, 旧会员" in shown.out
    assert "phone: 手机" in shown.out
    assert "sheet: 旧会员" in cdp(*asked, "--with", "sheet=旧会员").out
    assert "sheet_missing" in cdp(*asked, "--with", "sheet=会", code=1).err


def test_a_value_that_stands_twice_is_not_shown(folder: Path, cdp: Cdp) -> None:
    """Nor where the first row has one value in two columns, which no heading may."""
    line = "K1,李静怡,13957140286,13957140286\n"
    (folder / "data/x.csv").write_text(line, encoding="utf-8")
    refused = cdp("source", "init", str(folder / "data/x.csv"), "--name", "x", code=1)
    assert "duplicate_column" in refused.err
    assert "13957140286" not in refused.out + refused.err


def test_a_linked_file_stays_a_link(folder: Path, cdp: Cdp) -> None:
    """The entry goes into the file that the link leads to."""
    (folder / "cdp.yaml").replace(folder / "data/real.yaml")
    (folder / "cdp.yaml").symlink_to(folder / "data/real.yaml")
    (folder / "data/x.csv").write_text("card,phone\nK1,13957140286\n", encoding="utf-8")
    cdp("source", "init", str(folder / "data/x.csv"), "--name", "x", "--with",
        "loyalty_card=kith", "--write")  # fmt: skip
    assert (folder / "cdp.yaml").is_symlink()
    assert "x" in yaml.safe_load((folder / "data/real.yaml").read_text("utf-8"))["sources"]


def test_an_entry_never_goes_into_a_text(folder: Path, cdp: Cdp) -> None:
    """What looks like the section of sources may be a line of a name: nothing is written then."""
    text = 'version: 1\norganisation:\n- id: b\n  kind: brand\n  name: "A\nsources:\n  B"\n'
    (folder / "cdp.yaml").write_text(text, encoding="utf-8")
    (folder / "data/x.csv").write_text("card,phone\nK1,13957140286\n", encoding="utf-8")
    refused = cdp("source", "init", str(folder / "data/x.csv"), "--name", "x", "--with",
                  "loyalty_card=kith", "--write", code=1)  # fmt: skip
    assert "sources_in_another_form" in refused.err
    assert (folder / "cdp.yaml").read_text("utf-8") == text


def test_check_warns_of_personal_data_that_no_field_takes(
    folder: Path, cdp: Cdp, databases: Databases, template: str
) -> None:
    """A column of phones that nobody mapped, or that is an attribute, is named by check."""
    rows = "".join(f"K{n},1395714{n:04},1385716{n:04},x\n" for n in range(5))
    (folder / "data/x.csv").write_text(f"card,a,b,c\n{rows}", encoding="utf-8")
    source = {
        "connector": "csv",
        "location": "data/x.csv",
        "record_id": "card",
        "fields": {"loyalty_card": {"column": "card", "scope": "kith"}},
        "attributes": {"b": {"column": "b", "type": "category"}},
    }
    content = {"version": 1, "organisation": tills.ORGANISATION, "sources": {"x": source}}
    tills.write_declaration(folder, content)
    workspace = tills.open_shop(folder, databases.copy(template))
    workspace.engine.dispose()
    checked = cdp("source", "check", "--json", database=str(workspace.settings.database_url))
    found = [(one["level"], one["rule"], one["subject"]) for one in checked.json]
    assert found == [("warning", "personal_data_undeclared", name) for name in ("a", "b")]
    assert "1395714" not in checked.out
