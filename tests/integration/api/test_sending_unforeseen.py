"""A record that nobody foresaw is named to its sender, and the others are taken in."""

import json
from typing import Any

import pytest

from cdp.ingest.intake import Intake
from cdp.ingest.parking import MOST, RULE
from cdp.resolution.online import Arrivals
from tests.integration.api.test_sending import App, app, prepared
from tests.integration.hooks.test_unforeseen import Poison, poisoned
from tests.integration.running.test_parking import POISON, FaultError
from tests.integration.test_online import person

pytestmark = pytest.mark.integration
__all__ = ["app", "poisoned", "prepared"]


def test_a_record_is_named_with_its_number_and_the_others_are_stored(
    app: App, poisoned: Poison, capfd: pytest.CaptureFixture[str]
) -> None:
    """Online 5: a caller who sends what was refused again is refused the same, and no more."""
    rows = [person(number, 7) for number in range(6)]
    poisoned({rows[3]["openid"]})
    for stored in (5, 0):
        answer = app.send([*rows, {"name": "nobody"}])
        told = answer.json()
        assert answer.status_code == 200
        assert (told["stored"], told["unchanged"]) == (stored, 5 - stored)
        assert [one["position"] for one in told["refused"]] == [4, 7]
        [refused] = [one for one in told["refused"] if one["rule"] == RULE]
        assert "docs/SECURITY.md" in refused["next_step"]
        assert rows[3]["phones"] not in answer.text
    logged = "".join(capfd.readouterr())
    assert logged.count("row_parked") == 2
    assert POISON not in logged


def test_a_record_that_fails_alone_is_refused_and_no_fault(app: App, poisoned: Poison) -> None:
    """Online 5: an answer of the kind that says do not send this again."""
    poisoned({person(3, 7)["openid"]})
    answer = app.send(person(3, 7))
    assert answer.status_code == 422
    assert RULE in answer.text


def test_a_row_that_cannot_even_be_read_is_named(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Online 5: what fails is the mapping."""
    genuine: Any = Intake.read_places

    def read(self: Intake, rows: Any) -> Any:
        if any(person(3, 7)["openid"] in text for _, text in rows):
            raise FaultError(POISON)
        return genuine(self, rows)

    monkeypatch.setattr(Intake, "read_places", read)
    told = app.send([person(number, 7) for number in range(6)]).json()
    assert (told["stored"], [one["position"] for one in told["refused"]]) == (5, [4])


def test_a_fault_of_the_program_or_of_memory_names_nobody(
    app: App, poisoned: Poison, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Online 5: where too many fail, or the machine does, nothing is taken in."""
    rows = [person(number, 7) for number in range(MOST + 3)]
    with monkeypatch.context() as short:
        short.setattr(Intake, "store", lambda *_, **__: (_ for _ in ()).throw(MemoryError()))
        assert app.send(rows).status_code == 500
    poisoned({one["openid"] for one in rows[: MOST + 1]})
    assert app.send(rows).status_code == 500
    monkeypatch.undo()
    assert app.send(rows).json()["stored"] == MOST + 3


def test_what_is_pushed_goes_on_behind_it(app: App, poisoned: Poison) -> None:
    """Online 5: also from a file; the row is known by its place."""
    rows = [json.dumps(person(number, 8)) for number in range(5)]
    poisoned({person(2, 8)["openid"]})
    done = Arrivals(app.workspace, "app").resolve(rows)
    assert (done.stored, [one.position for one in done.refused]) == (4, [3])
