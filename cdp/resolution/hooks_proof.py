"""Whether a webhook is its source's own: the secrets, and the one way in which they are asked.

Invariants, each named by a test in ``tests/unit/resolution/test_hooks_proof.py``:

1. A message counts only where its signature is good under a secret of its source, the present or
   the former one, and where it was signed within the tolerance, if its scheme signs the time.
2. What is not proven costs the same, whatever is wrong: an unknown source, a missing header, a
   signature of another length. Each time the whole body is hashed under two keys, and compared in
   constant time.
3. A secret that cannot be used is told to whoever runs the source, and lets nobody in.
4. Nothing shows: neither a secret, nor a signature, nor what was signed.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from cdp import logs
from cdp.vault import primitives
from cdp.vault.event_keys import EventKeys
from cdp.vault.primitives import KEY_BYTES, KeyedHash, Randomness
from cdp.vault.secret import Secret
from connectors.hooks.claims import Claim, claim_of, key_of
from connectors.hooks.declaration import SECRETS, HookSpec, SignatureSpec
from connectors.hooks.rows import Post
from connectors.record import Raw, Sensitive

_NOBODY: Final = SignatureSpec("standard")
_log = logs.get_logger("kith.hooks")


@dataclass(frozen=True, slots=True)
class Proven(Raw):
    """A message that is its source's own.

    Attributes:
        source: its name.
        message: keyed hash that names the message, 16 bytes.
        until: how long it is to be remembered.
    """

    source: str
    message: bytes = field(repr=False)
    until: dt.datetime


class HookSecrets:
    """The secrets of all sources, as they were fetched."""

    __slots__ = ("_begun", "_decoys", "_specs", "whole")

    def __init__(
        self,
        specs: Mapping[str, HookSpec],
        secrets: Mapping[str, Mapping[str, Sensitive | None]],
        randomness: Randomness = primitives.system_randomness,
    ) -> None:
        """Begin a hash under each secret.

        Args:
            specs: of the sources that take webhooks.
            secrets: source -> name of a credential -> secret; None: it could not be fetched.
            randomness: makes the keys that stand for secrets that are not there.
        """
        self._specs = specs
        self._decoys = [_begun(randomness(KEY_BYTES)) for _ in SECRETS]
        self._begun: dict[str, list[KeyedHash]] = {}
        self.whole = True  # whether all that are declared could be used
        for source, several in secrets.items():
            self._begun[source] = self._usable(source, several)

    def _usable(self, source: str, several: Mapping[str, Sensitive | None]) -> list[KeyedHash]:
        found = []
        for name, secret in several.items():
            key = key_of(self._specs[source].signature, secret) if secret is not None else None
            if key is None:
                self.whole = False
                rule = "secret_form" if secret is not None else "credential_unavailable"
                _log.warning("secret_not_usable", source=source, field=name, rule=rule)
            else:
                found.append(_begun(key))
        return found

    def proven(self, source: str, post: Post, names: EventKeys, now: dt.datetime) -> Proven | None:
        """Return the message where it is its source's own; None: it is not proven."""
        spec = self._specs.get(source)
        signature = _NOBODY if spec is None else spec.signature
        claim = claim_of(signature, post.headers, post.body)
        good = _fits(claim, self._keys(source))
        name = _name(claim, source, names)  # whoever it is: this costs time too
        timely = claim.at is None or abs(now.timestamp() - claim.at) <= signature.tolerance
        if good and claim.whole and not timely:
            _log.warning("webhook_not_timely", source=source)
        if not (good and timely and claim.whole and spec is not None):
            return None
        return Proven(source, name, now + signature.remembered)

    def _keys(self, source: str) -> list[KeyedHash]:
        return [*self._begun.get(source, ()), *self._decoys][: len(SECRETS)]

    def __repr__(self) -> str:
        return f"<secrets of {len(self._begun)} sources>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets cannot be pickled; make them in each process")


def _begun(key: bytes) -> KeyedHash:
    return primitives.keyed_hash(Secret(key))


def _fits(claim: Claim, keys: Iterable[KeyedHash]) -> bool:
    """Whether a signature is good under a key; each is looked at, whatever was found before."""
    good = False
    for key in keys:
        running = key.copy()
        running.update(claim.signed)
        expected = running.finalize()
        for one in claim.signatures or (b"\0" * len(expected),):
            good |= primitives.same(expected, one) and bool(claim.signatures)
    return good


def _name(claim: Claim, source: str, names: EventKeys) -> bytes:
    if claim.name is not None:
        return names.named(source, claim.name)
    return names.unnamed(source, claim.signed)
