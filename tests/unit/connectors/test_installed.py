"""Connectors of others: what a declaration can reach, and what it cannot."""

import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from connectors import installed
from connectors.base import Feed, Source
from connectors.credentials import Credentials
from connectors.declaration import parse_source
from connectors.discovery import missing_columns
from connectors.errors import DeclarationError, Stop
from connectors.installed import GROUP, loaded, making_of
from connectors.registry import FEEDS, SOURCES, open_source

ENTRY = {
    "connector": "installed",
    "installed": {"name": "crm", "options": {"list": "members", "most": 5}},
    "record_id": "id",
    "fields": {"name": "name"},
}
CODE = """
class CrmFeed:
    def __init__(self, declaration, credentials):
        self.name = declaration.name
    def check(self): return []
    def count(self, state): return None
    def read(self, state): return iter(())

class Nameless(CrmFeed):
    def __init__(self, declaration, credentials): pass

class CrmFile(CrmFeed):
    def __init__(self, declaration, folder, credentials):
        self.name, self.folder = declaration.name, folder
    def fingerprint(self): return "0" * 64

class Nothing: pass
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that announces a connector, as if it were installed."""
    (tmp_path / "shop_package.py").write_text(CODE, "utf-8")
    (tmp_path / "broken_package.py").write_text("raise ValueError('canary-secret')", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    announce(monkeypatch, crm="shop_package:CrmFeed")
    yield
    for name in ("shop_package", "broken_package"):
        sys.modules.pop(name, None)


def announce(monkeypatch, *more, **names):
    found = [EntryPoint(name, value, GROUP) for name, value in [*names.items(), *more]]
    monkeypatch.setattr(
        installed, "entry_points", lambda group: EntryPoints(one for one in found if group == GROUP)
    )


def opened(tmp_path, **changes):
    return open_source(parse_source("crm", ENTRY | changes), tmp_path)


def rule_of(tmp_path, **changes):
    with pytest.raises(Stop) as stopped:
        opened(tmp_path, **changes)
    assert "canary" not in str(stopped.value)
    assert stopped.value.next_step
    return stopped.value.rule


def test_an_announced_connector_is_opened(package, tmp_path, monkeypatch):
    """A feed gets declaration and credentials; a source, with its fingerprint, the folder too."""
    assert isinstance(opened(tmp_path), Feed)
    announce(monkeypatch, crm="shop_package:CrmFile")
    source = opened(tmp_path)
    assert isinstance(source, Source)
    assert source.folder == tmp_path


def test_a_declaration_reaches_only_what_is_announced(package, tmp_path, monkeypatch):
    """A name that no package announces is refused with those that there are (invariant 1)."""
    for name in ("os", "shop_package", "crm_feed"):
        assert rule_of(tmp_path, installed={"name": name}) == "connector_not_installed"
    with pytest.raises(Stop, match="Announced here: crm"):
        opened(tmp_path, installed={"name": "other"})
    for name in ("shop_package:CrmFeed", "shop-package", "../x", ""):
        with pytest.raises(DeclarationError):
            parse_source("crm", ENTRY | {"installed": {"name": name}})


def test_a_name_of_ours_stays_ours(package, tmp_path, monkeypatch):
    """A package that announces csv or sql takes nobody's place (2)."""
    announce(monkeypatch, csv="shop_package:CrmFile", sql="shop_package:CrmFeed")
    entry = {"connector": "csv", "location": "x.csv", "record_id": "id", "fields": {"name": "n"}}
    assert type(open_source(parse_source("shop", entry), tmp_path)) is SOURCES["csv"]
    assert "installed" not in {*SOURCES, *FEEDS}


def test_two_packages_under_one_name_are_refused(package, tmp_path, monkeypatch):
    """Which of two would be loaded is nobody's guess (2)."""
    announce(monkeypatch, ("crm", "broken_package:CrmFeed"), crm="shop_package:CrmFeed")
    assert rule_of(tmp_path) == "connector_twice"
    announce(monkeypatch, ("crm", "shop_package:CrmFeed"), crm="shop_package:CrmFeed")
    assert isinstance(opened(tmp_path), Feed)


def test_nothing_is_imported_before_it_is_opened(package, tmp_path):
    """Reading a declaration, and listing what is announced, imports no package (3)."""
    parse_source("crm", ENTRY)
    assert set(installed.announced()) == {"crm"}
    assert "shop_package" not in sys.modules
    opened(tmp_path)
    assert "shop_package" in sys.modules


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("broken_package:CrmFeed", "connector_not_importable"),
        ("no_such_package:CrmFeed", "connector_not_importable"),
        ("shop_package:Nothing", "connector_unfit"),
        ("shop_package:Nameless", "connector_unfit"),
        ("shop_package:missing", "connector_no_class"),
        ("shop_package:CrmFeed.read", "connector_form"),
        ("shop_package", "connector_form"),
    ],
)
def test_what_is_no_connector_stops(package, tmp_path, monkeypatch, value, rule):
    """What cannot be imported or is none is told by rule, without the text of an error (4)."""
    announce(monkeypatch, crm=value)
    assert rule_of(tmp_path) == rule


