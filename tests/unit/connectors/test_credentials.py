"""Credentials of a source are references, and no secret shows on the way."""

import pytest

from connectors.credentials import (
    Credentials,
    NoCredentialError,
    Reference,
    parse_credentials,
)
from connectors.declaration import parse_source
from connectors.errors import DeclarationError, Stop
from connectors.record import Sensitive
from connectors.registry import open_source

SECRET = "canary-secret"
ENTRY = {"connector": "csv", "location": "x", "record_id": "id", "fields": {"name": "name"}}


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("env:SOURCE_TILL", Reference("env", "SOURCE_TILL")),
        ("file:secrets/till key", Reference("file", "secrets/till key")),
        ("ring:till", Reference("ring", "till")),
    ],
)
def test_a_reference_says_where_a_secret_lies(text, reference):
    """Each of the three kinds is read, and written back as it stood."""
    assert parse_credentials("till", {"password": text}) == {"password": reference}
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [SECRET, f"env:{SECRET}", "env:CDP_ROOT_KEY", "env:PATH", "env:SOURCE_", "env:source_a",
     "file:", "file: a", "file:a\nb", "ring:", f"ring:{SECRET}!", "vault:x", "", 7, None, [SECRET]],
)  # fmt: skip
def test_a_secret_in_the_declaration_is_refused_and_not_quoted(text):
    """Invariants 1 and 4: what is no reference stops, and the error does not repeat it."""
    with pytest.raises(DeclarationError) as caught:
        parse_credentials("till", {"password": text})
    assert caught.value.field == "credentials.password"
    assert SECRET not in f"{caught.value!r} {caught.value}"
    with pytest.raises(DeclarationError) as caught:
        parse_source("till", {**ENTRY, "credentials": {"password": text}})
    assert SECRET not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize("raw", [SECRET, [SECRET], {"Password": "ring:a"}, {7: "ring:a"}])
def test_credentials_are_a_mapping_of_names(raw):
    """Anything else is refused, and not quoted."""
    with pytest.raises(DeclarationError) as caught:
        parse_credentials("till", raw)
    assert SECRET not in f"{caught.value!r} {caught.value}"


def test_the_schema_and_the_parser_agree():
    """What the editor's schema lets through, the parser reads."""
    entry = {**ENTRY, "credentials": {"a": "env:SOURCE_A", "b": "file:b", "c": "ring:c"}}
    assert sorted(parse_source("till", entry).credentials) == ["a", "b", "c"]


def test_a_credential_is_no_part_of_what_a_declaration_means():
    """A secret that moves is no reason to read everything again."""
    plain = parse_source("till", ENTRY)
    moved = parse_source("till", {**ENTRY, "credentials": {"password": "ring:till"}})
    assert plain.digest() == moved.digest()


def test_older_declarations_keep_their_digest():
    """The digest of a declaration without any later part is what it was before there were any."""
    assert parse_source("till", ENTRY).digest() == (
        "525bfed0bee8c767e51c63f02d66bbab9c45aa668758409962ef7db77f47e468"
    )
    full = {
        **ENTRY,
        "delimiter": ";",
        "encoding": "auto",
        "store": "shop",
        "fields": {"phone": {"columns": ["a", "b"], "split": "[,;]"}, "birth_date": "born"},
        "attributes": {"visits": {"column": "visits", "type": "integer"}},
        "consent": {
            "basis": "contract",
            "purposes": ["service"],
            "opt_out": {"column": "no", "values": ["y"]},
        },
    }
    assert parse_source("till", full).digest() == (
        "91a4037ac07ac038d9c2df9d53923ce32f92520f7245e9afc85fecbc0529e487"
    )


def test_a_secret_is_fetched_when_it_is_needed_and_not_kept():
    """Invariant 3: opening a source fetches nothing; each need fetches anew."""
    fetched = []

    def lookup(reference):
        fetched.append(str(reference))
        return Sensitive(SECRET)

    declaration = parse_source("till", {**ENTRY, "credentials": {"password": "ring:till"}})
    credentials = Credentials("till", declaration.credentials, lookup)
    assert fetched == []
    assert credentials.find("other") is None
    assert credentials.require("password").reveal(reason="test") == SECRET
    assert credentials.find("password").reveal(reason="test") == SECRET
    assert fetched == ["ring:till", "ring:till"]
    assert "password" in credentials
    assert SECRET not in repr(credentials)


def test_a_secret_that_cannot_be_had_stops_the_source():
    """Invariant 2: the error names the source, the credential, the rule and the next step."""

    def lookup(reference):
        raise NoCredentialError("credential_not_set", f"Set {reference.name}.")

    credentials = Credentials("till", {"password": Reference("env", "SOURCE_TILL")}, lookup)
    with pytest.raises(Stop) as caught:
        credentials.find("password")
    assert str(caught.value) == ("till, credentials.password: credential_not_set. Set SOURCE_TILL.")
    with pytest.raises(Stop, match="credential_missing"):
        credentials.require("user")
    with pytest.raises(Stop, match="credential_not_used"):
        credentials.require_known(frozenset({"user"}))
    credentials.require_known(frozenset({"password"}))


def test_without_a_lookup_no_secret_can_be_had(tmp_path):
    """A caller that has no secrets to give gives none."""
    reached = {"known_hosts": "hosts"}
    elsewhere = {"location": "sftp://till@example.com/members.csv", "remote": reached}
    secret = {"credentials": {"password": "ring:till"}}
    declaration = parse_source("till", {**ENTRY, **elsewhere, **secret})
    assert open_source(declaration, tmp_path).name == "till"
    with pytest.raises(Stop, match="credentials_unavailable"):
        Credentials("till", declaration.credentials).require("password")
