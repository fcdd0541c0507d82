"""The laws that every normaliser keeps, whatever the text."""

import datetime as dt
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.ingest.normalise.address import (
    normalise_address,
    normalise_place,
    normalise_street_number,
)
from cdp.ingest.normalise.date import normalise_birth_date, normalise_day
from cdp.ingest.normalise.email import normalise_email
from cdp.ingest.normalise.gender import normalise_gender
from cdp.ingest.normalise.identifier import (
    IdentifierKind,
    normalise_identifier,
    read_identifier,
)
from cdp.ingest.normalise.name import looks_like_name, normalise_name
from cdp.ingest.normalise.name_parts import NameKind
from cdp.ingest.normalise.national_id import normalise_national_id
from cdp.ingest.normalise.occupation import normalise_occupation
from cdp.ingest.normalise.phone import normalise_phone
from cdp.ingest.normalise.result import Canonical, Problem
from cdp.ingest.normalise.text import squeeze, tidy
from identity.catalogue import Form, shipped

TODAY = dt.date(2026, 7, 1)
NORMALISERS = {
    "phone": normalise_phone,
    "phone US": partial(normalise_phone, region="US"),
    "email": normalise_email,
    "birth date": partial(normalise_birth_date, today=TODAY),
    "day": partial(normalise_day, today=TODAY),
    "national id": partial(normalise_national_id, today=TODAY),
    "gender": normalise_gender,
    "address": normalise_address,
    "place": normalise_place,
    "street number": normalise_street_number,
    "occupation": normalise_occupation,
    **{
        f"own type of {characters}": partial(
            read_identifier, kind="own", form=Form(characters), blocked=shipped().fillers
        )
        for characters in ("visible", "ascii", "letters_and_digits", "digits")
    },
    **{f"name {kind}": partial(normalise_name, kind=kind) for kind in NameKind},
    **{f"id {kind}": partial(normalise_identifier, kind=kind) for kind in IdentifierKind},
}
every_normaliser = pytest.mark.parametrize("normalise", NORMALISERS.values(), ids=NORMALISERS)

# Texts near what the normalisers look for, and texts from all of Unicode, surrogates included.
near = st.text(
    "张三李欧阳王小老姐先生女士总店朝会员VIP客户路街区市省号公司某妈·.*+-@#x()[]/:_ "
    "019abXéßİſﬁⅫ´゙가\u0301\u200d\0",
    max_size=24,
)
texts = st.one_of(near, st.text(max_size=24), st.text(st.characters(), max_size=12))
HOSTILE = [
    "\ud800",
    "\udcff" * 5,
    "\0",
    "1\0" * 9,
    "x" * 1_000_000,
    "张" * 1_000_000,
    "1" * 1_000_000,
    "\ufdfa" * 60,
    "a\u0301" * 60,
    "店" * 128,
    "*" * 64,
    "\u202e13912345670",
]


@every_normaliser
@settings(max_examples=40, deadline=None)
@given(text=texts)
def test_normalising_twice_is_normalising_once(normalise, text):
    """Law 1, idempotent: the canonical text of a canonical text is that text."""
    answer = normalise(text)
    if not isinstance(answer, Problem):
        assert normalise(answer.canonical) == answer


@every_normaliser
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_raises(normalise, text):
    """Law 2, total: damage, control characters and a million characters get an answer."""
    answer = normalise(text)
    assert isinstance(answer, Problem | Canonical)
    if len(text) >= 1_000_000:
        assert isinstance(answer, Problem)
        assert answer.rule in {"too_long", "nickname"}


def test_a_canonical_value_without_its_text_cannot_be_made():
    """Every canonical value says what its text is: the base asks for it."""
    with pytest.raises(TypeError, match="abstract"):
        Canonical()


@every_normaliser
@settings(max_examples=20, deadline=None)
@given(text=texts)
def test_equal_texts_get_equal_answers(normalise, text):
    """Law 3, deterministic: nothing but the arguments decides."""
    assert normalise(text) == normalise("".join(list(text)))


@pytest.mark.parametrize(
    ("normalise", "text"),
    [
        (normalise_phone, "13912345670"),
        (normalise_name, "王小明"),
        (normalise_email, "ada@example.com"),
        (NORMALISERS["birth date"], "1985-03-02"),
        (NORMALISERS["day"], "1985-03-02"),
        (NORMALISERS["national id"], "11010519491231002X"),
        (normalise_address, "北京市朝阳区建国路88号"),
        (normalise_place, "york"),
        (normalise_gender, "female"),
        (NORMALISERS["id loyalty_card"], "VIP001234"),
    ],
)
def test_no_answer_shows_its_value(normalise, text):
    """Law 4, silent: a canonical value that is printed shows its type and nothing else."""
    answer = normalise(text)
    assert answer.canonical
    for shown in (repr(answer), str(answer), f"{answer}", "%s" % answer, repr([answer])):  # noqa: UP031
        assert answer.canonical not in shown
        assert text not in shown
        assert type(answer).__name__ in shown


@every_normaliser
@settings(max_examples=20, deadline=None)
@given(text=st.text("0123456789张三abc@*", min_size=6, max_size=30))
def test_no_problem_repeats_the_text(normalise, text):
    """Law 4, silent: a problem holds a rule and a next step, never the value."""
    answer = normalise(text)
    if isinstance(answer, Problem):
        assert text not in repr(answer)
        assert answer.rule.islower()
        assert answer.next_step


@settings(max_examples=120, deadline=None)
@given(texts)
def test_tidy_text_is_plain(text):
    """A tidied text is one line of visible characters in NFKC, and stays as it is."""
    plain = tidy(text, 4_096)
    if isinstance(plain, str):
        assert squeeze(plain) == plain
        assert "\0" not in plain
        assert tidy(plain, 4_096) == plain


@settings(max_examples=80, deadline=None)
@given(texts)
def test_the_judgement_of_names_is_total(text):
    """Any text either looks like a name or does not."""
    assert looks_like_name(text) in {True, False}
