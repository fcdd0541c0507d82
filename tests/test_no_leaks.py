"""A made-up person with marked values goes the whole way, and the marks stay hidden.

The journey runs on the embedded server, so that its log, its write-ahead log and its
data files are searched as well as its tables.
"""

import json
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.demo.receiver import Receiver
from cdp.storage import embedded, schema
from tests.journeys import inbound_marks, marks, tills
from tests.journeys.commands import Shell
from tests.journeys.tills import ORGANISATION, crowd, write_app, write_declaration

pytestmark = [pytest.mark.integration, pytest.mark.journey, pytest.mark.long]


def _checked(body: str, weights: list[int], digits: str) -> str:
    """An ID number with the check character of GB 11643."""
    return body + digits[sum(int(d) * w for d, w in zip(body, weights, strict=True)) % 11]


ID_WEIGHTS = [2 ** (17 - place) % 11 for place in range(17)]
ID_NUMBER = _checked("11010519871123491", ID_WEIGHTS, "10X98765432")

PERSON = {
    "card": "QX7190825613",
    "name": "龘鱻明",
    "phone": "13957149163",
    "email": "zq.marked.71@example.com",
    "id_number": ID_NUMBER,
    "bank_card": "6222021987112349171",
    "birthday": "1987-11-23",
    "address": "北京市朝阳区龘鱻路9173号",
    "note": "marked note 鱻麤靐",
    "tax": "QXTAX719082561",
}
ACCOUNT = {
    "openid": "oMarkedQX71open",
    "unionid": "uMarkedQX71union",
    "nickname": "marked nick 靐龘",
    "remark": "龘鱻明 朝阳店",
    "phones": PERSON["phone"],
}
ASIDE = {  # of a row that goes on without these values
    "card": "QX7190825702",
    "name": "=龖龘()",
    "phone": "1386824027400",
    "email": "marked.aside@@example",
    "id_number": "110105198711234917",
    "birthday": "1987-11-33",
}
REJECTED = {  # rows that give no record
    "no id": {"name": "麤龖安", "phone": "13746351385", "email": "marked.row@example.com"},
    "same id": {"card": PERSON["card"], "name": "靐龖宁", "phone": "13624462496"},
}
SHORT_ROW = ["QX7190825999", "龖靐乐"]
REFUSER = {"card": "QX7190825824", "name": "鱻靐康", "phone": "15835573507", "no_ads": "yes"}
HEADER = (*tills.HEADER, "bank_card", "address", "note", "tax")
REASON = "member asks at the counter, ticket L-1"


def everything_marked() -> list[str]:
    """Every marked value."""
    rows = [PERSON, ACCOUNT, ASIDE, *REJECTED.values(), REFUSER]
    values = [v for row in rows for k, v in row.items() if k != "no_ads"] + SHORT_ROW
    values += inbound_marks.values()
    return list(dict.fromkeys(values))


def declared(hook: str) -> dict[str, Any]:
    till = {**tills.TILL, "fields": {
        **tills.TILL["fields"],
        "bank_card": "bank_card",
        "address": "address",
        "note": "note",
        "tax_number": "tax",
    }}  # fmt: skip
    app = {**tills.APP, "fields": {
        **tills.APP["fields"],
        "nickname": "nickname",
        "remark": "remark",
    }}  # fmt: skip
    webhook = {"connector": "webhook", "location": hook, "secret": "hook"}
    clerk = {"role": "clerk", "node": "BJ01"}
    return tills.declaration(
        organisation=ORGANISATION,
        sources={"till": till, "app": app, **inbound_marks.sources()},
        destinations={
            "tagger": {**webhook, "purpose": "analysis", "fields": ["profile_id", "tags"]},
            "weekly": {
                "connector": "csv_file",
                "location": "exports/weekly.csv",
                "purpose": "analysis",
                "fields": ["profile_id", "tags"],
            },
            "mailer": {
                **webhook,
                "location": f"{hook}?mailer",
                "purpose": "marketing",
                "fields": ["profile_id", "name", "phone"],
            },
        },
        principals=[
            {"id": "clerk", **clerk},
            {"id": "other", **clerk, "node": "SZ01"},
            {"id": "manager", "role": "manager", "node": "BJ01"},
            {"id": "headquarters", "role": "headquarters", "node": "kith"},
            {"id": "compliance", "role": "compliance", "node": "kith"},
            {"id": "tagger", "role": "service", "node": "kith", "destination": "tagger"},
            {"id": "weekly", "role": "service", "node": "kith", "destination": "weekly"},
            {"id": "mailer", "role": "service", "node": "kith", "destination": "mailer"},
        ],
    )


