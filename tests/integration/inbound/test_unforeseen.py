"""One message that nobody foresaw does not make an SDK send its batch for ever."""

from typing import Any

import pytest

from cdp.ingest import happenings
from cdp.ingest.parking import MOST
from cdp.resolution.inbound_storing import UNFORESEEN
from tests.integration.hooks.test_unforeseen import Poison, poisoned
from tests.integration.inbound.shop import Shop, identify, track
from tests.integration.running.test_parking import POISON, FaultError

pytestmark = pytest.mark.integration
__all__ = ["poisoned"]


def test_a_message_is_refused_by_its_place_and_the_others_count(
    shop: Shop, poisoned: Poison, capfd: pytest.CaptureFixture[str]
) -> None:
    """Invariant 8: it is named with the number of its crash, and counted; no value is told."""
    poisoned({"u2"})
    sent = [identify("u1", "a"), identify("u2", "b", email=POISON), track("u1", "c")]
    answer = shop.send(*sent, identify("u3", "d"))
    assert answer.status_code == 200
    [refused] = answer.json()["refused"]
    assert (refused["position"], refused["rule"]) == (2, UNFORESEEN)
    assert [shop.record("web", f"u{n}") is not None for n in (1, 2, 3)] == [True, False, True]
    assert [one["kind"] for one in shop.events()].count("track") == 1
    assert shop.left_out() == {UNFORESEEN: 1}
    told = "".join(capfd.readouterr())
    assert told.count("row_parked") == 1
    assert POISON not in told + answer.text
    assert shop.send(*sent, identify("u3", "d")).status_code == 200


def test_an_event_is_refused_by_its_place_and_the_others_are_stored(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 8: of a body whose messages only happened, too."""
    genuine: Any = happenings.write

    def write(connection: Any, source: str, fresh: Any, *given: Any) -> None:
        if any("666" in one.properties for one in fresh):
            raise FaultError(POISON)
        genuine(connection, source, fresh, *given)

    monkeypatch.setattr(happenings, "write", write)
    sent = [track("u1", f"m{n}", properties={"total": 666 if n == 7 else n}) for n in range(12)]
    answer = shop.send(*sent)
    assert answer.status_code == 200
    assert [(one["position"], one["rule"]) for one in answer.json()["refused"]] == [(8, UNFORESEEN)]
    assert len(shop.events()) == 11
    assert shop.left_out() == {UNFORESEEN: 1}


def test_where_all_fail_alone_nothing_is_left_to_store(shop: Shop, poisoned: Poison) -> None:
    """Invariant 8: a batch of one is acknowledged too, or it would be sent for ever."""
    poisoned({"u1"})
    assert shop.send(identify("u1", "a")).json()["left_out"] == {UNFORESEEN: 1}
    assert shop.left_out() == {UNFORESEEN: 1}


def test_a_fault_of_the_program_is_told_as_one(shop: Shop, poisoned: Poison) -> None:
    """Where too many messages fail they are not at fault: nothing is acknowledged."""
    poisoned({f"u{n}" for n in range(MOST + 1)})
    assert shop.send(*(identify(f"u{n}", f"m{n}") for n in range(MOST + 5))).status_code == 500
    assert shop.left_out() == {}
