"""The providers that there are, from the settings. One more is one more line here.

How to write one: docs/howto/keep-the-root-elsewhere.md.
"""

import getpass
import stat
import sys
from pathlib import Path
from typing import Final

from cdp.settings import Settings
from cdp.vault.errors import RootNeeds
from cdp.vault.roots.aws_kms import AwsKmsRoot
from cdp.vault.roots.environment import EnvironmentRoot
from cdp.vault.roots.file import FILE
from cdp.vault.roots.passphrase import PassphraseRoot
from cdp.vault.roots.provider import RootProviders
from cdp.vault.secret import Secret

_EVERYBODY: Final = 0o007


def standard(settings: Settings, passphrase: "Passphrase") -> RootProviders:
    """Return every provider of this release. Making them asks nobody for anything."""
    root_key = None if settings.root_key is None else Secret(settings.root_key.encode())
    return RootProviders(
        (
            FILE,
            PassphraseRoot(passphrase),
            EnvironmentRoot(root_key),
            AwsKmsRoot(settings.kms_key, settings.kms_endpoint),
        )
    )


class Passphrase:
    """Get the passphrase: as it was given, from a file, or typed at the terminal.

    What was typed is remembered, so that nobody types it twice. A process that holds it
    can open the ring anew when somebody rotates a key.

    Args:
        given: the passphrase itself.
        path: a file that holds it; a line break at its end is not part of it.
        twice: it is a new one, so it is typed twice.
    """

    __slots__ = ("_given", "_path", "_twice", "typed")

    def __init__(
        self, given: str | None = None, path: Path | None = None, *, twice: bool = False
    ) -> None:
        self._given = None if given is None else Secret(given.encode(errors="surrogateescape"))
        self._path = path
        self._twice = twice
        self.typed: str | None = None

    def __call__(self) -> Secret:
        """Return the passphrase, UTF-8.

        Raises:
            RootNeeds: none is given and nobody sits at the terminal, or the file is not as
                it must be.
        """
        if self._given is None:
            found = _of_file(self._path) if self._path else self._typed()
            self._given = Secret(found)
            del found
        if not _is_text(self._given):
            raise RootNeeds("the passphrase is not UTF-8 text", "give it in UTF-8")
        return self._given

    def _typed(self) -> bytes:
        if not sys.stdin.isatty():
            raise RootNeeds(
                "the root is under a passphrase, and none is given",
                "set CDP_PASSPHRASE_FILE or CDP_PASSPHRASE, or run this at a terminal",
            )
        typed = getpass.getpass("Passphrase of the key ring: ")
        same = not self._twice or getpass.getpass("The same again: ") == typed
        if same:
            self.typed = typed
        content = typed.encode(errors="surrogateescape") if same else b""
        del typed
        if not same:
            raise RootNeeds("the two passphrases are not the same", "run the command again")
        return content

    def __repr__(self) -> str:
        return "<passphrase>"


def _is_text(given: Secret) -> bool:
    try:
        given.expose().decode()
    except UnicodeDecodeError:
        return False
    return True


def _of_file(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        content = b"" if mode & _EVERYBODY else path.read_bytes()
    except OSError as reason:
        failure = reason.strerror or type(reason).__name__
    else:
        if not mode & _EVERYBODY:
            return content.removesuffix(b"\n").removesuffix(b"\r")
        failure = f"its mode is {stat.S_IMODE(mode):04o}, everybody may use it"
    raise RootNeeds(
        f"the file of the passphrase cannot be used ({failure})",
        f"name a file that its owner can read, and run `chmod 600 {path}`",
        path=path,
    )
