"""How many people use a number; invariants of `identity/sharing.py`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import namesakes, sharing
from identity.columns import Columns
from identity.sharing import WrongShares
from tests.unit.identity.tables import database, delivered, judged, prepared

small = st.none() | st.integers(1, 4)


@st.composite
def names(draw):
    """A name as `count_people` takes it: whole, or masked (no name, no given name)."""
    near = draw(st.none() | st.lists(st.integers(1, 4), max_size=2))
    if draw(st.booleans()):
        parts = draw(small), draw(st.integers(1, 3)), draw(small), draw(small)
        return (draw(st.integers(1, 6)), *parts, draw(small), near)
    return (None, None, draw(small), None, draw(small), None, None)


def whole(number, surname=1, sound=None, given=None, near=None, length=None):
    given = given or number
    return (number, sound or number, surname, given, given, length, near or [number])


def masked(surname, end=None):
    return (None, None, surname, None, end, None, None)


@settings(max_examples=100, deadline=None)
@given(st.lists(names(), max_size=7).flatmap(lambda n: st.tuples(st.just(n), st.permutations(n))))
def test_the_order_of_names_does_not_count(both):
    """Invariant 2: the same records give the same number of people in any order."""
    one, other = both
    assert namesakes.count_people(one) == namesakes.count_people(other)


@settings(max_examples=100, deadline=None)
@given(names(), names())
def test_being_compatible_is_mutual(one, other):
    """If one name can be the other's person, so can the other."""
    assert namesakes.compatible(one, other) == namesakes.compatible(other, one)


@settings(max_examples=100, deadline=None)
@given(st.lists(names(), max_size=7), st.integers(1, 4))
def test_a_masked_name_never_joins_two_people(others, surname):
    """A masked name may be anybody of its surname, so people are never fewer for it."""
    before = namesakes.count_people(others)
    assert before <= namesakes.count_people([*others, masked(surname)]) <= before + 1


@settings(max_examples=100, deadline=None)
@given(st.lists(names(), max_size=7), names())
def test_there_are_never_more_people_than_names(others, one):
    """At least one person uses a number, and at most as many as there are names on it."""
    assert 1 <= namesakes.count_people(others) <= max(1, len(others))
    assert namesakes.count_people([one, one]) == 1


@pytest.mark.parametrize(
    ("people", "found"),
    [
        (1, []),
        (1, [masked(None)]),
        (1, [whole(1), whole(1)]),
        (1, [whole(1), whole(2, sound=1)]),
        (1, [whole(1, near=[9]), whole(2, near=[9, 8])]),
        (1, [whole(1, near=[9], length=1), whole(2, near=[9, 8], length=2)]),
        (2, [whole(1, near=[9], length=2), whole(2, near=[9, 8], length=2)]),
        (1, [whole(1, 3, given=4), whole(2, 4, given=3)]),
        (1, [whole(1), masked(1)]),
        (1, [masked(1), masked(1)]),
        (2, [whole(1), whole(2)]),
        (2, [whole(1), masked(2)]),
        (2, [masked(1), masked(2)]),
        (2, [whole(1), masked(1), whole(2)]),
        (1, [whole(1, near=[7]), whole(2, near=[7, 8]), whole(3, near=[8])]),
        (1, [whole(1), masked(1, 1), masked(None, 1)]),
        (2, [whole(1), masked(1, 2)]),
        (2, [whole(1), masked(None, 2)]),
        (2, [whole(1), masked(None, 2), masked(2)]),
    ],
    ids=[
        "nobody", "nothing visible", "equal", "homophone", "one slip",
        "a character lost", "a character of their generation", "turned round",
        "masked of that surname", "two masked alike", "two names", "masked of another surname",
        "two masked", "masked between two", "a chain of slips",
        "masked with the same end", "masked with another end", "another end alone",
        "an end and a surname may be one",
    ],
)  # fmt: skip
def test_people_are_counted_as_names_are_compared(people, found):
    """Equal, sounding alike, one slip apart or masked is one person; anything else is two."""
    assert namesakes.count_people(found) == people


# ── tables ──────────────────────────────────────────────────────────────────


def row(number, phones, surname=None, **more):
    """A record with a whole name that is like no other."""
    return {
        "name": number, "sound": number, "surname": surname or number, "given": number,
        "name_near": [number], "phones": phones, "phones_near": [p + 500 for p in phones],
        **more,
    }  # fmt: skip


