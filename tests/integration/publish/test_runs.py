"""Whole runs: many messages, several destinations, two publishers at once.

Each test names the invariant it shows; ``Run 2`` is the second of `cdp/publish/run.py`.
"""

import time
from typing import Any

import pytest

from cdp.errors import Stop
from cdp.publish.retry import Pace
from cdp.publish.run import Publisher, run
from cdp.storage.locks import only_one
from tests.integration.publish.shop import Shop, declare

pytestmark = pytest.mark.integration


def test_a_second_publisher_of_a_destination_is_refused(shop: Shop) -> None:
    """Run 1: One publisher at a time; the second says so and sends nothing."""
    shop.person("赵一")
    with only_one(shop.engine, "publish crm", "wait"):
        report = shop.publish()
    assert report.stopped is not None
    assert "already_running" in report.stopped
    assert shop.receiver.received == []


def test_a_bad_destination_does_not_stop_another(shop: Shop) -> None:
    """Run 2: One receiver is gone, the others get everything, and each has its report."""
    shop.person("赵一", store="BJ01")

    def change(content: dict[str, Any]) -> None:
        crm = content["destinations"]["crm"]
        content["destinations"]["gone"] = {**crm, "location": "http://127.0.0.1:9/hook"}
        content["destinations"]["useless"] = {**crm, "purpose": "legal"}

    shop.workspace = declare(shop.retailer, change)
    quick = Publisher(Pace(base=0.001, cap=0.01, patience=0.02))
    reports = {one.destination: one for one in run(shop.workspace, None, None, quick)}
    assert list(reports) == list(shop.workspace.declaration.destinations)
    assert (reports["crm"].delivered, reports["weekly"].delivered) == (1, 1)
    assert reports["crm"].stopped is None
    assert "unreachable" in (reports["gone"].stopped or "")
    assert "nothing_may_be_sent" in (reports["useless"].stopped or "")


def test_an_unknown_destination_is_refused_by_name(shop: Shop) -> None:
    """Run 2: A name that is not declared sends nothing at all."""
    with pytest.raises(Stop, match="no_such_destination"):
        run(shop.workspace, ["crm", "crn"])


def test_many_messages_go_out_quickly(shop: Shop) -> None:
    """Deliver 3: Four hundred people are delivered with progress, each once."""
    for place in range(400):
        shop.person("赵一", f"+861391111{place:04}")
    steps: list[tuple[str, int, int]] = []
    started = time.perf_counter()
    (report,) = run(shop.workspace, ["crm"], lambda *step: steps.append(step))
    seconds = time.perf_counter() - started
    assert report.delivered == len(shop.receiver.received) == len(shop.receiver.people()) == 400
    assert steps[-1] == ("crm", 400, 400)
    assert seconds < 20  # 200 a second on an idle machine; this one may be shared
