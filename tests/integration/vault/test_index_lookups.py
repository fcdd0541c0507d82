"""Finding a member by surname and the end of a phone, on a real database."""

import pytest
import sqlalchemy as sa

from cdp.access import by_parts
from cdp.access.answers import Denial, DenialKind
from cdp.storage import schema
from tests.integration.vault.indexed import DATED, PAIR, SECRET, Indexed

pytestmark = pytest.mark.integration

ADA = "+8613912341234"


def outcomes(shop: Indexed) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Action, decision, reason and fields of every event."""
    return [
        (e["action"], e["decision"], e["reason"], tuple(e["fields"]))
        for e in shop.retailer.events()
    ]


def test_a_clerk_finds_a_member_by_less_than_an_id(shop: Indexed, opened: list) -> None:
    """Invariant 2: by surname and end of phone; only the right one of the candidates is shown."""
    shop.declare(surname_phone=PAIR | {"bits": 1})  # half of all people are candidates
    _, ada = shop.member("欧阳金丝", ADA)
    others = [shop.member(f"王小{n}", f"+861391234{n:04}") for n in range(10, 30)]
    shop.built()
    opened.clear()
    (view,) = shop.match("clerk.bj01", surname="欧阳", phone_tail_4="1234")
    assert view.profile_id == ada
    assert view.fields["name"].value == "欧阳**"
    compared = {number for number, _ in opened}
    assert len(compared & {number for number, _ in others}) > 0, "the truncation has no effect"
    assert {name for _, name in opened} == {"name", "phone"}
    assert shop.found("clerk.bj01", surname="欧阳", phone_tail_4="1235") == []
    assert shop.found("clerk.bj01", surname="王", phone_tail_4="1234") == []
    assert shop.found("clerk.bj01", surname="欧阳", phone_tail_4="1234", birth_year="1990") == []


def test_who_is_compared_has_an_event_of_it_first(
    shop: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 3: the event is written before a candidate is opened, shown or not."""
    shop.member("欧阳金丝", ADA)
    shop.member("欧阳小丽", "+8613800001234")
    shop.built()
    written: list[int] = []
    kind = type(shop.workspace.vault)
    real = kind.open_cells

    def watched(self, *rest):
        with shop.engine.connect() as connection:
            # Not committed yet, so another connection sees none; the opener's own sees it.
            written.append(connection.scalar(sa.select(sa.func.count(schema.audit_event.c.id))))
        return real(self, *rest)

    monkeypatch.setattr(kind, "open_cells", watched)
    assert len(shop.found("clerk.bj01", surname="欧阳", phone_tail_4="1234")) == 2
    assert written
    told = outcomes(shop)
    assert told[:2] == [("profile.compare", "allow", "granted", ("name", "phone"))] * 2
    assert [one[:3] for one in told[2:]] == [("profile.match", "allow", "granted")] * 2


def test_no_such_member_and_not_yours_are_one_answer(shop: Indexed, opened: list) -> None:
    """Invariant 4: same answer, same events, same statements, and nothing opened in either."""
    shop.member("欧阳金丝", ADA, store="SZ01")
    shop.built()
    opened.clear()
    statements: list[str] = []

    def counting(_connection, _cursor, statement, *_):
        statements.append(statement)

    costs, answers = [], []
    shop.match("clerk.bj01", surname="李", phone_tail_4="0001")  # what is done once only
    for surname, tail in (("欧阳", "1234"), ("欧阳", "9999")):
        before = len(outcomes(shop))
        statements.clear()
        sa.event.listen(shop.engine, "before_cursor_execute", counting)
        answers.append(shop.match("clerk.bj01", surname=surname, phone_tail_4=tail))
        sa.event.remove(shop.engine, "before_cursor_execute", counting)
        costs.append((list(statements), outcomes(shop)[before:]))
    assert answers == [[], []]
    assert costs[0] == costs[1]
    assert costs[0][1] == [("profile.match", "deny", "no_such_profile", ("name", "phone"))]
    assert opened == []
    assert len(shop.found("clerk.sz01", surname="欧阳", phone_tail_4="1234")) == 1


HIDDEN = [
    ("clerk.bj01", {"phone_tail_4": "1234", "name_initials": "JOSY"}),
    ("clerk.bj01", {"phone_tail_4": "1234", "name": "欧阳金丝"}),
    ("clerk.bj01", {"phone_tail_4": "1234", "birth_date": "1990-02-17"}),
    ("clerk.bj01", {"phone_tail_4": "1234", "surname": "Smith"}),
    ("clerk.bj01", {"phone_tail_4": "1234", "national_id_tail_4": "002X"}),
    ("clerk.bj01", {"phone_tail_4": "1234", "shoe_size": "42"}),
    ("clerk.bj01", {"surname": "欧阳", "birth_year": "1990"}),
    ("clerk.bj01", {}),
    ("compliance", {"surname": "欧阳", "phone_tail_4": "1234"}),
    ("operator", {"surname": "欧阳", "phone_tail_4": "1234"}),
    ("crm", {"surname": "欧阳", "phone_tail_4": "1234"}),
]


