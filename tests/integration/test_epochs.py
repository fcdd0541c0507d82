"""The life of an epoch: learnt, tried, signed, put in force.

Invariants of `cdp/resolution/epochs.py`, `simulating.py` and `adopting.py`.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from cdp.access.answers import Denial
from cdp.access.principals import subject_of
from cdp.demo.world import write_world
from cdp.errors import Refused
from cdp.ingest.sync import sync
from cdp.resolution import epochs, run
from cdp.resolution.adopting import Adopter
from cdp.resolution.learning import learn
from cdp.resolution.run import ResolveReport, resolve
from cdp.resolution.simulating import Simulation, simulate
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.workspace import Workspace
from identity.model import Model
from tests.journeys import tills
from tests.journeys.commands import Shell
from tests.journeys.databases import Databases
from tests.journeys.state import people, rows_as_stored

pytestmark = pytest.mark.integration
Opener = Callable[[], Workspace]
WHO = [
    {"id": "zhao", "role": "headquarters", "node": "kith"},
    {"id": "north", "role": "headquarters", "node": "north"},
    {"id": "wires", "role": "operator", "node": "kith"},
]
WHY = "fewer wrong merges, see ticket 12"


@dataclass(frozen=True)
class Town:
    """A small made-up world, resolved, its epoch, and a stricter one that differs."""

    workspace: Workspace
    model: Model
    stricter: Model
    learnt: Model


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, databases: Databases, template: str) -> Town:
    folder = tmp_path_factory.mktemp("town")
    write_world(folder, people=150, seed=23)
    declared = yaml.safe_load((folder / "cdp.yaml").read_text(encoding="utf-8"))
    brand = declared["organisation"][0]["id"]
    region = next(one["id"] for one in declared["organisation"] if one["kind"] == "region")
    nodes = {"kith": brand, "north": region}
    declared["principals"] = [{**one, "node": nodes[one["node"]]} for one in WHO]
    tills.write_declaration(folder, declared)
    workspace = tills.open_shop(folder, databases.copy(template))
    for name in workspace.declaration.sources:
        sync(workspace, name)
    resolve(workspace)
    with workspace.engine.connect() as connection:
        active = epochs.active(connection)
    learnt = learn(workspace).model
    workspace.engine.dispose()
    assert active is not None
    stricter = replace(active[1], join_bits=active[1].join_bits + 8)
    return Town(workspace, active[1], stricter, learnt)


@pytest.fixture
def another(town: Town, databases: Databases) -> Iterator[Opener]:
    """Opens copies of the town."""
    opened: list[Workspace] = []

    def open_one() -> Workspace:
        town.workspace.engine.dispose()  # a database can be copied only while nobody uses it
        url = databases.copy_of(str(town.workspace.settings.database_url))
        opened.append(tills.reopen(town.workspace, replace(town.workspace.settings,
                                                           database_url=url)))  # fmt: skip
        return opened[-1]

    yield open_one
    for workspace in opened:
        workspace.engine.dispose()


def shell_of(workspace: Workspace) -> Shell:
    settings = workspace.settings
    return Shell(settings.declaration.parent, settings.database_url, settings.home)


def adopt(workspace: Workspace, model: Model, who: str = "zhao") -> ResolveReport | Denial:
    adopter = Adopter(workspace, subject_of(workspace, who), model, WHY)
    return adopter.adopt(lambda _: None)


def in_force(workspace: Workspace) -> str:
    with workspace.engine.connect() as connection:
        active = epochs.active(connection)
    assert active is not None
    return active[0]


def events(workspace: Workspace, action: str) -> list[dict[str, Any]]:
    with workspace.engine.connect() as connection:
        lines = connection.scalars(sa.select(schema.audit_event.c.line))
        return [event for line in lines if (event := json.loads(line))["action"] == action]


def everything_but_the_log(workspace: Workspace) -> dict[str, Any]:
    stored = rows_as_stored(workspace.engine)
    stored.pop("kith.audit_event")
    return stored


# ── learning and trying ─────────────────────────────────────────────────────


def test_learning_again_gives_the_epoch_in_force(town: Town) -> None:
    """The same records teach the same epoch, and nothing is switched or stored."""
    assert epochs.file_text(town.learnt) == epochs.file_text(town.model)


def test_a_shadow_run_under_the_epoch_in_force_changes_nobody(town: Town) -> None:
    """What is so stays so: no merge, no split, nobody with other companions."""
    found = simulate(town.workspace, town.model)
    assert found.nothing_new
    assert found.profiles_now == found.profiles_then == found.churn.kept
    assert found.waiting == 0


def test_what_a_shadow_run_announces_is_what_the_switch_does(town: Town, another: Opener) -> None:
    """`simulating`, invariant 1: the same merges and splits, profile by profile."""
    workspace = another()
    before = people(workspace)
    expected = simulate(workspace, town.stricter, limit=10_000)
    assert expected.split > 0
    assert len(expected.splits) == expected.split
    shown: list[Simulation] = []
    adopter = Adopter(workspace, subject_of(workspace, "zhao"), town.stricter, WHY)
    report = adopter.adopt(shown.append, limit=10_000)
    assert shown == [expected]
    assert isinstance(report, ResolveReport)
    assert (report.merged, report.split, report.created) == (
        expected.merged, expected.split, expected.created,
    )  # fmt: skip
    told = people(workspace)["events"][len(before["events"]) :]
    assert sorted(told) == sorted(
        [("split", new, out_of) for new, out_of in expected.splits]
        + [("merged", into, gone) for into, gone in expected.merges]
    )
    moved = sum(
        people(workspace)["members"][key] != home for key, home in before["members"].items()
    )
    assert 0 < moved <= expected.churn.changed_share * len(before["members"])
    assert len(people(workspace)["profiles"]) == expected.profiles_then


def test_a_shadow_run_writes_nothing_about_anybody(town: Town, another: Opener) -> None:
    """`simulating`, invariant 2: every row is as it was; the log says that somebody looked."""
    workspace = another()
    shell = shell_of(workspace)
    rule = workspace.settings.declaration.parent / "rule.yaml"
    rule.write_text(f"join_bits: {town.stricter.join_bits}\n", encoding="utf-8")
    before = everything_but_the_log(workspace)
    found = shell.run("identity", "simulate", "--rule", str(rule), "--limit", "1", "--json").json
    assert found["epoch"] == epochs.id_of(town.stricter)
    assert found["split"] > len(found["splits"]) == 1
    assert 0 < found["churn"]["changed_share"] < 1
    assert everything_but_the_log(workspace) == before
    assert len(events(workspace, "identity.simulate")) == 1


def test_a_record_that_waits_is_counted(town: Town, another: Opener) -> None:
    """What a changed record would change anyway is announced too, and said to be so."""
    workspace = another()
    with workspace.engine.begin() as connection:
        one = sa.select(schema.record.c.id).limit(1).scalar_subquery()
        connection.execute(
            sa.update(schema.record).where(schema.record.c.id == one).values(dirty=True)
        )
    assert simulate(workspace, town.model).waiting == 1


# ── adopting ────────────────────────────────────────────────────────────────


def test_who_signed_stands_with_the_epoch_and_in_the_log(town: Town, another: Opener) -> None:
    """`epochs`, invariant 4: by whom, why and when; a resolve's own epoch names nobody."""
    workspace = another()
    report = adopt(workspace, town.stricter)
    assert isinstance(report, ResolveReport)
    with workspace.engine.connect() as connection:
        new, old = epochs.listed(connection)
    assert (new.id, new.active, old.active) == (epochs.id_of(town.stricter), True, False)
    assert new.signature is not None
    assert (new.signature.by, new.signature.reason) == ("zhao", WHY)
    assert old.signature is None
    (event,) = events(workspace, "identity.adopt")
    assert (event["actor"], event["decision"], event["detail"]) == ("zhao", "allow", WHY)
    assert event["request_id"] == f"epoch-{new.id}"
    assert report.epoch == new.id
    assert not report.trained


