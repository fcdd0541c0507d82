import pytest

from cdp.ingest.normalise.address import (
    Address,
    Place,
    normalise_address,
    normalise_place,
    normalise_street_number,
)
from cdp.ingest.normalise.name_parts import Script
from cdp.ingest.normalise.result import Problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("北京市朝阳区建国路88号", ("北京", "北京", "朝阳区", "建国路", "88")),
        ("北京 朝阳区 建国路 88号", ("北京", "北京", "朝阳区", "建国路", "88")),
        ("北京北京市朝阳区建国路88号", ("北京", "北京", "朝阳区", "建国路", "88")),
        (
            "广东省深圳市南山区科技园南路12-3号A座",
            ("广东", "深圳", "南山区", "科技园南路", "12-3"),
        ),
        ("上海市浦东新区世纪大道100号", ("上海", "上海", "浦东新区", "世纪大道", "100")),
        ("浙江省义乌市稠城街道宾王路158号", ("浙江", "义乌", None, "宾王路", "158")),
        (
            "新疆维吾尔自治区伊犁哈萨克自治州伊宁市解放路5号",
            ("新疆", "伊犁哈萨克自治州", "伊宁市", "解放路", "5"),
        ),
        ("香港特别行政区弥敦道10号", ("香港", "香港", None, "弥敦道", "10")),
        ("朝阳区三里屯路", (None, None, "朝阳区", "三里屯路", None)),
        ("某处", (None, None, None, None, None)),
    ],
)
def test_a_chinese_address_is_split_by_its_suffixes(text, expected):
    """Province, city, district, road and number are found where their suffix stands."""
    found = normalise_address(text)
    assert isinstance(found, Address)
    assert (found.province, found.city, found.district, found.road, found.number) == expected
    assert found.script is Script.HAN


def test_spaces_and_width_do_not_make_another_address():
    """Two spellings of one Chinese address have one canonical text."""
    assert normalise_address("北京市 朝阳区，建国路８８号") == normalise_address(
        "北京市朝阳区建国路88号"
    )


@pytest.mark.parametrize(
    ("text", "full", "number"),
    [
        ("123 North Main Street, Apt. 4B", "123 n main st apt 4b", "123"),
        ("123 N. MAIN ST. APARTMENT 4B", "123 n main st apt 4b", "123"),
        ("12 Rue de l'Église", "12 rue de leglise", "12"),
        ("The Old Mill", "the old mill", None),
    ],
)
def test_a_latin_address_is_folded_and_abbreviated(text, full, number):
    """Case, accents and punctuation go, and street words are short."""
    found = normalise_address(text)
    assert isinstance(found, Address)
    assert (found.full, found.number) == (full, number)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty"),
        ("北京市朝阳区****", "masked"),
        ("!!!", "not_an_address"),
        ("路" * 513, "too_long"),
        ("\ufffd路", "unreadable"),
    ],
)
def test_what_is_no_address_has_a_rule(text, rule):
    """Each refusal names its rule."""
    answer = normalise_address(text)
    assert isinstance(answer, Problem)
    assert answer.rule == rule


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("北京市", "北京"),
        ("北京", "北京"),
        ("广东省", "广东"),
        ("内蒙古自治区", "内蒙古"),
        ("深圳市", "深圳"),
        ("朝阳区", "朝阳区"),
        ("沙市", "沙市"),
        (" New  York ", "new york"),
        ("São Paulo", "sao paulo"),
    ],
)
def test_a_place_has_one_name(text, name):
    """The suffix that some sources write and others leave out goes."""
    assert normalise_place(text) == Place(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [("12", "12"), ("No. 12-A", "12a"), ("12号", "12"), ("１２ Ａ", "12a")],
)
def test_a_street_number_has_one_spelling(text, name):
    """Signs and spaces around a house number go."""
    assert normalise_street_number(text) == Place(name)
    assert isinstance(normalise_street_number("-"), Problem)
