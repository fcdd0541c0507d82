import pytest

from cdp.ingest.normalise.name import join_names, looks_like_name, normalise_name
from cdp.ingest.normalise.name_parts import Name, NameKind, Script
from cdp.ingest.normalise.result import Problem
from cdp.ingest.normalise.surnames import COMPOUND_SURNAMES, SINGLE_SURNAMES, split_surname


def parts(text, kind=NameKind.NAME, labels=()):
    """Show the answer as full, surname, given, or as the rule that refused."""
    answer = normalise_name(text, kind, labels)
    if isinstance(answer, Problem):
        return answer.rule
    return answer.full, answer.surname, answer.given


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("张三", ("张三", "张", "三")),
        (" 张 三 ", ("张三", "张", "三")),
        ("张三先生", ("张三", "张", "三")),
        ("王小明老师", ("王小明", "王", "小明")),
        ("张三😀", ("张三", "张", "三")),
        ("张三1", ("张三", "张", "三")),
        ("欧阳娜娜", ("欧阳娜娜", "欧阳", "娜娜")),
        ("诸葛亮", ("诸葛亮", "诸葛", "亮")),
        ("單小明", ("單小明", "單", "小明")),
        ("买买提·艾力", ("买买提·艾力", "艾力", "买买提")),
        ("买买提•艾力", ("买买提·艾力", "艾力", "买买提")),
        ("买买提.艾力", ("买买提·艾力", "艾力", "买买提")),
        ("张三姐", ("张三姐", "张", "三姐")),
        ("阿不都热西提", ("阿不都热西提", None, None)),
        ("扎西次仁", ("扎西次仁", None, "扎西次仁")),
    ],
)
def test_a_han_name_loses_what_surrounds_it(text, expected):
    """Spaces, emoji, digits and forms of address go; the parts are told apart."""
    name = normalise_name(text)
    assert isinstance(name, Name)
    assert (name.full, name.surname, name.given) == expected
    assert name.script is Script.HAN
    assert name.complete
    assert not name.masked


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("李姐", "李"),
        ("王总", "王"),
        ("欧阳女士", "欧阳"),
        ("老王", "王"),
        ("小李", "李"),
        ("王", "王"),
    ],
)
def test_a_surname_with_a_form_of_address_is_not_a_whole_name(text, full):
    """Invariant 3: part of a name never passes for a whole one."""
    name = normalise_name(text)
    assert isinstance(name, Name)
    assert (name.full, name.surname, name.given) == (full, full, None)
    assert not name.complete


@pytest.mark.parametrize(
    ("text", "full", "surname"),
    [
        ("张**", "张**", "张"),
        ("张＊三", "张*三", "张"),
        ("**三", "**三", None),
        ("张某某", "张**", "张"),
        ("张○", "张*", "张"),
        ("J*** Smith", "j*** smith", "smith"),
    ],
)
def test_a_masked_name_keeps_its_visible_pattern(text, full, surname):
    """Invariant 2: what a mask hides is not guessed, and the name is incomplete."""
    name = normalise_name(text)
    assert isinstance(name, Name)
    assert (name.full, name.surname) == (full, surname)
    assert name.masked
    assert not name.complete


def test_a_given_name_with_a_form_of_address_is_not_a_whole_name():
    """Invariant 3: 艳姐 is somebody called 艳, and 艳 is no surname."""
    assert parts("艳姐") == ("艳", None, "艳")
    name = normalise_name("艳姐")
    assert isinstance(name, Name)
    assert not name.complete


@pytest.mark.parametrize("text", ["张三", "John Smith", "小可爱", ""])
def test_a_nickname_is_never_a_name(text):
    """Invariant 1: even a nickname that reads like a name is none."""
    assert parts(text, NameKind.NICKNAME) == "nickname"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("张三 朝阳店", ("张三", "张", "三")),
        ("朝阳店-张三", ("张三", "张", "三")),
        ("朝阳店张三", ("张三", "张", "三")),
        ("张三-VIP", ("张三", "张", "三")),
        ("VIP张三", ("张三", "张", "三")),
        ("张三老客户", ("张三", "张", "三")),
        ("会员张三", ("张三", "张", "三")),
        ("01-王芳-金卡", ("王芳", "王", "芳")),
        ("李四女士（朝阳）", ("李四", "李", "四")),
        ("李婷姐", ("李婷", "李", "婷")),
        ("欧阳娜娜 北京店", ("欧阳娜娜", "欧阳", "娜娜")),
        ("张三 13912345670", ("张三", "张", "三")),
        ("买买提·艾力 VIP", ("买买提·艾力", "艾力", "买买提")),
        ("张* 朝阳店", ("张*", "张", "*")),
        ("张 三 朝阳店", ("张三", "张", "三")),
        ("刘\u3000华云-VIP", ("刘华云", "刘", "华云")),
        ("王 会员", ("王", "王", None)),
        ("扎西次仁 朝阳店", ("扎西次仁", None, "扎西次仁")),
        ("李姐", ("李", "李", None)),
        ("王哥 朝阳店", ("王", "王", None)),
        ("张三朝阳店", ("张", "张", None)),
        ("Tony Wang VIP", ("tony wang", "wang", "tony")),
        ("王小明妈妈", "not_a_name"),
        ("高兴每一天", "not_a_name"),
        ("平安", "not_a_name"),
        ("阿强", "not_a_name"),
        ("艳姐", "not_a_name"),
        ("朝阳店", "not_a_name"),
        ("VIP", "not_a_name"),
    ],
)
def test_a_remark_gives_up_the_name_it_holds(text, expected):
    """A remark is a name among stores and labels; without a likely name there is none."""
    assert parts(text, NameKind.REMARK) == expected


