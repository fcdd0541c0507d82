"""Fetches the secrets that sources refer to: from the settings, a file, or the key ring's keeping.

Invariants, each named by a test in ``tests/unit/test_credentials.py``:

1. A declaration reaches only what was put there for sources.
2. A file that everybody may use is refused.
3. No error shows a secret.
4. No file of Kith's own secrets is one of a source: its key ring would go to whoever is there.
"""

import os
import re
import stat
from pathlib import Path
from typing import Final

from cdp.errors import KithError
from cdp.settings import Settings
from cdp.vault.credentials import MAX_SECRET, SealedCredentials
from cdp.vault.keyring import KeyRing
from cdp.workspace import Workspace
from connectors.credentials import Lookup, NoCredentialError, Reference
from connectors.record import Sensitive

_EVERYBODY: Final = 0o007
_OURS: Final = re.compile(rb'\s*\{\s*"format"\s*:\s*"kith-')
_PLAIN: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def lookup_of(workspace: Workspace) -> Lookup:
    """Return what fetches the secrets of a workspace's sources. Fetches nothing yet."""
    return SourceSecrets(workspace.settings, workspace.declaration.folder, workspace.keyring)


def credentials_of(workspace: Workspace) -> SealedCredentials:
    """Return what ``ring:`` references of a workspace name. Reads nothing yet."""
    return SealedCredentials(workspace.settings.credentials, workspace.keyring)


class SourceSecrets:
    """A ``Lookup``: give it a reference, and it gives the secret."""

    __slots__ = ("_folder", "_keyring", "_settings")

    def __init__(self, settings: Settings, folder: Path, keyring: KeyRing | None) -> None:
        self._settings = settings
        self._folder = folder
        self._keyring = keyring

    def __call__(self, reference: Reference) -> Sensitive:
        """Fetch the secret.

        Raises:
            NoCredentialError: it is not there, or cannot be used.
        """
        found = self._fetch(reference)
        if not found:
            raise NoCredentialError("credential_empty", f"Fill {reference}.")
        return Sensitive(found)

    def _fetch(self, reference: Reference) -> str:
        if reference.kind == "env":
            return self._of_environment(reference.name)
        if reference.kind == "file":
            return _text(self._of_file(reference), reference)
        return self._of_ring(reference)

    def _of_file(self, reference: Reference) -> bytes:
        """The content of a file without the line break at its end."""
        try:
            handle = os.open(self._folder / reference.name, _PLAIN)
        except OSError as error:
            step = f"Put the secret there, readable by its owner ({error.strerror}): {reference}."
            raise NoCredentialError("credential_file_missing", step) from None
        try:
            status = os.fstat(handle)
            _require_usable(status, 0, reference)
            with os.fdopen(handle, "rb", closefd=False) as file:
                content = file.read(MAX_SECRET + 1)
            _require_usable(status, len(content), reference)
        finally:
            os.close(handle)
        # by the file and not by its name, which may be a link; and by its form, for copies of it
        settings = self._settings
        own = (settings.key_ring, settings.credentials, settings.passphrase_file)
        mine = any(_is(status, one) for one in (*own, settings.oidc_client_secret_file))
        if mine or _OURS.match(content):
            step = (
                f"It holds secrets of Kith itself. Name a file of this source alone: {reference}."
            )
            raise NoCredentialError("credential_not_of_a_source", step)
        return content.removesuffix(b"\n").removesuffix(b"\r")

    def _of_environment(self, name: str) -> str:
        value = self._settings.source_secrets.get(name)
        if value is None:
            step = f"Set the variable {name} where the command runs."
            raise NoCredentialError("credential_not_set", step)
        # bytes that are no UTF-8 arrive as lone surrogates, which nothing could send
        return _text(value.encode(errors="surrogateescape"), Reference("env", name))

    def _of_ring(self, reference: Reference) -> str:
        if self._keyring is None:
            raise NoCredentialError("credential_needs_a_workspace", "Run: cdp init")
        kept = SealedCredentials(self._settings.credentials, self._keyring)
        try:
            secret = kept.get(reference.name)
        except KithError as error:
            raise NoCredentialError(error.rule, f"Next: {error.next_step}.") from None
        if secret is None:
            step = f"Run: cdp credential set {reference.name}"
            raise NoCredentialError("credential_not_stored", step)
        return _text(secret.expose(), reference)

    def __repr__(self) -> str:
        return "<secrets of sources>"


def _is(status: os.stat_result, path: Path | None) -> bool:
    try:
        return path is not None and os.path.samestat(status, path.stat())
    except OSError:
        return False  # it is not there


def _require_usable(status: os.stat_result, size: int, reference: Reference) -> None:
    # What has more bytes than its size is made by the system, such as a process's environment.
    if not stat.S_ISREG(status.st_mode) or not size <= status.st_size <= MAX_SECRET:
        step = f"Name a plain file of at most {MAX_SECRET} bytes: {reference}."
        raise NoCredentialError("credential_file_unusable", step)
    if status.st_mode & _EVERYBODY:
        step = f"Everybody may use it. Run: chmod 600 {reference.name}"
        raise NoCredentialError("credential_file_exposed", step)


def _text(content: bytes, reference: Reference) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        pass  # raised below: the decoder's error holds the secret
    raise NoCredentialError("credential_not_text", f"Write it in UTF-8: {reference}.")
