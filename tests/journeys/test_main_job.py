"""The main job, command by command, as the engineer who wires the first sources does it."""

import csv
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.demo.places import STORES
from cdp.demo.receiver import Receiver, count_verified
from cdp.demo.world import World, write_world
from cdp.storage import schema
from cdp.vault.keyring import KeyRing
from connectors.record import Sensitive
from tests.journeys.commands import Shell
from tests.journeys.databases import Databases
from tests.journeys.state import rows_as_stored

pytestmark = [pytest.mark.integration, pytest.mark.journey]
OWN, OTHER = STORES[0].code, STORES[4].code
CLERK, OTHER_CLERK = f"clerk.{OWN.lower()}", f"clerk.{OTHER.lower()}"
MANAGER = f"manager.{OWN.lower()}"
REASON = "member asks which number we hold, ticket J-1"
SOURCES = ["pos", "miniprogram", "shop", "wecom", "legacy"]


class Town:
    """The files, the terminal, the database and the CRM of one journey."""

    def __init__(self, shell: Shell, world: World, receiver: Receiver) -> None:
        self.shell = shell
        self.world = world
        self.receiver = receiver
        self.engine = sa.create_engine(str(shell.database_url))
        self.first: dict[str, Any] = {}  # what the first commands printed

    def exported(self) -> list[list[str]]:
        """The lines of an export, heading included; run when first asked for."""
        out = self.shell.folder / "out" / "people.csv"
        if not out.exists():
            outcome = self.shell.run("identity", "export", "--out", str(out))
            assert (outcome.out, out.stat().st_mode & 0o777) == ("", 0o600)
            assert [path.name for path in out.parent.iterdir()] == ["people.csv"]
        with out.open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))

    def rows(self, statement: sa.Select[Any]) -> list[Any]:
        """What the database answers."""
        with self.engine.connect() as connection:
            return list(connection.execute(statement).all())

    def member(self) -> str:
        """A profile with a phone that only the clerk's store knows."""
        profile = schema.profile
        statement = (
            sa.select(profile.c.id)
            .where(profile.c.stores == [OWN], profile.c.golden.has_key("phone"))
            .where(profile.c.purposes.contains(["marketing"]))
            .order_by(profile.c.size.desc(), profile.c.id)
        )
        return str(self.rows(statement)[0].id)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, server: sa.URL) -> Iterator[Town]:
    """A town synced and resolved through the command line, from an empty database."""
    folder = tmp_path_factory.mktemp("town")
    with Receiver() as receiver, Databases(server) as databases:
        world = write_world(folder, people=260, seed=11, hook=receiver.url)
        town = Town(Shell(folder, databases.copy(None), folder / "home"), world, receiver)
        for name, words in {
            "init": ("init", "--json"),
            "init again": ("init", "--json"),
            "check": ("source", "check", "--json"),
            "sync": ("source", "sync", "--json"),
            "resolve": ("identity", "resolve", "--json"),
            "tag": ("tag", "run", "--json"),
        }.items():
            town.first[name] = town.shell.run(*words).json
        yield town
        town.engine.dispose()


def test_init_can_be_run_twice(town: Town) -> None:
    """A second `cdp init` finds the workspace and changes nothing."""
    assert town.first["init"] == town.first["init again"]
    assert (town.shell.home / "keyring.json").stat().st_mode & 0o777 == 0o600
    assert town.shell.home.stat().st_mode & 0o077 == 0


def test_check_and_preview_show_what_is_wired_and_no_value(town: Town) -> None:
    """Ten rows are shown masked, delivered beside read; no raw value is among them."""
    assert {one["level"] for one in town.first["check"]} <= {"note", "warning"}
    outcomes = town.shell.run_all(
        ("source", "preview", "pos", "--json"), ("source", "preview", "pos")
    )
    for outcome in outcomes:
        raw = [str(cell) for record in town.world.of("pos")[:12] for cell in record.row[:4]]  # type: ignore[index]
        shown = outcome.out + outcome.err
        assert [cell for cell in raw if len(cell) > 2 and cell in shown] == []
    rows = outcomes[0].json
    assert [row["position"] for row in rows] == list(range(1, 11))
    assert any("*" in text for row in rows for text in row["read"].values())


