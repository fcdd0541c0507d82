"""Syncing a source that holds an identifier type of the workspace's own."""

import json

import pytest

from cdp.errors import Stop
from cdp.ingest.sync import sync
from tests.integration.sync.deliveries import Opener, folder_of
from tests.journeys import tills
from tests.journeys.state import contents
from tests.journeys.tills import member, write_declaration, write_till

pytestmark = pytest.mark.integration

CLUB = {
    "about": "a club number",
    "scope": "brand",
    "strength": {"wrong_share": 0.001, "because": "issued at the desk"},
    "form": {"characters": "letters_and_digits", "shortest": 4, "longest": 12},
    "blocked": {"values": ["DESK0001"]},
    "feeds": "accounts",
}
# The till's column for mail addresses holds club numbers here.
FIELDS = {name: spec for name, spec in tills.TILL["fields"].items() if name != "email"}
MAPPED = FIELDS | {"club_number": {"column": "email", "scope": "kith"}}
ROWS = (
    member("C1", email="a-1234"),
    member("C2", email="A1234", phone=""),
    member("C3", email="desk0001"),
)


def wired(workspace, club=CLUB, fields=MAPPED):
    """The same workspace, its till mapped to a club number."""
    write_declaration(
        folder_of(workspace),
        tills.declaration(
            identifiers={"club_number": club}, sources={"till": {**tills.TILL, "fields": fields}}
        ),
    )
    return tills.open_shop(folder_of(workspace), str(workspace.settings.database_url))


def keys_of(state, field):
    """A list feature of each record, in the order of the file."""
    return [state["records"][name]["features"][0][field] for name in state["order"]]


def test_a_type_that_a_workspace_adds_is_sealed_keyed_and_compared(shop: Opener) -> None:
    """Two spellings of one club number meet; a blocked one is set aside and joins nobody."""
    workspace = wired(shop())
    write_till(folder_of(workspace), ROWS)
    report = sync(workspace, "till")
    state = contents(workspace)
    workspace.engine.dispose()
    assert (report.added, report.set_aside) == (3, 1)
    one, two, three = map(set, keys_of(state, "accounts"))
    assert len(one & two) == 1
    assert not three & (one & two)
    cells = [text for (_, field), text in state["cells"].items() if field == "contact.club_number"]
    assert [json.loads(text) for text in cells] == [[["A1234", "kith"]]] * 2


def test_another_blocked_value_is_a_reason_to_read_again(shop: Opener) -> None:
    """Blocking a club number reads the rows anew; the same catalogue again reads none."""
    workspace = wired(shop())
    write_till(folder_of(workspace), ROWS)
    sync(workspace, "till")
    assert sync(workspace, "till").unchanged == 3
    stricter = wired(workspace, CLUB | {"blocked": {"values": ["DESK0001", "A1234"]}})
    report = sync(stricter, "till")
    state = contents(stricter)
    for one in (workspace, stricter):
        one.engine.dispose()
    assert (report.changed, report.set_aside) == (3, 3)
    assert keys_of(state, "accounts") == [[]] * 3
    assert all(len(keys) == 1 for keys in keys_of(state, "counted"))  # the loyalty card


@pytest.mark.parametrize(
    ("club", "fields", "said"),
    [
        (CLUB, FIELDS | {"club_numer": "email"}, "till, fields.club_numer: unknown_field"),
        (CLUB, FIELDS | {"club_number": "email"}, "scope_missing"),
        (CLUB | {"scope": "none"}, MAPPED, "scope_not_used"),
        (CLUB | {"feeds": "phones"}, MAPPED, "identifiers.club_number.feeds: not_one_of"),
    ],
)
def test_a_declaration_that_does_not_fit_stops_before_anything_is_read(
    shop: Opener, club, fields, said
) -> None:
    """The error names source, field, rule and the next step."""
    with pytest.raises(Stop) as stopped:
        sync(wired(shop(), club, fields), "till")
    assert said in str(stopped.value)
