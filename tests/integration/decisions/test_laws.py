"""Laws of people and decisions, kept over random histories on a real database.

Records arrive, change and go, people are merged, split and told apart, and some of it is
taken back. Whatever happened: a decision that is undone leaves everybody as if it had
never been made, and once all are undone, people are those that the records alone make.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.access.answers import Denial
from cdp.access.principals import subject_of
from cdp.cli.decisions import REPAIR
from cdp.errors import Refused
from cdp.ingest.sync import sync
from cdp.resolution import at_once, decisions, epochs
from cdp.resolution.deciding import Decided, Decider
from cdp.resolution.online import Arrivals
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from tests.integration.conftest import Learnt
from tests.integration.decisions.town import ORGANISATION, WHO, stored, tag
from tests.journeys import tills
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
Work = Callable[[Decider, sa.Connection], Decided | Denial]
SPENDING = {**tills.APP, "attributes": {"total_spent": {"column": "spent", "type": "decimal"}}}


def row(number: int, who: str, **parts: str) -> dict[str, str]:
    """One account of somebody."""
    return {"openid": f"o{who}{number:04}", "spent": f"{800 + 100 * number}.50", **parts}


ANNA = {"name": "林晓梅", "phones": "13957140286", "unionid": "uOne00001"}
BELLA = {"name": "陈思远", "phones": "13957140397", "unionid": "uTwo00002"}
ROWS = [
    row(0, "Anna", **ANNA),
    row(1, "Bella", **BELLA),
    row(2, "Anna", **ANNA),
    row(3, "Anna", name="林晓梅", phones="13957140508", unionid="uOne00001"),
    row(4, "Bella", name="陈思远", phones="13957140397", unionid=""),
    row(5, "Either", name="林晓梅", phones="13957140397", unionid="uOne00001"),
    row(6, "Carla", name="吴海燕", phones="13957140508", unionid="uThree003"),
    row(7, "Bella", name="陈思远", phones="13957140619", unionid="uTwo00002"),
]
ALWAYS = 2  # rows that are there from the beginning, and stay
step = st.tuples(
    st.sampled_from(["arrive", "arrive", "merge", "merge", "not same", "split", "undo", "go"]),
    st.integers(0, 11),
    st.integers(0, 11),
)


@dataclass
class Town:
    """A shop in which things happen."""

    workspace: Workspace

    def __post_init__(self) -> None:
        self.arrivals = Arrivals(self.workspace, "app")
        self.keys = RecordKeys(self.workspace.keyring)

    def arrive(self, number: int, *, moved: bool = False) -> None:
        """A row comes, or comes again; moved, it says another phone."""
        sent = ROWS[number] | ({"phones": "13957140730"} if moved else {})
        assert self.arrivals.resolve([json.dumps(sent, ensure_ascii=False)]).resolved

    def records(self) -> list[tuple[int, str]]:
        """The records that are there, oldest first, and their profiles."""
        member = schema.membership.c
        with self.workspace.engine.connect() as connection:
            statement = sa.select(member.record_id, member.profile_id).order_by(member.record_id)
            return [(one, home) for one, home in connection.execute(statement)]

    def go(self, record: int) -> None:
        """A record is deleted."""
        with self.workspace.engine.begin() as connection:
            at_once.forget(connection, self.workspace, [record])

    def decide(self, work: Work) -> Decided:
        """Somebody decides, and tags are brought up to date."""
        subject = subject_of(self.workspace, "headquarters")
        with self.workspace.engine.begin() as connection:
            made = work(Decider(self.workspace, subject, REPAIR), connection)
        assert isinstance(made, Decided)
        tag(self.workspace)
        return made

    def undo(self, number: int) -> None:
        """A decision is taken back."""
        self.decide(lambda by, on: by.undo(on, number, "a mistake"))

    def counting(self) -> list[int]:
        """The numbers of the decisions that count."""
        with self.workspace.engine.connect() as connection:
            return [one.id for one in decisions.read(connection, counting=True)]

    def state(self) -> dict[str, Any]:
        """Everything that people are made of, without the ids that lead to them."""
        return {**stored(self.workspace), "redirect": []}

    def by_key(self) -> dict[str, Any]:
        """People named by record key: equal in two towns that hold the same records."""
        with self.workspace.engine.connect() as connection:
            ask = lambda text: [tuple(one) for one in connection.execute(sa.text(text))]  # noqa: E731
            names = dict(ask("SELECT id, encode(key, 'hex') FROM kith.record"))
            profiles = {
                one.id: (names[one.anchor_id], one.size, one.stores, one.attributes, one.purposes)
                for one in connection.execute(sa.select(schema.profile))
            }
            return {
                "members": {
                    names[record]: home
                    for record, home in ask("SELECT record_id, profile_id FROM kith.membership")
                },
                "profiles": profiles,
                "tags": sorted(ask("SELECT profile_id, name, value FROM kith.tag")),
            }


@pytest.fixture(scope="module")
def begun(
    learnt: Learnt,
    tmp_path_factory: pytest.TempPathFactory,
    databases: Databases,
    template: str,
) -> Workspace:
    """The first rows, resolved under the epoch of a larger town."""
    folder = tmp_path_factory.mktemp("laws")
    content = tills.declaration(
        organisation=ORGANISATION, principals=WHO, sources={"app": SPENDING}
    )
    tills.write_declaration(folder, content)
    workspace = tills.open_shop(
        folder, databases.copy(template), learnt.workspace.settings.key_ring
    )
    with workspace.engine.begin() as connection:
        epochs.activate(connection, learnt.model, workspace.now())
    tills.write_app(folder, ROWS[:ALWAYS])
    sync(workspace, "app")
    resolve(workspace)
    workspace.engine.dispose()
    return workspace


def decision(town: Town, kind: str, one: int, other: int) -> Work:
    """A decision about some of the records that are there."""
    there = town.records()
    (first, home), (second, other_home) = there[one % len(there)], there[other % len(there)]
    works: dict[str, Work] = {
        "merge": lambda by, on: by.merge(on, home, other_home, "seen at the till"),
        "not same": lambda by, on: by.not_same(on, first, second, "two passports"),
        "split": lambda by, on: by.split(on, home, [first], "mother and daughter"),
    }
    return works[kind]


def decide_undo_and_decide_again(town: Town, kind: str, one: int, other: int) -> None:
    """A law of its own: undone at once, all is as before, byte for byte."""
    work, before, led = decision(town, kind, one, other), town.state(), stored(town.workspace)
    with suppress(Refused, ValueError):
        made = town.decide(work)
        town.undo(made.decision.id)
        assert town.state() == before
        if kind == "merge":  # whoever split off may be known elsewhere, so that id goes on leading
            assert stored(town.workspace)["redirect"] == led["redirect"]
        town.decide(work)
    # Refused, it changed nothing.
    assert town.counting() or town.state() == before


def live(town: Town, history: list[tuple[str, int, int]]) -> None:
    """Let everything happen that can."""
    for kind, one, other in history:
        there, counting = town.records(), town.counting()
        if kind == "arrive":
            town.arrive(one % len(ROWS), moved=other % 3 == 0)
            tag(town.workspace)
        elif kind == "go" and len(there) > ALWAYS:
            town.go(there[ALWAYS + one % (len(there) - ALWAYS)][0])
            tag(town.workspace)
        elif kind == "undo" and counting:
            town.undo(counting[one % len(counting)])
        elif kind in {"merge", "not same", "split"}:
            decide_undo_and_decide_again(town, kind, one, other)


def rebuilt(town: Town, databases: Databases, begun: Workspace) -> dict[str, Any]:
    """The people of another town to which the same records came, and nothing else happened."""
    with town.workspace.engine.connect() as connection:
        statement = sa.text("SELECT key, content FROM kith.record ORDER BY id")
        there = [(bytes(one.key), bytes(one.content)) for one in connection.execute(statement)]
    other = open_town(databases, begun)
    try:
        for key, content in there:
            number = [other.keys.record_key("app", one["openid"]) for one in ROWS].index(key)
            other.arrive(number)
            if content_of(other, key) != content:
                other.arrive(number, moved=True)
        tag(other.workspace)
        return other.by_key()
    finally:
        other.workspace.engine.dispose()


def content_of(town: Town, key: bytes) -> bytes:
    """The digest of what was delivered of a record."""
    with town.workspace.engine.connect() as connection:
        record = schema.record.c
        statement = sa.select(record.content).where(record.key == key)
        return bytes(connection.execute(statement).scalar_one())


def open_town(databases: Databases, begun: Workspace) -> Town:
    url = databases.copy_of(str(begun.settings.database_url))
    return Town(tills.reopen(begun, replace(begun.settings, database_url=url)))


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=st.lists(step, min_size=5, max_size=9), order=st.randoms(use_true_random=False))
def test_once_everything_is_undone_people_are_those_of_a_rebuild(
    databases: Databases, begun: Workspace, history: list[tuple[str, int, int]], order: Any
) -> None:
    """Partition, ids, attributes and tags; and a full run at any time changes nothing."""
    town = open_town(databases, begun)
    try:
        tag(town.workspace)
        live(town, history)
        before = town.state()
        resolve(town.workspace, full=True)
        assert town.state() == before
        left = town.counting()
        order.shuffle(left)
        for number in left:
            town.undo(number)
        assert town.by_key() == rebuilt(town, databases, begun)
        before = town.state()
        resolve(town.workspace, full=True)
        assert town.state() == before
    finally:
        town.workspace.engine.dispose()


def test_the_histories_meet_what_they_are_about(databases: Databases, begun: Workspace) -> None:
    """One history in which every kind of step does something, so that the law says something."""
    town = open_town(databases, begun)
    try:
        tag(town.workspace)
        for number in range(ALWAYS, len(ROWS)):
            town.arrive(number)
        tag(town.workspace)
        alone = len({home for _, home in town.records()})
        assert 1 < alone < len(ROWS)
        there = town.records()
        other = next(at for at, (_, home) in enumerate(there) if home != there[0][1])
        live(town, [("merge", 0, other)])
        assert (len(town.counting()), len({h for _, h in town.records()})) == (1, alone - 1)
        live(town, [("split", 0, 0), ("not same", 0, 1)])
        assert len(town.counting()) == 1  # both contradict the merge, and are refused
        live(town, [("go", 0, 0), ("undo", 0, 0)])
        assert (town.counting(), len(town.records())) == ([], len(ROWS) - 1)
        assert town.by_key() == rebuilt(town, databases, begun)
    finally:
        town.workspace.engine.dispose()