def write_sources(folder: Path) -> None:
    """The marked person among a crowd."""
    people: list[Any] = [PERSON, REFUSER, ASIDE, *REJECTED.values(), *crowd(60)]
    lines = [[row.get(c, "BJ01" if c == "store" else "") for c in HEADER] for row in people]
    lines.insert(3, SHORT_ROW)
    text = "\n".join(",".join(f'"{cell}"' for cell in line) for line in [list(HEADER), *lines])
    (folder / "till.csv").write_text(text + "\n", encoding="utf-8")
    accounts = [{"openid": f"oApp{n:05}", "name": row["name"], "phones": row["phone"]}
                for n, row in enumerate(crowd(40))]  # fmt: skip
    write_app(folder, [ACCOUNT, *accounts])
    with (folder / "app.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"openid": "", "name": REJECTED["no id"]["name"]}) + "\n")
        file.write('{"openid": "oMarkedQX71open", "name": ' + SHORT_ROW[1] + "\n")


@dataclass
class Journey:
    """What the whole way left behind."""

    shell: Shell
    receiver: Receiver
    engine: sa.Engine
    temporary: dict[str, bytes] = field(default_factory=dict)
    revealed: str = ""

    def watch(self, folder: Path, done: threading.Event) -> None:
        """Keep a copy of every temporary file, also of those that are gone again at once."""
        while not done.wait(0.01):
            for path in folder.rglob("*"):
                try:
                    if path.is_file():
                        self.temporary[str(path.relative_to(folder))] = path.read_bytes()
                except OSError:
                    continue


@pytest.fixture(scope="module")
def journey() -> Iterator[Journey]:
    with (
        tempfile.TemporaryDirectory(prefix="kith-", ignore_cleanup_errors=True) as name,
        Receiver() as receiver,
    ):
        folder = Path(name)
        folder.chmod(0o755)  # the embedded server has a user of its own
        (folder / "tmp").mkdir()
        write_declaration(folder, declared(receiver.url))
        write_sources(folder)
        inbound_marks.write_keys(folder)
        home = folder / "home"
        shell = Shell(folder, None, home, {"TMPDIR": str(folder / "tmp")})
        shell.run("init")
        # Held open here, so that the server does not start and stop with every command.
        engine = sa.create_engine(embedded.start(home / "postgres"))
        made, done = Journey(shell, receiver, engine), threading.Event()
        watcher = threading.Thread(target=made.watch, args=(folder / "tmp", done))
        watcher.start()
        try:
            walk(made)
            yield made
        finally:
            done.set()
            watcher.join()
            engine.dispose()
            embedded.stop(home / "postgres")


def walk(journey: Journey) -> None:
    """The whole way; what may show a marked value is kept apart."""
    shell = journey.shell
    shell.run_all(
        ("source", "check"),
        ("source", "preview", "till"),
        ("source", "preview", "app"),
    )
    shell.run("source", "sync")
    shell.run_all(("source", "sync"), ("source", "rejects"), ("source", "rejects", "--json"))
    shell.run("identity", "resolve")
    inbound_marks.send_all(shell)
    shell.run_all(("source", "events"), ("source", "events", "--tally", "--json"))
    profile = profile_of_the_person(journey)
    till, app = f"till:{PERSON['card']}", f"app:{ACCOUNT['openid']}"
    shell.run_all(
        *(("profile", "show", profile, "--as", who)
          for who in ("clerk", "other", "manager", "headquarters", "compliance")),
        ("profile", "show", profile, "--as", "clerk", "--json"),
        ("profile", "reveal", profile, "phone", "--as", "clerk", "--reason", REASON),
        ("profile", "reveal", profile, "national_id", "--as", "manager", "--reason", REASON),
        ("identity", "explain", till, app),
        ("identity", "explain", till, f"app:{PERSON['phone']}"),
        ("profile", "show", PERSON["phone"], "--as", "clerk"),
    )  # fmt: skip
    shell.run("tag", "run")
    shell.run("publish", "run")
    shell.run_all(("audit", "who", profile), ("audit", "verify"))
    words = ("profile", "reveal", profile, "phone", "--as", "manager", "--reason", REASON)
    journey.revealed = shell.run(*words, "--json").json["value"]
    shell.history.pop()  # the one permitted clear value
    with journey.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))
        connection.execute(sa.text("CHECKPOINT"))


