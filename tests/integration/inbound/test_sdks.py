"""SDKs as they are published deliver to a running server, and their people are the till's.

Each runs in a process of its own, told nothing but a host and a write key.
"""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.integration.inbound.shop import KEYS, Shop

pytestmark = pytest.mark.integration
NODE = Path(__file__).parents[3] / ".venv" / "node"
CALLS = """
    client.identify("{user}", {{"phone": "{phone}", "name": "{name}"}})
    client.identify("{user}", {{"email": "{email}", "unknown": "13912346789"}})
    client.track("{user}", "Order Completed", {{"total": 12.5, "unknown": "13912346789"}})
    client.page("{user}", "Shop", "Basket", {{"path": "/basket"}})
    client.screen("{user}", "Shop", "Basket")
    client.group("{user}", "g1", {{"plan": "gold"}})
    client.alias("{device}", "{user}")
"""
SEGMENT = (
    """
import sys
from segment.analytics.client import Client
failed = []
client = Client(
    sys.argv[2],
    host=sys.argv[1],
    gzip={gzip},
    max_retries=3,
    send=True,
    on_error=lambda error, batch: failed.append(error),
)
"""
    + CALLS.replace("\n    ", "\n")
    + """
client.join()
sys.exit(f"not delivered: {{failed}}" if failed else 0)
"""
)
RUDDER = SEGMENT.replace("segment.analytics.client", "rudderstack.analytics.client")
NODE_SCRIPT = """
const {{ Analytics }} = require('@segment/analytics-node')
const [host, writeKey] = process.argv.slice(2)
const client = new Analytics({{ host, writeKey, flushAt: 3, maxRetries: 3 }})
let failed = 0
client.on('error', () => {{ failed += 1 }})
const userId = '{user}'
client.identify({{ userId, traits: {{ phone: '{phone}', name: '{name}' }} }})
client.identify({{ userId, traits: {{ email: '{email}', unknown: '13912346789' }} }})
client.track({{ userId, event: 'Order Completed',
               properties: {{ total: 12.5, unknown: '13912346789' }} }})
client.page({{ userId, name: 'Basket', properties: {{ path: '/basket' }} }})
client.screen({{ userId, name: 'Basket' }})
client.group({{ userId, groupId: 'g1', traits: {{ plan: 'gold' }} }})
client.alias({{ userId, previousId: '{device}' }})
client.closeAndFlush({{ timeout: 20000 }}).then(() => process.exit(failed ? 1 : 0))
"""
WHO = {  # C000003 of the till
    "user": "u3",
    "phone": "13900000003",
    "name": "刘敏伟",
    "email": "m3@example.com",
    "device": "5e57c1a0-7d1e-4b0a-9a3c-0b6f2f1d9e01",
}


def need(there: bool, what: str) -> None:  # noqa: FBT001
    """Skip where an SDK is not installed; in CI that is a failure."""
    if not there:
        if os.environ.get("CI"):
            pytest.fail(f"{what} is not installed: run make setup")
        pytest.skip(f"{what} is not installed: run make setup")


def deliver(*command: str) -> None:
    """Run an SDK until it has delivered."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def assert_arrived(shop: Shop, source: str) -> None:
    """The person is the till's, the declared event is there once, and of nothing else a byte."""
    assert shop.person(source, WHO["user"]) == shop.person("till", "C000003") is not None
    kinds = sorted(one["kind"] for one in shop.events())
    assert kinds == ["alias", "group", "identify", "identify", "page", "track"]
    (order,) = [one for one in shop.events() if one["kind"] == "track"]
    assert order["properties"] == {"total": "12.5"}
    assert {one["record_id"] for one in shop.events()} == {shop.record(source, WHO["user"]).id}
    assert shop.left_out()["event_not_declared"] == 1  # the screen


@pytest.mark.parametrize("gzip", [True, False])
def test_segment_analytics_python(shop: Shop, address: str, gzip: bool) -> None:  # noqa: FBT001
    """Segment's SDK for Python, from PyPI."""
    need(find_spec("segment") is not None, "segment-analytics-python")
    script = SEGMENT.format(gzip=gzip, **WHO)
    deliver(sys.executable, "-c", script, address, KEYS["web"])
    assert_arrived(shop, "web")


def test_rudder_sdk_python(shop: Shop, address: str) -> None:
    """RudderStack's SDK for Python, from PyPI."""
    need(find_spec("rudderstack") is not None, "rudder-sdk-python")
    deliver(sys.executable, "-c", RUDDER.format(gzip=True, **WHO), address, KEYS["bag"])
    assert_arrived(shop, "bag")


def test_segment_analytics_node(shop: Shop, address: str, tmp_path: Path) -> None:
    """Segment's SDK for Node, from npm."""
    node = shutil.which("node")
    there = node is not None and (NODE / "node_modules" / "@segment" / "analytics-node").is_dir()
    need(there, "@segment/analytics-node")
    script = tmp_path / "deliver.cjs"
    script.write_text(NODE_SCRIPT.format(**WHO), encoding="utf-8")
    modules = {**os.environ, "NODE_PATH": str(NODE / "node_modules")}
    command = [str(node), str(script), address, KEYS["web"]]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=modules
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert_arrived(shop, "web")


def test_a_wrong_key_is_no_delivery(shop: Shop, address: str) -> None:
    """What the tests above would notice: the SDK hears of a refusal."""
    need(find_spec("segment") is not None, "segment-analytics-python")
    with pytest.raises(AssertionError, match="not delivered"):
        deliver(sys.executable, "-c", SEGMENT.format(gzip=False, **WHO), address, "wrong")
    assert shop.events() == []
