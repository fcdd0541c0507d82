"""Syncing: rows and values that are rejected or set aside, and how they are listed."""

import pytest

from cdp.ingest.rejects import count_rejects, list_rejects
from cdp.ingest.sync import sync
from tests.integration.sync.deliveries import DOUBLES, Opener, deliver, folder_of
from tests.journeys import tills
from tests.journeys.state import contents
from tests.journeys.tills import member, write_app, write_declaration, write_till

pytestmark = pytest.mark.integration


def test_a_row_fixed_at_the_source_is_taken_in_and_no_longer_listed(shop: Opener) -> None:
    """A rejected row and a value set aside disappear from the list once they are put right."""
    workspace = shop()
    deliver(workspace, member("", name="李静"), member("C2", phone="12"))
    with workspace.engine.connect() as connection:
        assert {(c.field, c.rule) for c in count_rejects(connection)} == {
            ("", "record_id_missing"),
            ("phone", "too_short"),
        }
    report = deliver(workspace, member("C1", name="李静"), member("C2", phone="13700000002"))
    assert (report.added, report.changed, report.rejected, report.set_aside) == (1, 1, 0, 0)
    with workspace.engine.connect() as connection:
        assert count_rejects(connection) == []


def test_a_row_that_only_another_mapping_rejected_is_no_longer_listed(shop: Opener) -> None:
    """After the mapping is corrected, the same file is judged anew, rejected rows too."""
    workspace = shop()
    folder = folder_of(workspace)
    by_mail = {**tills.TILL, "record_id": "email"}
    write_declaration(folder, tills.declaration(sources={"till": by_mail}))
    wrong = tills.open_shop(folder, str(workspace.settings.database_url))
    assert deliver(wrong, member("C1")).rejected == 1
    wrong.engine.dispose()
    write_declaration(folder)
    assert sync(workspace, "till").added == 1
    with workspace.engine.connect() as connection:
        assert count_rejects(connection) == []


def test_values_set_aside_are_kept_and_listed_and_the_row_goes_on(shop: Opener) -> None:
    """A bad phone does not cost a person their name: the value is kept sealed, by its rule."""
    workspace = shop()
    report = deliver(workspace, member("C1", phone="12", birthday="1985-02-31"))
    assert (report.added, report.set_aside) == (1, 2)
    state = contents(workspace)
    assert [(r[2], r[3], r[7]) for r in state["rejects"]] == [
        (1, "birth_date", "1985-02-31"),
        (1, "phone", "12"),
    ]
    assert {field for _, field in state["cells"]} >= {"contact.name", "contact.loyalty_card"}


def test_two_bad_values_of_one_field_are_both_kept(shop: Opener) -> None:
    """Every delivered value is read, kept or set aside; none is lost (cdp.ingest.values, 1)."""
    workspace = shop()
    row = {"openid": "oApp1", "name": "张敏", "phones": ["12", "13957140286", "345"]}
    write_app(folder_of(workspace), [row])
    report = sync(workspace, "app")
    state = contents(workspace)
    [reject] = state["rejects"]
    assert "12" in reject[7]
    assert "345" in reject[7]
    assert report.set_aside == 1
    assert "13957140286" in state["cells"][state["order"][0], "contact.phone"]


@pytest.mark.parametrize(
    "odd",
    ["nul\0in it", "tab\tand\\back", 'quote"and,comma', "{brace}", "line\nbreak", "\u2028", "𠮷"],
    ids=["nul", "tab", "quote", "brace", "break", "separator", "astral"],
)
def test_odd_characters_come_through_or_are_set_aside(shop: Opener, odd: str) -> None:
    """No character of a delivered text breaks a sync."""
    workspace = shop()
    rows = [
        {"openid": f"oApp1{odd}", "name": f"张{odd}", "phones": [odd], "unionid": odd},
        {"openid": "oApp2", "name": "李静", "phones": "13957140286"},
    ]
    write_app(folder_of(workspace), rows)
    report = sync(workspace, "app")
    assert report.accepted + report.rejected == 2
    till = deliver(workspace, member("C1", name=f"张{odd}", store=odd, spent=odd), member("C2"))
    assert till.accepted + till.rejected == 2
    contents(workspace)


def test_the_second_row_of_a_record_id_is_rejected_wherever_a_batch_ends(shop: Opener) -> None:
    """One record id has one row in a file, at any batch size (cdp.ingest.sync, invariant 4)."""
    states, reports = [], []
    for size in (1, 2, 1000):
        workspace = shop()
        write_till(folder_of(workspace), DOUBLES)
        reports.append(sync(tills.with_batches(workspace, size), "till"))
        states.append(contents(workspace))
    assert states[0] == states[1] == states[2]
    assert reports[0] == reports[1] == reports[2]
    assert (reports[0].added, reports[0].unchanged, reports[0].rejected) == (3, 2, 3)
    rows = [(r[2], r[4]) for r in states[0]["rejects"] if not r[3]]
    assert rows == [
        (3, "the record id stands on an earlier row with other content"),
        (6, "column_count"),
        (7, "the record id stands on an earlier row with other content"),
    ]
    first = states[0]["order"][0]
    assert "13957140286" in states[0]["cells"][first, "contact.phone"], "the first row counts"


def test_every_row_is_counted_once(shop: Opener) -> None:
    """Rows read are rows added, changed, unchanged or rejected (cdp.ingest.sync, invariant 2)."""
    workspace = shop()
    write_till(folder_of(workspace), DOUBLES)
    for _ in range(2):
        report = sync(workspace, "till")
        assert report.read == len(DOUBLES) == report.accepted + report.rejected


def test_rejects_are_listed_by_row_and_rule_and_never_show_a_value(shop: Opener) -> None:
    """The list names source, row, field, rule and next step."""
    workspace = shop()
    deliver(workspace, member("C1", phone="12"), member("C2", phone="34"))
    with workspace.engine.connect() as connection:
        rows = list_rejects(connection, "till", "too_short", 1)
        counts = count_rejects(connection, "till")
    assert [(r.source, r.position, r.field) for r in rows] == [("till", 1, "phone")]
    assert counts[0].count == 2
    assert not {"12", "34"} & {value for c in counts for value in c.to_dict().values()}
