"""The connector of the howto works as written, and the suite finds each way of breaking it."""
# ruff: noqa: E501 - a planted mistake is read as one line

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from connectors import testing, testing_feeds, testing_staged
from connectors.installed import making_of
from connectors.registry import SOURCES
from connectors.testing_run import examine
from connectors.testing_stage import SAMPLE
from tests.contracts.stages import FileStage
from tests.integration import in_process

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "write-a-connector.md"
FILES = re.findall(r"```python\n(# (\S+)\n.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
BLOCKS = {name: code for code, name in FILES}
WRITTEN = BLOCKS["shop_crm.py"]
ROW = '        text = "\\t".join(map(str, member.values()))\n'
GIVE = "                position += 1\n"
REACH = 'raise Retry(self.name, "not_reachable", "See that the CRM runs, then sync again.")'

# The law that finds it, and what is written otherwise: the old text and the new one.
MUTANTS = [
    ("check_finds_no_error", "return missing_columns(", "return [Finding(Level.ERROR, 'x', 'y', 'z')] + missing_columns("),
    ("positions_ascend", "position += 1", "position = 1"),
    ("reading_again_gives_the_same", 'after = state.value["after"] if state else "0"',
     'after = state.value["after"] if state else getattr(self, "last", "0"); self.last = "1"'),
    ("resuming_gives_the_same_tail", '"after": after}', '"after": str(int(after) + 1)}'),
    ("delivering_again_changes_nothing", ROW, ROW + '        member = {**member, "name": f"canary-{position}"}\n'),
    ("deletes_take_effect", GIVE, GIVE + '                if member["left"]: continue\n'),
    ("nothing_shows_a_value", "    def check(self):",
     '    def __repr__(self):\n        return str(self._page("0"))\n\n    def check(self):'),
    ("a_broken_feed_stops", 'raise Stop(self.name, "not_json", "See what the URL answers.") from None',
     'return {"members": [], "more": False}'),
    ("an_unknown_state_stops", "state.version != 1", "state.version == 0"),
    ("values_come_as_they_are", ROW, ROW + '        member = {**member, "phone": member.get("phone", "").lstrip("0")}\n'),
    ("a_row_without_an_id_is_rejected", GIVE, GIVE + '                if not member.get("id"): continue\n'),
    ("the_same_rows_again_change_nothing", ROW, ROW + '        member = {**member, "id": member.get("id", "") + member["change"]}\n'),
    ("a_new_column_changes_nothing", "return missing_columns(",
     "return [Finding(Level.ERROR, 'x', one, 'z') for member in members for one in member if one == 'shoe_size'] + missing_columns("),
    ("a_lost_column_is_told", "return missing_columns(", "return [] and missing_columns("),
    ("a_lost_id_makes_no_record", ROW, ROW + '        member = {"id": member["change"], **member}\n'),
    ("a_retyped_column_loses_no_row", GIVE, GIVE + '                if member["visits"].isalpha() or "-" in member["visits"]: continue\n'),
    ("a_wrong_credential_stops", "if status in (401, 403):", "if status == 403:"),
    ("being_asked_to_wait_loses_nothing", 'raise Retry(self.name, "too_many_calls", "Sync less often.", after=60.0)',
     'raise Stop(self.name, "too_many_calls", "Sync less often.")'),
    ("being_asked_to_wait_loses_nothing", 'raise Retry(self.name, "too_many_calls", "Sync less often.", after=60.0)',
     'return {"members": [], "more": False}'),
    ("being_away_is_told", REACH, 'return {"members": [], "more": False}'),
    ("no_failure_shows_a_value", REACH, 'raise Retry(self.name, "not_reachable", f"Look at {headers}.")'),
    ("what_came_since_is_read", "position, more = 0, True", "position, more = 0, state is None"),
    ("a_late_row_is_read", GIVE, GIVE + '                if state and member["updated"] < "2026-03-01 10": continue\n'),
    ("an_order_grows_with_time", 'order=order_of(member["updated"])', 'order=-order_of(member["updated"])'),
    ("the_newest_row_counts", 'order=order_of(member["updated"])', "order=position"),
    ("a_deletion_is_told", GIVE, GIVE + '                if member["left"]: continue\n'),
]  # fmt: skip


def module_of(folder, name, code):
    """A module of this code, imported under a name of its own."""
    path = folder / f"{name}.py"
    path.write_text(code, "utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """The stage of the page."""
    folder = tmp_path_factory.mktemp("howto")
    return module_of(folder, "howto_stage", BLOCKS["shop_crm_stage.py"]).CrmStage


def test_the_connector_is_about_fifty_lines():
    """The page promises a short class, imports and blank lines left out."""
    lines = [
        one
        for one in WRITTEN.splitlines()
        if one.strip() and not one.startswith(("from", "imp", "#"))
    ]
    assert len(lines) <= 60


def test_the_page_works_as_written(tmp_path, monkeypatch, capsys):
    """Both files, saved as the page names them, pass every law by the command of the page."""
    for name, code in BLOCKS.items():
        (tmp_path / name).write_text(code, "utf-8")
    monkeypatch.chdir(tmp_path)
    arguments = (
        "source",
        "test-connector",
        "shop_crm:CrmFeed",
        "--stage",
        "shop_crm_stage:CrmStage",
    )
    try:
        done = in_process.run(monkeypatch, capsys, (*arguments, "--json"), {}, 0)
        told = json.loads(done.out)
        assert {one["outcome"] for one in told} == {"pass"}
        assert len(told) == 26
        (tmp_path / "more.yaml").write_text("fields: {name: no_such, phone: phone}\n", "utf-8")
        more = (
            "--declaration",
            "more.yaml",
            "--law",
            "a lost column is told",
            "--law",
            "values_come_as_they_are",
        )
        done = in_process.run(monkeypatch, capsys, (*arguments, *more), {}, 1)
        assert "Hand texts on as text: no number" in " ".join(done.out.split())
        assert "2 laws" in done.err
    finally:
        for name in ("shop_crm", "shop_crm_stage"):
            sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("nothing_of_the_kind:Feed",), "connector_not_importable"),
        (("json:JSONDecoder", "--stage", "json:JSONDecoder"), "no_stage"),
        (("json:JSONDecoder",), "no_stage"),
        (("json:loads",), "connector_no_class"),
        (("json.JSONDecoder",), "connector_form"),
        (("json:JSONDecoder", "--stage", "tests.contracts.stages:FileStage"), "connector_unfit"),
        (("json:JSONDecoder", "--stage", "tests.contracts.stages:FileStage", "--declaration", "no.yaml"), "declaration_unreadable"),
    ],
)  # fmt: skip
def test_what_is_no_connector_is_refused(monkeypatch, capsys, arguments, rule):
    """What cannot be put to the test is refused with its rule."""
    done = in_process.run(monkeypatch, capsys, ("source", "test-connector", *arguments), {}, 1)
    assert rule in done.err


@pytest.mark.parametrize(
    ("law", "old", "new"), MUTANTS, ids=[f"{n}-{one[0]}" for n, one in enumerate(MUTANTS)]
)
def test_a_broken_connector_is_found_by_its_law(tmp_path, stage, law, old, new):
    """The connector of the page with one mistake in it breaks the law that is about it."""
    assert old in WRITTEN
    broken = module_of(tmp_path, "broken_crm", WRITTEN.replace(old, new)).CrmFeed
    [verdict] = examine(making_of(broken), stage, only=[law])
    assert verdict.outcome == "fail", verdict
    assert verdict.next_step
    assert not any(row["name"] in str(verdict) for row in SAMPLE)


class Leaky:
    """Counts readings that are open, and closes none."""

    open = 0


def leaky(declaration, folder, credentials):
    source = SOURCES["jsonl"](declaration, folder, credentials)

    def read(after=0):
        Leaky.open += 1
        return (row for row in SOURCES["jsonl"].read(source, after))

    source.read = read
    return source


def test_a_connector_that_leaves_something_open_is_found():
    """Cancelling that leaves a file or a connection open breaks its law."""
    counting = type("Counting", (FileStage,), {"left_open": lambda _: Leaky.open})
    law = "cancelling_leaves_nothing_open"
    [verdict] = examine(leaky, counting, only=[law])
    assert verdict.outcome == "fail"
    [verdict] = examine(making_of(SOURCES["jsonl"]), counting, only=[law])
    assert verdict.outcome == "pass"


def altered(**parts):
    """A connector of lines of JSON, some of its methods written otherwise."""

    def make(declaration, folder, credentials):
        kind = type("Altered", (SOURCES["jsonl"],), parts)
        return kind(declaration, folder, credentials)

    return make


BASE = SOURCES["jsonl"]
FILE_MUTANTS = [
    ("check_finds_no_error", {"check": lambda self: BASE.check(altered_columns(self))}),
    ("positions_increase", {"read": lambda self, after=0: iter(list(BASE.read(self, after))[::-1])}),
    ("reading_again_gives_the_same", {"read": lambda self, after=0: once(self, after)}),
    ("resuming_gives_the_same_tail", {"read": lambda self, after=0: BASE.read(self, after + 1 if after else 0)}),
    ("fingerprint_follows_the_content", {"fingerprint": lambda _: "0" * 64}),
    ("nothing_shows_a_value", {"__repr__": lambda self: str([one.record_id.reveal(reason="x") for one in BASE.read(self)])}),
    ("a_broken_source_stops", {"read": lambda self, after=0: quietly(self, after)}),
    ("rejected_rows_are_reported", {"read": lambda self, after=0: (one for one in BASE.read(self, after) if hasattr(one, "fields"))}),
    ("count_is_plausible", {"count": lambda _: 1000}),
]  # fmt: skip


def altered_columns(source):
    object.__setattr__(source._declaration, "record_id", ("no_such",))
    return source


def once(source, after):
    given = [] if getattr(source, "read_once", False) else list(BASE.read(source, after))
    source.read_once = True
    return iter(given)


def quietly(source, after):
    try:
        yield from BASE.read(source, after)
    except Exception:  # noqa: BLE001 - that is what is wrong with it
        return


@pytest.mark.parametrize(("law", "parts"), FILE_MUTANTS, ids=[one[0] for one in FILE_MUTANTS])
def test_a_broken_source_is_found_by_its_law(law, parts):
    """A source of files with one mistake in it breaks the law that is about it."""
    [verdict] = examine(altered(**parts), FileStage, only=[law])
    assert verdict.outcome == "fail", verdict


def test_no_law_is_without_a_mistake_that_it_finds():
    """Whoever adds a law plants a mistake for it."""
    tried = {one[0] for one in (*MUTANTS, *FILE_MUTANTS)} | {"cancelling_leaves_nothing_open"}
    every = (*testing.LAWS, *testing_feeds.FEED_LAWS, *testing_staged.STAGED_LAWS,
             *testing_staged.STAGED_FEED_LAWS)  # fmt: skip
    assert tried == {law.__name__ for law in every}
