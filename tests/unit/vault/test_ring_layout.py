"""The layout of a key ring: what is written, what is read, and what is refused although sealed."""

import base64
import datetime as dt
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from cdp.vault import ring_check, ring_document, ring_edits
from cdp.vault.errors import KeyRingGarbled, RootRefused
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import ADDED, PURPOSES, RingDocument, Versions
from cdp.vault.roots.file import FILE, ONLY_FILE
from cdp.vault.roots.provider import RootProviders
from cdp.vault.secret import Secret
from tests.unit.vault.sealed_rings import derived, framed, put, root_of, sealed, text_of, wrapped

NOW = dt.datetime(2026, 3, 1, 20, 30, 15, 999_999, dt.timezone(dt.timedelta(hours=8)))
NO_ROOT = "its workspace or root cannot be read"
NO_KEY = "a key in it does not unwrap"
OTHER_RELEASE = "its format version is not one this release reads"
HERE = Path("ring")


@pytest.fixture
def body(document):
    """A ring in its file, as JSON."""
    return json.loads(document.encode(os.urandom))


def read(body, withheld=()):
    """Open a body under the seal that it should have."""
    return ring_document.decode(sealed(body, root_of(body)), HERE, ONLY_FILE, withheld)


def refusal(body, **options):
    """What is said against a body that has its seal."""
    with pytest.raises(KeyRingGarbled) as caught:
        read(body, **options)
    return caught.value.rule


# ── what is written ─────────────────────────────────────────────────────────


def test_a_new_ring_has_every_key_at_version_1_made_now(workspace):
    """The root and each purpose: one version, which is the latest ever given, and its time."""
    document = RingDocument.fresh(workspace, os.urandom, NOW)
    assert tuple(document.keys) == PURPOSES
    for held in (document.roots, *document.keys.values()):
        assert (held.current, list(held.secrets), held.made, held.latest) == (1, [1], {1: NOW}, 1)
        assert held.next == 2
        assert len(held.secrets[1].expose()) == 32
    assert RingDocument.fresh(workspace, os.urandom).keys["contact"].made == {}
    assert KeyRing.of(document).facts == (2, "file", 1, NOW)


def test_the_file_has_the_parts_that_are_described(workspace):
    """Format 2, part by part; times are of UTC, in whole seconds, whatever zone they came in."""
    document = RingDocument.fresh(workspace, os.urandom, NOW)
    document = ring_edits.add_version(document, "contact", {}, os.urandom, NOW)
    content = ring_edits.rotate_root(document, os.urandom, NOW).encode(os.urandom)
    assert content.endswith(b"\n}\n")
    body = json.loads(content)
    assert list(body) == ["format", "version", "workspace", "root", "checks", "keys", "mac"]
    assert (body["format"], body["version"]) == ("kith-key-ring", 2)
    assert body["workspace"] == str(workspace)
    [(number, root)] = body["root"].pop("versions").items()
    assert (body["root"], number) == ({"provider": "file", "current": 2, "latest": 2}, "2")
    assert (root["made"], list(root["held"])) == ("2026-03-01T12:30:15+00:00", ["secret"])
    assert {len(base64.b64decode(check)) for check in body["checks"].values()} == {34}
    assert (list(body["checks"]), len(base64.b64decode(body["mac"]))) == (["1"], 32)
    contact = body["keys"]["contact"]
    versions = contact.pop("versions")
    assert contact == {"current": 2, "latest": 2}
    for one in versions.values():
        assert one.keys() == {"made", "root", "wrapped"}
        assert (one["root"], one["made"]) == (2, "2026-03-01T12:30:15+00:00")
        assert len(base64.b64decode(one["wrapped"])) == 12 + 32 + 16


def test_a_ring_sealed_by_its_description_opens(document, body):
    """MAC and wrapping made with other code are those of this code; the order of parts is free."""
    root = root_of(body)
    place = (document.workspace, "contact", 1, 1)
    put(body, ("keys", "contact", "versions", "1", "wrapped"), wrapped(root, b"k" * 32, place))
    turned = {name: body[name] for name in reversed(body)}
    assert read(turned).keys["contact"].secrets[1].expose() == b"k" * 32
    assert read(turned).format == 2
    info = framed(b"kith/key-ring/check/1", document.workspace.bytes, (3).to_bytes(8, "big"))
    made = ring_check.of_root(Secret(root), document.workspace, 3)
    assert made == b"\0\3" + derived(root, info)


def test_times_and_numbers_come_back(workspace):
    """Times, the version in force and the highest number ever given survive the file."""
    document = RingDocument.fresh(workspace, os.urandom, NOW)
    for _ in range(3):
        document = ring_edits.add_version(document, "contact", {}, os.urandom, NOW)
    document = ring_edits.retire(document, "contact", 1, {})
    held = replace(document.keys["contact"], current=3)
    document = replace(document, keys={**document.keys, "contact": held})
    again = ring_document.decode(document.encode(os.urandom), HERE)
    found = again.keys["contact"]
    assert (found.current, sorted(found.secrets), found.latest) == (3, [2, 3, 4], 4)
    assert found.made == dict.fromkeys((2, 3, 4), NOW.replace(microsecond=0))
    assert KeyRing.of(again).versions("contact") == found.made
    assert KeyRing.of(again).facts.root_made == NOW.replace(microsecond=0)


