"""Objects of an S3-compatible store: moto's own, on loopback."""

import datetime as dt
import http.server
import os
import socket
import threading
from contextlib import contextmanager

import boto3
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from cdp.ingest.looking import looked_at
from cdp.ingest.values import Reading
from connectors.errors import Retry, Stop
from connectors.sources import places
from connectors.testing import LAWS, SourceCase
from tests.integration.elsewhere import ROWS, SECRET, ended, ids, only_rule, source_at

BUCKET = "members"


@pytest.fixture(scope="module")
def endpoint():
    """The address of a store."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def store(endpoint):
    """A client of that store, to put objects there."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="canary-access-key",
        aws_secret_access_key=SECRET,
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    client.close()


@pytest.fixture
def at_store(store, endpoint, tmp_path):
    """Put an object, and open a source over it."""

    def opened(key, content, **more):
        if content is not None:
            store.put_object(Bucket=BUCKET, Key=key, Body=content)
        return s3(f"s3://{BUCKET}/{key}", endpoint, tmp_path, **more)

    return opened


def s3(location, endpoint, folder, remote=None, **more):
    """A source over an object of a store."""
    keys = {"access_key": "ring:access", "secret_key": "ring:secret"}
    return source_at(
        location,
        folder,
        **{"credentials": keys, "remote": {"endpoint": endpoint, **(remote or {})}, **more},
    )


def test_an_object_is_read_like_a_file(at_store):
    """Same rows, same fingerprint as of a file of this machine, and resumable."""
    source = at_store("in/a b 张.csv", ROWS.encode())
    assert source.count() is None  # nothing is fetched for a number
    assert source.check() == []
    assert not source._place.at_hand
    assert len(source.fingerprint()) == 64
    assert ids(source) == ["1", None, "3"]
    assert ids(source, 2) == ["3"]
    assert source.count() == 3


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_source_elsewhere_keeps_every_law(at_store, law):
    """The laws of a file of this machine hold for an object of a store."""
    at_store("good.csv", ROWS.encode())
    at_store("changed.csv", b"id,name\n1,x\n")
    at_store("broken.csv", b"name\ncanary-name\n")
    law(
        SourceCase(
            lambda: at_store("good.csv", None),
            lambda: at_store("changed.csv", None),
            lambda: at_store("broken.csv", None),
            ("canary-name",),
        )
    )


def test_every_format_is_read_from_afar(at_store, tmp_path):
    """Lines, spreadsheets and Parquet; a check reads little of them."""
    book = openpyxl.Workbook()
    book.active.append(["id", "name"])
    book.active.append(["1", "a"])
    book.save(tmp_path / "m.xlsx")
    pq.write_table(pa.table({"id": ["1"], "name": ["a"]}), tmp_path / "m.parquet")
    for connector, content in {
        "tsv": b"id\tname\n1\ta\n",
        "jsonl": b'{"id": "1", "name": "a"}\n',
        "xlsx": (tmp_path / "m.xlsx").read_bytes(),
        "parquet": (tmp_path / "m.parquet").read_bytes(),
    }.items():
        source = at_store(f"m.{connector}", content, connector=connector)
        assert source.check() == [], connector
        assert ids(source) == ["1"], connector
        assert source.count() == 1, connector


def test_a_check_of_rows_and_columns_fetches_little(at_store):
    """What `cdp source check` says of first rows and columns needs no copy of a large object."""
    rows = "".join(f"{number},Ada,{'x' * 100}\n" for number in range(100_000))
    source = at_store("large.csv", f"id,name,note\n{rows}".encode())
    assert looked_at(source, source._declaration, Reading(dt.date(2026, 5, 4))) == []
    assert not source._place.at_hand


def test_a_file_is_fetched_once_into_a_copy_without_a_name(at_store, tmp_path, store):
    """Invariant 3: what was fingerprinted is what is read, and nothing stays behind."""
    source = at_store("once.csv", ROWS.encode())
    source._place._folder = tmp_path
    fingerprint = source.fingerprint()
    assert not list(tmp_path.iterdir())
    store.put_object(Bucket=BUCKET, Key="once.csv", Body=b"id,name\n9,z\n")
    assert ids(source) == ["1", None, "3"]
    assert source.fingerprint() == fingerprint
    copy = source._place._copy
    assert os.fstat(copy).st_nlink == 0
    del source
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(copy)


def test_a_public_object_needs_no_credentials(store, endpoint, tmp_path):
    """Nothing is signed then."""
    store.put_object(Bucket=BUCKET, Key="public.csv", Body=ROWS.encode(), ACL="public-read")
    entry = {"remote": {"endpoint": endpoint}}
    assert len(ids(source_at(f"s3://{BUCKET}/public.csv", tmp_path, **entry))) == 3


def test_nothing_is_taken_from_the_surroundings(at_store, monkeypatch, tmp_path):
    """No profile, no configuration file, no address of the environment."""
    config = tmp_path / "config"
    config.write_text("[profile other]\nendpoint_url = http://127.0.0.1:1\n")
    for name, value in {
        "AWS_PROFILE": "other",
        "AWS_CONFIG_FILE": str(config),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "canary-of-the-environment",
    }.items():
        monkeypatch.setenv(name, value)
    assert len(ids(at_store("plain.csv", ROWS.encode()))) == 3