def test_known_store_names_split_a_remark_that_nothing_else_splits():
    """The stores that the workspace declares tell where a name ends."""
    assert parts("张三朝阳店", NameKind.REMARK, ("朝阳店",)) == ("张三", "张", "三")


@pytest.mark.parametrize(
    ("text", "full", "surname", "given"),
    [
        ("Mr. John O'Brién", "john obrien", "obrien", "john"),
        ("O’BRIEN, John", "john obrien", "obrien", "john"),
        ("JOSÉ  García-López", "jose garcia lopez", "lopez", "jose garcia"),
        ("Søren Ægir", "soren aegir", "aegir", "soren"),
        ("John Smith, Jr.", "john smith jr", "smith", "john"),
        ("Anna", "anna", None, "anna"),
        ("Dr. Anna", "anna", None, "anna"),
    ],
)
def test_a_latin_name_is_folded(text, full, surname, given):
    """Case, accents, punctuation and titles go; a comma turns the parts round."""
    name = normalise_name(text)
    assert isinstance(name, Name)
    assert (name.full, name.surname, name.given) == (full, surname, given)
    assert name.script is Script.LATIN
    assert name.complete is (surname is not None)


def test_tokens_do_not_depend_on_order():
    """`smith john` and `john smith` have equal tokens."""
    first, second = normalise_name("Smith John"), normalise_name("John Smith")
    assert isinstance(first, Name)
    assert isinstance(second, Name)
    assert first.tokens == second.tokens == ("john", "smith")
    assert first.full != second.full


@pytest.mark.parametrize("text", ["Иван Петров", "山田たろう", "김민수", "สมชาย ใจดี"])
def test_other_scripts_are_kept(text):
    """A name in another script keeps its letters, and its marks where they are letters."""
    name = normalise_name(text)
    assert isinstance(name, Name)
    assert name.script is Script.OTHER
    assert name.full == text.casefold()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty"),
        ("无", "empty"),
        ("测试", "blocked"),
        ("微信用户", "blocked"),
        ("Test", "blocked"),
        ("先生", "blocked"),
        ("某某公司", "organisation"),
        ("先生太太", "not_a_name"),
        ("12345", "not_a_name"),
        ("***", "not_a_name"),
        ("😀", "not_a_name"),
        ("张" * 129, "too_long"),
        ("张" * 65, "not_a_name"),
        ("张\ufffd", "unreadable"),
    ],
)
def test_what_is_no_name_has_a_rule(text, rule):
    """Fillers, organisations and damage are told apart."""
    assert parts(text) == rule


def test_two_columns_make_one_name():
    """A source that keeps given name and surname apart gets the name that one column gives."""
    for given, surname, whole in (
        ("小明", "王", "王小明"),
        ("Mary Ann", "Smith", "Mary Ann Smith"),
    ):
        left = normalise_name(given, NameKind.GIVEN_NAME)
        right = normalise_name(surname, NameKind.SURNAME)
        assert isinstance(left, Name)
        assert isinstance(right, Name)
        assert join_names(left, right) == normalise_name(whole)
        assert join_names(left, None) is left
        assert join_names(None, right) is right
    assert join_names(None, None) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("张三", True),
        ("王小明", True),
        ("欧阳娜娜", True),
        ("平安", False),
        ("小可爱", False),
        ("王", False),
        ("王小明明明", False),
        ("朝阳店", False),
        ("张会员", False),
        ("李姐", False),
        ("Tony", False),
        ("", False),
    ],
)
def test_a_name_is_told_from_a_nickname(text, expected):
    """A known surname with one or two characters behind it looks like a name."""
    assert looks_like_name(text) is expected


def test_the_longest_surname_wins():
    """A compound surname is not cut after its first character."""
    assert split_surname("司马光") == ("司马", "光")
    assert split_surname("爱新觉罗溥") == ("爱新觉罗", "溥")
    assert split_surname("司琪") == ("司", "琪")
    assert split_surname("☆") == (None, "☆")


def test_the_surname_tables_hold_what_they_say():
    """Single surnames have one character, compound ones more, and both tables are full."""
    assert all(len(surname) == 1 for surname in SINGLE_SURNAMES)
    assert all(2 <= len(surname) <= 4 for surname in COMPOUND_SURNAMES)
    assert len(SINGLE_SURNAMES) >= 400
