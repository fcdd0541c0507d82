"""``cdp policy``: seeing, explaining and changing it, as people type it."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cdp import cli
from cdp.cli.policy import DIFFERS
from cdp.errors import Stop
from cdp.policy import content
from cdp.policy.matrix import markdown
from tests.integration import in_process
from tests.integration.policy.office import PEOPLE, WHY, Office, narrower, sees, wider
from tests.journeys import tills
from tests.journeys.commands import ROOT, Outcome

pytestmark = pytest.mark.integration
Command = Callable[..., Outcome]
HOSTILE = '朝阳, "north"\n[店)'


@pytest.fixture
def cdp(
    office: Office, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a command in this process, in the office's workspace."""
    environment = {
        "CDP_HOME": str(office.settings.home),
        "CDP_CONFIG": str(office.settings.declaration),
        "CDP_DATABASE_URL": str(office.settings.database_url),
    }

    def run(*arguments: str, code: int = 0) -> Outcome:
        return in_process.run(monkeypatch, capsys, ("policy", *arguments), environment, code)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The wider policy, as files to be proposed."""
    content.write(wider(), tmp_path / "new")
    return tmp_path / "new"


def test_from_a_folder_to_being_in_force(cdp: Command, office: Office, folder: Path) -> None:
    """Shown, compared, proposed and approved by command; every step says what it did."""
    shipped = cdp("status", "--json").json
    assert (shipped["serial"], shipped["approved_by"], shipped["refusal"]) == (1, "init", None)
    told = cdp("diff", str(folder)).out
    assert "WIDER" in told
    assert "postcode" in told
    assert cdp("propose", str(folder), "--as", "operator", "--reason", WHY, "--dry-run")
    assert cdp("list", "--json").json["proposals"] == []
    made = cdp("propose", str(folder), "--as", "operator", "--reason", WHY, "--json").json
    assert (made["proposal"], made["widens"]) == (1, True)
    shown = cdp("approve", "1", "--as", "officer", "--dry-run", "--json").json
    assert (shown["widens"], shown["version"]) == (True, made["version"])
    told = cdp("approve", "1", "--as", "officer", "--dry-run").err
    assert f"cdp policy approve 1 {made['version']} --as WHO" in " ".join(told.split())
    cdp("approve", "1", "--as", "officer", code=2)
    assert "waits" in cdp("list").out
    cdp("approve", "1", made["version"], "--as", "operator", code=1)
    assert "In force" in cdp("approve", "1", shown["version"][:12], "--as", "officer").err
    now = cdp("status", "--json").json
    assert (now["serial"], now["proposed_by"], now["approved_by"]) == (2, "operator", "officer")
    assert now["in_force"] == made["after"] != shipped["in_force"]
    assert (now["differs_from_shipped"], now["open_proposals"]) == (True, 0)
    assert sees(office.process(), "postcode") == "clear"
    assert "approved by officer" in cdp("list").out


def test_rejected_withdrawn_and_rolled_back(cdp: Command, office: Office, folder: Path) -> None:
    """What is over is listed as such, and an older version comes back by two persons."""
    by = ("--as", "operator", "--reason", WHY)
    for number, end in ((1, "reject"), (2, "withdraw")):
        cdp("propose", str(folder), *by)
        who = "officer" if end == "reject" else "operator"
        cdp(end, str(number), "--as", who, "--reason", "No", "--json")
    listed = cdp("list", "--json").json["proposals"]
    assert [one["ended"]["how"] for one in listed] == ["withdrawn", "rejected"]
    office.change(wider())
    first = cdp("list", "--json").json["activations"][-1]["version"]
    back = cdp("rollback", first[:8], *by, "--json").json
    assert not back["widens"]
    cdp("approve", str(back["proposal"]), back["version"], "--as", "deputy", "--json")
    assert cdp("status", "--json").json["in_force"] == first


def test_versions_are_shown_and_written(cdp: Command, office: Office, tmp_path: Path) -> None:
    """The files of any version come back as they were proposed."""
    version = office.workspace.policy.version
    assert "p, clerk, find, counter_key" in cdp("show", version[:6]).out
    assert set(cdp("show", version[:6], "--json").json["files"]) == set(content.FILES)
    cdp("show", version[:6], "--write", str(tmp_path / "files"))
    assert content.read(tmp_path / "files") == content.shipped()
    cdp("show", version[:6], "--write", str(tmp_path / "files"), code=1)


def test_what_ships_is_proposed_after_an_upgrade(
    cdp: Command, office: Office, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    """The policy in force stays; init and status say that another one ships, and how to take it."""
    office.change(narrower())
    assert DIFFERS.splitlines()[0] in cdp("status").err
    monkeypatch.setattr(sys, "argv", ["cdp", "init"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert not left.value.code
    said = capsys.readouterr().err
    assert "cdp policy propose --shipped" in said
    assert sees(office.process(), "phone") == "omit"
    made = cdp("propose", "--shipped", "--as", "operator", "--reason", WHY, "--json").json
    cdp("approve", str(made["proposal"]), made["version"], "--as", "officer", "--json")
    assert cdp("status", "--json").json["differs_from_shipped"] is False
    assert "Nothing changes for anybody." in cdp("diff").err


def test_status_tells_what_is_not_to_be_believed(cdp: Command, office: Office) -> None:
    """Looks 1: a broken chain is an answer with exit 1 and the next step, not a crash."""
    office.change(wider())
    office.forced("UPDATE kith.policy_activation SET reason = 'x' WHERE serial = 2")
    found = cdp("status", "--json", code=1).json
    assert "policy_not_as_signed" in found["refusal"]
    assert found["in_force"] is None
    assert "not to be believed" in cdp("status", code=1).err


def test_status_looks_at_older_versions_too(cdp: Command, office: Office) -> None:
    """Looks 1: also a version that is no longer in force, which somebody might go back to."""
    office.change(wider())
    office.change(narrower())
    office.forced(
        "UPDATE kith.policy_version SET content = content || ' ' WHERE stored_by = 'init'"
    )
    assert "policy_not_as_signed" in cdp("status", "--json", code=1).json["refusal"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (("clerk", "read", "phone", "--stores", "BJ01"), ("masked", "granted", "people of BJ01")),
        (("clerk", "read", "phone", "--stores", "SZ01"), ("refused", "outside_scope", "people of")),
        (("clerk", "read", "phone"), ("refused", "needs_person", "a person: say whose")),
        (("clerk", "reveal", "phone", "--stores", "BJ01"), ("refused", "denied", "without line")),
        (("clerk", "read", "postcode", "--stores", "BJ01"), ("refused", "no_rule", "policy.csv")),
        (("clerk", "sing", "phone"), ("refused", "unknown_action", "break_glass")),
        (("clerk", "read", "shoe"), ("refused", "unknown_field", "phone")),
        (("clerk", "read", "phone", "--purpose", "fun"), ("refused", "unknown_purpose", "fraud")),
        (("office", "export", "none", "--purpose", "marketing"),
         ("refused", "needs_approval", "compliance")),
        (("office", "list", "phone"), ("masked", "granted", "everybody, also people of no store")),
        (("operator", "configure", "none"), ("allowed", "granted", "everybody")),
    ],
)  # fmt: skip
def test_a_decision_is_explained(cdp: Command, question, expected) -> None:
    """The decision, its reason, and what would have to be otherwise; refused or not, exit 0."""
    found = cdp("explain", *question, "--json").json
    decision, reason, words = expected
    assert (found["decision"], found["reason"]) == (decision, reason)
    assert words in json.dumps(found)
    assert found["needed"] if decision == "refused" else not found["needed"]
    shown = " ".join(cdp("explain", *question).out.split())
    assert found["sentence"].split(".")[0][:40] in shown


def test_a_line_is_named_with_its_number(cdp: Command) -> None:
    """The explanation leads to the line of policy.csv that decided."""
    found = cdp("explain", "clerk", "read", "phone", "--stores", "BJ01", "--json").json
    number, line = found["rule"].removeprefix("line ").split(": ", 1)
    text = content.files(content.shipped())["policy.csv"].splitlines()
    assert text[int(number) - 1] == line == "p, clerk, read, contact, mask, service, allow"


def test_circumstances_are_explained(cdp: Command, office: Office) -> None:
    """Of a line with a condition, what holds now and what would have to hold."""
    line = "p, clerk, read, contact, mask, service, allow"
    office.change(wider().replace(line, f"{line}, on_shift"))
    question = ("explain", "clerk", "read", "phone", "--stores", "BJ01", "--json")
    off = cdp(*question).json
    assert (off["decision"], off["reason"]) == ("refused", "not_now")
    assert off["conditions"] == {"refused": "unless on_shift", "masked": "on_shift"}
    assert off["needed"] == ["these circumstances: on_shift"]
    assert cdp(*question, "--under", "on_shift, at_store").json["decision"] == "masked"
    cdp(*question, "--under", "raining", code=2)


def test_a_question_about_a_person_is_asked_by_name(cdp: Command, office: Office) -> None:
    """Looks 2: only who may read the log learns of a person's stores, and it is in the log."""
    of = ("explain", "clerk", "read", "phone", "--of", "p00000000000000000000")
    cdp(*of, code=2)
    cdp(*of, "--as", "clerk", code=1)
    assert "no_such_profile" in cdp(*of, "--as", "officer", code=1).err
    decisions = [(who, decision) for who, action, decision, _ in office.events()]
    assert decisions == [("clerk", "deny"), ("officer", "allow")]


