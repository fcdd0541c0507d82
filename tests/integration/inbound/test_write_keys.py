"""A write key that two sources have lets nobody in, and everybody who looks is told."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.app import create_app
from cdp.cli import session
from cdp.cli.app import app
from cdp.errors import Stop
from cdp.ingest.write_keys import RULE
from tests.integration.inbound.shop import KEYS, Shop, identify, inbound, write_shop

pytestmark = pytest.mark.integration


def told(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["source", *arguments])


@pytest.fixture(autouse=True)
def _put_back(shop: Shop) -> Iterator[None]:
    """The folder of the declaration is that of all tests here."""
    yield
    write_shop(shop.workspace.settings.declaration.parent)


@pytest.fixture
def shared(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Somebody put the key of the web shop where the bag's lies."""
    path = shop.workspace.settings.declaration.parent / "bag.key"
    path.write_text(KEYS["web"] + "\n")
    monkeypatch.setattr(session, "workspace", lambda: shop.workspace)
    return shop


def test_it_is_said_when_the_server_begins_and_nobody_is_let_in(
    shared: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    """Inbound 9: both sources are named in the log, once, and the key is not."""
    served = Shop(shared.workspace)
    with served.client:
        said = "".join(capfd.readouterr())
        assert said.count(RULE) == 2
        lines = [one for one in said.splitlines() if RULE in one]
        assert sorted(name for name in KEYS if any(name in one for one in lines)) == ["bag", "web"]
        assert KEYS["web"] not in said
        assert served.send(identify("u1", "a")).status_code == 401
    assert RULE not in "".join(capfd.readouterr())


def test_the_others_are_let_in(shared: Shop) -> None:
    """Inbound 9: a mistake with two keys is no fault of a third."""
    served = Shop(shared.workspace)
    receiving = served.app.state.services.inbound
    assert receiving.source(KEYS["gods"], {"sensors"}) == "gods"
    assert receiving.source(KEYS["web"], {"segment", "rudder"}) is None


def test_check_and_status_name_both(shared: Shop) -> None:
    """Inbound 9: with what to do, and never the key."""
    checked = told("check", "--json")
    found = [one for one in json.loads(checked.stdout) if one["rule"] == RULE]
    assert checked.exit_code == 1
    assert {one["source"] for one in found} == {"web", "bag"}
    assert {one["level"] for one in found} == {"error"}
    standing = told("status", "--json")
    wrong = {one["source"] for one in json.loads(standing.stdout) if one["write_key"] == RULE}
    assert wrong == {"web", "bag"}
    page = told("status", "web")
    assert "web: write_key_shared. It lets nobody in, since bag has it too" in page.output
    assert "bag: write_key_shared" not in page.output
    assert KEYS["web"] not in checked.output + standing.output + page.output


def test_without_the_keys_nothing_is_claimed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks where the keys are not is told nothing wrong."""
    monkeypatch.setattr(session, "workspace", lambda: shop.workspace)
    for name in ("web", "bag"):
        (shop.workspace.settings.declaration.parent / f"{name}.key").unlink()
    assert RULE not in told("status").output


@pytest.mark.parametrize("name", ["write_key", "former_write_key"])
def test_one_place_for_two_sources_is_refused_when_it_is_read(shop: Shop, name: str) -> None:
    """Inbound 9: what can be seen without a key is no matter of chance."""
    folder = shop.workspace.settings.declaration.parent
    given: dict[str, Any] = {"write_key": "file:bag.key", name: "file:web.key"}
    write_shop(folder, bag=inbound("bag", connector="rudder", credentials=given))
    shop.workspace.__dict__.pop("declaration", None)
    with pytest.raises(Stop, match=f"bag, credentials.{name}: write_key_shared"):
        create_app(shop.workspace)


def test_a_source_may_name_one_place_twice(shop: Shop) -> None:
    """Before a change its two keys are one: that is nobody else's."""
    folder = shop.workspace.settings.declaration.parent
    given = {"write_key": "file:bag.key", "former_write_key": "file:bag.key"}
    write_shop(folder, bag=inbound("bag", connector="rudder", credentials=given))
    shop.workspace.__dict__.pop("declaration", None)
    assert "bag" in shop.workspace.declaration.sources
