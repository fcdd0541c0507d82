"""A shop of its own for each test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.demo.receiver import Receiver
from tests.integration.publish.shop import Shop, declare
from tests.integration.retailer import Retailer


@pytest.fixture
def shop(engine: sa.Engine, home: Path) -> Iterator[Shop]:
    with Receiver() as receiver:
        retailer = Retailer(engine, home)

        def change(content: dict[str, Any]) -> None:
            content["destinations"]["crm"]["location"] = receiver.url
            content["destinations"]["weekly"]["fields"] = ["profile_id", "city", "tags", "phone"]

        shop = Shop(retailer, receiver, declare(retailer, change))
        yield shop
        for one in shop.opened:
            one.close()