def test_syncing_again_changes_nothing_and_says_so(town: Town) -> None:
    """The second sync reads every row, knows every one, and writes only that it ran."""
    before = rows_as_stored(town.engine)
    outcome = town.shell.run("source", "sync")
    after = rows_as_stored(town.engine)
    assert "Nothing changed: every row but the rejected ones was known already." in outcome.err
    assert "Synced" in outcome.out
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"kith.sync_run"}
    first = town.first["sync"]
    assert [report["source"] for report in first] == SOURCES
    assert sum(report["added"] for report in first) == len(before["kith.record"])


def test_rejects_are_listed_for_people_and_for_tools(town: Town) -> None:
    """Every rejected row is listed with source, row, rule and next step; both forms agree."""
    table, document = town.shell.run_all(
        ("source", "rejects"), ("source", "rejects", "--json", "--limit", "10000")
    )
    listed = document.json
    assert "cdp source replay" in table.err
    whole = [row for row in listed["rows"] if not row["field"]]
    assert len(whole) == sum(report["rejected"] for report in town.first["sync"])
    values = [row for row in listed["rows"] if row["field"]]
    assert len(values) == sum(report["set_aside"] for report in town.first["sync"])
    assert sum(one["count"] for one in listed["counts"]) == len(listed["rows"])
    for row in listed["rows"]:
        assert row["source"] in SOURCES
        assert row["position"] > 0
        assert row["rule"]
        assert row["next_step"]
    for one in listed["counts"]:
        assert one["rule"] in table.out
    broken = {(row.source, row.rule) for row in town.world.broken}
    assert len(whole) >= len({source for source, _ in broken})


def test_resolving_again_changes_nothing_and_says_so(town: Town) -> None:
    """The second resolve finds the same people and writes no row."""
    before = rows_as_stored(town.engine)
    outcome = town.shell.run("identity", "resolve")
    after = rows_as_stored(town.engine)
    assert "Nothing changed: every profile is as it was." in outcome.err
    assert {name for name in before if before[name] != after[name]} <= {"kith.epoch"}
    assert town.first["resolve"]["trained"]
    assert town.first["resolve"]["created"] == town.first["resolve"]["profiles"]


def test_the_evaluation_has_every_figure(town: Town) -> None:
    """Precision, recall and their kin are numbers between 0 and 1, and good ones."""
    truth = str(town.shell.folder / "truth.csv")
    figures = town.shell.run("identity", "evaluate", "--truth", truth, "--json").json
    for name in ("precision", "recall", "f1", "linkable_recall", "bcubed_precision",
                 "bcubed_recall", "bcubed_f1", "over_merge_rate"):  # fmt: skip
        assert 0 <= figures[name] <= 1, name
    # A town this small teaches the model little; the promise itself is the benchmark's.
    assert figures["precision"] >= 0.9
    assert figures["linkable_recall"] >= 0.85
    outcome = town.shell.run("identity", "evaluate", "--truth", "no-such.csv", code=1)
    assert "truth_missing" in outcome.err


def test_the_export_names_every_record_once(town: Town) -> None:
    """The export is a CSV for its owner alone: a heading and one line per record."""
    header, *lines = town.exported()
    assert header == ["source", "record_id", "profile_id"]
    delivered = {(one.source, one.record_id) for one in town.world.delivered}
    exported = {(source, record_id) for source, record_id, _ in lines}
    assert len(exported) == len(lines) == town.first["resolve"]["records"]
    assert delivered - exported == set()
    assert len({profile for *_, profile in lines}) == town.first["resolve"]["profiles"]


def test_two_records_of_one_person_are_explained(town: Town) -> None:
    """An explanation lists evidence in bits; two people have none, an unknown record is named."""
    homes: dict[str, list[str]] = {}
    for source, record_id, profile_id in town.exported()[1:]:
        homes.setdefault(profile_id, []).append(f"{source}:{record_id}")
    one, other = next(names for names in homes.values() if len(names) == 2)
    stranger = next(names[0] for names in homes.values() if one not in names)
    links = town.shell.run("identity", "explain", one, other, "--json").json
    assert links
    assert all(finding["comparison"] for link in links for finding in link["findings"])
    outcome = town.shell.run("identity", "explain", one, stranger)
    assert "two people" in outcome.err
    outcome = town.shell.run("identity", "explain", one, "pos:nobody-has-this", code=1)
    assert "no_such_record" in outcome.err
    assert "nobody-has-this" not in outcome.err


