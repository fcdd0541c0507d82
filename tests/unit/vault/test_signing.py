"""Signatures and the secrets that others verify with."""

import base64
import os

from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import RingDocument
from cdp.vault.signing import verify


def test_signatures_verify_with_the_public_key_alone(ring):
    """A signature verifies with the public key, and with no other message, key or shape."""
    signer = ring.signer()
    public, signature = signer.public_bytes(), signer.sign(b"checkpoint")
    assert (len(public), len(signature), signer.version) == (32, 64, 1)
    assert verify(public, signature, b"checkpoint")
    assert not verify(public, signature, b"checkpoint ")
    assert not verify(public, signature[:-1], b"checkpoint")
    assert not verify(public[:-1], signature, b"checkpoint")
    stranger = KeyRing.of(RingDocument.fresh(ring.workspace, os.urandom))
    assert not verify(stranger.signer().public_bytes(), signature, b"checkpoint")


def test_every_destination_has_its_own_webhook_secret(ring, second):
    """A webhook secret is stable, of the standard form, and its destination's and version's own."""
    secret = ring.webhook_secret("crm")
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert secret == ring.webhook_secret("crm")
    newer = KeyRing.of(second)
    assert newer.webhook_secret("crm", 1) == secret
    assert len({secret, ring.webhook_secret("weekly"), newer.webhook_secret("crm")}) == 3
