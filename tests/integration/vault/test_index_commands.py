"""``cdp index``: the commands as somebody runs them."""

import json

import pytest
from typer.testing import CliRunner

from cdp.cli import session
from cdp.cli.app import app
from cdp.errors import KithError
from tests.integration.vault.indexed import PAIR, Indexed

pytestmark = pytest.mark.integration
BY = ("--as", "operator")


@pytest.fixture
def run(shop: Indexed, monkeypatch: pytest.MonkeyPatch):
    """Run ``cdp index ...`` in the shop's workspace; what it raises is the command's failure."""
    monkeypatch.setattr(session, "workspace", lambda: shop.workspace)

    def command(*words: str):
        return CliRunner().invoke(app, ["index", *words])

    return command


def told(result) -> dict:
    """The JSON that a command printed."""
    return json.loads(result.stdout)


def test_the_whole_life_of_an_index(shop: Indexed, run) -> None:
    """Plan, build, look at it, rotate the key, retire the old epoch."""
    for n in range(12):
        shop.member(f"王小{chr(0x4E00 + n)}", f"+86139{n:08}")
    planned = told(run("plan", "surname", "phone_tail_4", "--json"))
    assert (planned["people"], planned["bits"], planned["refusal"]) == (12, 128, None)
    assert planned["candidates_mean"] == 1
    built = run("build", "--json")
    assert built.exit_code == 0, built.output
    assert told(built)["rows"] == 12
    assert told(run("status", "--json"))[1]["label"] == "phone_tail_4+surname:12"
    assert told(run("rotate", *BY, "--json"))["epoch"] == 2
    refused = run("retire", "2", *BY)
    assert isinstance(refused.exception, KithError)
    assert told(run("retire", "1", *BY, "--dry-run", "--json")) == {
        "epoch": 1, "rows": 24, "deleted": False,
    }  # fmt: skip
    assert told(run("retire", "1", *BY, "--json"))["deleted"] is True
    assert {row[2] for row in shop.rows()} == {2}
    for shown in (run("status"), run("plan", "surname", "phone_tail_4", "--bits", "3")):
        assert "surname" in shown.stdout


def test_what_is_refused_ends_with_the_rule_and_the_next_step(shop: Indexed, run) -> None:
    """Surname alone, a crowd behind one value, nobody to count: typed refusals."""
    alone = run("plan", "surname")
    assert "alone" in str(alone.exception)
    assert "add a part" in str(alone.exception)
    nobody = run("plan", "surname", "phone_tail_4")
    assert "sync the sources" in str(nobody.exception)
    for n in range(8):
        shop.member("王小明", f"+86139{n:04}1234")
    crowd = run("plan", "surname", "phone_tail_4", "--bits", "128")
    assert "stands out" in str(crowd.exception)
    shop.declare(surname_phone={"parts": ["surname", "phone_tail_4"]})
    assert "stands out" in str(run("build").exception)
    assert run("build", "--no-check").exit_code == 0


def test_a_workspace_to_come_is_planned_from_two_numbers(run) -> None:
    """With --people nothing is counted; a part without its figure is a misuse."""
    figures = ("--people", "300000", "--expect", "surname=500:0.075")
    tail = ("--expect", "phone_tail_4=10000")
    planned = told(run("plan", "surname", "phone_tail_4", *figures, *tail, "--json"))
    assert 10 <= planned["bits"] <= 18
    assert planned["coincidences"] >= 2
    assert planned["candidates_worst"] >= planned["candidates_mean"]
    assert run("plan", "surname", "phone_tail_4", *figures).exit_code == 2
    assert run("plan", "surname", "--people", "5", "--expect", "surname=many").exit_code != 0


def test_what_waits_for_the_sensitive_key_ends_in_a_refusal(
    shop: Indexed, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is done and said; the exit is a failure until all is done."""
    shop.member("王小明", "+8613900001234", fields={"national_id": "11010519491231002X"})
    without = shop.workspace.keyring.without("sensitive")
    less = type(shop.workspace)(shop.workspace.settings, shop.engine, without, shop.workspace.now)
    with monkeypatch.context() as patched:
        patched.setattr(session, "workspace", lambda: less)
        partly = run("rotate", *BY)
    assert "waiting national_id 1" in str(partly.exception)
    assert run("rotate", *BY).exit_code == 0
    assert run("build").exit_code == 0


def test_nothing_declared_is_said(shop: Indexed, run) -> None:
    """Without an index under indexes: in cdp.yaml there is nothing to build."""
    shop.declare()
    assert "no_index_declared" in str(run("build").exception)


def test_a_declaration_that_indexes_a_surname_is_refused(shop: Indexed) -> None:
    """The file is refused as a whole; the error names the index and quotes no value."""
    for entry, rule in (
        ({"parts": ["surname"]}, "alone"),
        ({"parts": ["shoe_size"]}, "not_one_of"),
        ({"parts": ["surname", "city"], "bits": 8}, "truncated"),
        (PAIR | {"bits": 0}, "too_small"),
        (PAIR | {"bits": "many"}, "wrong_type"),
        ({"bits": 8}, "key_missing"),
    ):
        with pytest.raises(KithError) as refused:
            shop.declare(pair=entry)
        assert rule in str(refused.value)
        assert "pair" in str(refused.value)