def test_everybody_sees_a_member_as_policy_allows(town: Town) -> None:
    """The store's clerk and manager see masks, another store's clerk sees nobody."""
    member = town.member()
    show = ("profile", "show", member, "--json", "--as")
    nobody = "p" + "0" * 20
    clerk, manager, headquarters, refused, unknown = town.shell.run_all(
        (*show, CLERK),
        (*show, MANAGER),
        (*show, "headquarters"),
        (*show, OTHER_CLERK),
        ("profile", "show", nobody, "--as", OTHER_CLERK),
    )
    assert [o.code for o in (clerk, manager, headquarters, refused, unknown)] == [0, 0, 0, 1, 1]
    assert "*" in clerk.json["fields"]["phone"]["value"]
    for view in (manager.json, headquarters.json):
        assert view["profile_id"] == member
        assert "*" in view["fields"].get("phone", {"value": "*"})["value"]
        assert view["fields"].get("national_id", {"value": "*"})["value"].count("*")
    assert refused.out == ""
    assert "not_found" in refused.err
    assert refused.err == unknown.err, "a hidden member looks like none"


def test_a_reveal_is_refused_or_leaves_its_reason(town: Town) -> None:
    """A clerk is refused and told why; a manager sees one field, and the log says so."""
    member = town.member()
    words = ("profile", "reveal", member, "phone", "--reason", REASON, "--as")
    refused = town.shell.run(*words, CLERK, code=1)
    assert refused.out == ""
    shown = town.shell.run(*words, MANAGER, "--json").json
    assert shown["field"] == "phone"
    assert "*" not in shown["value"]
    seen = town.shell.run("audit", "who", member, "--json").json
    reveals = [(s["actor"], s["decision"], s["reason given"]) for s in seen
               if s["action"] == "profile.reveal"]  # fmt: skip
    assert (MANAGER, "allow", REASON) in reveals
    assert any(actor == CLERK and decision == "deny" for actor, decision, _ in reveals)
    assert shown["value"] not in str(seen)


def test_publishing_sends_contracted_fields_of_consenting_people(town: Town) -> None:
    """The CRM gets signed events with its fields; the second run has nothing to send."""
    first = {one["destination"]: one for one in town.shell.run("publish", "run", "--json").json}
    got = town.receiver.accepted
    secret = Sensitive(KeyRing.open(town.shell.home / "keyring.json").webhook_secret("crm"))
    assert got
    assert count_verified(got, secret) == len(got) == first["crm"]["delivered"]
    people = town.receiver.people()
    allowed = {"profile_id", "name", "phone", "tags"}
    assert all(set(data) <= allowed for data in people.values())
    rows = town.rows(sa.select(schema.profile.c.id, schema.profile.c.purposes))
    consenting = {row.id for row in rows if "marketing" in row.purposes}
    assert set(people) <= consenting
    weekly = town.shell.folder / "exports" / "weekly.csv"
    with weekly.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file))
    assert set(header) == {"profile_id", "city", "tags"}
    again = {one["destination"]: one for one in town.shell.run("publish", "run", "--json").json}
    assert again["crm"]["delivered"] == 0
    assert len(town.receiver.accepted) == len(got)


def test_tags_are_counted_and_stay(town: Town) -> None:
    """Every profile gets its tags; the second run changes none."""
    assert town.first["tag"]["tags"]
    assert "Nothing changed" in town.shell.run("tag", "run").err


def test_misuse_is_exit_2_and_says_so_on_stderr(town: Town) -> None:
    """What the command line cannot mean ends with 2; results stay empty."""
    outcome = town.shell.run("source", "preview", code=2)
    assert outcome.out == ""
    assert "Usage" in outcome.err


def test_an_altered_audit_log_is_found_and_named(town: Town) -> None:
    """A row of the log changed behind Kith's back: verify exits 1 and names the event."""
    town.exported()  # which leaves an event
    report = town.shell.run("audit", "verify", "--json").json
    assert report["ok"]
    assert report["events"] == report["sealed"] > 0
    event = schema.audit_event
    with town.engine.begin() as connection:
        victim = connection.execute(
            sa.select(event.c.id, event.c.line).where(event.c.leaf == 0)
        ).one()
        altered = victim.line.replace('"decision":"', '"decision":"not ')
        assert altered != victim.line
        connection.execute(sa.update(event).where(event.c.id == victim.id).values(line=altered))
    outcome = town.shell.run("audit", "verify", "--json", code=1)
    assert not outcome.json["ok"]
    assert any("leaf 0" in finding["where"] for finding in outcome.json["findings"]), outcome.out
    with town.engine.begin() as connection:
        connection.execute(sa.update(event).where(event.c.id == victim.id).values(line=victim.line))
    assert town.shell.run("audit", "verify", "--json").json["ok"]
