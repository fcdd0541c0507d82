"""From an HTTP API to profiles, on a real database, broken off on the way and gone on with."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cdp.ingest.sync import sync
from cdp.resolution import epochs
from cdp.resolution.run import resolve
from cdp.workspace import Workspace
from connectors.errors import ConnectorError
from tests.integration import in_process
from tests.integration.conftest import Learnt
from tests.integration.feeds.deliveries import FOLLOWED, left, runs
from tests.integration.http_source import api
from tests.integration.http_source.api import Api, Asked, Reply
from tests.integration.http_source.test_auth import Tokens
from tests.journeys import tills
from tests.journeys.commands import Outcome, Shell
from tests.journeys.databases import Databases
from tests.journeys.state import people

pytestmark = pytest.mark.integration
ROWS = 120
SECRETS = {f"SOURCE_{name.upper()}": text for name, text in api.SECRETS.items()}


def member(number: int, name: str | None = None) -> dict[str, Any]:
    """A member; two of each number are one person, and every tenth is deleted."""
    person = number // 2
    changed = f"2026-03-01T08:{number // 60:02}:{number % 60:02}Z"
    gone = "yes" if number % 10 == 0 else None
    phone = f"139{person * 15_485_863 % 10**8:08}"
    name = name or "王李张刘陈杨黄赵"[person % 8] + "伟芳娜敏静丽强磊"[person // 8]
    return {"id": number, "name": name, "phone": phone, "changed": changed, "gone": gone}


class Crm(Tokens):
    """An API behind OAuth2 that gives members by cursor, and breaks off when told."""

    def __init__(self) -> None:
        super().__init__(good_for=5)
        self.members = [member(number) for number in range(ROWS)]
        self.rows = api.paged(self.members, "cursor", size=10)
        self.pages_left = 10**9

    def __call__(self, asked: Asked) -> Reply:
        """The answer."""
        if asked.path != "/token":
            self.pages_left -= 1
        return Reply(status=500) if self.pages_left < 0 else super().__call__(asked)


def declared(server: Api) -> dict[str, Any]:
    auth = {"type": "oauth2", "token_url": f"{server.url}/token"}
    more = {
        "auth": auth,
        "paging": api.PAGINGS["cursor"],
        "deleted": {"column": "gone"},
        "limits": {"tries": 1},
        "consent": {"basis": "membership", "purposes": ["service"]},
    }
    return api.entry(server, **more, **api.INCREMENTAL)


@pytest.fixture
def crm() -> Crm:
    """What the API has."""
    return Crm()


@pytest.fixture
def serving(crm: Crm) -> Iterator[Api]:
    """The API."""
    with Api(crm) as made:
        yield made


Opens = Callable[[], Workspace]


@pytest.fixture
def opens(
    tmp_path: Path, databases: Databases, template: str, learnt: Learnt, serving: Api
) -> Iterator[Opens]:
    """Opens workspaces under one key ring and epoch that follow the API in small batches."""
    made: list[Workspace] = []

    def one() -> Workspace:
        folder = tmp_path / f"shop{len(made)}"
        tills.write_declaration(folder, tills.declaration(sources={"crm": declared(serving)}))
        ring = learnt.workspace.settings.key_ring
        workspace = tills.with_batches(tills.open_shop(folder, databases.copy(template), ring), 10)
        workspace.settings.source_secrets.update(SECRETS)  # type: ignore[attr-defined]
        with workspace.engine.begin() as connection:
            epochs.activate(connection, learnt.model, workspace.now())
        made.append(workspace)
        return workspace

    yield one
    for workspace in made:
        workspace.engine.dispose()


def in_whole(opens: Opens) -> Workspace:
    """A workspace into which everything came at once."""
    workspace = opens()
    report = sync(workspace, "crm", departures=FOLLOWED.departures)
    assert (report.read, report.added, report.rejected) == (ROWS, ROWS * 9 // 10, 0)
    resolve(workspace)
    return workspace


def test_broken_off_anywhere_it_ends_as_if_it_had_run_through(opens: Opens, crm: Crm) -> None:
    """The API fails three times on the way; tokens end all the time."""
    whole, broken = in_whole(opens), opens()
    for pages in (2, 3, 4):
        crm.pages_left = pages
        with pytest.raises(ConnectorError, match="http_500"):
            sync(broken, "crm", departures=FOLLOWED.departures)
    crm.pages_left = 10**9
    report = sync(broken, "crm", departures=FOLLOWED.departures)
    assert 0 < report.read < ROWS
    assert sum(run.added for run in runs(broken)) == ROWS * 9 // 10
    resolve(broken)
    assert left(broken) == left(whole)
    assert people(broken)["members"].keys() == people(whole)["members"].keys()
    sizes = [
        sorted(one[1] for one in people(shop)["profiles"].values()) for shop in (whole, broken)
    ]
    assert sizes[0] == sizes[1]
    assert max(sizes[0]) == 2


def test_what_changes_later_comes_with_the_next_sync(opens: Opens, crm: Crm) -> None:
    """A changed, a new and a deleted member; everything else is not asked for again."""
    shop = in_whole(opens)
    late = "2026-03-01T09:00:00Z"
    crm.members[1] = {**member(1, "李娜"), "changed": late}
    crm.members[3] = {**member(3), "changed": late, "gone": "2026-03-01"}
    crm.members.append({**member(ROWS + 1), "changed": late})
    report = sync(shop, "crm", departures=FOLLOWED.departures)
    assert (report.added, report.changed, report.deleted) == (1, 1, 1)
    assert report.read < ROWS
    again = sync(shop, "crm", departures=FOLLOWED.departures)
    assert (again.added, again.changed, again.deleted) == (0, 0, 0)


@pytest.fixture
def run(
    opens: Opens, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Run a command in this process."""
    shop = opens()
    shell = Shell(shop.settings.declaration.parent, shop.settings.database_url, shop.settings.home)
    named = {k: v for k, v in shell.environment().items() if k.startswith("CDP_")} | SECRETS

    def run(*words: str, code: int = 0) -> Outcome:
        return in_process.run(monkeypatch, capsys, words, named, code)

    return run


def test_check_and_preview_look_at_it(run: Callable[..., Outcome], crm: Crm, serving: Api) -> None:
    """Credentials, one request, columns, permission; rows before and after, masked."""
    assert json.loads(run("source", "check", "crm", "--json").out) == []
    shown = json.loads(run("source", "preview", "crm", "--rows", "3", "--json").out)
    assert [one["position"] for one in shown] == [2, 3, 4]  # the first is a deletion
    assert member(1)["phone"] not in json.dumps(shown)
    before = threading.active_count()
    serving.faults = [None, Reply({"error": "canary"}, status=403)]
    outcome = run("source", "check", "crm", "--json", code=1)
    [found] = json.loads(outcome.out)
    assert (found["rule"], found["subject"]) == ("not_allowed", "credentials.client_secret")
    assert "canary" not in outcome.out + outcome.err
    assert threading.active_count() <= before + 2
    crm.members[:] = [{**one, "id_number": "11010519491231002X"} for one in crm.members]
    [warned] = json.loads(run("source", "check", "crm", "--json").out)
    assert (warned["rule"], warned["subject"]) == ("personal_data_undeclared", "id_number")
