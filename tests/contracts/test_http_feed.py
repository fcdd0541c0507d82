"""HTTP APIs of every paging keep the laws of feeds."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectors.testing_feeds import FEED_LAWS, FeedCase
from tests.integration.http_source import api
from tests.integration.http_source.api import Api, Reply

CANARIES = ("canary-name-张三", "canary-13800001111", "canary-id-7", *api.SECRETS.values())
ROWS = [
    {"id": 1, "name": CANARIES[0], "phone": CANARIES[1], "changed": "2026-03-01T08:01:00Z"},
    {"id": 2, "name": f"={CANARIES[0]}", "phone": "2", "changed": "2026-03-01T08:02:00Z"},
    {"id": 3, "name": CANARIES[0], "phone": {"canary-id-7": "x"}, "changed": None},
    {"id": 4, "name": CANARIES[0], "phone": "4", "changed": "2026-03-01T08:04:00Z", "gone": "yes"},
    {"id": 5, "name": CANARIES[0], "phone": "5", "changed": "2026-03-01T08:05:00Z"},
]
BAD = {"id": "=canary-id-7", "name": CANARIES[0], "phone": "6", "changed": "2026-03-01T08:06:00Z"}
CASES = [
    *((name, "full") for name in api.PAGINGS if name != "none"),
    *((name, "incremental") for name in ("page", "cursor", "next", "keyset")),
]
AUTHS: dict[str, dict[str, Any]] = {
    "page": {"type": "bearer"},
    "next": {"type": "query", "name": "key"},
    "link": {"type": "basic"},
    "cursor": {"type": "header", "name": "X-Api-Key"},
}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Api]]:
    """One API for each paging, and one that refuses everybody."""
    rows = [*ROWS[:3], BAD, *ROWS[3:]]
    # by number: the row without one is last, and no row is without a usable key for keyset
    keyed = [*ROWS, {"id": 9, "name": "x", "phone": "9", "changed": "x"}, {**BAD, "id": 7}]
    made = {name: Api(api.paged(keyed if name == "keyset" else rows, name)) for name in api.PAGINGS}
    made["refusing"] = Api(lambda _: Reply({"error": CANARIES[0]}, status=401))
    for server in made.values():
        server.__enter__()
    yield made
    for server in made.values():
        server.__exit__()


@pytest.mark.parametrize("law", FEED_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("name", "mode"), CASES)
def test_every_paging_keeps_every_law(
    servers: dict[str, Api], name: str, mode: str, law: Callable[[FeedCase], None]
) -> None:
    """Check, resume, order, duplicates, deletions, cancelling and silence hold for each paging."""
    more: dict[str, Any] = {
        "paging": api.PAGINGS[name],
        "deleted": {"column": "gone"},
        "auth": AUTHS.get(name, {"type": "none"}),
    }
    more |= api.INCREMENTAL if mode == "incremental" else {"cursor": "changed"}
    case = FeedCase(
        lambda: api.feed_of(servers[name], **more),
        lambda: api.feed_of(servers["refusing"], **more),
        CANARIES,
        servers[name].left_open,
    )
    law(case)