def test_a_number_of_two_bytes_is_the_highest(workspace, document):
    """Versions from 1 to 65535 are written and read; the last one has no successor to store."""
    for purpose, number in (("contact", 65535), ("rejects", 1)):
        held = Versions(number, {number: Secret(bytes(32))}, {}, number)
        document = replace(document, keys={**document.keys, purpose: held})
    again = ring_document.decode(document.encode(os.urandom), HERE)
    assert KeyRing.of(again).current("contact") == 65535
    assert again.keys["contact"].latest == 65535


# ── what is refused although it is sealed ───────────────────────────────────

NUMBERS = ("0", "01", "-1", "+1", "1.0", "65536", "one", "")


@pytest.mark.parametrize("number", NUMBERS)
def test_what_is_no_version_number_is_refused(body, number):
    """A version is written as 1 to 65535, in one way only: of roots, keys and checks."""
    for place, rule in (("root", NO_ROOT), ("keys", NO_KEY)):
        copy = json.loads(json.dumps(body))
        part = copy["keys"]["contact"] if place == "keys" else copy["root"]
        put(part, ("versions", number), part["versions"]["1"])
        assert refusal(copy) == rule
    body["checks"][number] = text_of(bytes(34))
    if number == "0":  # the lasting check, which an extract has
        assert read(body).checks == {0: bytes(34)}
    else:
        assert refusal(body) == NO_KEY


@pytest.mark.parametrize("part", [("root",), ("keys", "contact")], ids=["root", "key"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("current", "1"),
        ("current", True),
        ("current", 1.0),
        ("current", 2),
        ("current", None),
        ("latest", "1"),
        ("latest", True),
        ("latest", 1.0),
        ("versions", {}),
        ("versions", []),
    ],
    ids=str,
)
def test_numbers_that_are_none_are_refused(body, part, name, value):
    """The version in force is a whole number and is there; so is the highest ever given."""
    root = root_of(body)
    put(body, (*part, name), value)
    with pytest.raises(KeyRingGarbled) as caught:
        ring_document.decode(sealed(body, root), HERE)
    assert caught.value.rule == (NO_ROOT if part == ("root",) else NO_KEY)


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_what_has_not_the_length_of_a_key_is_refused(document, body, size):
    """32 bytes, of a root and of a key; 34 of a check. Nothing shorter or longer is taken."""
    place = (document.workspace, "contact", 1, 1)
    key = wrapped(root_of(body), bytes(size), place)
    copy = json.loads(json.dumps(body))
    put(copy, ("keys", "contact", "versions", "1", "wrapped"), key)
    assert refusal(copy) == NO_KEY
    copy = json.loads(json.dumps(body))
    put(copy, ("checks", "9"), text_of(bytes(size + 2)))
    assert refusal(copy) == NO_KEY
    put(body, ("root", "versions", "1", "held", "secret"), text_of(bytes(size)))
    assert refusal(body) == NO_ROOT


@pytest.mark.parametrize(
    "bound", [(UUID(int=9), "contact", 1, 1), ("sensitive", 1, 1), ("contact", 2, 1)], ids=str
)
def test_a_key_of_another_place_is_refused(document, body, bound):
    """A wrapped key opens for its workspace, purpose and version alone, also under a good seal."""
    place = bound if len(bound) == 4 else (document.workspace, *bound)
    put(
        body,
        ("keys", "contact", "versions", "1", "wrapped"),
        wrapped(root_of(body), b"k" * 32, place),
    )
    assert refusal(body) == NO_KEY


def test_a_time_that_is_none_is_refused(body):
    """A time is of ISO 8601, or null: a ring of before knows none."""
    put(body, ("keys", "contact", "versions", "1", "made"), "yesterday")
    assert refusal(body) == NO_KEY
    put(body, ("keys", "contact", "versions", "1", "made"), "2026-03-01T12:00:00+00:00")
    assert read(body).keys["contact"].made == {1: dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)}


def test_what_earlier_rings_lack_is_not_asked_for(body):
    """Without ``latest`` the highest version there counts; without checks there are none."""
    for place in (("root", "latest"), ("keys", "contact", "latest"), ("checks",)):
        put(body, place, None)
    found = read(body)
    assert (found.roots.latest, found.keys["contact"].latest, found.checks) == (1, 1, {})


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("version",), 3),
        (("version",), 0),
        (("version",), 2.0),
        (("version",), True),
        (("version",), "2"),
        (("root",), None),
        (("root",), []),
    ],
    ids=str,
)
def test_a_ring_of_another_release_is_told_from_a_broken_one(body, place, value):
    """What has no version that this release reads is for another release, not to be restored."""
    put(body, place, value)
    with pytest.raises(KeyRingGarbled) as caught:
        ring_document.decode(json.dumps(body).encode(), HERE)
    assert caught.value.rule == OTHER_RELEASE


