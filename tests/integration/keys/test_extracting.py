"""A key ring with the keys of one role: `cdp/keys/extracting.py`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.storage import schema
from cdp.vault.errors import KeyMissing
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import PURPOSES
from cdp.vault.roles import CONTACT, COUNTER
from tests.journeys.commands import Outcome

pytestmark = pytest.mark.integration
Command = Callable[..., Outcome]


@pytest.mark.parametrize("role", [COUNTER, CONTACT], ids=lambda role: role.name)
def test_an_extract_lacks_every_other_key(
    cdp: Command, folder: Path, engine: sa.Engine, role
) -> None:
    """Extracting 1 and 2: the event is in the log, and the file has the keys of its role alone."""
    target = folder / "extract.json"
    out = cdp("key", "extract", str(target), "--role", role.name, "--as", "operator", "--json")
    assert out.json["keys"] == sorted(role.purposes)
    ring, whole = KeyRing.open(target), KeyRing.open(folder / "home" / "keyring.json")
    assert {one for one in PURPOSES if ring.holds(one)} == role.purposes
    with pytest.raises(KeyMissing):
        ring.secret("sensitive")
    texts = target.read_text(), (folder / "home" / "keyring.json").read_text()
    roots = [json.loads(text)["root"]["versions"] for text in texts]
    assert not roots[0].keys() & roots[1].keys()
    assert ring.workspace == whole.workspace
    assert (target.stat().st_mode & 0o777) == 0o600
    with engine.connect() as connection:
        lines = connection.scalars(sa.select(schema.audit_event.c.line)).all()
    assert any(f"key.extract-{role.name}" in line for line in lines)


def test_who_may_not_configure_takes_no_extract(
    cdp: Command, folder: Path, engine: sa.Engine
) -> None:
    """Extracting 1: a clerk is refused, the refusal is in the log, and there is no file."""
    target = folder / "extract.json"
    cdp("key", "extract", str(target), "--role", "counter", "--as", "clerk", code=1)
    assert not target.exists()
    with engine.connect() as connection:
        (line,) = connection.scalars(sa.select(schema.audit_event.c.line)).all()
    assert json.loads(line)["decision"] == "deny"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--role", "full"), "copy the key ring file itself"),
        (("--role", "clerk"), "name one of counter, contact, full"),
        (("--role", "counter", "--provider", "drawer"), "root provider"),
    ],
)
def test_what_is_no_extract_is_refused(cdp: Command, folder: Path, arguments, said) -> None:
    """The whole ring, an unknown role and an unknown provider are refused with the next step."""
    target = folder / "extract.json"
    out = cdp("key", "extract", str(target), *arguments, "--as", "operator", code=1)
    assert said in " ".join(out.err.split())
    assert not target.exists()


def test_an_extract_takes_the_place_of_nothing(cdp: Command, folder: Path) -> None:
    """A ring that is there is not overwritten, the whole ring least of all."""
    ring = folder / "home" / "keyring.json"
    before = ring.read_bytes()
    cdp("key", "extract", str(ring), "--role", "counter", "--as", "operator", code=1)
    assert ring.read_bytes() == before
