"""The newest activation that this machine has seen, in a file beside the key ring.

The database alone could be set back: whoever administers it can delete the newest activations,
or restore a backup, and an older policy may let people see more. Each link of the chain is
signed, but a chain cut short is signed too. So a process writes down the newest link it has
verified, and one that is started later refuses a chain without it.

With the link stand the newest version of the signing key that was known by then and the digest
of the policy that the link put in force. So whoever has an older key, which was rotated since,
can neither go on with the chain nor exchange the content of the version in force.

Invariants, each named by a test in ``tests/integration/policy/test_tampering.py``:

1. A chain that lacks the link in the file is refused.
2. The file only moves forward, whoever else writes at the same time.
3. A folder that cannot be written to stops nobody: the file is a second look, not a lock.
4. What is written survives a loss of power, or the file is what it was before.
"""

import fcntl
import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

from cdp.policy.errors import PolicyUntrusted


@dataclass(frozen=True, slots=True)
class Link:
    """One activation, as the next one names it.

    Attributes:
        serial, mark: of the activation.
        key: no later activation counts that an older version of the signing key signed.
        content: digest of the policy that it put in force; empty: not known.
    """

    serial: int
    mark: bytes
    key: int = field(default=0, compare=False)
    content: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class SeenFile:
    """The file of one workspace on this machine."""

    path: Path
    workspace: UUID

    def newest(self) -> Link | None:
        """Return the newest link seen; None where nothing was, or of another workspace.

        Raises:
            PolicyUntrusted: the file is there and cannot be read.
        """
        try:
            body = json.loads(self.path.read_text(encoding="ascii"))
            if body["workspace"] != str(self.workspace):
                return None
            link = Link(int(body["serial"]), bytes.fromhex(body["mark"]))
            # An earlier release wrote neither.
            key, digest = int(body.get("key", 0)), bytes.fromhex(body.get("content", ""))
            return replace(link, key=key, content=digest)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise PolicyUntrusted(
                "policy_seen_unreadable",
                "see that the newest policy is in force (cdp policy list), then remove the file",
                path=self.path,
            ) from None

    def note(self, link: Link) -> None:
        """Keep ``link`` if it is newer than what the file has, or of a newer key.

        Raises:
            PolicyUntrusted: the file is there and cannot be read.
        """
        with suppress(OSError):
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                before = self.newest()
                if before is None or before.serial < link.serial or _adds(link, before):
                    self._write(link, folder)
            finally:
                os.close(folder)  # lets go of the lock

    def forget(self) -> None:
        """Begin anew: the database is a new one."""
        self.path.unlink(missing_ok=True)

    def _write(self, link: Link, folder: int) -> None:
        body = {
            "workspace": str(self.workspace),
            "serial": link.serial,
            "mark": link.mark.hex(),
            "key": link.key,
            "content": link.content.hex(),
        }
        beside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.new")
        try:
            with beside.open("x", encoding="ascii") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(json.dumps(body) + "\n")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
            os.fsync(folder)
        finally:
            beside.unlink(missing_ok=True)


def _adds(link: Link, before: Link) -> bool:
    """Say whether more is known of the same link than before."""
    return link == before and (link.key > before.key or bool(link.content and not before.content))
