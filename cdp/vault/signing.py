"""Sign with a key of the ring, and verify with the public key alone."""

from cdp.vault import primitives
from cdp.vault.secret import Secret


class Signer:
    """Ed25519 under one version of one key. ``version`` is stored beside the signature."""

    __slots__ = ("_seed", "version")

    def __init__(self, seed: Secret, version: int) -> None:
        self._seed = seed
        self.version = version

    def sign(self, message: bytes) -> bytes:
        """Return the signature of ``message``, 64 bytes."""
        return primitives.sign(self._seed, message)

    def public_bytes(self) -> bytes:
        """Return the public key, 32 bytes, to verify with."""
        return primitives.public_key(self._seed)

    def __repr__(self) -> str:
        return f"<signer, key version {self.version}>"


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether ``signature`` of ``message`` was made by the owner of ``public``.

    A public key or signature of the wrong shape is a no, not an error.
    """
    return primitives.verify(public, signature, message)
