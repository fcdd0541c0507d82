import dataclasses

import pyarrow as pa
import pytest
import yaml

from cdp.demo.world import write_world
from cdp.ingest.features import derive
from cdp.ingest.values import Reading, read_record
from connectors.declaration import parse_source
from connectors.record import Record
from connectors.registry import open_source
from identity import batch, features, sharing
from identity.columns import Columns
from identity.model import UNTRAINED, Model
from tests.unit.identity.by_sql import load
from tests.unit.identity.tables import LIMITS, database
from tests.unit.ingest.delivered import KEY, READING

PEOPLE = 300


@pytest.fixture(scope="session", autouse=True)
def closed_at_the_end():
    """The one DuckDB of these tests does not outlive them."""
    yield
    database().close()
    database.cache_clear()


@dataclasses.dataclass(frozen=True)
class Small:
    """The made-up retailer with few people: its feature table, and who each record is."""

    table: pa.Table
    person: dict[int, str]


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Every record of a small world, read and derived as ingest does, in the files' order."""
    folder = tmp_path_factory.mktemp("small")
    world = write_world(folder, people=PEOPLE, seed=3)
    declared = yaml.safe_load((folder / "cdp.yaml").read_text(encoding="utf-8"))
    stores = tuple(node["name"] for node in declared["organisation"])
    reading = Reading(READING.today, labels=stores)
    who = {(one.source, one.record_id): one.person.key for one in world.delivered}
    blobs, people = [], {}
    for name, entry in declared["sources"].items():
        for row in open_source(parse_source(name, entry), folder).read():
            if isinstance(row, Record):
                blobs.append(features.pack(derive(read_record(row, reading), KEY)))
                record_id = row.record_id.reveal(reason="look up the truth")
                people[len(blobs)] = who.get((name, record_id), f"nobody {len(blobs)}")
    return Small(features.unpack(list(people), blobs), people)


@dataclasses.dataclass(frozen=True)
class Found:
    """One run over the small world."""

    resolution: batch.Resolution
    model: Model


@pytest.fixture(scope="session")
def found(small):
    """The people of the small world, and the epoch learnt from it."""
    return Found(*batch.resolve(small.table, None, UNTRAINED, LIMITS))


@pytest.fixture
def person(judged):
    """The small world as a table of the shared DuckDB, prepared for comparing."""
    load(database(), judged, "person")
    return "person"


@pytest.fixture(scope="session")
def judged(small):
    """The small world as columns, its numbers sorted by how many people use them."""
    delivered = Columns.of(small.table)
    use = sharing.count_use(delivered)
    return sharing.judged(delivered, use, UNTRAINED.most_people)