def test_the_matrix_page_is_what_the_command_prints(cdp: Command) -> None:
    """docs/POLICY_MATRIX.md is generated, and is of the policy that ships."""
    page = (ROOT / "docs" / "POLICY_MATRIX.md").read_text(encoding="utf-8")
    assert cdp("matrix", "--shipped", "--markdown").out == page
    assert cdp("matrix", "--markdown").out == page == markdown(content.compiled(content.shipped()))


def test_a_matrix_is_of_the_policy_in_force(cdp: Command, office: Office) -> None:
    """One page for each role; another policy gives another page."""
    before = cdp("matrix", "--role", "clerk").out
    assert "postcode" not in before
    office.change(wider())
    assert "postcode" in cdp("matrix", "--role", "clerk").out
    sheets = cdp("matrix", "--role", "clerk", "--json").json["sheets"]
    assert [one["role"] for one in sheets] == ["clerk"]
    cdp("matrix", "--role", "king", code=2)


def test_examples_are_asked_and_failing_ones_are_shown(cdp: Command, folder: Path) -> None:
    """All hold for what is in force; a policy that answers otherwise ends with 1 and says where."""
    found = cdp("check", "--json").json
    assert found["examples"] > 20
    assert found["failed"] == []
    shutil.copytree(content.SHIPPED / "examples", folder / "examples")
    own = folder / "examples" / "clerk.json"
    cases = json.loads(own.read_text())
    cases[0]["expect"]["allowed"] = not cases[0]["expect"]["allowed"]
    own.write_text(json.dumps(cases))
    failed = cdp("check", str(folder), "--json", code=1).json["failed"]
    assert [(one["file"], one["says"]) for one in failed] == [("clerk.json", cases[0]["says"])]
    assert "clerk.json" in cdp("check", str(folder), code=1).out
    own.write_text("{}")
    assert "examples_unreadable" in cdp("check", str(folder), code=1).err
    own.write_text('[{"says": "half of one"}]')
    assert "not_an_example" in cdp("check", str(folder), code=1).err


