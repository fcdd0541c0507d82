"""Known answers: the standards' vectors through our encode and decode, and our own corpus.

The corpus pins every stored format. A change that breaks it would leave stored data
unreadable or unfindable: bump the format instead, and keep reading the old one.
"""

import hashlib
import hmac
import json
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from cdp.vault import cells, primitives, ring_document
from cdp.vault.blind import BlindIndexer
from cdp.vault.cells import Place
from cdp.vault.envelope import DataKey, Wrapping
from cdp.vault.errors import CellRefused
from cdp.vault.keyed import FeatureKeyer, RecordKeys
from cdp.vault.keyring import KeyRing
from cdp.vault.rejects import RejectPlace
from cdp.vault.ring_document import PURPOSES, RingDocument, Versions
from cdp.vault.secret import Secret
from cdp.vault.signing import verify
from cdp.vault.vault import Vault
from connectors.record import Sensitive

CORPUS = json.loads((Path(__file__).parent / "corpus.json").read_text())
FORMAT_1 = json.loads((Path(__file__).parent / "corpus_ring_1.json").read_text())
WORKSPACE = UUID("00112233-4455-6677-8899-aabbccddeeff")
PLACE = Place(WORKSPACE, "contact", "contact", "phone", 12, 3)
REJECT = RejectPlace("pos", "fingerprint", 7, "phone")
unhex = bytes.fromhex


def counting():
    """Randomness that counts up: every draw is different and known."""
    drawn = 0

    def randomness(size):
        nonlocal drawn
        drawn += 1
        return hashlib.shake_128(drawn.to_bytes(4, "big")).digest(size)

    return randomness


def fixed_document():
    def key(number):
        return Versions(1, {1: Secret(bytes([number]) * 32)})

    keys = {purpose: key(number) for number, purpose in enumerate(PURPOSES, 1)}
    return RingDocument(WORKSPACE, key(99), keys)


RING = KeyRing.of(fixed_document())


def made():
    """Everything the vault stores, made from fixed keys and fixed randomness."""
    vault = Vault(RING, WORKSPACE, counting())
    record = vault.seal_record(12, 3, {"phone": b"+8613800001111"}, {"bank_card": b"1"}, b"f")
    keys = RecordKeys(RING)
    indexer = BlindIndexer(RING)
    return {
        "ring": fixed_document().encode(counting()).decode(),
        "key_check": RING.key_check(WORKSPACE).hex(),
        "contact_key": record.contact_key.wrapped.hex(),
        "contact_cell": record.contact_cells[0].hex(),
        "sensitive_key": record.sensitive_key.wrapped.hex(),
        "sensitive_cell": record.sensitive_cells[0].hex(),
        "features": record.features.hex(),
        "reject": vault.seal_reject(REJECT, Sensitive("行")).hex(),
        "index": indexer.index("phone", None, "+8613800001111").hex(),
        "scoped_index": indexer.index("openid", "wx1", "o-1").hex(),
        "feature": FeatureKeyer(RING).key("surname", "白"),
        "record_key": keys.record_key("pos", "卡1").hex(),
        "content_digest": keys.content_digest("pos", b"row").hex(),
        "profile_id": keys.profile_id(bytes(range(16))),
        "published_digest": keys.published_digest("crm", b"{}").hex(),
        "api_key_digest": keys.api_key_digest("secret").hex(),
        "webhook_secret": RING.webhook_secret("crm"),
        "public_key": RING.signer().public_bytes().hex(),
        "signature": RING.signer().sign(b"checkpoint").hex(),
    }


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_stored_formats_do_not_drift(name):
    """Promise 10: what this release writes is byte for byte what the corpus holds."""
    assert made()[name] == CORPUS[name]


