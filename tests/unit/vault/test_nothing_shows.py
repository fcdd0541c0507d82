"""Promise 7: nothing of the vault shows key material or a plaintext, however it is turned to text.

Every key of the rings here is a known canary, and so is every plaintext. They are looked
for in all the forms in which bytes usually leak: raw, escaped, hexadecimal and base 64.
"""

import base64
import copy
import json
import pickle
import traceback
from pathlib import Path
from uuid import UUID

import pytest

from cdp.errors import KithError
from cdp.vault import cells, ring_document, ring_file
from cdp.vault.blind import BlindIndexer
from cdp.vault.cells import Place
from cdp.vault.envelope import Wrapping
from cdp.vault.keyed import FeatureKeyer, RecordKeys
from cdp.vault.keyring import KeyRing
from cdp.vault.rejects import RejectPlace
from cdp.vault.ring_document import PURPOSES, RingDocument, Versions
from cdp.vault.secret import Secret
from cdp.vault.vault import Vault
from connectors.record import Sensitive

WORKSPACE = UUID(int=1)
ROOT = b"canary-root-canary-root-canary-r"
KEYS = {purpose: f"canary-{purpose}".encode().ljust(32, b"-")[:32] for purpose in PURPOSES}
PLAIN = "canary-plaintext-13800001111"
DRAWN = b"canary-random-"
WRONG = "canary-surrogate-\ud800"


def canaries():
    for material in (ROOT, *KEYS.values(), PLAIN.encode(), DRAWN, WRONG[:-1].encode()):
        core = material[:14]
        yield from (
            core.decode(),
            core.hex(),
            base64.b64encode(core[:12]).decode(),
            str(list(core))[1:-1],
        )


CANARIES = tuple(canaries())


def shows(text):
    return [canary for canary in CANARIES if canary in text]


@pytest.fixture
def document():
    keys = {purpose: Versions(1, {1: Secret(key)}) for purpose, key in KEYS.items()}
    return RingDocument(WORKSPACE, Versions(1, {1: Secret(ROOT)}), keys)


@pytest.fixture
def ring(document):
    return KeyRing.of(document)


