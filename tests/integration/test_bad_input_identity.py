"""What retailers' data and machines really do to identity, and what is expected then.

Elsewhere: altered epoch files (`test_epochs.py`), contradictory decisions
(`decisions/test_refused.py`), two resolves at once (`test_resolution.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.access.principals import subject_of
from cdp.demo.numbers_cn import id_check
from cdp.errors import Retry, Stop
from cdp.ingest.sync import sync
from cdp.resolution import epochs, online, run
from cdp.resolution.adopting import Adopter
from cdp.resolution.learning import learn
from cdp.resolution.online import Arrivals
from cdp.resolution.run import ResolveReport, resolve
from cdp.resolution.simulating import Simulation, simulate
from cdp.storage import schema
from cdp.workspace import Workspace
from identity import features
from identity.errors import FeatureVersionError, ModelVersionError
from tests.integration.conftest import Learnt
from tests.integration.test_online import person, send
from tests.integration.test_repair import state
from tests.journeys import tills
from tests.journeys.commands import Shell
from tests.journeys.databases import Databases
from tests.journeys.state import people
from tests.journeys.tills import crowd, member, write_app, write_till

pytestmark = pytest.mark.integration
Opener = Callable[[], Workspace]


@pytest.fixture
def shop(
    learnt: Learnt, tmp_path: Path, databases: Databases, template: str
) -> Iterator[Workspace]:
    """An empty shop under the learnt ring and epoch, which no run replaces by itself."""
    ring = learnt.workspace.settings.key_ring
    workspace = tills.open_shop(tmp_path / "shop", databases.copy(template), ring)
    now = workspace.now()
    with workspace.engine.begin() as connection:
        signature = epochs.Signature("headquarters", "a test", now)
        epochs.activate(connection, learnt.model, now, signature)
    yield workspace
    workspace.engine.dispose()


def settle(workspace: Workspace, source: str, rows: list[dict[str, str]]) -> dict[str, Any]:
    """Deliver rows, resolve, and say who belongs to whom."""
    write = {"app": write_app, "till": write_till}[source]
    write(workspace.settings.declaration.parent, rows)
    sync(workspace, source)
    resolve(workspace)
    return people(workspace)


def sizes(found: dict[str, Any]) -> list[int]:
    return sorted(size for _, size, *_ in found["profiles"].values())


# ── people ──────────────────────────────────────────────────────────────────


def test_a_household_of_thirty_on_one_phone_stays_thirty_people(shop: Workspace) -> None:
    """A number of so many people names nobody; each is found by what is their own."""
    given = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平晨宇浩然欣怡佳思远航"
    rows = [
        {
            "openid": f"oHome{one:04}x{account}",
            "name": f"{'王李张刘陈'[one % 5]}{name}{given[-one - 1]}",
            "phones": "13957140286",
            "unionid": f"uHome{one:05}",
        }
        for one, name in enumerate(given[:30])
        for account in range(2)
    ]
    assert sizes(settle(shop, "app", rows)) == [2] * 30


def test_a_person_with_forty_records_is_one_person(shop: Workspace) -> None:
    """Forty accounts of one name, phone and unionid are one profile, whole."""
    rows = [person(3, account) for account in range(40)] + [person(4)]
    assert sizes(settle(shop, "app", rows)) == [1, 40]


def id_number(order: str) -> str:
    first = f"11010519900217{order}"
    return first + id_check(first)


def test_contradictory_unique_ids_are_two_people(shop: Workspace) -> None:
    """Two valid ID numbers are two people, whatever else agrees; who has none joins one."""
    same = {"name": "林晓梅", "phone": "13957140286", "birthday": "1990-02-17",
            "email": "lin@example.com"}  # fmt: skip
    rows = [
        member("C1", **same, id_number=id_number("004")),
        member("C2", **same, id_number=id_number("882")),
        member("C3", **same),
        member("C4", **same, id_number=id_number("004")),
    ]
    once = settle(shop, "till", rows)
    assert len(once["profiles"]) == 2
    assert sum(sizes(once)) == 4
    homes = list(once["members"].values())
    assert homes[0] == homes[3] != homes[1]


def test_a_blocked_value_on_many_records_joins_nobody(shop: Workspace) -> None:
    """The number of every manual is set aside at the door: no block, no evidence, no join."""
    rows = [{**row, "phone": "13800138000", "email": ""} for row in crowd(300)]
    found = settle(shop, "till", rows)
    assert sizes(found) == [1] * 300
    with shop.engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.edge)) == 0
        block = schema.block
        held = sa.select(sa.func.count()).select_from(block).group_by(block.c.key)
        assert max(connection.scalars(held), default=0) < 300


# ── versions ────────────────────────────────────────────────────────────────


def test_an_epoch_of_another_version_is_refused_until_another_follows(copied: Workspace) -> None:
    """Nothing is guessed: every use says what to do, and doing it works."""
    with copied.engine.begin() as connection:
        table = schema.epoch
        old = {**connection.execute(sa.select(table.c.model)).scalar_one(), "version": 0}
        connection.execute(sa.update(table).values(model=old))
    for use in (resolve, simulate_active):
        with pytest.raises(ModelVersionError, match="--retrain"):
            use(copied)
    assert learn(copied).model.learnt_from == len(people(copied)["members"])
    report = resolve(copied, retrain=True)
    assert report.trained
    assert resolve(copied).nothing_new


def simulate_active(workspace: Workspace) -> None:
    with workspace.engine.connect() as connection:
        model = epochs.named(connection, epochs.ACTIVE)
    simulate(workspace, model)


def test_features_of_another_version_are_refused_by_record(
    copied: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the record and the next step, and nobody has changed."""
    before = state(copied)
    monkeypatch.setattr(features, "VERSION", features.VERSION + 1)
    with pytest.raises(FeatureVersionError, match=r"features of record \d+ .*sync its source"):
        learn(copied)
    assert state(copied) == before