def test_an_object_that_is_missing_stops(at_store, endpoint, tmp_path):
    """Object or bucket: the location is to be corrected."""
    assert ended(at_store("none.csv", None)) == "file_missing"
    assert ended(s3("s3://nobucket/a.csv", endpoint, tmp_path)) == "file_missing"
    at_store("folder/a.csv", ROWS.encode())
    assert ended(at_store("folder", None)) == "not_a_file"


def test_a_secret_that_is_not_there_stops(at_store):
    """Before anything is asked of the store."""
    source = at_store("a.csv", ROWS.encode(), credentials={
        "access_key": "ring:access", "secret_key": "ring:none"})  # fmt: skip
    assert ended(source) == "credential_not_stored"


def test_an_empty_object_stops(at_store):
    """As an empty file does."""
    (finding,) = at_store("empty.csv", b"").check()
    assert finding.rule == "empty_file"
    with pytest.raises(Stop, match="empty_file"):
        list(at_store("empty.csv", None).read())


def test_a_file_that_is_too_large_is_not_fetched(at_store):
    """The size is asked first."""
    source = at_store("large.csv", ROWS.encode() + b"\n" * 2**20, remote={"largest_mb": 1})
    with pytest.raises(Stop, match="file_too_large"):
        source.fingerprint()


def test_an_object_that_changes_while_it_is_fetched_is_noticed(at_store, store, monkeypatch):
    """Invariant 2: between two pieces, or after the last one; nothing of it is used."""
    monkeypatch.setattr(places, "_PIECE", 100)
    plain = places.RemotePlace._write
    for key, at in (("between.csv", 2), ("after.csv", 10)):
        source = at_store(key, ROWS.encode() + b"4,x\n" * 243)
        left = [None] * at

        def change(self, copy, piece, size, key=key, left=left):
            if left:
                left.pop()
            if not left:
                store.put_object(Bucket=BUCKET, Key=key, Body=b"id,name\n" + b"5,y\n" * 250)
            plain(self, copy, piece, size)

        monkeypatch.setattr(places.RemotePlace, "_write", change)
        with pytest.raises(Retry, match="changed_while_reading"):
            source.fingerprint()
        assert not source._place.at_hand


def test_a_full_disk_stops(at_store):
    """With what is needed, and where; the next try may go well."""
    source = at_store("full.csv", ROWS.encode())

    class Full:
        def write(self, _):
            raise OSError(28, "No space left on device")

    with pytest.raises(Stop, match="disk_full") as caught:
        source._place._write(Full(), b"x", 5 * 2**20)
    assert "6 MB" in caught.value.next_step
    assert len(ids(source)) == 3


@contextmanager
def answering(status, headers=(), body=b"", cut=None):
    """The address of a server that gives one answer to everything."""

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body[:cut])
                if cut is not None:
                    self.close_connection = True

        do_HEAD = do_GET  # noqa: N815 - the handler's name for it

        def log_message(self, *_):
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def xml(code):
    """What a store says of an error."""
    return f"<Error><Code>{code}</Code><Message>canary of the store</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "code", "kind", "rule"),
    [
        (403, "AccessDenied", Stop, "not_allowed"),
        (403, "SignatureDoesNotMatch", Stop, "not_allowed"),
        (301, "PermanentRedirect", Stop, "wrong_region"),
        (307, "TemporaryRedirect", Stop, "wrong_region"),
        (400, "AuthorizationHeaderMalformed", Stop, "wrong_region"),
        (404, "NoSuchKey", Stop, "file_missing"),
        (500, "InternalError", Retry, "place_busy"),
        (503, "SlowDown", Retry, "place_busy"),
    ],
)
def test_what_a_store_answers_becomes_a_rule(tmp_path, monkeypatch, status, code, kind, rule):
    """Invariant 1: no permission, wrong region, busy: with the next step, without its words."""
    monkeypatch.setattr("asyncio.sleep", _at_once)
    with answering(status, body=xml(code)) as address:
        assert ended(s3("s3://b/k.csv", address, tmp_path), kind) == rule


async def _at_once(_seconds, result=None):
    return result


def test_a_connection_that_is_lost_in_the_middle_may_go_well_later(tmp_path):
    """Half an object is no object."""
    with answering(200, [("ETag", '"1"')], b"x" * 5000, cut=1000) as address:
        source = s3("s3://b/k.csv", address, tmp_path)
        with pytest.raises(Retry) as caught:
            source.fingerprint()
    assert caught.value.rule == "connection_lost"
    assert not source._place.at_hand


def test_a_store_that_is_not_there_may_be_later(tmp_path):
    """Nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert ended(s3("s3://b/k", f"http://127.0.0.1:{port}", tmp_path), Retry) == "not_reachable"


def test_a_store_that_does_not_answer_times_out(tmp_path):
    """After remote.timeout, and not for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        source = s3("s3://b/k", address, tmp_path, remote={"timeout": 1})
        source_rule = only_rule(source)
    assert source_rule == "timed_out"