def test_an_earlier_epoch_can_be_put_in_force_again(town: Town, another: Opener) -> None:
    """Going back gives everybody the profile and the id of before."""
    workspace = another()
    before = people(workspace)
    adopt(workspace, town.stricter)
    assert people(workspace)["members"] != before["members"]
    shell = shell_of(workspace)
    name = epochs.id_of(town.model)
    shell.run(*("identity", "model", "adopt", name), "--as", "zhao", "--reason", WHY, "--yes")
    assert in_force(workspace) == name
    assert people(workspace)["members"] == before["members"]
    listed = shell.run("identity", "model", "list", "--json").json
    assert [one["signed_by"] for one in listed] == ["zhao", "zhao"]


@pytest.mark.parametrize(
    ("who", "why", "reason"),
    [
        ("wires", WHY, "no_rule"),
        ("north", WHY, "outside_scope"),
        ("zhao", "call 13957140286", "detail_like_personal_number"),
        ("zhao", " ", "detail_length"),
    ],
)
def test_who_may_not_sign_changes_nothing(
    town: Town, another: Opener, who: str, why: str, reason: str
) -> None:
    """Other roles, one region's head office, an unusable reason (`adopting`, invariant 1)."""
    workspace = another()
    before = everything_but_the_log(workspace)
    adopter = Adopter(workspace, subject_of(workspace, who), town.stricter, why)
    answer = adopter.adopt(lambda _: None)
    assert isinstance(answer, Denial)
    assert answer.reason == reason
    assert everything_but_the_log(workspace) == before
    (event,) = events(workspace, "identity.adopt")
    assert (event["actor"], event["decision"], event["reason"]) == (who, "deny", reason)


