"""Marked values in every field of every flavour of what SDKs send, delivered to a real server."""

import base64
import gzip
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.journeys.commands import LONGEST, Outcome, Shell

FLAVOURS = ("segment", "rudder", "sensors", "cloudevents")
_LAST = {name: str(place) for place, name in enumerate(FLAVOURS, start=1)}


def mark(flavour: str, what: str) -> str:
    """A made-up value that stands nowhere else."""
    last = _LAST[flavour]
    if what == "phone":
        return f"1350827164{last}"
    if what == "email":
        return f"zq.inbound.7{last}@example.com"
    if what == "name":
        return f"靐龘鱻{'甲乙丙丁'[int(last) - 1]}"
    if what == "ip":
        return f"203.0.113.17{last}"
    return f"QXinb7{last}.{what}"


WHATS = (
    "phone", "email", "name", "ip", "user", "device", "message", "event", "key", "value",
    "trait", "group", "page", "category", "signature", "source", "agent", "browser", "broken",
)  # fmt: skip
WRITE_KEYS = {name: f"QXwrite7{last}key" for name, last in _LAST.items()}


def values() -> list[str]:
    """Every marked value, and the write keys."""
    return [mark(one, what) for one in FLAVOURS for what in WHATS] + [*WRITE_KEYS.values()]


def sources() -> dict[str, Any]:
    """Entries of cdp.yaml, one for each flavour."""
    return {
        name: {
            "connector": name,
            "trust": "identities",
            "credentials": {"write_key": f"file:{name}.key"},
            "fields": {
                "phone": "traits.phone",
                "email": "traits.email",
                "name": "traits.name",
                "anonymous_id": {"column": "anonymousId", "scope": "web"},
            },
            "consent": {"basis": "consent", "purposes": ["service"]},
            "events": {
                "Order Completed": {
                    "properties": {"total": {"column": "properties.total", "type": "decimal"}}
                }
            },
        }
        for name in FLAVOURS
    }


def write_keys(folder: Path) -> None:
    """Write the files that the entries refer to."""
    for name, key in WRITE_KEYS.items():
        path = folder / f"{name}.key"
        path.write_text(key + "\n", encoding="utf-8")
        path.chmod(0o600)


def send_all(shell: Shell) -> None:
    """Send it all, and what is wrong with each of them; remember answers and the server's log."""
    with _serving(shell) as client:
        for name in FLAVOURS:
            for place, (path, sent) in enumerate(_requests(name)):
                answer = client.post(path, **sent)
                said = f"{answer.headers}\n{answer.text}"
                shell.history.append(
                    Outcome(("inbound", f"{name} {place}"), answer.status_code, said, "")
                )


def _requests(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    key = {"auth": (WRITE_KEYS[name], "")}
    noise = {"User-Agent": mark(name, "browser"), "X-Forwarded-For": mark(name, "ip")}
    messages = _messages(name)
    broken = json.dumps(messages, ensure_ascii=False)[:-3] + mark(name, "broken")
    if name == "sensors":
        packed = base64.b64encode(gzip.compress(json.dumps(messages).encode(), mtime=0)).decode()
        form = {"Content-Type": "application/x-www-form-urlencoded", **noise}
        body = urlencode({"data_list": packed, "gzip": 1})
        yield f"/sa?token={WRITE_KEYS[name]}", {"content": body, "headers": form}
        yield f"/sa?token={mark(name, 'key')}", {"content": body, "headers": form}
        yield "/sa", {"content": broken.encode(), "headers": noise, **key}
        return
    path = "/v1/cloudevents" if name == "cloudevents" else "/v1/batch"
    kind = "application/cloudevents-batch+json" if name == "cloudevents" else "application/json"
    headers = {"Content-Type": kind, **noise}
    whole = messages if name == "cloudevents" else {"batch": messages, "writeKey": "x"}
    body = json.dumps(whole, ensure_ascii=False).encode()
    yield path, {"content": body, "headers": headers, **key}
    yield path, {"content": body, "headers": headers, "auth": (mark(name, "key"), "")}
    yield path, {"content": broken.encode(), "headers": headers, **key}
    yield f"{path}?q={mark(name, 'value')}", {"content": body, "headers": {**headers, "Origin":
        f"https://{mark(name, 'page').lower()}.example.com"}, **key}  # fmt: skip


def _messages(name: str) -> list[dict[str, Any]]:
    def of(what: str) -> str:
        return mark(name, what)

    traits = {
        "phone": of("phone"),
        "email": of("email"),
        "name": of("name"),
        of("trait"): of("value"),
    }
    shown: Mapping[str, Any] = {"total": of("value"), of("key"): of("value")}
    if name == "sensors":
        whose = {"distinct_id": of("user"), "time": 1777885190000}
        return [
            {"type": "profile_set", **whose, "properties": traits, "lib": {"$lib": of("agent")}},
            {"type": "track_signup", "event": of("event"), "original_id": of("device"), **whose},
            {"type": "track", "event": "Order Completed", **whose, "login_id": of("user"),
             "anonymous_id": of("device"), "properties": shown},
            {"type": "track", "event": of("event"), **whose, "properties": shown},
            {"type": of("broken"), **whose}, {"type": "track", "event": [of("event")], **whose},
        ]  # fmt: skip
    if name == "cloudevents":
        whose = {"specversion": "1.0", "source": of("source"), "subject": of("user"),
                 "anonymousid": of("device")}  # fmt: skip
        return [
            {**whose, "id": of("message"), "type": "x.identify", "data": traits},
            {**whose, "id": "2", "type": "x.alias"},
            {**whose, "id": "3", "type": "x.group", "data": {"groupId": of("group")}},
            {**whose, "id": "4", "type": "Order Completed", "data": shown},
            {**whose, "id": "5", "type": of("event"), "data": shown},
            {**whose, "id": "6", "type": "Order Completed", "data_base64": of("broken")},
            {**whose, "id": "7", "specversion": of("broken")},
        ]
    context = {
        "ip": of("ip"), "userAgent": of("agent"), "page": {"url": f"https://x.invalid/{of('page')}"},
        "consent": {"categoryPreferences": {of("category"): True}}, "signature": of("signature"),
        "traits": traits,
    }  # fmt: skip
    whose = {"userId": of("user"), "anonymousId": of("device"), "context": context}
    return [
        {"type": "identify", "messageId": of("message"), **whose, "traits": traits},
        {"type": "alias", "userId": of("user"), "previousId": of("device"), "context": context},
        {"type": "group", "groupId": of("group"), "traits": traits, **whose},
        {"type": "track", "event": "Order Completed", "properties": shown, **whose},
        {"type": "track", "event": of("event"), "properties": shown, **whose},
        {"type": "page", "name": of("page"), "properties": shown, **whose},
        {"type": "screen", "name": of("page"), "properties": shown, **whose},
        {"type": of("broken"), **whose},
        {"type": "track", "event": "Order Completed", "userId": {of("broken"): 1}},
    ]


@contextmanager
def _serving(shell: Shell) -> Iterator[httpx.Client]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    words = ("-m", "api", "--port", str(port))
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=shell.folder,
        env=shell.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            _wait_for(client, process)
            yield client
    finally:
        process.terminate()
        shell.finish(process, "api", "its log")


def _wait_for(client: httpx.Client, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + LONGEST
    while time.monotonic() < until and process.poll() is None:
        try:
            if client.get("/readyz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError("the server did not answer")