def test_options_are_plain_values_and_part_of_the_meaning():
    """Options come by name, in any order; another value is another declaration."""
    one = parse_source("crm", ENTRY)
    turned = dict(reversed(ENTRY["installed"]["options"].items()))
    assert one.installed.find("most") == 5
    assert one.installed.find("least") is None
    assert one.installed.require("crm", "list") == "members"
    with pytest.raises(Stop, match="option_missing"):
        one.installed.require("crm", "most")
    assert parse_source("crm", ENTRY | {"installed": {"name": "crm", "options": turned}}) == one
    other = parse_source("crm", ENTRY | {"installed": {"name": "crm", "options": {"list": "x"}}})
    assert other.digest() != one.digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"installed": {"name": "crm", "options": {"a": {"b": 1}}}},
        {"installed": {"name": "crm", "options": {}}},
        {"installed": {"name": "crm", "code": "x"}},
        {"installed": {}},
        {"connector": "csv", "location": "x.csv"},
        {"encoding": "utf-8"},
    ],
)
def test_a_declaration_of_another_form_is_refused(changes):
    """Nested options, unknown keys, and an installed connector where none is meant, are refused."""
    with pytest.raises(DeclarationError):
        parse_source("crm", ENTRY | changes)
    with pytest.raises(DeclarationError, match="installed"):
        parse_source("crm", {key: one for key, one in ENTRY.items() if key != "installed"})


def test_a_feed_of_others_may_be_followed_by_a_cursor():
    """Mode, cursor and deletions may be declared, and a location."""
    more = {"mode": "incremental", "cursor": "updated", "deleted": {"column": "gone"}}
    declared = parse_source("crm", ENTRY | more | {"location": "members.journal"})
    assert declared.feed.cursor == "updated"
    assert declared.location == "members.journal"


def test_columns_that_are_not_there_are_findings():
    """A missing column of the record id is an error, another one a warning."""
    declared = parse_source("crm", ENTRY | {"deleted": {"column": "gone"}})
    found = missing_columns(declared, {"other"})
    assert [(one.level, one.subject) for one in found] == [
        ("error", "id"),
        ("warning", "name"),
        ("warning", "gone"),
    ]
    assert missing_columns(declared, ("id", "name", "gone", "more")) == []


def test_a_class_is_made_by_the_same_rules(package, tmp_path):
    """Whoever tests a class of theirs opens it as a sync would."""
    make = making_of(loaded("shop_package:CrmFeed", "crm"))
    declared = parse_source("crm", ENTRY)
    assert make(declared, tmp_path, Credentials("crm", {})).name == "crm"
