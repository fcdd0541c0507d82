"""``cdp credential``: as somebody runs it, up to the source that needs the secret."""

import io

import pytest
import yaml

from tests.integration.sftp_server import PASSWORD, USER, sftp_server

pytestmark = pytest.mark.integration
BY = ("--as", "operator")


@pytest.fixture
def kept(cdp, monkeypatch):
    """Run ``cdp credential ...`` with something on standard input; nothing shows a secret."""

    def command(*words, given="", code=0):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        outcome = cdp("credential", *words, code=code)
        assert "canary" not in str(outcome)
        return outcome

    return command


def test_a_secret_is_kept_and_forgotten(kept, cdp, folder):
    """Set, listed by name, removed; and in the audit log, by who did it."""
    kept("set", "store_key", *BY, given=f"{PASSWORD}\n")
    assert kept("list", "--json").json == ["store_key"]
    assert "store_key" in kept("list").out
    stored = (folder / "home" / "credentials.json").read_text()
    assert PASSWORD not in stored
    kept("remove", "store_key", *BY, "--json")
    assert "no_such_credential" in kept("remove", "store_key", *BY, code=1).err
    assert kept("list", "--json").json == []


def test_only_who_may_configure_keeps_secrets(kept):
    """A clerk is refused, and nothing is stored."""
    kept("set", "store_key", "--as", "clerk", given=PASSWORD, code=1)
    assert kept("list", "--json").json == []


@pytest.mark.parametrize(("name", "given"), [("Store", PASSWORD), ("store", "\n"), ("store", "")])
def test_what_is_no_name_or_no_secret_is_refused(kept, name, given):
    """An empty secret, and a name that no reference could write."""
    kept("set", name, *BY, given=given, code=1)
    assert kept("list", "--json").json == []


def test_a_source_elsewhere_is_brought_in_with_a_secret_of_the_ring(cdp, kept, folder, tmp_path):
    """Declared, its secret kept, checked and synced: over a real SFTP server."""
    served = tmp_path / "served"
    served.mkdir()
    (folder / "till.csv").rename(served / "till.csv")
    with sftp_server(served) as server:
        server.known_hosts(folder / "known_hosts")
        path = folder / "cdp.yaml"
        declared = yaml.safe_load(path.read_text("utf-8"))
        declared["sources"]["till"] |= {
            "location": f"sftp://{USER}@127.0.0.1:{server.port}/till.csv",
            "credentials": {"password": "ring:till"},
            "remote": {"known_hosts": "known_hosts"},
        }
        path.write_text(yaml.safe_dump(declared, allow_unicode=True), "utf-8")
        assert "credential_not_stored" in cdp("source", "check", "--json", code=1).out
        kept("set", "till", *BY, given=PASSWORD)
        cdp("source", "check")
        (done,) = cdp("source", "sync", "--json").json
        assert (done["added"], done["rejected"]) == (2, 0)
        (again,) = cdp("source", "sync", "--json").json
        assert (again["added"], again["unchanged"]) == (0, 2)


def test_a_rotated_key_takes_the_secrets_along(kept, cdp):
    """Invariant 3 of keeping: what the file of credentials needs is counted, and brought along."""
    kept("set", "store_key", *BY, given="canary-1\n")

    def needed() -> dict[int, int]:
        status = cdp("key", "status", "--json").json
        lines = [one for one in status["versions"] if one["purpose"] == "webhook-secrets"]
        return {one["version"]: one["rows"] for one in lines}

    assert needed() == {1: 1}
    cdp("key", "rotate", "webhook-secrets", *BY, "--yes")
    assert needed() == {1: 0, 2: 1}