# ── a database that goes away ───────────────────────────────────────────────


def cut(workspace: Workspace, connection: sa.Connection) -> None:
    """End a connection from the server's side, as a restart does."""
    number = connection.scalar(sa.text("SELECT pg_backend_pid()"))
    with workspace.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        assert other.scalar(sa.text("SELECT pg_terminate_backend(:n, 5000)"), {"n": number})


def cut_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
    """Cut the connection the first time that ``module.name`` is called with it."""
    real = getattr(module, name)
    calls: list[int] = []

    def cutting(connection: sa.Connection, *arguments: Any, **more: Any) -> Any:
        if not calls:
            calls.append(1)
            cut(workspace, connection)
        return real(connection, *arguments, **more)

    monkeypatch.setattr(module, name, cutting)


@pytest.mark.parametrize("moment", ["shared_and_ready", "rebuild", "announce"])
def test_a_database_restart_while_a_record_is_resolved_loses_nothing(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The sender is told to send again; nothing is half stored; sending again works."""
    settle(shop, "app", [person(n, account) for n in range(6) for account in range(2)])
    before = state(shop)
    arrivals = Arrivals(shop, "app")
    cut_once(shop, monkeypatch, online, moment)
    with pytest.raises(Retry, match="database_lost; next: send it again"):
        send(arrivals, person(3, 9))
    assert state(shop) == before
    arrival = send(arrivals, person(3, 9))
    assert (arrival.stored, arrival.resolved, len(arrival.profiles)) == (1, True, 1)
    after = state(shop)
    resolve(shop, full=True)
    assert state(shop) == after


@pytest.mark.parametrize("how", [{"full": False}, {"full": True}], ids=["repair", "full"])
def test_a_database_restart_while_everybody_is_resolved_loses_nothing(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch, how: dict[str, bool]
) -> None:
    """The run ends with an error and leaves all as it was; the same run again succeeds."""
    rows = [person(n, account) for n in range(6) for account in range(2)]
    settle(shop, "app", rows)
    write_app(shop.settings.declaration.parent, [*rows, person(3, 9)])
    sync(shop, "app")
    before = state(shop)
    cut_once(shop, monkeypatch, run, "rebuild")
    with pytest.raises(sa.exc.DBAPIError):
        resolve(shop, **how)
    assert state(shop) == before
    report = resolve(shop, **how)
    assert (report.records, report.profiles, report.created) == (13, 6, 0)
    assert report.updated == 1


def test_a_record_that_comes_while_an_epoch_is_put_in_force_waits(shop: Workspace) -> None:
    """It is stored and said to wait; the next resolve gives it its person."""
    settle(shop, "app", [person(n, account) for n in range(6) for account in range(2)])
    arrivals: list[online.Arrival] = []

    def meanwhile(_: Simulation) -> None:
        arrivals.append(send(Arrivals(shop, "app"), person(3, 9)))

    with shop.engine.connect() as connection:
        model = replace(epochs.named(connection, epochs.ACTIVE), join_bits=4.0)
    adopter = Adopter(shop, subject_of(shop, "headquarters"), model, "a test")
    report = adopter.adopt(meanwhile)
    assert isinstance(report, ResolveReport)
    assert report.epoch == epochs.id_of(model)
    assert [(one.stored, one.resolved) for one in arrivals] == [(1, False)]
    assert simulate(shop, model).waiting == 1
    assert resolve(shop).created == 0
    after = state(shop)
    resolve(shop, full=True)
    assert state(shop) == after


def test_labels_that_cannot_be_used_are_refused(copied: Workspace, tmp_path: Path) -> None:
    """A label file that is missing, of other columns, incomplete, contradictory or of nobody."""
    head = "source,record_id,source,record_id,same\n"
    told = {
        "labels_missing": None,
        "labels_columns_missing": "source,record_id,same\n",
        "labels_empty": head,
        "labels_row_incomplete": head + "pos,1,pos,2,perhaps\n",
        "labels_row_names_one_record": head + "pos,1,pos,1,yes\n",
        "labels_contradict": head + "pos,1,pos,2,yes\npos,2,pos,1,no\n",
        "labels_know_no_record": head + "pos,nobody1,pos,nobody2,yes\n",
    }
    for number, (rule, text) in enumerate(told.items()):
        file = tmp_path / f"{number}.csv"
        if text is not None:
            file.write_text(text, encoding="utf-8")
        with pytest.raises(Stop, match=rule):
            learn(copied, file)


def test_labels_of_a_file_and_decisions_teach_an_epoch(copied: Workspace, tmp_path: Path) -> None:
    """`model learn` counts what it was taught, and other labels give another epoch."""
    settings = copied.settings
    shell = Shell(settings.declaration.parent, settings.database_url, settings.home)
    shell.run("identity", "export", "--out", str(tmp_path / "all.csv"))
    homes: dict[str, list[str]] = {}
    for line in (tmp_path / "all.csv").read_text(encoding="utf-8").splitlines()[1:]:
        source, record, home = line.split(",")
        homes.setdefault(home, []).append(f"{source},{record}")
    pairs = [f"{one[0]},{one[1]},yes" for one in homes.values() if len(one) > 1]
    alone = [one[0] for one in homes.values()]
    pairs += [f"{alone[0]},{alone[1]},no", "pos,nobody,pos,nobody2,yes"]
    file = tmp_path / "labels.csv"
    file.write_text("source,record_id,source,record_id,same\n" + "\n".join(pairs), encoding="utf-8")
    out = tmp_path / "taught.json"
    found = shell.run(
        *("identity", "model", "learn", "--out", str(out)),
        *("--labels", str(file), "--decisions", "--json"),
    ).json
    assert found["labels_same"] == len(pairs) - 2
    assert (found["labels_different"], found["labels_of_unknown_records"]) == (1, 1)
    taught = epochs.read_file(out)
    assert epochs.id_of(taught) == found["epoch"]
    with copied.engine.connect() as connection:
        active = epochs.active(connection)
    assert active is not None
    assert active[0] != found["epoch"]