def canary_randomness(size):
    return (DRAWN * (size // len(DRAWN) + 1))[:size]


@pytest.fixture
def vault(ring):
    return Vault(ring, WORKSPACE, canary_randomness)


@pytest.fixture
def everything(document, ring, vault):
    wrapping = Wrapping(Secret(KEYS["contact"]), WORKSPACE, "contact", 1)
    _, data_key = wrapping.wrap(1, Secret(canary_randomness(32)), 1, bytes(12))
    keyer = FeatureKeyer(ring)
    keyer.key("name", PLAIN)
    BlindIndexer(ring).index("phone", PLAIN, PLAIN)
    return [
        Secret(ROOT),
        document.roots,
        document,
        ring,
        ring.without("sensitive"),
        ring.signer(),
        vault,
        wrapping,
        data_key,
        BlindIndexer(ring),
        keyer,
        keyer.key,
        RecordKeys(ring),
        vault.open_reject(
            RejectPlace("pos", "f", 1),
            vault.seal_reject(RejectPlace("pos", "f", 1), Sensitive(PLAIN)),
        ),
    ]


def test_the_canaries_are_found_when_they_show():
    """The search itself works: a secret that was printed plainly would be found."""
    assert shows(repr(ROOT))
    assert shows(ROOT.hex())
    assert shows(base64.b64encode(ROOT).decode())
    assert shows(json.dumps({"phone": PLAIN}))


def test_no_object_shows_anything(everything):
    """Promise 7: however an object is turned to text, no key and no plaintext shows."""
    for one in everything:
        for text in (str(one), repr(one), f"{one}", "%s" % (one,), repr([one]), repr({"x": one})):  # noqa: UP031
            assert not shows(text), type(one)


def test_no_object_can_be_pickled_or_copied(everything):
    """Promise 7: pickle and deepcopy refuse every object that holds a key."""
    for one in everything:
        if callable(one):
            continue  # the bound cache pickles by name, without what it remembers
        for door in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError):
                door(one)


def test_a_secret_does_not_hand_out_its_slots():
    """Promise 7: a secret refuses each door of the pickle protocol, and copies neither."""
    for door in (Secret(ROOT).__getstate__, Secret(ROOT).__reduce__):
        with pytest.raises(TypeError, match="cannot be pickled"):
            door()
    with pytest.raises(TypeError):
        copy.copy(Secret(ROOT))


def test_a_sealed_record_shows_no_plaintext(vault):
    """Promise 7: what is stored holds no plaintext, no data key and no key of the ring."""
    one = vault.seal_record(1, 1, {"phone": PLAIN.encode()}, {}, PLAIN.encode())
    stored = (one.contact_cells[0], one.features, one.contact_key.wrapped)
    # The nonces come from the canary randomness and are public: they are cut out.
    for value in stored:
        assert PLAIN.encode() not in value
        assert all(key not in value for key in KEYS.values())
        assert canary_randomness(32) not in value


def failures(document, ring, vault, path):
    """Every way to make the vault fail that has a key or a plaintext at hand."""
    plain = PLAIN.encode()
    good = vault.seal_record(1, 1, {"phone": plain}, {"bank_card": plain}, plain)
    not_text = vault.seal_record(1, 1, {"phone": plain + b"\xff"}, {}, plain)
    counter = Vault(ring.without("sensitive"), WORKSPACE, canary_randomness)
    wrapping = Wrapping(Secret(KEYS["contact"]), WORKSPACE, "contact", 1)
    body = json.loads(document.encode(canary_randomness))
    body["keys"]["contact"]["versions"]["1"]["wrapped"] = body["keys"]["features"]["versions"]["1"][
        "wrapped"
    ]
    garbled = json.dumps(body).encode()
    ring_file.write_new(path, document.encode(canary_randomness))
    key, cell = good.contact_key, good.contact_cells[0]
    reject = vault.seal_reject(RejectPlace("pos", "f", 1), Sensitive(PLAIN))
    return {
        "seal without the key": lambda: counter.seal_record(
            1, 1, {"a": plain}, {"b": plain}, plain
        ),
        "seal out of range": lambda: vault.seal_record(-1, 1, {"a": plain}, {"b": plain}, plain),
        "seal what is not bytes": lambda: vault.seal_record(1, 1, {"a": PLAIN}, {}, plain),
        "open elsewhere": lambda: vault.open_cell("contact", "phone", 2, 1, key, cell),
        "open as another field": lambda: vault.open_cell("contact", "name", 1, 1, key, cell),
        "open what is not text": lambda: vault.open_cell(
            "contact", "phone", 1, 1, not_text.contact_key, not_text.contact_cells[0]
        ),
        "open many": lambda: vault.open_features_many([(1, 2, key, good.features)]),
        "open without the key": lambda: counter.open_cell(
            "sensitive", "bank_card", 1, 1, good.sensitive_key, good.sensitive_cells[0]
        ),
        "open a changed wrapped key": lambda: wrapping.unwrap(1, key.wrapped[:-1] + b"\0"),
        "open a bad cell": lambda: cells.open_cell(
            wrapping.unwrap(1, key.wrapped), Place(WORKSPACE, "", "", "", 1, 1), cell
        ),
        "open a reject elsewhere": lambda: vault.open_reject(RejectPlace("pos", "f", 2), reject),
        "index a refused field": lambda: BlindIndexer(ring).index("city", PLAIN, PLAIN),
        "index what is not text": lambda: BlindIndexer(ring).index("phone", None, WRONG),
        "key what is not text": lambda: FeatureKeyer(ring).key("name", WRONG),
        "name what is not text": lambda: RecordKeys(ring).record_key("pos", WRONG),
        "read a garbled ring": lambda: ring_document.decode(garbled, Path("ring")),
        "read a cut ring": lambda: ring_document.decode(garbled[:-9], Path("ring")),
        "create over a ring": lambda: ring_file.write_new(path, garbled),
        "missing version": lambda: ring.secret("contact", 9),
        "another workspace": lambda: ring.key_check(UUID(int=2)),
        "another database": lambda: ring.confirm(WORKSPACE, bytes(34)),
    }


def test_no_error_shows_anything(document, ring, vault, tmp_path):
    """Promise 7: no error shows a key or a plaintext, nor do the locals of the vault's frames."""
    for name, fail in failures(document, ring, vault, tmp_path / "ring.json").items():
        with pytest.raises(KithError) as caught:
            fail()
        error = caught.value
        assert not shows(str(error) + repr(error) + repr(error.args) + repr(error.where)), name
        assert error.next_step in str(error)
        assert not shows(pickle.dumps(error).decode("latin-1")), name
        behind = error.__context__
        assert behind is None or isinstance(behind, KithError), name
        for one in filter(None, (error, behind)):
            for frame, _ in traceback.walk_tb(one.__traceback__):
                if "/cdp/" in frame.f_code.co_filename:
                    found = shows(repr(frame.f_locals))
                    assert not found, (name, frame.f_code.co_qualname, found)


def test_a_key_ring_that_cannot_be_written_shows_nothing(document, tmp_path):
    """When a ring cannot be written, neither the error nor its frames show what it holds."""
    with pytest.raises(KithError) as caught:
        ring_file.write_new(tmp_path / "none" / "ring", document.encode(canary_randomness))
    for frame, _ in traceback.walk_tb(caught.value.__traceback__):
        if "/cdp/" in frame.f_code.co_filename:
            assert not shows(repr(frame.f_locals))
