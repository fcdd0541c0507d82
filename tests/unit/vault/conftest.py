"""Rings and vaults for the tests: every one made afresh, none on the machine's real ones."""

import os
from uuid import UUID

import pytest

from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import PURPOSES, RingDocument, Versions
from cdp.vault.secret import Secret
from cdp.vault.vault import Vault


@pytest.fixture
def workspace():
    return UUID("11111111-1111-4111-8111-111111111111")


@pytest.fixture
def other_workspace():
    return UUID("22222222-2222-4222-8222-222222222222")


@pytest.fixture
def document(workspace):
    return RingDocument.fresh(workspace, os.urandom)


@pytest.fixture
def second(document):
    """The document with a second version of every key in use, and of the root."""

    def add(held):
        return Versions(2, {**held.secrets, 2: Secret(os.urandom(32))})

    keys = {purpose: add(document.keys[purpose]) for purpose in PURPOSES}
    return RingDocument(document.workspace, add(document.roots), keys)


@pytest.fixture
def ring(document):
    return KeyRing.of(document)


@pytest.fixture
def vault(ring, workspace):
    return Vault(ring, workspace)
