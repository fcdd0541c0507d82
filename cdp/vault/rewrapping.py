"""Data keys wrapped anew under a newer key-encryption key: what a rotation does to each row.

1. The data key stays what it is, so that the cells of its record stay as they are.
2. A wrapped key that does not open is passed over and named; nothing is put in its place.
3. Every key is wrapped with a nonce of its own.

Pure: no database, no clock.
"""

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from cdp.vault import primitives
from cdp.vault.envelope import Wrapping
from cdp.vault.errors import WrappedKeyRefused
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import NONCE_BYTES, Randomness

Stored = tuple[int, int, bytes]  # record, version that wraps it, wrapped key


class Rewrapped(NamedTuple):
    """What became of some rows."""

    records: list[int]
    wrapped: list[bytes]  # of each of these records, under the new version
    refused: dict[int, str]  # record: why its key does not open


class Rewrapper:
    """Wrap the data keys of one tier under one version of its key-encryption key.

    Raises:
        KeyWithheld, KeyMissing: the ring lacks the key of the tier, or that version of it.
    """

    __slots__ = ("_keyring", "_older", "_randomness", "_to", "_workspace")

    def __init__(
        self,
        keyring: KeyRing,
        workspace: UUID,
        tier: str,
        randomness: Randomness = primitives.system_randomness,
    ) -> None:
        self._keyring = keyring
        self._workspace = workspace
        self._randomness = randomness
        self._to = self._wrapping(tier, keyring.current(tier))
        self._older: dict[int, Wrapping] = {}

    @property
    def version(self) -> int:
        """The version that keys are wrapped under."""
        return self._to.version

    def rewrap(self, rows: Iterable[Stored]) -> Rewrapped:
        """Wrap these keys under the new version.

        Raises:
            KeyMissing: the ring lacks a version that wraps one of them.
        """
        held = list(rows)
        # One draw for all nonces: asking the system is the slow part.
        nonces = self._randomness(NONCE_BYTES * len(held))
        done = Rewrapped([], [], {})
        for place, (record, version, wrapped) in enumerate(held):
            older = self._older.get(version)
            if older is None:
                older = self._older[version] = self._wrapping(self._to.tier, version)
            nonce = nonces[place * NONCE_BYTES : (place + 1) * NONCE_BYTES]
            try:
                fresh = older.handed_over(record, wrapped, self._to, nonce)
            except WrappedKeyRefused as error:
                done.refused[record] = error.rule
                continue
            done.records.append(record)
            done.wrapped.append(fresh)
        return done

    def _wrapping(self, tier: str, version: int) -> Wrapping:
        return Wrapping(self._keyring.secret(tier, version), self._workspace, tier, version)

    def __repr__(self) -> str:
        return f"<rewrapper of {self._to.tier} keys to version {self._to.version}>"
