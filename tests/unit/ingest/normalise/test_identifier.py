import pytest

from cdp.ingest.normalise.identifier import Identifier, IdentifierKind, normalise_identifier
from cdp.ingest.normalise.result import Problem


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        (" oMadeUp_Open-Id00000000001 ", IdentifierKind.OPENID, "oMadeUp_Open-Id00000000001"),
        ("oMadeUpUnion00000000000000A1", IdentifierKind.UNIONID, "oMadeUpUnion00000000000000A1"),
        ("wmMadeUp-External_01", IdentifierKind.EXTERNAL_USERID, "wmMadeUp-External_01"),
        ("Buyer_张三01", IdentifierKind.BUYER_ID, "Buyer_张三01"),
        ("vip 0012-34", IdentifierKind.LOYALTY_CARD, "VIP001234"),
        ("１００２３４", IdentifierKind.LOYALTY_CARD, "100234"),
        ("100234.0", IdentifierKind.LOYALTY_CARD, "100234"),
        ("91110000made00001x", IdentifierKind.TAX_NUMBER, "91110000MADE00001X"),
        ("6222 0000 0000 1234", IdentifierKind.BANK_CARD, "6222000000001234"),
        ("sw1a 1aa", IdentifierKind.POSTCODE, "SW1A1AA"),
    ],
)
def test_an_identifier_has_one_spelling(text, kind, value):
    """Invariant 2: platform ids keep their case; cards lose separators and go to upper case."""
    assert normalise_identifier(text, kind) == Identifier(value, kind)


@pytest.mark.parametrize("kind", IdentifierKind)
@pytest.mark.parametrize(
    "text",
    ["null", "None", "test", "0", "000000", "1111111", "undefined", "-", "aaaa", "N/A", "123456"],
)
def test_a_filler_is_no_identifier(text, kind):
    """Invariant 1: a blocked value never becomes an identifier, of any kind."""
    answer = normalise_identifier(text, kind)
    assert isinstance(answer, Problem)
    assert answer.rule == "blocked"


@pytest.mark.parametrize(
    ("text", "kind", "rule"),
    [
        ("", IdentifierKind.OPENID, "empty"),
        ("  ", IdentifierKind.LOYALTY_CARD, "empty"),
        ("oMade Up", IdentifierKind.OPENID, "invalid"),
        ("oMa", IdentifierKind.OPENID, "invalid"),
        ("t**3", IdentifierKind.BUYER_ID, "masked"),
        ("6.222E+15", IdentifierKind.BANK_CARD, "spreadsheet_number"),
        ("6222", IdentifierKind.BANK_CARD, "invalid"),
        ("A" * 129, IdentifierKind.BUYER_ID, "blocked"),
        ("Ab" * 65, IdentifierKind.BUYER_ID, "invalid"),
        ("A" * 257, IdentifierKind.BUYER_ID, "too_long"),
        ("\ud800", IdentifierKind.BUYER_ID, "unreadable"),
    ],
)
def test_what_is_no_identifier_has_a_rule(text, kind, rule):
    """Each refusal names its rule."""
    answer = normalise_identifier(text, kind)
    assert isinstance(answer, Problem)
    assert answer.rule == rule