@pytest.mark.parametrize("kept", [CORPUS, FORMAT_1], ids=["this format", "format 1"])
def test_the_corpus_opens(kept):
    """What is in the corpus opens to what went in, with a ring of any format ever written."""
    ring = KeyRing.of(ring_document.decode(kept["ring"].encode(), Path("corpus")))
    ring.confirm(WORKSPACE, unhex(kept["key_check"]))
    vault = Vault(ring, WORKSPACE)
    wrapping = Wrapping(ring.secret("contact"), WORKSPACE, "contact", 1)
    key = wrapping.unwrap(12, unhex(CORPUS["contact_key"]))
    assert cells.open_cell(key, PLACE, unhex(CORPUS["contact_cell"])) == b"+8613800001111"
    opened = vault.open_reject(REJECT, unhex(CORPUS["reject"]))
    assert opened.reveal(reason="test") == "行"
    public, signature = unhex(CORPUS["public_key"]), unhex(CORPUS["signature"])
    assert verify(public, signature, b"checkpoint")


# ── the corpus, made again without our code ─────────────────────────────────


def framed(*parts):
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def hkdf_expand(key, info):
    return hmac.digest(key, info + b"\x01", "sha256")


def number(value):
    return value.to_bytes(8, "big")


def test_a_cell_is_what_its_description_says():
    """A cell made from its written description alone, with another code path, is the same."""
    drawn = hashlib.shake_128((1).to_bytes(4, "big")).digest(32 + 12 * 3)
    both = hmac.digest(b"kith/data-key/halves/1", drawn[:32], "sha512")
    bound = framed(
        WORKSPACE.bytes,
        b"contact",
        b"contact",
        b"phone",
        number(12),
        (3).to_bytes(4, "big"),
        b"\x00\x01",
        b"\x01",
    )
    nonce = drawn[44:56]
    cipher = Cipher(algorithms.AES(both[32:]), modes.GCM(nonce)).encryptor()
    cipher.authenticate_additional_data(bound)
    sealed = cipher.update(b"+8613800001111") + cipher.finalize() + cipher.tag
    assert (b"\x01\x00\x01" + nonce + sealed).hex() == CORPUS["contact_cell"]
    wrapped = unhex(CORPUS["contact_key"])
    assert wrapped[:47] == b"\x01\x00\x01" + drawn[32:44] + both[:32]


def test_keyed_forms_are_what_their_descriptions_say():
    """Indexes, features and keys made from HMAC and HKDF of another library are the same."""
    tree = {purpose: bytes([n]) * 32 for n, purpose in enumerate(PURPOSES, 1)}
    info = framed(b"kith/blind-index/1", b"openid", b"exact", number(1))
    index = hmac.digest(hkdf_expand(tree["blind-index"], info), framed(b"wx1", b"o-1"), "sha256")
    assert index[:16].hex() == CORPUS["scoped_index"]
    info = framed(b"kith/feature/1", b"surname", number(1))
    feature = hmac.digest(hkdf_expand(tree["features"], info), "白".encode(), "sha256")
    assert int.from_bytes(feature[:8], "big") >> 1 == CORPUS["feature"]
    record = hkdf_expand(tree["records"], framed(b"kith/keyed/1", b"record"))
    key = hmac.digest(record, framed(b"pos", "卡1".encode()), "sha256")
    assert key[:16].hex() == CORPUS["record_key"]
    check = hkdf_expand(
        bytes([99]) * 32, framed(b"kith/key-ring/check/1", WORKSPACE.bytes, number(1))
    )
    assert "0001" + check.hex() == FORMAT_1["key_check"]
    lasting = hkdf_expand(tree["records"], framed(b"kith/key-ring/check/2", WORKSPACE.bytes))
    assert "0000" + lasting.hex() == CORPUS["key_check"]


# ── vectors of the standards ────────────────────────────────────────────────