def test_a_store_with_a_hostile_name_decides_nothing(cdp: Command, office: Office) -> None:
    """A comma, quote, newline and bracket in a name change no decision; as an id it is refused."""
    path = office.settings.declaration.parent
    stores = [dict(one) for one in tills.ORGANISATION]
    stores[1]["name"] = HOSTILE
    tills.write_declaration(path, tills.declaration(principals=PEOPLE, organisation=stores))
    asked = ("explain", "clerk", "read", "phone", "--json", "--stores")
    assert cdp(*asked, "BJ01").json["decision"] == "masked"
    assert cdp(*asked, "SZ01").json["reason"] == "outside_scope"
    office.change(wider())
    assert "no_such_store" in cdp(*asked, HOSTILE, code=1).err
    stores[1]["id"] = HOSTILE
    tills.write_declaration(path, tills.declaration(principals=PEOPLE, organisation=stores))
    assert "declaration_wrong" in cdp(*asked, "SZ01", code=1).err


def test_a_tree_with_a_cycle_is_refused(cdp: Command, office: Office) -> None:
    """Nobody decides over regions that stand above themselves; the error names a node."""
    path = office.settings.declaration.parent
    regions = [
        {"id": "north", "kind": "region", "parent": "south", "name": "华北"},
        {"id": "south", "kind": "region", "parent": "north", "name": "华南"},
    ]
    tree = [*tills.ORGANISATION, *regions]
    tills.write_declaration(path, tills.declaration(principals=PEOPLE, organisation=tree))
    said = cdp("explain", "clerk", "read", "phone", code=1).err
    assert "is above itself" in " ".join(said.split())
    with pytest.raises(Stop):
        _ = office.process().policy