class Closed:
    """A provider under the name of `file` that refuses."""

    name, needs, wrap = FILE.name, FILE.needs, FILE.wrap

    def unwrap(self, *_):
        """Refuse."""
        raise RootRefused("the guard says no", "ask it", provider=self.name)


def test_what_a_provider_says_is_said_of_the_ring(document):
    """The provider's own words, with the ring's path; no frame that it passed had the content."""
    content = document.encode(os.urandom)
    with pytest.raises(RootRefused) as caught:
        ring_document.decode(content, HERE, RootProviders([Closed()]))
    assert str(caught.value) == "provider file, key ring ring: the guard says no; next: ask it"
    wraps = json.loads(content)["keys"]["contact"]["versions"]["1"]["wrapped"]
    passed = [entry for entry in caught.traceback if "/cdp/" in str(entry.path)]
    assert passed
    for entry in passed:
        assert wraps not in repr(entry.frame.f_locals)


# ── keys that stay wrapped ──────────────────────────────────────────────────


@pytest.mark.parametrize("purpose", sorted(set(PURPOSES) - {"records", "audit-signing"}))
def test_a_key_that_is_withheld_is_not_even_unwrapped(body, purpose):
    """Ring invariant 4: where it stands, there may be anything that the seal covers."""
    put(body, ("keys", purpose, "versions", "1", "wrapped"), text_of(bytes(60)))
    found = read(body, withheld=[purpose])
    assert set(found.keys) == set(PURPOSES) - {purpose}
    assert found.checks == {}
    assert refusal(body) == NO_KEY


def test_without_the_key_of_the_records_its_check_is_kept(document, body):
    """Ring invariants 4 and 5: the `records` key is dropped; what a database knows it by stays."""
    found = read(body, withheld=["records", "contact"])
    assert set(found.keys) == set(PURPOSES) - {"records", "contact"}
    assert found.checks == {0: document.all_checks()[0]}
    root_check = ring_check.of_root(document.roots.secrets[1], document.workspace, 1)
    assert found.all_checks() == document.all_checks() == {**found.checks, 1: root_check}


def test_withheld_keys_are_under_the_seal_too(body):
    """A ring that was altered is refused also by a process that leaves most of it wrapped."""
    put(body, ("keys", "contact", "latest"), 7)
    content = json.dumps(body).encode()
    with pytest.raises(KeyRingGarbled, match=re.escape("it was altered: its seal does not fit")):
        ring_document.decode(content, HERE, ONLY_FILE, ["contact"])


# ── what edits leave behind ─────────────────────────────────────────────────


def edits() -> dict[str, Callable[[RingDocument], Versions]]:
    """Every edit that draws a key: what it made."""
    draw = os.urandom

    def upgraded(document: RingDocument) -> Versions:
        keys = {name: held for name, held in document.keys.items() if name not in ADDED}
        older = replace(document, keys=keys)
        return ring_edits.add_purposes(older, {}, draw, NOW).keys["shreds"]

    return {
        "root": lambda d: ring_edits.rotate_root(d, draw, NOW).roots,
        "key": lambda d: ring_edits.add_version(d, "contact", {}, draw, NOW).keys["contact"],
        "purpose": upgraded,
        "extract": lambda d: ring_edits.extract(d, ["contact"], draw, NOW).roots,
    }


@pytest.mark.parametrize(("name", "edit"), edits().items(), ids=edits())
def test_what_an_edit_draws_is_in_force_and_has_its_time(document, name, edit):
    """32 bytes under the highest number ever given, in force, and made when it was drawn."""
    held = edit(document)
    number = 1 if name == "purpose" else 2
    assert (held.current, held.latest, held.next) == (number, number, number + 1)
    assert held.made[number] == NOW
    assert len(held.secrets[number].expose()) == 32


def test_an_extract_is_of_the_same_ring(document):
    """Edits 5 and 6: workspace, checks and format are those of the whole; its order of keys too."""
    older = replace(document, format=1)
    part = ring_edits.extract(older, ["shreds", "contact"], os.urandom, NOW)
    assert (part.workspace, part.format) == (document.workspace, 1)
    assert part.checks == document.all_checks()
    assert list(part.keys) == ["contact", "shreds"]
    assert ring_edits.is_extract(part)
    assert not ring_edits.is_extract(document)


def test_a_retired_version_leaves_its_number_and_nothing_else(document):
    """Edit invariant 1: key and time are gone; the highest number ever given stays."""
    document = ring_edits.add_version(document, "contact", {}, os.urandom, NOW)
    document = ring_edits.add_version(document, "contact", {}, os.urandom, NOW)
    left = ring_edits.retire(document, "contact", 2, {}).keys["contact"]
    assert (left.current, left.latest, list(left.secrets), left.made) == (3, 3, [1, 3], {3: NOW})
    assert left.secrets[1] is document.keys["contact"].secrets[1]
