"""What a declaration must say of a file elsewhere."""

import pytest

from connectors.declaration import parse_source
from connectors.errors import DeclarationError
from connectors.remote import Address, address_of

KEYS = {"access_key": "ring:a", "secret_key": "ring:b"}
HOSTS = {"known_hosts": "known_hosts"}


def declared(location, **more):
    entry = {"connector": "csv", "location": location, "record_id": "id", "fields": {"name": "n"}}
    return parse_source("members", {**entry, **more})


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("in/members.csv", None),
        ("/srv/a:b.csv", None),
        ("s3://b/k", Address("s3", "b", "k")),
        ("s3://b/a b/c#d?e%20.csv", Address("s3", "b", "a b/c#d?e%20.csv")),
        ("sftp://h/p", Address("sftp", "h", "/p")),
        ("sftp://me@h.example.com:2222/a/b c#.csv",
         Address("sftp", "h.example.com", "/a/b c#.csv", 2222, "me")),
        ("sftp://me@[::1]:22/p", Address("sftp", "::1", "/p", 22, "me")),
    ],
)  # fmt: skip
def test_a_location_says_where_a_file_lies(location, address):
    """A path of this machine, an object, or a file of a server."""
    assert address_of("members", location) == address


@pytest.mark.parametrize(
    ("location", "rule"),
    [
        ("ftp://h/p", "unknown_place"),
        ("https://canary@h/p", "unknown_place"),
        ("S3://b/k", "unknown_place"),
        ("s3://b", "location_form"),
        ("s3:///k", "location_form"),
        ("s3://b/folder/", "location_form"),
        ("sftp://h", "location_form"),
        ("sftp://h/", "location_form"),
        ("sftp:///p", "location_form"),
        ("sftp://h:0/p", "location_form"),
        ("sftp://h:99999/p", "location_form"),
        ("sftp://h:x/p", "location_form"),
        ("sftp://me:canary@h/p", "password_in_location"),
        ("sftp://me:canary@other@h/p", "password_in_location"),
        ("s3://me:canary@b/k", "password_in_location"),
    ],
)
def test_a_location_of_another_form_is_refused_and_not_quoted(location, rule):
    """It may hold a password."""
    with pytest.raises(DeclarationError) as caught:
        declared(location, remote=HOSTS)
    assert caught.value.rule == rule
    assert caught.value.field == "location"
    assert "canary" not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize(
    ("location", "more", "field", "rule"),
    [
        ("m.csv", {"remote": {"region": "r"}}, "remote", "remote_without_place"),
        ("s3://b/k", {"remote": HOSTS}, "remote.known_hosts", "key_not_for_place"),
        ("sftp://h/p", {"remote": {"region": "r"}}, "remote.region", "key_not_for_place"),
        ("sftp://h/p", {}, "remote.known_hosts", "key_missing"),
        ("s3://b/k", {"credentials": {"access_key": "ring:a"}}, "credentials.secret_key",
         "key_missing"),
        ("s3://b/k", {"credentials": {"password": "ring:a"}}, "credentials.password",
         "key_not_for_place"),
        ("sftp://h/p", {"remote": HOSTS, "credentials": KEYS}, "credentials.access_key",
         "key_not_for_place"),
        ("s3://b/k", {"remote": {"endpoint": "http://store.example.com"}}, "remote.endpoint",
         "plain_http"),
        ("s3://b/k", {"remote": {"endpoint": "https://me:canary@store"}}, "remote.endpoint",
         "not_a_web_address"),
        ("s3://b/k", {"remote": {"endpoint": "store.example.com"}}, "remote.endpoint",
         "not_a_web_address"),
        ("s3://b/k", {"remote": {"endpoint": "https://h:x"}}, "remote.endpoint",
         "not_a_web_address"),
        ("s3://b/k", {"remote": {"timeout": 0}}, "remote.timeout", "too_small"),
        ("s3://b/k", {"remote": {"retries": 1}}, "remote.retries", "unknown_key"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_place_is_refused(location, more, field, rule):
    """Each place has its own credentials and its own way."""
    with pytest.raises(DeclarationError) as caught:
        declared(location, **more)
    assert (caught.value.field, caught.value.rule) == (field, rule)
    assert "canary" not in f"{caught.value!r} {caught.value}"


def test_a_whole_way_is_read():
    """With a store of our own, and with a server."""
    way = {"endpoint": "http://store.example.com", "allow_http": True, "largest_mb": 5}
    stored = declared("s3://b/k", remote=way, credentials=KEYS)
    assert (stored.remote.endpoint, stored.remote.largest_mb) == ("http://store.example.com", 5)
    assert declared("s3://b/k", remote={"endpoint": "http://127.0.0.1:9000"}).remote.timeout == 60
    served = declared("sftp://h/p", remote=HOSTS, credentials={"private_key": "file:key"})
    assert served.remote.known_hosts == "known_hosts"


def test_where_a_file_lies_is_no_part_of_what_it_means():
    """A file that moves is not read as another one."""
    moved = declared("s3://b/k", remote={"region": "r"}, credentials=KEYS)
    assert moved.digest() == declared("m.csv").digest()