def use(rows, most_people=4):
    """What `judged` makes of the phones of every record."""
    table = prepared(rows, most_people)
    found = database().table(table)
    assert "phones" not in found.columns
    return found.order("id").project("phones_own, phones_shared, phones_near").fetchall()


def test_a_number_with_one_name_is_that_persons_own():
    """Alone, or on two records of one name, a number is strong evidence."""
    assert use([row(1, [5]), row(1, [5]), row(2, [6])]) == [
        ([5], [], [505]), ([5], [], [505]), ([6], [], [506]),
    ]  # fmt: skip


def test_a_familys_number_is_shared_by_all_who_have_it():
    """Two names make a number shared, for the records without a name as well."""
    found = use([row(1, [5, 6]), row(2, [5]), {"phones": [5], "phones_near": [505]}])
    assert found == [([6], [5], [505, 506]), ([], [5], [505]), ([], [5], [505])]


def apart(rows, most_people=4):
    """The numbers of every record on which a surname says who is meant."""
    found = database().table(prepared(rows, most_people))
    return [held for (held,) in found.order("id").project("phones_apart").fetchall()]


def test_surnames_tell_the_people_of_a_number_apart():
    """A number of 张 and 王 is one where 张** is known; with two 张 on it, it is not."""
    assert apart([row(1, [5]), row(2, [5]), {"phones": [5], "surname": 1}]) == [[5]] * 3
    assert apart([row(1, [5]), row(2, [5]), row(3, [5], surname=1)]) == [[]] * 3
    # A surname of which nothing else shows may be a third person's; an end alone anybody's.
    assert apart([row(1, [5]), {"phones": [5], "surname": 2}]) == [[5]] * 2
    stray = {"phones": [5], "given_end": 9}
    assert apart([row(1, [5], given_end=1), row(2, [5], given_end=2), stray]) == [[]] * 3


def test_a_number_of_one_or_of_too_many_is_nobodys_by_surname():
    """Invariant 1: only a number of several people, and not of too many, is told apart."""
    assert apart([row(1, [5]), row(1, [5])]) == [[]] * 2
    assert apart([row(n, [5]) for n in range(1, 4)], most_people=2) == [[]] * 3


def test_accounts_without_a_name_may_bear_any_surname():
    """More unionids than names: somebody unnamed is there, and no surname says who is meant."""
    accounts = [{"phones": [5], "unionid": number} for number in range(1, 5)]
    assert apart([row(1, [5]), row(2, [5]), *accounts]) == [[]] * 6


def test_kinds_of_numbers_are_what_changes_weights():
    """A third person of a family changes nothing; the first, a namesake and the fifth do."""
    assert [sharing.kind(people, 4) for people in (1, 2, 3, 4, 5)] == [0, 1, 1, 1, 3]
    assert [sharing.kind(people, 4) for people in (-2, -4, -5)] == [2, 2, 3]


def test_a_clerks_number_names_nobody():
    """Invariant 1: with more people than the limit it is no phone, and no slip of one."""
    rows = [row(number, [5]) for number in range(1, 6)] + [row(9, [5, 7]), row(9, [7])]
    found = use(rows)
    assert found[:5] == [([], [], [])] * 5
    assert found[5] == ([7], [], [])
    assert found[6] == ([7], [], [507])


def test_the_limit_itself_is_still_a_family():
    """Invariant 1: as many people as the limit share a number; one more and it names nobody."""
    assert {shared for _, (shared,), _ in use([row(n, [5]) for n in range(1, 5)])} == {5}
    assert use([row(n, [5]) for n in range(1, 4)], most_people=2) == [([], [], [])] * 3


def test_many_wechat_accounts_on_a_number_are_many_people():
    """Two unionids are one person with two accounts; three are two people without a name."""
    two = [{"phones": [5], "unionid": number} for number in (1, 2)]
    assert use(two) == [([5], [], [])] * 2
    assert use([*two, {"phones": [5], "unionid": 3}]) == [([], [5], [])] * 3


CARD = sharing.counted_key(0x5_0000, 2)  # a card of two people at most


