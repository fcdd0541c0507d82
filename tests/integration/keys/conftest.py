"""A shop with an operator, a few members, and its commands."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cdp.demo.world import write_world
from cdp.ingest.sync import sync
from cdp.resolution.run import resolve
from cdp.storage.engine import open_engine
from cdp.vault.keyring import KeyRing
from cdp.workspace import Workspace
from tests.integration import in_process
from tests.journeys import tills
from tests.journeys.commands import Outcome
from tests.journeys.databases import Databases
from tests.journeys.tills import declaration, member, write_declaration, write_till

PEOPLE = [
    {"id": "operator", "role": "operator", "node": "kith"},
    {"id": "clerk", "role": "clerk", "node": "BJ01"},
]


@pytest.fixture(scope="module")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, databases: Databases, template: str
) -> Workspace:
    """A world, synced and resolved."""
    folder = tmp_path_factory.mktemp("town")
    write_world(folder, people=90, seed=5)
    workspace = tills.open_shop(folder, databases.copy(template))
    for name in workspace.declaration.sources:
        sync(workspace, name)
    resolve(workspace)
    workspace.engine.dispose()
    return workspace


@pytest.fixture
def town(prepared: Workspace, databases: Databases, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the world, with a copy of its ring."""
    home = tmp_path / "home"
    shutil.copytree(prepared.settings.home, home)
    url = databases.copy_of(str(prepared.settings.database_url))
    settings = replace(prepared.settings, home=home, database_url=url)
    engine = open_engine(url, settings.database_folder)
    ring = KeyRing.open(settings.key_ring)
    workspace = replace(prepared, settings=settings, engine=engine, keyring=ring)
    yield workspace
    engine.dispose()


@pytest.fixture
def folder(tmp_path: Path, database_url: str) -> Path:
    """A workspace whose ring was made now."""
    folder = tmp_path / "shop"
    write_declaration(folder, declaration(principals=PEOPLE, sources={"till": tills.TILL}))
    id_number = "11010519491231002X"
    write_till(folder, [member("C1", id_number=id_number), member("C2", phone="13957140287")])
    tills.open_shop(folder, database_url).engine.dispose()
    return folder


@pytest.fixture
def cdp(
    folder: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Outcome]:
    """Run a command in this process, in the workspace of ``folder``."""

    def run(*arguments: str, code: int = 0, **environment: str) -> Outcome:
        usual = {
            "CDP_HOME": str(folder / "home"),
            "CDP_CONFIG": str(folder / "cdp.yaml"),
            "CDP_DATABASE_URL": database_url,
            "CDP_THREADS": "1",  # in this process
        }
        return in_process.run(monkeypatch, capsys, arguments, usual | environment, code)

    return run