def test_without_consent_nothing_is_stored(town: Town, another: Opener) -> None:
    """`adopting`, invariant 3: `--dry-run` and a missing `--yes` show the changes only."""
    workspace = another()
    shell = shell_of(workspace)
    file = workspace.settings.declaration.parent / "stricter.json"
    file.write_text(epochs.file_text(town.stricter), encoding="utf-8")
    words = ("identity", "model", "adopt", str(file), "--as", "zhao", "--reason", WHY)
    before = everything_but_the_log(workspace)
    rehearsed = shell.run(*words, "--dry-run", "--json").json
    asked = shell.run(*words, code=1)
    assert everything_but_the_log(workspace) == before
    assert rehearsed["before"]["split"] > 0
    assert "join_bits" in asked.out
    assert "would split off" in asked.out
    assert "not_confirmed" in asked.err

    def refuse(_: Simulation) -> None:
        raise RuntimeError

    adopter = Adopter(workspace, subject_of(workspace, "zhao"), town.stricter, WHY)
    with pytest.raises(RuntimeError):
        adopter.adopt(refuse)
    assert everything_but_the_log(workspace) == before


def test_a_signed_epoch_is_not_outgrown(
    town: Town, another: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`adopting`, invariant 4: where a provisional epoch would give way, a signed one stays."""
    workspace = another()
    early = replace(town.model, learnt_from=10)
    with workspace.engine.begin() as connection:
        epochs.activate(connection, early, workspace.now())
    learn_anew = run.batch.training.train
    calls: list[int] = []

    def counted(*arguments: Any, **more: Any) -> Model:
        calls.append(1)
        return learn_anew(*arguments, **more)

    monkeypatch.setattr(run.batch.training, "train", counted)
    adopt(workspace, early)
    assert not resolve(workspace).trained
    assert not resolve(workspace, full=True).trained
    assert calls == []
    with workspace.engine.begin() as connection:
        nobody = dict.fromkeys(("signed_by", "reason", "signed_at"))
        connection.execute(sa.update(schema.epoch).values(**nobody))
    assert resolve(workspace).trained
    assert calls == [1]


# ── together with others, and killed ────────────────────────────────────────


@pytest.mark.parametrize("held", ["resolve"])
def test_adopting_waits_for_no_resolve(town: Town, another: Opener, held: str) -> None:
    """While a resolve runs, adopting is refused with the next step and changes nothing."""
    workspace = another()
    before = everything_but_the_log(workspace)
    with only_one(workspace.engine, held, "wait"), pytest.raises(Refused, match="already_running"):
        adopt(workspace, town.stricter)
    assert everything_but_the_log(workspace) == before


def test_two_who_adopt_at_once_are_one_who_does(town: Town, another: Opener) -> None:
    """One of two is put in force, the other is refused; and no resolve gets in between."""
    workspace = another()
    other_was_refused = Event()

    def attempt(model: Model) -> object:
        adopter = Adopter(workspace, subject_of(workspace, "zhao"), model, WHY)
        try:
            # Whoever comes to show it goes on once the other has been answered.
            return adopter.adopt(lambda _: wait_for(other_was_refused))
        except Refused as refused:
            other_was_refused.set()
            return refused

    looser = replace(town.model, join_bits=town.model.join_bits + 1)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(attempt, (town.stricter, looser)))
    (done,) = [one for one in answers if isinstance(one, ResolveReport)]
    (refused,) = [one for one in answers if isinstance(one, Refused)]
    assert refused.rule == "already_running"
    assert in_force(workspace) == done.epoch
    assert resolve(workspace, full=True).nothing_new


def wait_for(event: Event) -> None:
    assert event.wait(60), "nobody was refused"


def test_killed_in_the_middle_the_old_epoch_is_in_force(town: Town, another: Opener) -> None:
    """`adopting`, invariant 2: `kill -9` while it stores; the same command then ends it."""
    workspace = another()
    shell = shell_of(workspace)
    file = workspace.settings.declaration.parent / "killed.json"
    file.write_text(epochs.file_text(town.stricter), encoding="utf-8")
    words = ("identity", "model", "adopt", str(file), "--as", "zhao", "--reason", WHY, "--yes")
    before = everything_but_the_log(workspace)
    process = shell.start(*words)
    storing = sa.text(
        "SELECT count(*) FROM pg_locks WHERE mode = 'RowExclusiveLock' "
        "AND relation = 'kith.epoch'::regclass"
    )
    with workspace.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.scalar(storing):
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.003)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert everything_but_the_log(workspace) == before
    assert events(workspace, "identity.adopt") == []
    found = shell.run(*words, "--json").json
    assert found["epoch"] == in_force(workspace) == epochs.id_of(town.stricter)
    assert found["split"] == found["before"]["split"] > 0
