"""Every preset's sample goes through sync and resolve to profiles, on a real database."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cdp.demo.world import write_world
from cdp.ingest.rejects import count_rejects
from cdp.ingest.reports import SyncReport
from cdp.ingest.sync import sync
from cdp.resolution import epochs
from cdp.resolution.membership import export
from cdp.resolution.run import resolve
from cdp.workspace import Workspace
from connectors.base import Level
from connectors.presets.catalogue import presets
from connectors.registry import open_source
from tests.journeys import tills
from tests.journeys.databases import Databases
from tests.presets import retailer

pytestmark = pytest.mark.integration
Record = tuple[str, str]


@dataclass(frozen=True)
class Chain:
    """A workspace with every sample in it, resolved."""

    workspace: Workspace
    reports: dict[str, SyncReport]
    profiles: dict[Record, str]


def profiles_of(workspace: Workspace, folder: Path) -> dict[Record, str]:
    """(source, record id) to profile id."""
    path = folder / "members.csv"
    with workspace.engine.connect() as connection:
        export(connection, workspace.vault, path)
    with path.open(encoding="utf-8", newline="") as file:
        return {(r["source"], r["record_id"]): r["profile_id"] for r in csv.DictReader(file)}


@pytest.fixture(scope="module")
def chain(
    tmp_path_factory: pytest.TempPathFactory, databases: Databases, template: str
) -> Iterator[Chain]:
    """An epoch learnt from a made-up town, and the samples resolved with it."""
    town_folder = tmp_path_factory.mktemp("town")
    write_world(town_folder, people=160, seed=7)
    town = tills.open_shop(town_folder, databases.copy(template))
    for name in town.declaration.sources:
        sync(town, name)
    resolve(town)
    with town.engine.connect() as connection:
        active = epochs.active(connection)
    town.engine.dispose()
    assert active is not None
    folder = tmp_path_factory.mktemp("presets")
    retailer.write(folder)
    workspace = tills.open_shop(folder, databases.copy(template), town.settings.key_ring)
    with workspace.engine.begin() as connection:
        epochs.activate(connection, active[1], workspace.now())
    reports = {name: sync(workspace, name) for name in workspace.declaration.sources}
    resolve(workspace)
    yield Chain(workspace, reports, profiles_of(workspace, folder))
    workspace.engine.dispose()


@pytest.mark.parametrize("name", sorted(presets()))
def test_each_sample_comes_in_whole(chain: Chain, name: str) -> None:
    """No row of a sample is rejected, and every one is a record of somebody."""
    source = open_source(
        chain.workspace.declaration.sources[name], chain.workspace.settings.declaration.parent
    )
    assert not [one for one in source.check() if one.level is Level.ERROR]
    report = chain.reports[name]
    wanted = {record for record in retailer.truth() if record[0] == name}
    assert (report.rejected, report.accepted) == (0, len(wanted))
    assert wanted <= set(chain.profiles)


def test_what_was_set_aside_is_only_what_says_nothing(chain: Chain) -> None:
    """Nothing of the samples is unreadable under its preset."""
    with chain.workspace.engine.connect() as connection:
        assert [(one.source, one.field, one.rule) for one in count_rejects(connection)] == []


def test_records_of_one_person_become_one_profile(chain: Chain) -> None:
    """Who is one person by truth has one profile, across shops, WeChat, tills and sheets."""
    found = [
        {one: chain.profiles[one] for one in records}
        for records in retailer.groups(retailer.truth())
    ]
    assert [records for records in found if len(set(records.values())) > 1] == []


def test_nobody_shares_a_profile_with_somebody_else(chain: Chain) -> None:
    """A shared OAID, privacy number, foreign openid, old number or equal text joins nobody."""
    people = defaultdict(set)
    for record, person in retailer.truth().items():
        people[chain.profiles[record]].add(person)
    assert [found for found in people.values() if len(found) > 1] == []


def test_a_changed_number_is_a_re_key(chain: Chain, tmp_path: Path) -> None:
    """A Douyin member who changes their number stays who they are, and leaves the old number."""
    member = "f6e35c98-0000-4943-ad6d-f476f8690001"
    before = profiles_of(chain.workspace, tmp_path)
    path = chain.workspace.settings.declaration.parent / "data/douyin.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    rows[2] |= {
        "info": {"mobile": {"old_mobile": rows[2].pop("mobile"), "new_mobile": "13256210753"}}
    }
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert sync(chain.workspace, "douyin").changed == 1
    resolve(chain.workspace)
    after = profiles_of(chain.workspace, tmp_path)
    changed = ("douyin", rows[2]["open_id"])
    assert after[changed] != after["douyin", member]
    # the number's owner at the till is who the member is now; the old number is nobody's
    assert after[changed] == after["pos", "K0006"]
    assert {record for record in after if after[record] == before[changed]} <= {
        changed,
        ("pos", "K0006"),
    }