def test_nobody_searches_by_what_their_view_hides(shop: Indexed, opened: list) -> None:
    """Invariant 1: initials, whole names, days of birth and Latin surnames open nothing."""
    shop.member("欧阳金丝", ADA)
    shop.built()
    opened.clear()
    for who, given in HIDDEN:
        denial = shop.match(who, **given)
        assert isinstance(denial, Denial), (who, given)
        assert denial.kind is DenialKind.FORBIDDEN, (who, given)
    assert opened == []
    assert {one[1] for one in outcomes(shop)} == {"deny"}
    # What the masks show may be asked for: 欧阳**, 1990-**-**, c***@example.com.
    shop.declare(surname_phone=PAIR)
    given = {"surname": "欧阳", "phone_tail_4": "1234"}
    assert shop.found("clerk.bj01", **given, email_domain="example.com") == []
    assert len(shop.found("clerk.bj01", **given)) == 1


def test_the_number_of_candidates_is_bounded(
    shop: Indexed, opened: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 5: where too many could be meant none is opened, and the answer says so."""
    monkeypatch.setattr(by_parts, "MOST_COMPARED", 2)
    for n in range(3):
        shop.member(f"欧阳小{n}", f"+86139{n:04}1234")
    shop.built()
    opened.clear()
    denial = shop.match("clerk.bj01", surname="欧阳", phone_tail_4="1234")
    assert isinstance(denial, Denial)
    assert (denial.kind, denial.reason) == (DenialKind.UNUSABLE, "too_many_candidates")
    assert opened == []
    assert outcomes(shop)[-1][2] == "too_many_candidates"


def test_parts_without_an_index_and_unusable_ones_say_so(shop: Indexed) -> None:
    """Invariant 4: whoever is stored, the answer is the same."""
    shop.member("欧阳金丝", ADA)
    shop.built()
    for given, reason in (
        ({"phone_tail_4": "1234"}, "no_such_index"),
        ({"phone_tail_4": "1234", "surname": "张*"}, None),
        ({"phone_tail_4": "12", "surname": "欧阳"}, "not_of_its_shape"),
    ):
        denial = shop.match("clerk.bj01", **given)
        assert isinstance(denial, Denial)
        assert denial.kind is DenialKind.UNUSABLE
        assert reason in {None, denial.reason}
        assert "欧阳" not in repr(denial)


def test_consent_and_freezing_count(shop: Indexed) -> None:
    """Matching invariant 2: a frozen record and one whose consent is lacking are nobody's."""
    number, _ = shop.member("欧阳金丝", ADA)
    shop.member("欧阳小丽", "+8613800001234", purposes=("analysis",))
    shop.built()
    given = {"surname": "欧阳", "phone_tail_4": "1234"}
    assert len(shop.found("clerk.bj01", **given)) == 1
    with shop.engine.begin() as connection:
        connection.execute(
            sa.update(schema.record).where(schema.record.c.id == number).values(state="frozen")
        )
    assert shop.found("clerk.bj01", **given) == []


def test_two_indexes_and_the_one_with_more_parts_is_used(shop: Indexed, opened: list) -> None:
    """The index that leaves the fewest candidates is asked; the other parts are compared."""
    more = {"parts": ["surname", "phone_tail_4", "birth_year"]}
    shop.declare(wide=PAIR | {"bits": 1}, narrow=more)
    born = {"fields": {"birth_date": "1990-02-17"}}
    _, ada = shop.member("欧阳金丝", ADA, **born)
    shop.member("欧阳小丽", "+8613800001234", fields={"birth_date": "1991-01-01"})
    shop.built()
    opened.clear()
    given = {"surname": "欧阳", "phone_tail_4": "1234", "birth_year": "1990"}
    assert shop.found("clerk.bj01", **given) == [ada]
    assert len({number for number, _ in opened}) == 1


def test_both_epochs_are_asked(shop: Indexed) -> None:
    """Reindex invariant 2: a member stored under the old key and one under the new are found."""
    _, old = shop.member("欧阳金丝", ADA)
    shop.built()
    shop.new_key()
    _, new = shop.member("欧阳小丽", "+8613800001234")
    shop.built()
    assert {row[2] for row in shop.rows() if ":" in row[1]} == {1, 2}
    assert set(shop.found("clerk.bj01", surname="欧阳", phone_tail_4="1234")) == {old, new}


def test_indexes_that_need_the_sensitive_tier_and_whole_names(shop: Indexed) -> None:
    """Definitions over any closed part are built from the cells they need."""
    shop.declare(dated=DATED, secret=SECRET)
    fields = {"birth_date": "1990-02-17", "national_id": "11010519491231002X"}
    number, _ = shop.member("欧阳金丝", ADA, fields=fields)
    shop.built()
    labels = {row[1] for row in shop.rows() if row[0] == number and ":" in row[1]}
    assert labels == {"birth_date+name:128", "birth_year+national_id_tail_4:128"}
