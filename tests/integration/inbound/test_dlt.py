"""dlt as it is published loads to a running server: records as rows, and as calls of an SDK.

dlt has no destination that sends rows over HTTP: its users write a function of a few lines under
its decorator for custom destinations, and dlt batches, retries and goes on after a crash.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.access import keys
from cdp.access.principals import sync_principals
from cdp.storage import schema
from cdp.vault.keyed import ApiKeyDigests
from tests.integration.inbound.shop import KEYS, Shop
from tests.integration.inbound.test_sdks import need

pytestmark = pytest.mark.integration
ELSEWHERE = Path(sys.prefix) / "elsewhere"
PYTHON = ELSEWHERE / "bin" / "python"
ROWS = 25
PIPELINE = """
import os
import sys

import dlt
from dlt.sources.helpers import requests

calls = []


@dlt.destination(batch_size=10, name="kith")
def kith(items, table, address: str = dlt.config.value, key: str = dlt.secrets.value):
{send}
    answer.raise_for_status()
    calls.append(answer)
    if len(calls) == int(os.environ.get("GONE_AFTER", "0")):
        os._exit(9)


@dlt.resource(name="members", primary_key="card")
def members():
    for n in range({rows}):
        yield {{"card": f"D{{n:06}}", "name": "张敏", "phone": f"139{{n + 500:08}}",
               "email": f"m{{n}}@example.com", "id_number": "", "birthday": "", "store": "BJ01",
               "spent": "10.00", "no_ads": ""}}


pipeline = dlt.pipeline("members", destination=kith, pipelines_dir=sys.argv[1])
if sys.argv[2] == "rest":
    pipeline.load()
else:
    pipeline.run(members())
"""
AS_ROWS = """
    answer = requests.post(
        f"{address}/v1/sources/till/records",
        json=items,
        headers={"Authorization": f"Bearer {key}"},
    )
"""
AS_CALLS = """
    batch = [
        {
            "type": "identify",
            "userId": one["card"],
            "messageId": f"dlt-{one['card']}-{one['spent']}",
            "traits": {"phone": one["phone"], "name": one["name"], "email": one["email"]},
        }
        for one in items
    ]
    answer = requests.post(f"{address}/v1/batch", json={"batch": batch}, auth=(key, ""))
"""


@pytest.fixture
def api_key(shop: Shop) -> str:
    """The key of the shop's operator."""
    workspace = shop.workspace
    digests = ApiKeyDigests(workspace.keyring)
    with workspace.engine.begin() as connection:
        sync_principals(connection, workspace.declaration, workspace.now())
        return keys.issue(connection, digests, "wires", workspace.now()).text


def load(folder: Path, send: str, where: dict[str, str], what: str = "all", code: int = 0) -> None:
    """Run the pipeline in a process of its own; with ``rest``, what a crash has left."""
    need((ELSEWHERE / ".installed").exists(), "dlt")
    script = folder / "pipeline.py"
    script.write_text(PIPELINE.format(send=send.rstrip(), rows=ROWS), encoding="utf-8")
    done = subprocess.run(
        [str(PYTHON), str(script), str(folder / "pipelines"), what],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "LOAD__WORKERS": "1",
            **where,
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr


def stored(shop: Shop, source: str) -> int:
    """How many records a source has."""
    table = schema.record
    counted = sa.select(sa.func.count()).where(table.c.source == source)
    with shop.workspace.engine.connect() as connection:
        return connection.scalar(counted) or 0


def test_dlt_loads_rows(shop: Shop, address: str, api_key: str, tmp_path: Path) -> None:
    """Killed after a batch was taken in and before it heard so: the rest comes, nothing twice."""
    before = stored(shop, "till")
    where = {"DESTINATION__KITH__ADDRESS": address, "DESTINATION__KITH__KEY": api_key}
    load(tmp_path, AS_ROWS, where | {"GONE_AFTER": "2"}, code=9)
    assert 0 < stored(shop, "till") - before < ROWS
    load(tmp_path, AS_ROWS, where, "rest")
    assert stored(shop, "till") == before + ROWS
    revisions = [shop.record("till", f"D{n:06}").revision for n in range(ROWS)]
    assert set(revisions) == {1}
    load(tmp_path, AS_ROWS, where)
    assert stored(shop, "till") == before + ROWS
    assert [shop.record("till", f"D{n:06}").revision for n in range(ROWS)] == revisions


def test_dlt_loads_calls_of_an_sdk(shop: Shop, address: str, tmp_path: Path) -> None:
    """The same as Segment's batch; each message has its effect once."""
    where = {"DESTINATION__KITH__ADDRESS": address, "DESTINATION__KITH__KEY": KEYS["web"]}
    load(tmp_path, AS_CALLS, where | {"GONE_AFTER": "2"}, code=9)
    load(tmp_path, AS_CALLS, where, "rest")
    load(tmp_path, AS_CALLS, where)
    assert (stored(shop, "web"), len(shop.events())) == (ROWS, ROWS)
