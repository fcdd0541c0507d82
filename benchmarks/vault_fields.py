"""What sealing and opening a field costs beside the raw library calls that it needs.

A record has eight contact fields, as many as a retailer's system usually tells, and features.
To seal it the library is asked for randomness, one key derivation, one wrapped key and nine
encrypted cells; to open its fields, for one unwrapped key, one key derivation, one comparison
with the key's commitment and eight decrypted cells. The raw side makes these calls in a loop
and nothing else. Ours is ``Vault.seal_record`` and ``Vault.open_cells``, which bind each cell to
its place, check the commitment first, and wrap what they give back in ``Sensitive``. Both sides
take turns in one process; each figure is the median of several rounds, in processor time.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hmac import HMAC

from benchmarks.report import report
from cdp.vault import plaintext
from cdp.vault.envelope import WrappedKey
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import system_randomness
from cdp.vault.ring_document import RingDocument
from cdp.vault.vault import CONTACT, Vault

FIELDS = {
    name: plaintext.encode([(text, None)])
    for name, text in {
        "record_id": "C000123456",
        "name": "欧阳小明",
        "phone": "+8613900000000",
        "email": "xiaoming.ouyang@example.com",
        "address": "北京市朝阳区建国路八十八号三单元五〇二室",
        "birth_date": "1988-02-29",
        "unionid": "oKith946193348246x8050030232",
        "loyalty_card": "8800123456",
    }.items()
}
FEATURES = bytes(480)  # as many as such a record has
BOUND = bytes(90)  # associated data of a cell
SALT = b"kith/data-key/halves/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--records", type=int, default=5000, help="in each round")
    parser.add_argument("--rounds", type=int, default=7)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Let both sides take turns; compare their medians."""
    count, rounds = arguments.records, arguments.rounds
    vault = _vault()
    sealed = [vault.seal_record(n, 1, FIELDS, {}, FEATURES) for n in range(count)]
    stored = [
        (one.contact_key, dict(zip(one.contact_fields, one.contact_cells, strict=True)))
        for one in sealed
    ]
    raw = _Raw(count)
    works: dict[str, Callable[[], None]] = {
        "seal_us": lambda: _seal(vault, count),
        "seal_raw_us": raw.seal,
        "open_us": lambda: _open(vault, stored),
        "open_raw_us": raw.open,
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            started = time.process_time()
            work()
            taken[name].append(time.process_time() - started)
    # The features are a cell like any other; they are opened by themselves.
    fields = {"seal_us": len(FIELDS) + 1, "seal_raw_us": len(FIELDS) + 1}
    metrics = {
        name: 1e6 * statistics.median(times) / count / fields.get(name, len(FIELDS))
        for name, times in taken.items()
    }
    metrics["encrypt_ratio"] = _ratio(taken["seal_us"], taken["seal_raw_us"])
    metrics["decrypt_ratio"] = _ratio(taken["open_us"], taken["open_raw_us"])
    targets = [("encrypt_ratio", "<=", 2.0), ("decrypt_ratio", "<=", 2.0)]
    return report("vault.fields", metrics, targets)


def _ratio(ours: list[float], raw: list[float]) -> float:
    """The median of the rounds' ratios: both sides of a round ran under the same conditions."""
    return statistics.median(mine / theirs for mine, theirs in zip(ours, raw, strict=True))


def _vault() -> Vault:
    workspace = uuid4()
    return Vault(KeyRing.of(RingDocument.fresh(workspace, system_randomness)), workspace)


def _seal(vault: Vault, count: int) -> None:
    for number in range(count):
        vault.seal_record(number, 1, FIELDS, {}, FEATURES)


def _open(vault: Vault, stored: list[tuple[WrappedKey, dict[str, bytes]]]) -> None:
    for number, (key, cells) in enumerate(stored):
        vault.open_cells(CONTACT, number, 1, key, cells)


class _Raw:
    """The calls of the library, with keys and nonces of the same sizes."""

    def __init__(self, count: int) -> None:
        self._wrapping = AESGCMSIV(AESGCM.generate_key(256))
        self._salted = HMAC(SALT, hashes.SHA512())
        self._values = [*FIELDS.values()]
        self._records = [self._sealed() for _ in range(count)]

    def seal(self) -> None:
        for _ in self._records:
            self._sealed()

    def open(self) -> None:
        for nonce, wrapped, cells in self._records:
            key = self._wrapping.decrypt(nonce, wrapped, BOUND)
            halves = self._derived(key)
            bytes_eq(halves[:32], halves[:32])  # the commitment
            cipher = AESGCM(halves[32:])
            for its, cell in cells:
                cipher.decrypt(its, cell, BOUND)

    def _sealed(self) -> tuple[bytes, bytes, list[tuple[bytes, bytes]]]:
        values = [*self._values, FEATURES]
        drawn = os.urandom(32 + 12 * (1 + len(values)))
        key, nonce = drawn[:32], drawn[32:44]
        cipher = AESGCM(self._derived(key)[32:])
        wrapped = self._wrapping.encrypt(nonce, key, BOUND)
        nonces = [drawn[at : at + 12] for at in range(44, len(drawn), 12)]
        cells = [
            (its, cipher.encrypt(its, value, BOUND))
            for its, value in zip(nonces, values, strict=True)
        ]
        return nonce, wrapped, cells[:-1]

    def _derived(self, key: bytes) -> bytes:
        running = self._salted.copy()
        running.update(key)
        return running.finalize()
