"""What recognises sessions and codes, and seals the seeds of one-time codes."""

import hmac
import itertools
import pickle
import struct
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from cdp.vault.errors import CellGarbled, CellRefused, KeyMissing
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import PURPOSES, RingDocument, Versions
from cdp.vault.secret import Secret
from cdp.vault.sign_in import PURPOSE, SEED_BYTES, SignInKeys

WORKSPACE, OTHER = UUID(int=1), UUID(int=2)
SEED, NONCE = Secret(bytes(range(20))), bytes(range(12))
DIGESTS = {
    "session": lambda keys, text: keys.session(text),
    "csrf": lambda keys, text: bytes.fromhex(keys.csrf(text)),
    "account": lambda keys, text: keys.bucket("account", text),
    "address": lambda keys, text: keys.bucket("address", text),
    "device": lambda keys, text: keys.bucket("device", "zhang", text),
    "recovery": lambda keys, text: keys.code("recovery", "zhang", text),
    "enrolment": lambda keys, text: keys.code("enrolment", "zhang", text),
    "subject": lambda keys, text: keys.subject("https://id.example.com", text),
    "state": lambda keys, text: keys.state(text),
    "nonce": lambda keys, text: bytes.fromhex(keys.nonce(text)),
}


def ring(workspace: UUID = WORKSPACE, current: int = 1) -> KeyRing:
    secrets = {version: Secret(bytes([40 + version]) * 32) for version in range(1, current + 1)}
    keys = {one: Versions(1, {1: Secret(bytes([7]) * 32)}) for one in PURPOSES}
    keys[PURPOSE] = Versions(current, secrets)
    return KeyRing.of(RingDocument(workspace, Versions(1, {1: Secret(bytes(32))}), keys))


KEYS = SignInKeys(ring())


def framed(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def test_every_kind_of_digest_has_its_own_key() -> None:
    """Sign-in 1: one text gives another digest of each kind, and none holds the text."""
    found = {kind: digest(KEYS, "a text") for kind, digest in DIGESTS.items()}
    assert len(set(found.values())) == len(DIGESTS)
    assert {len(one) for one in found.values()} == {32}
    assert not any(b"a text" in one for one in found.values())


@pytest.mark.parametrize("kind", sorted(DIGESTS))
def test_a_digest_is_of_its_text_and_its_key(kind: str) -> None:
    """Sign-in 1: equal texts give equal digests, others others; another key gives others."""
    digest = DIGESTS[kind]
    assert digest(KEYS, "x") == digest(SignInKeys(ring()), "x")
    texts = ("x", "y", "", "\ud800", "xx")
    assert len({digest(KEYS, text) for text in texts}) == len(texts)
    later = digest(SignInKeys(ring(current=2)), "x")
    assert (later == digest(KEYS, "x")) == (kind == "subject")


def test_a_subject_is_of_its_workspace_and_outlives_a_rotation() -> None:
    """Sign-in 1: without a key, since nothing may make a person somebody else's."""
    issuer = "https://id.example.com"
    assert KEYS.subject(issuer, "s") != SignInKeys(ring(OTHER)).subject(issuer, "s")
    assert KEYS.subject(issuer, "s") != KEYS.subject(f"{issuer}/", "s")
    assert KEYS.subject("ab", "c") != KEYS.subject("a", "bc")


def test_a_digest_is_what_its_description_says() -> None:
    """HMAC-SHA-256 under HKDF-Expand of the key, made with another library: no drift."""
    info = framed(b"kith/sign-in/1", b"session")
    key = HKDFExpand(hashes.SHA256(), 32, info).derive(bytes([41]) * 32)
    assert KEYS.session("secret") == hmac.digest(key, framed(b"secret"), "sha256")


def test_a_verifier_is_one_of_pkce() -> None:
    """RFC 7636: 43 characters of the unreserved ones, and of the state."""
    one, other = KEYS.verifier("a"), KEYS.verifier("b")
    assert one != other
    for text in (one, other):
        assert len(text) == 43
        assert text.replace("-", "").replace("_", "").isalnum()


def test_a_code_is_bound_to_its_principal() -> None:
    """Sign-in 3: one person's code is nobody else's, however the parts are cut."""
    assert KEYS.code("recovery", "a", "x") != KEYS.code("recovery", "b", "x")
    assert KEYS.code("recovery", "ab", "c") != KEYS.code("recovery", "a", "bc")


def test_a_seed_opens_for_its_principal_in_its_workspace() -> None:
    """Sign-in 2: and nowhere else; what is sealed has its format, its version and its nonce."""
    sealed = KEYS.seal("zhang", SEED, NONCE)
    assert sealed[:3] == b"\x01\x00\x01"
    assert sealed[3:15] == NONCE
    assert len(sealed) == 3 + 12 + SEED_BYTES + 16
    assert SEED.expose() not in sealed
    assert KEYS.open("zhang", sealed).expose() == SEED.expose()
    strange = SignInKeys(ring(OTHER))
    for keys, who in ((KEYS, "li"), (strange, "zhang"), (KEYS, "")):
        with pytest.raises(CellRefused, match="reset-account") as caught:
            keys.open(who, sealed)
        assert SEED.expose().hex() not in str(caught.value)


def test_a_changed_seed_does_not_open() -> None:
    """Sign-in 2: no bit of it can be changed, and nothing left out or added."""
    sealed = KEYS.seal("zhang", SEED, NONCE)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises((CellRefused, CellGarbled, KeyMissing)):
            KEYS.open("zhang", bytes(changed))
    for cut in (b"", sealed[:3], sealed[:30]):
        with pytest.raises(CellGarbled):
            KEYS.open("zhang", cut)
    with pytest.raises(CellRefused):
        KEYS.open("zhang", sealed + b"\x00")


def test_a_seed_of_before_a_rotation_opens_and_says_that_it_is() -> None:
    """The version stands in it; the newest is used to seal."""
    sealed = KEYS.seal("zhang", SEED, NONCE)
    later = SignInKeys(ring(current=2))
    assert KEYS.is_current(sealed)
    assert not later.is_current(sealed)
    assert later.open("zhang", sealed).expose() == SEED.expose()
    anew = later.seal("zhang", SEED, NONCE)
    assert anew[:3] == b"\x01\x00\x02"
    assert later.is_current(anew)
    with pytest.raises(KeyMissing):
        KEYS.open("zhang", anew)


def test_a_ring_without_the_key_says_what_to_do() -> None:
    """A ring of an earlier release serves API keys all the same; signing in names the command."""
    document = RingDocument(WORKSPACE, Versions(1, {1: Secret(bytes(32))}), {})
    keys = SignInKeys(KeyRing.of(document))
    with pytest.raises(KeyMissing, match="cdp key upgrade"):
        keys.session("x")


def test_nothing_of_it_shows() -> None:
    """No repr, no pickle."""
    assert repr(KEYS) == "<sign-in keys>"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(KEYS, protocol)


def test_kinds_stay_apart_in_any_order() -> None:
    """Keys begun once are kept by kind, whichever came first."""
    expected = {kind: digest(KEYS, "x") for kind, digest in DIGESTS.items()}
    for order in itertools.islice(itertools.permutations(sorted(DIGESTS)), 0, 5000, 997):
        keys = SignInKeys(ring())
        assert {kind: DIGESTS[kind](keys, "x") for kind in order} == expected
