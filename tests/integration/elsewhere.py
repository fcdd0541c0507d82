"""A source over a file elsewhere, and what it ends with."""

import pytest

from connectors.base import Level
from connectors.credentials import NoCredentialError, Reference
from connectors.declaration import parse_source
from connectors.errors import Retry, Stop
from connectors.record import Sensitive
from connectors.registry import open_source
from tests.integration.sftp_server import PASSWORD

SECRET = "canary-secret-key"
ROWS = "id,name\n1,canary-name\n2\n3,b\n"


def lookup(reference: Reference) -> Sensitive:
    """Secrets by the name of their reference."""
    known = {"access": "canary-access-key", "secret": SECRET, "password": PASSWORD, "wrong": "no"}
    if reference.name not in known:
        raise NoCredentialError("credential_not_stored", "Store it.")
    return Sensitive(known[reference.name])


def source_at(location, folder, connector="csv", secrets=lookup, **more):
    """A source over a file elsewhere."""
    entry = {
        "connector": connector,
        "location": location,
        "record_id": "id",
        "fields": {"name": "name"},
        **more,
    }
    return open_source(parse_source("members", entry), folder, secrets)


def ended(source, kind=Stop):
    """The rule that reading ends with; neither it nor a check shows a secret or a value."""
    with pytest.raises(kind) as caught:
        source.fingerprint()
    chained = [caught.value, caught.value.__cause__]
    findings = source.check()
    shown = f"{chained!r} {caught.value} {findings}"
    assert "canary" not in shown
    assert caught.value.next_step
    assert [one.level for one in findings] == [Level.ERROR]
    return caught.value.rule


def ids(source, after=0):
    """The record ids that a source gives."""
    rows = source.read(after)
    return [row.record_id and row.record_id.reveal(reason="test") for row in rows]


def only_rule(source):
    """The rule of an error after which the same may go well."""
    with pytest.raises(Retry) as caught:
        source.fingerprint()
    return caught.value.rule
