"""Files of an SFTP server: a real one, on loopback."""

import socket

import paramiko
import pytest

from connectors.errors import Retry
from connectors.record import Sensitive
from tests.integration.elsewhere import ROWS, ended, ids, only_rule, source_at
from tests.integration.sftp_server import USER, sftp_server


@pytest.fixture
def server(tmp_path):
    """A server over a folder with one file."""
    root = tmp_path / "served"
    root.mkdir()
    (root / "m.csv").write_text(ROWS)
    with sftp_server(root) as running:
        running.known_hosts(tmp_path / "known_hosts")
        yield running


def sftp(server, folder, path="m.csv", user=USER, remote=None, **more):
    """A source over a file of the server."""
    location = f"sftp://{user}@127.0.0.1:{server.port}/{path}"
    way = {"known_hosts": "known_hosts", "timeout": 5, **(remote or {})}
    keys = {"password": "ring:password"}
    return source_at(location, folder, **{"credentials": keys, "remote": way, **more})


def test_a_file_of_an_sftp_server_is_read(server, tmp_path):
    """By password; a check looks at its first rows only."""
    source = sftp(server, tmp_path)
    assert source.check() == []
    assert not source._place.at_hand
    assert ids(source) == ["1", None, "3"]
    assert source.count() == 3


def test_a_large_file_arrives_whole(server, tmp_path):
    """Many requests on their way at once, and every byte in its place."""
    rows = "id,name\n" + "".join(f"{n},{'x' * (n % 50)}\n" for n in range(100_000))
    (server.root / "large.csv").write_text(rows)
    local = tmp_path / "large.csv"
    local.write_text(rows)
    assert (
        sftp(server, tmp_path, "large.csv").fingerprint()
        == source_at("large.csv", tmp_path).fingerprint()
    )


def test_a_private_key_opens_the_door(server, tmp_path):
    """Of each kind, with its passphrase; a wrong passphrase stops."""
    text = tmp_path / "pem"
    for key in (paramiko.ECDSAKey.generate(), paramiko.RSAKey.generate(2048)):
        server.client_key = key
        key.write_private_key_file(str(text), password="canary-phrase")
        secrets = {"key": text.read_text(), "phrase": "canary-phrase", "bad": "canary-bad"}
        text.unlink()

        def given(reference, secrets=secrets):
            return Sensitive(secrets[reference.name])

        names = {"private_key": "ring:key", "passphrase": "ring:phrase"}
        assert len(ids(sftp(server, tmp_path, secrets=given, credentials=names))) == 3
        names["passphrase"] = "ring:bad"
        source = sftp(server, tmp_path, secrets=given, credentials=names)
        assert ended(source) == "private_key_unusable"


def test_a_host_that_is_not_known_is_refused(server, tmp_path):
    """Its key is not taken on trust, and no password goes to it."""
    (tmp_path / "known_hosts").write_text("")
    assert ended(sftp(server, tmp_path)) == "host_unknown"
    server.known_hosts(tmp_path / "known_hosts", paramiko.ECDSAKey.generate())
    assert ended(sftp(server, tmp_path)) == "host_key_changed"
    (tmp_path / "known_hosts").unlink()
    assert ended(sftp(server, tmp_path)) == "known_hosts_unreadable"


def test_what_an_sftp_server_refuses_stops(server, tmp_path):
    """A wrong password, a missing file, a folder, no permission."""
    wrong = {"password": "ring:wrong"}
    assert ended(sftp(server, tmp_path, credentials=wrong)) == "not_allowed"
    assert ended(sftp(server, tmp_path, "none.csv")) == "file_missing"
    (server.root / "folder").mkdir()
    assert ended(sftp(server, tmp_path, "folder")) == "not_a_file"


def test_an_sftp_connection_that_is_lost_may_go_well_later(server, tmp_path):
    """In the middle of a file."""
    (server.root / "large.csv").write_bytes(b"id,name\n" + b"1,x\n" * 500_000)
    server.cut_after = 500_000
    assert only_rule(sftp(server, tmp_path, "large.csv")) == "connection_lost"


def test_an_sftp_server_that_stops_answering_times_out(server, tmp_path):
    """After remote.timeout, and not for ever."""
    server.stall.set()
    assert only_rule(sftp(server, tmp_path, remote={"timeout": 1})) == "timed_out"


def test_an_sftp_server_that_is_not_there_may_be_later(server, tmp_path):
    """Nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server.port = taken.getsockname()[1]
    assert ended(sftp(server, tmp_path), Retry) == "not_reachable"


def test_a_file_that_changes_on_an_sftp_server_is_noticed(server, tmp_path):
    """Invariant 2: another size or time after the last byte."""
    server.on_read.append(lambda _: (server.root / "m.csv").write_text(ROWS + "5,e\n"))
    assert only_rule(sftp(server, tmp_path)) == "changed_while_reading"
