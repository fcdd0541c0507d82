"""What recognises sessions and codes, and seals the seeds of one-time codes.

All derive from the ring's ``sign-in`` key. A digest is made under the version in force, also
when another process puts a newer one in force: a rotation ends every session.

1. Every kind of digest has its own key: a session, a device, an address, a code.
2. A sealed seed opens only for its own principal, in its own workspace.
3. Digests of codes are bound to the principal: one person's code is nobody else's.

A sealed seed is written as::

    format (1) | key version (2) | nonce (12) | ciphertext and tag (16)
"""

import base64
import struct
from typing import Final, NoReturn

from cdp.vault import primitives
from cdp.vault.context import frame
from cdp.vault.errors import CellGarbled, CellRefused
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import NONCE_BYTES, TAG_BYTES, InvalidTag, KeyedHash
from cdp.vault.secret import Secret

PURPOSE: Final = "sign-in"
SEED_BYTES: Final = 20
"""160 bits: what RFC 4226, section 4, recommends for a shared secret."""
_FORMAT: Final = 1
_HEAD: Final = struct.Struct(">BH")
_BODY: Final = _HEAD.size + NONCE_BYTES
_NEXT: Final = "reset the account: cdp access reset-account"


class SignInKeys:
    """Digests and seals of one workspace's sign-in. Any number of threads may use it."""

    __slots__ = ("_begun", "_keyring")

    def __init__(self, keyring: KeyRing) -> None:
        # The key is taken when it is needed: a ring of an earlier release lacks it, and only
        # signing in must not work then.
        self._keyring = keyring
        self._begun: tuple[int, dict[bytes, KeyedHash]] = (0, {})

    def session(self, secret: str) -> bytes:
        """Return what is stored of a session's secret, 32 bytes."""
        return self._digest(b"session", secret)

    def csrf(self, secret: str) -> str:
        """Return the token that goes with a session, as hexadecimal text."""
        return self._digest(b"csrf", secret).hex()

    def bucket(self, kind: str, *parts: str) -> bytes:
        """Return what failures are counted under: an account, a device or an address."""
        return self._digest(b"throttle", kind, *parts)

    def code(self, kind: str, principal_id: str, code: str) -> bytes:
        """Return what is stored of a recovery code or a code of enrolment."""
        return self._digest(b"code", kind, principal_id, code)

    def subject(self, issuer: str, subject: str) -> bytes:
        """Return what is stored of who somebody is at their identity provider.

        Without a key, since it must outlive every rotation; it is a pseudonym already.
        """
        told = (issuer.encode(), subject.encode(errors="surrogatepass"))
        return primitives.digest(frame(b"kith/subject/1", self._keyring.workspace.bytes, *told))

    def state(self, secret: str) -> bytes:
        """Return what is stored of the state that went to the provider."""
        return self._digest(b"state", secret)

    def nonce(self, secret: str) -> str:
        """Return the nonce that goes with a state."""
        return self._digest(b"nonce", secret).hex()

    def verifier(self, secret: str) -> str:
        """Return the PKCE verifier that goes with a state: 43 characters (RFC 7636)."""
        found = self._digest(b"verifier", secret)
        return base64.urlsafe_b64encode(found).rstrip(b"=").decode()

    def seal(self, principal_id: str, seed: Secret, nonce: bytes) -> bytes:
        """Seal the seed of somebody's one-time codes; ``nonce`` is 12 random bytes."""
        version = self._keyring.current(PURPOSE)
        head = _HEAD.pack(_FORMAT, version)
        cipher = primitives.key_cipher(self._sealing(version))
        return head + nonce + cipher.encrypt(nonce, seed.expose(), self._bound(principal_id, head))

    def is_current(self, sealed: bytes) -> bool:
        """Say whether a seed is sealed under the version in force."""
        return _version(sealed) == self._keyring.current(PURPOSE)

    def open(self, principal_id: str, sealed: bytes) -> Secret:
        """Open a sealed seed.

        Raises:
            CellGarbled, CellRefused: cut short, changed, or of another principal.
            KeyMissing, KeyWithheld: the ring lacks the version.
        """
        cipher = primitives.key_cipher(self._sealing(_version(sealed)))
        bound = self._bound(principal_id, sealed[: _HEAD.size])
        try:
            return Secret(cipher.decrypt(sealed[_HEAD.size : _BODY], sealed[_BODY:], bound))
        except InvalidTag:
            rule = "the seed was changed or was sealed for somebody else"
            raise CellRefused(rule, _NEXT, principal=principal_id) from None

    def _sealing(self, version: int) -> Secret:
        return primitives.expand(self._keyring.secret(PURPOSE, version), frame(b"kith/totp-seal/1"))

    def _bound(self, principal_id: str, head: bytes) -> bytes:
        return frame(b"kith/totp", self._keyring.workspace.bytes, principal_id.encode(), head)

    def _digest(self, kind: bytes, *parts: str) -> bytes:
        newest = self._keyring.current(PURPOSE)
        version, begun = self._begun
        if newest != version:
            begun = {}
            self._begun = newest, begun
        started = begun.get(kind)
        if started is None:
            key = self._keyring.secret(PURPOSE, newest)
            info = frame(b"kith/sign-in/1", kind)
            started = begun[kind] = primitives.keyed_hash(primitives.expand(key, info))
        running = started.copy()
        running.update(frame(*(part.encode(errors="surrogatepass") for part in parts)))
        return running.finalize()

    def __repr__(self) -> str:
        return "<sign-in keys>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("sign-in keys cannot be pickled; make them in each process")


def _version(sealed: bytes) -> int:
    if len(sealed) < _BODY + TAG_BYTES or sealed[0] != _FORMAT:
        raise CellGarbled("the seed is cut short, or of another release", _NEXT)
    version: int = _HEAD.unpack_from(sealed)[1]
    return version