@pytest.mark.parametrize(
    ("held", "found", "limit"),
    [({"email": 5}, lambda one: one.singles["email_own"].tolist(), 4),
     ({"counted": [CARD]}, lambda one: one.lists["counted_own"].counts().tolist(), 2)],
)  # fmt: skip
def test_a_mailbox_or_card_of_too_many_names_nobody(held, found, limit):
    """Invariant 1: up to the limit of its type it is evidence, above it for nobody."""
    rows = [row(number, []) | held for number in range(1, limit + 1)]
    assert all(found(judged(rows)))
    assert all(found(judged([*rows, *rows])))  # more records, not more people
    assert not any(found(judged([*rows, row(limit + 1, []) | held])))
    accounts = [held | {"unionid": number} for number in range(1, limit + 2)]
    assert all(found(judged(accounts)))
    assert not any(found(judged([*accounts, held | {"unionid": limit + 2}])))


@pytest.mark.parametrize("held", [{"email": 5}, {"counted": [CARD]}, {"phones": [5]}])
def test_on_too_many_records_a_number_names_nobody(held):
    """Invariant 1: whoever they are."""
    rows = [held] * sharing.MOST_HOLDERS
    assert len(sharing.count_use(Columns.of(delivered(rows))).phones) == 0
    use = sharing.count_use(Columns.of(delivered([*rows, held])))
    assert use.people.tolist() == [sharing.MOST_HOLDERS + 1]


def test_the_limit_of_a_card_stands_in_its_key():
    """Two cards stay two, and one card with two limits is two."""
    one, other = (sharing.counted_key(key, 4) for key in (1 << 62, 1 << 61))
    assert one != other
    assert one != sharing.counted_key(1 << 62, 5)
    assert 0 < sharing.counted_key((1 << 63) - 1, 199) < 1 << 63


def test_the_numbers_of_a_record_are_all_that_is_counted():
    """Phones, the mail address and counted accounts, each with its record."""
    rows = [{"phones": [5, 6], "email": 7}, {}, {"counted": [CARD], "accounts": [9]}]
    place, number = sharing.numbers(Columns.of(delivered(rows)))
    assert sorted(zip(place.tolist(), number.tolist(), strict=True)) == [
        (0, 5), (0, 6), (0, 7), (2, CARD),
    ]  # fmt: skip


def test_a_record_without_phone_keeps_its_row():
    """Nothing is lost: no phone gives empty lists, and every other feature stays."""
    table = prepared([{"name": 3, "accounts": [4]}, row(1, [5])])
    columns = "id, name, accounts, phones_own, phones_shared, phones_near"
    found = database().table(table).project(columns).fetchall()
    assert found == [(1, 3, [4], [], [], []), (2, 1, [], [5], [], [505])]


def test_no_records_make_an_empty_table():
    """Before the first record there is nothing to count, and no error."""
    assert use([]) == []


# ── measured shares ─────────────────────────────────────────────────────────


def shares(rows, most_people=4):
    return sharing.wrong_shares(judged(rows, most_people), 4)


def test_without_numbers_every_share_is_a_half():
    """Nothing measured: one wrong and one right answer, and no division by nothing."""
    assert shares([]) == WrongShares(0.5, 0.5, 0.5)
    assert shares([row(1, [5])]) == WrongShares(0.5, 0.5, 0.5)


def test_a_number_of_one_person_lowers_the_share_of_wrong_answers():
    """Ten pairs that agree: of 2 + 20 answers one is wrong, the one that was added."""
    rows = [row(number, [number]) for number in range(1, 11) for _ in range(2)]
    assert shares(rows) == WrongShares(1 / 22, 0.5, 0.5)


def test_a_number_of_two_people_counts_against_own_numbers():
    """With one of two names hidden, the number looks like one person's and is another's."""
    assert shares([row(1, [5]), row(2, [5])]) == WrongShares(3 / 4, 0.5, 0.5)


def test_a_surname_that_leads_to_one_person_is_right_where_the_names_agree():
    """A number of 1, 1 and 2: hide one given name of 1, and its surname still leads to 1."""
    # Hiding either 1 leaves two people, whose surname says which of them it was.
    assert shares([row(1, [5]), row(1, [5]), row(2, [5])]).apart == 1 / 4
    # 3 has the surname of 1: hide 3, and its surname leads to 1 twice, both times wrongly.
    mixed = [row(1, [5]), row(1, [5]), row(2, [5]), row(3, [5], surname=1)]
    assert shares(mixed).apart == 3 / 4


phones = st.lists(st.integers(1, 3), max_size=2, unique=True)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), phones), max_size=8))
def test_shares_are_never_certain(records):
    """Whatever the data, all shares lie strictly between 0 and 1."""
    found = shares([row(number, held, surname=number % 3 + 1) for number, held in records])
    assert all(0 < share < 1 for share in (found.own, found.apart, found.shared))
