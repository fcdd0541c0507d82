"""The country of phones that name none, as a source declares it."""

import datetime as dt
from pathlib import Path

import pytest

from cdp import declaration
from cdp.errors import Stop
from cdp.ingest.storing import reading_under
from cdp.ingest.values import Reading, read_record
from connectors.declaration import parse_source
from connectors.errors import DeclarationError
from connectors.mapping import RowMapper
from connectors.record import Record

ENTRY = {"connector": "csv", "location": "x.csv", "record_id": "id"}
READING = Reading(dt.date(2026, 5, 4))


def read(phone: object, text: str) -> list[str]:
    source = parse_source("shop", {**ENTRY, "fields": {"phone": phone}})
    row = RowMapper(source).map(1, {"id": "1", "p": text}, lambda: "")
    assert isinstance(row, Record)
    return [found.canonical for found, _ in read_record(row, READING).read.get("phone", [])]


@pytest.mark.parametrize(
    ("country", "text", "number"),
    [
        ("DE", "0171 1234567", "+491711234567"),
        ("DE", "089/1234567", "+49891234567"),
        ("JP", "090-3816-2745", "+819038162745"),
        ("US", "(212) 555-0100", "+12125550100"),
        ("DE", "+1 212 555 0100", "+12125550100"),
        ("CN", "139 5714 0286", "+8613957140286"),
        (None, "13957140286", "+8613957140286"),
    ],
)
def test_a_number_is_of_its_country(country: str | None, text: str, number: str) -> None:
    """A number that names its country keeps it; without a declaration the others are Chinese."""
    assert read({"column": "p", "country": country} if country else "p", text) == [number]


def test_each_column_has_a_country_of_its_own() -> None:
    """A source of several countries has a column each."""
    several = [{"column": "p", "country": "DE"}, {"column": "q", "country": "JP"}]
    source = parse_source("shop", {**ENTRY, "fields": {"phone": several}})
    row = RowMapper(source).map(1, {"id": "1", "p": "0171 1234567", "q": "090-3816-2745"}, str)
    assert isinstance(row, Record)
    found = {one.canonical for one, _ in read_record(row, READING).read["phone"]}
    assert found == {"+491711234567", "+819038162745"}


def test_a_country_changes_what_a_source_means_and_none_does_not() -> None:
    """Another country reads every row anew; declarations without one keep their digest."""
    plain, german = (
        parse_source("shop", {**ENTRY, "fields": {"phone": one}}).digest()
        for one in ({"column": "p"}, {"column": "p", "country": "DE"})
    )
    assert plain != german
    assert parse_source("shop", {**ENTRY, "fields": {"phone": "p"}}).digest() == plain


@pytest.mark.parametrize("country", ["de", "Germany", "", "49", "<country of the phone>"])
def test_what_is_no_country_is_refused(country: str) -> None:
    """Two letters of ISO 3166, and nothing else."""
    with pytest.raises(DeclarationError, match=r"fields\.phone\.country"):
        read({"column": "p", "country": country}, "1")


def test_a_country_that_nobody_can_read_is_refused_before_a_row_is_read() -> None:
    """Two letters that no country has: the error names source, field and the next step."""
    entry = {**ENTRY, "fields": {"phone": {"column": "p", "country": "XX"}}}
    brand = {"id": "brand", "kind": "brand", "name": "Example"}
    content = {"version": 1, "organisation": [brand], "sources": {"shop": entry}}
    declared = declaration.parse(content, Path("cdp.yaml"))
    with pytest.raises(Stop, match=r"source shop, field phone: unknown_country"):
        reading_under(declared, READING.today)


@pytest.mark.parametrize("field", ["name", "email"])
def test_only_phones_have_a_country(field: str) -> None:
    """Elsewhere it would mean nothing."""
    with pytest.raises(DeclarationError, match="unknown_key"):
        parse_source("shop", {**ENTRY, "fields": {field: {"column": "p", "country": "DE"}}})