# NIST CAVP, gcmEncryptExtIV256.rsp, tag of 128 bits, count 0 of three sections:
# key, nonce, plaintext, associated data, ciphertext, tag.
GCM = [
    (
        "b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4",
        "516c33929df5a3284ff463d7",
        "",
        "",
        "",
        "bdc1ac884d332457a1d2664f168c76f0",
    ),
    (
        "69b458f2644af9020463b40ee503cdf083d693815e2659051ae0d039e606a970",
        "8d1da8ab5f91ccd09205944b",
        "f3e0e09224256bf21a83a5de8d",
        "036ad5e5494ef817a8af2f5828784a4bfedd1653",
        "c0a62d77e6031bfdc6b13ae217",
        "a794a9aaee48cd92e47761bf1baff0af",
    ),
    (
        "24501ad384e473963d476edcfe08205237acfd49b5b8f33857f8114e863fec7f",
        "9ff18563b978ec281b3f2794",
        (
            "27f348f9cdc0c5bd5e66b1ccb63ad920ff2219d14e8d631b3872265cf117ee86"
            "757accb158bd9abb3868fdc0d0b074b5f01b2c"
        ),
        "adb5ec720ccf9898500028bf34afccbcaca126ef",
        (
            "eb7cb754c824e8d96f7c6d9b76c7d26fb874ffbf1d65c6f64a698d839b0b0614"
            "5dae82057ad55994cf59ad7f67c0fa5e85fab8"
        ),
        "bc95c532fecc594c36d1550286a7a3f0",
    ),
]


@pytest.mark.parametrize("vector", GCM, ids=["empty", "short", "long"])
def test_cells_are_aes_256_gcm(monkeypatch, vector):
    """The NIST vectors come out of our encode, and go back through our decode."""
    key, nonce, plaintext, bound, ciphertext, tag = map(unhex, vector)
    data_key = DataKey(primitives.field_cipher(Secret(key)), 1)
    monkeypatch.setattr(cells, "bound", lambda *_: bound)
    cell = cells.seal(data_key, PLACE, plaintext, nonce)
    assert cell == b"\x01\x00\x01" + nonce + ciphertext + tag
    assert cells.open_cell(data_key, PLACE, cell) == plaintext
    with pytest.raises(CellRefused):
        cells.open_cell(data_key, PLACE, cell[:-1] + bytes([cell[-1] ^ 1]))


# RFC 8452, appendix C.2: plaintext, associated data, ciphertext and tag; the key is 01 and
# the nonce 03, each followed by zeros.
GCM_SIV = [
    ("", "", "07f5f4169bbf55a8400cd47ea6fd400f"),
    ("0100000000000000", "", "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28"),
    ("0200000000000000", "01", "1de22967237a813291213f267e3b452f02d01ae33e4ec854"),
]


@pytest.mark.parametrize("vector", GCM_SIV, ids=["empty", "short", "bound"])
def test_keys_are_wrapped_with_aes_256_gcm_siv(vector):
    """The vectors of RFC 8452 come out of the cipher that wraps keys."""
    plaintext, bound, sealed = map(unhex, vector)
    cipher = primitives.key_cipher(Secret(b"\x01" + bytes(31)))
    nonce = b"\x03" + bytes(11)
    assert cipher.encrypt(nonce, plaintext, bound) == sealed
    assert cipher.decrypt(nonce, sealed, bound) == plaintext


def test_derivation_and_signing_are_the_standards():
    """RFC 5869 (HKDF), RFC 4231 (HMAC) and RFC 8032 (Ed25519) give their published answers."""
    pseudorandom = Secret(unhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"))
    expanded = primitives.expand(pseudorandom, unhex("f0f1f2f3f4f5f6f7f8f9"))
    assert expanded.expose() == unhex(
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
    )
    running = primitives.keyed_hash(Secret(b"\x0b" * 20))
    running.update(b"Hi There")
    assert running.finalize() == unhex(
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    )
    seed = Secret(unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    public = unhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert primitives.public_key(seed) == public
    assert verify(public, primitives.sign(seed, b""), b"")
    assert primitives.sign(seed, b"").hex().startswith("e5564300c360ac729086e2cc806e828a")
