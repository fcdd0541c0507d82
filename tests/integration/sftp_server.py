"""A real SFTP server on loopback, from paramiko's own parts; it ends with its block."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

USER, PASSWORD = "kith", "canary-password"


@dataclass
class SftpServer:
    """Where it listens, what it serves, and how it is to misbehave."""

    root: Path
    key: paramiko.PKey
    client_key: paramiko.PKey | None = None
    port: int = 0
    cut_after: int | None = None  # bytes of a file, then the connection is lost
    stall: threading.Event = field(default_factory=threading.Event)  # set: never answers a read
    on_read: list = field(default_factory=list)  # called with the offset of each read
    connections: list = field(default_factory=list)

    def known_hosts(self, path: Path, key: paramiko.PKey | None = None) -> Path:
        """Write a file of host keys that knows this server, or another key in its name."""
        key = key or self.key
        path.write_text(f"[127.0.0.1]:{self.port} {key.get_name()} {key.get_base64()}\n")
        return path


class _Login(paramiko.ServerInterface):
    def __init__(self, server: SftpServer) -> None:
        self._server = server

    def check_auth_password(self, username: str, password: str) -> int:
        good = (username, password) == (USER, PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        good = username == USER and key == self._server.client_key
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def get_allowed_auths(self, _username: str) -> str:
        return "password,publickey"

    def check_channel_request(self, _kind: str, _chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


class _Files(paramiko.SFTPServerInterface):
    def __init__(self, server: paramiko.ServerInterface, *_: object, **__: object) -> None:
        self._server = server._server

    def stat(self, path: str) -> object:
        try:
            return paramiko.SFTPAttributes.from_stat((self._server.root / path.lstrip("/")).stat())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    def open(self, path: str, flags: int, _attr: object) -> object:
        try:
            file = (self._server.root / path.lstrip("/")).open("rb")
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        handle = _Handle(flags)
        handle.server = self._server
        handle.filename = path
        handle.readfile = file
        return handle


class _Handle(paramiko.SFTPHandle):
    def stat(self) -> object:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))

    def read(self, offset: int, length: int) -> object:
        server = self.server
        for call in server.on_read:
            call(offset)
        if server.stall.is_set():
            threading.Event().wait(5)
        if server.cut_after is not None and offset >= server.cut_after:
            for transport in server.connections:
                transport.close()
        return super().read(offset, length)


@contextmanager
def sftp_server(root: Path) -> Iterator[SftpServer]:
    """Serve the files below ``root``."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = SftpServer(root, paramiko.ECDSAKey.generate())
    server.port = listening.getsockname()[1]

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(server.key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files)
            server.connections.append(transport)
            try:
                transport.start_server(server=_Login(server), event=threading.Event())
            except (paramiko.SSHException, EOFError, OSError):
                transport.close()

    thread = threading.Thread(target=accept, name="sftp server", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for transport in server.connections:
            transport.close()
        thread.join(5)