def profile_of_the_person(journey: Journey) -> str:
    """The profile with the marked person's till record: the first row of the first source."""
    member = schema.membership
    first = sa.select(sa.func.min(schema.record.c.id)).scalar_subquery()
    with journey.engine.connect() as connection:
        return str(
            connection.scalar(sa.select(member.c.profile_id).where(member.c.record_id == first))
        )


# ── the marks are looked for ────────────────────────────────────────────────


def test_the_journey_was_a_whole_one(journey: Journey) -> None:
    """The marked values really went in: cells, rejects, indexes, a reveal and deliveries exist."""
    assert journey.revealed.endswith(PERSON["phone"])
    with journey.engine.connect() as connection:
        reasons = {
            (row.field, row.rule)
            for row in connection.execute(sa.select(schema.reject.c.field, schema.reject.c.rule))
        }
        fields = set(connection.scalars(sa.select(schema.blind_index.c.field)))
        cells = {f for row in connection.scalars(sa.select(schema.contact.c.fields)) for f in row}
        kept = {f for row in connection.scalars(sa.select(schema.sensitive.c.fields)) for f in row}
    assert {"name", "phone", "email", "national_id", "birth_date", ""} <= {f for f, _ in reasons}
    assert {"phone", "email", "national_id", "unionid", "loyalty_card"} <= fields
    assert {"name", "phone", "note", "nickname", "remark", "address", "birth_date"} <= cells
    assert {"national_id", "bank_card"} <= kept
    assert {"raw_told", "anonymous_id"} <= cells
    sent = [one.code for one in journey.shell.history if one.arguments[0] == "inbound"]
    assert [sent.count(status) for status in (200, 400, 401, 403)] == [4, 4, 4, 3]
    assert journey.receiver.accepted
    assert (journey.shell.folder / "exports" / "weekly.csv").stat().st_size > 0


def test_no_table_holds_a_marked_value(journey: Journey) -> None:
    """No column of any table, identity and audit included, holds a value in any form."""
    heap = marks.database(journey.engine)
    assert {"table kith.edge", "table kith.audit_event", "table kith_vault.contact"} <= set(heap)
    assert heap["table kith.audit_event"]
    assert marks.search(heap, marks.needles(everything_marked())) == []


def test_no_command_prints_a_marked_value(journey: Journey) -> None:
    """Neither results nor words, nor errors, nor what clerks see, show a value."""
    heap = {f"{place}: {' '.join(o.arguments[:2])}": (o.out + o.err).encode()
            for place, o in enumerate(journey.shell.history)}  # fmt: skip
    assert len(heap) > 20
    assert marks.search(heap, marks.needles(everything_marked())) == []
    assert all("Traceback" not in outcome.err for outcome in journey.shell.history)


def test_no_file_of_the_workspace_holds_a_marked_value(journey: Journey) -> None:
    """Key ring, exports, the server's log, its write-ahead log and its data files hold none."""
    heap = marks.files(journey.shell.home)
    assert any("pg_wal" in name for name in heap)
    assert any(name.endswith("/log") for name in heap)
    assert marks.search(heap, marks.plain_needles(everything_marked())) == []


