"""Reaches files in S3-compatible stores and on SFTP servers.

The one module that imports fsspec, s3fs and paramiko, when a file elsewhere is first needed.
Nothing is taken from the surroundings: no keys of an agent or a home folder, no profile, no
address from the environment. An SFTP server whose key is not in ``known_hosts`` is refused.
"""

import io
import os
from pathlib import Path
from typing import Any, Final

from connectors.credentials import Credentials
from connectors.errors import Stop
from connectors.record import Sensitive
from connectors.remote import Address, Remote
from connectors.sources.places import RemoteFile
from connectors.sources.remote_faults import UnknownHostError, failure, told

_REQUESTS: Final = 64  # of an SFTP file, on their way at once
_TRIES: Final = 3
_REGION: Final = "us-east-1"  # where S3-compatible stores ask for none
_REASON: Final = "open a file elsewhere"


def reach(address: Address, remote: Remote, credentials: Credentials, folder: Path) -> RemoteFile:
    """Connect to where a file lies.

    Args:
        address: of the file.
        remote: the way there.
        credentials: for it.
        folder: that of cdp.yaml.

    Raises:
        Stop, Retry: it cannot be reached; named with rule and next step.
    """
    if address.scheme == "s3":
        return _Object(address, remote, credentials)
    return _SftpFile(address, remote, credentials, folder)


class _Object:
    """One object of an S3-compatible store. A range is asked for by the tag it was found with."""

    def __init__(self, address: Address, remote: Remote, credentials: Credentials) -> None:
        self._source = credentials.source
        self._path = f"{address.host}/{address.path}"
        with told(self._source):
            self._system = _store(remote, credentials)
        self._file: Any = None

    def state(self) -> tuple[int, str]:
        with told(self._source):
            found = self._system.info(self._path, refresh=True)
            if found["type"] != "file":
                raise failure(self._source, "not_a_file")
            return int(found["size"]), str(found.get("ETag", ""))

    def begin(self, size: int) -> None:
        del size

    def read(self, start: int, count: int) -> bytes:
        if count <= 0:
            return b""
        with told(self._source):
            if self._file is None:
                self._file = self._system.open(self._path, "rb", cache_type="none")
            self._file.seek(start)
            return bytes(self._file.read(count))

    def close(self) -> None:
        # The client's connections are closed with the system, which nobody else holds.
        if self._file is not None:
            self._file.close()


def _store(remote: Remote, credentials: Credentials) -> Any:
    try:
        import s3fs  # noqa: PLC0415 - an extra, and slow to load
        from aiobotocore.session import AioSession  # noqa: PLC0415
    except ImportError:
        raise _not_installed(credentials.source) from None
    nowhere = (None, None, None, None)
    session = AioSession(
        session_vars={
            "profile": nowhere,
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    key, secret = credentials.find("access_key"), credentials.find("secret_key")
    system = s3fs.S3FileSystem(
        anon=key is None,
        key=_opened(key),
        secret=_opened(secret),
        token=_opened(credentials.find("session_token")),
        endpoint_url=remote.endpoint,
        client_kwargs={"region_name": remote.region or _REGION},
        config_kwargs={
            "connect_timeout": remote.timeout,
            "read_timeout": remote.timeout,
            "retries": {"total_max_attempts": 1},
            "ignore_configured_endpoint_urls": True,
        },
        session=session,
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    system.retries = _TRIES
    return system


class _SftpFile:
    """One file of an SFTP server, read from its beginning to its end, or here and there."""

    def __init__(
        self, address: Address, remote: Remote, credentials: Credentials, folder: Path
    ) -> None:
        self._source = credentials.source
        self._path = address.path
        self._file: Any = None
        with told(self._source):
            self._system = _server(address, remote, credentials, folder)

    def state(self) -> tuple[int, str]:
        with told(self._source):
            found = self._system.info(self._path)
            if found["type"] == "directory":
                raise failure(self._source, "not_a_file")
            return int(found["size"]), found["mtime"].isoformat()

    def begin(self, size: int) -> None:
        with told(self._source):
            self._file = self._system.open(self._path, "rb")
            # Many requests on their way: one at a time, a distant server would take hours.
            self._file.prefetch(size, max_concurrent_requests=_REQUESTS)

    def read(self, start: int, count: int) -> bytes:
        with told(self._source):
            if self._file is None:
                self._file = self._system.open(self._path, "rb")
            self._file.seek(start)
            return bytes(self._file.read(count))

    def close(self) -> None:
        self._system.client.close()


def _server(address: Address, remote: Remote, credentials: Credentials, folder: Path) -> Any:
    try:
        import paramiko  # noqa: PLC0415 - an extra, and slow to load
        from fsspec.implementations.sftp import SFTPFileSystem  # noqa: PLC0415
    except ImportError:
        raise _not_installed(credentials.source) from None
    hosts = _known_hosts(credentials.source, folder / (remote.known_hosts or ""))
    key = _private_key(paramiko, credentials)

    class Refusing(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
        def missing_host_key(self, *_: object) -> None:
            raise UnknownHostError

    class KnownServer(SFTPFileSystem):  # type: ignore[misc]
        cachable = False

        def _connect(self) -> None:
            self.client = paramiko.SSHClient()
            self.client.load_host_keys(str(hosts))
            self.client.set_missing_host_key_policy(Refusing())
            try:
                self.client.connect(self.host, **self.ssh_kwargs)
                self.ftp = self.client.open_sftp()
                self.ftp.get_channel().settimeout(remote.timeout)
            except BaseException:
                self.client.close()
                raise

    return KnownServer(
        address.host,
        port=address.port,
        username=address.user,
        password=_opened(credentials.find("password")),
        pkey=key,
        allow_agent=False,
        look_for_keys=False,
        timeout=remote.timeout,
        banner_timeout=remote.timeout,
        auth_timeout=remote.timeout,
        channel_timeout=remote.timeout,
    )


def _known_hosts(source: str, path: Path) -> Path:
    try:
        path.read_bytes()
    except OSError:
        raise failure(source, "known_hosts_unreadable") from None
    return path


def _private_key(paramiko: Any, credentials: Credentials) -> Any:
    text = _opened(credentials.find("private_key"))
    if text is None:
        return None
    passphrase = _opened(credentials.find("passphrase"))
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(f"{text.rstrip()}\n"), passphrase)
        except (paramiko.SSHException, ValueError, TypeError):
            continue  # of another kind, or another passphrase
    raise failure(credentials.source, "private_key_unusable", "credentials.private_key")


def _opened(secret: Sensitive | None) -> str | None:
    return None if secret is None else secret.reveal(reason=_REASON)


def _not_installed(source: str) -> Stop:
    return Stop(source, "place_not_installed", "Run: pip install 'kith[remote]'", field="location")