def test_no_temporary_file_holds_a_marked_value(journey: Journey) -> None:
    """Whatever stood in TMPDIR while commands ran, for however short a time, holds none."""
    left = marks.files(journey.shell.folder / "tmp")
    heap = journey.temporary | left
    assert marks.search(heap, marks.needles(everything_marked())) == []


def test_what_is_published_holds_contracted_fields_alone(journey: Journey) -> None:
    """A destination without names gets none; the one with names and phones gets only those."""
    got = {"tagger": b"", "mailer": b""}
    for one in journey.receiver.received:
        text = json.dumps(dict(one.headers)).encode() + one.body
        got["mailer" if b'"phone"' in one.body else "tagger"] += text
    assert got["mailer"]
    assert got["tagger"]
    heap = {"tagger": got["tagger"],
            "weekly": (journey.shell.folder / "exports" / "weekly.csv").read_bytes()}  # fmt: skip
    assert marks.search(heap, marks.needles(everything_marked())) == []
    contracted = {PERSON["name"], PERSON["phone"], ACCOUNT["remark"], ASIDE["phone"]}
    others = [value for value in everything_marked() if value not in contracted]
    assert marks.search({"mailer": got["mailer"]}, marks.needles(others)) == []
    assert marks.search({"mailer": got["mailer"]}, marks.needles([PERSON["phone"]]))


# ── and they would be found ─────────────────────────────────────────────────

PLANTS = {
    "text": lambda v: v.encode(),
    "inside a line": lambda v: f"prefix {v} suffix".encode(),
    "json": lambda v: json.dumps({"x": v}).encode(),
    "hex": lambda v: v.encode().hex().encode(),
    "reversed hex": lambda v: v.encode()[::-1].hex().encode(),
    "reversed": lambda v: v[::-1].encode(),
    "gb18030": lambda v: v.encode("gb18030"),
    "base64": lambda v: marks.base64.b64encode(v.encode()),
    "base64 inside": lambda v: marks.base64.b64encode(b"ab" + v.encode() + b"tail"),
    "sha256": lambda v: next(c for n, c in marks._hashes(v) if n == "sha256 hex"),
}


@pytest.mark.parametrize("form", PLANTS)
@pytest.mark.parametrize("value", [PERSON["phone"], PERSON["name"], PERSON["email"], ID_NUMBER])
def test_the_search_finds_a_planted_mark(form: str, value: str) -> None:
    """The search can fail: a value planted in any of these forms is found."""
    heap = {"planted": b"...." + PLANTS[form](value) + b"....", "clean": b"nothing here"}
    found = marks.search(heap, marks.needles([value]))
    assert found
    assert all(line.startswith("planted") for line in found)


@pytest.mark.parametrize("column", ["text", "bytea", "jsonb", "array"])
def test_the_search_finds_a_mark_planted_in_a_table(engine: sa.Engine, column: str) -> None:
    """Text, bytes, JSON and arrays of every table are looked through."""
    value = PERSON["name"]
    kinds: dict[str, tuple[str, Any]] = {
        "text": ("text", value),
        "bytea": ("bytea", value.encode()),
        "jsonb": ("jsonb", json.dumps({"a": [value]})),
        "array": ("text[]", [value]),
    }
    kind, planted = kinds[column]
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA forgotten"))
        connection.execute(sa.text(f"CREATE TABLE forgotten.notes (x {kind})"))
        connection.execute(sa.text("INSERT INTO forgotten.notes VALUES (:x)"), {"x": planted})
    found = marks.search(marks.database(engine), marks.needles([value]))
    assert any(line.startswith("table forgotten.notes") for line in found)


def test_the_search_finds_a_mark_planted_in_a_file(tmp_path: Path) -> None:
    """Files in folders, and their names, are looked through."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log.1").write_text(f"x {PERSON['phone']}", encoding="utf-8")
    (tmp_path / PERSON["card"]).touch()
    found = marks.search(marks.files(tmp_path), marks.needles([PERSON["phone"], PERSON["card"]]))
    assert len({line.split(":")[0] for line in found}) == 2
