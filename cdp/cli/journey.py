"""The main job from end to end: what ``cdp demo`` runs, step by step, and prints."""

import dataclasses
import datetime as dt
import sys
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cdp.access.answers import Denial
from cdp.access.gate import Gate
from cdp.access.principals import subject_of, sync_principals
from cdp.access.reveal_gate import RevealGate
from cdp.audit.log import who_saw
from cdp.cli import output
from cdp.cli.audit import report_to_dict, show_verified, verify_log
from cdp.cli.identity import explain_records, show_explanation
from cdp.cli.measuring import show_evaluation
from cdp.cli.profile import view_rows
from cdp.cli.publish import show_publish
from cdp.cli.source import show_rejects, show_sync
from cdp.cli.tag import show_tags
from cdp.demo import febrl, rule, world
from cdp.demo.people import TODAY
from cdp.demo.receiver import Receiver, count_verified
from cdp.ingest.rejects import count_rejects
from cdp.ingest.side_by_side import sync_all
from cdp.publish import run as publishing
from cdp.resolution.membership import evaluate_against, read_truth
from cdp.resolution.run import resolve
from cdp.settings import Settings
from cdp.storage import schema
from cdp.tags import run as tags
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace, create, discard_demo
from connectors.record import Sensitive
from identity.comparisons import NAME
from identity.evaluate import Evaluation, evaluate

REASON = "member at the counter asks what we hold, ticket D-17"


@dataclass
class Journey:
    """One run of the demo."""

    workspace: Workspace
    receiver: Receiver
    folder: Path
    name: str
    took: dict[str, float] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def begin(cls, settings: Settings, name: str, people: int, seed: int) -> "Journey":
        """Throw an earlier demo away, write the world's files and make a workspace."""
        started = time.perf_counter()
        home = settings.home / "demo"
        settings = dataclasses.replace(settings, home=home, declaration=home / "cdp.yaml")
        discard_demo(settings)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        receiver = Receiver()
        if name == "febrl4":
            febrl.write_febrl(home, receiver.url)
        else:
            world.write_world(home, people, seed, hook=receiver.url)
        made = time.perf_counter()
        # The world has a last day of its own, so that "30 days ago" means the same for ever.
        noon = dt.datetime.combine(TODAY, dt.time(12), dt.UTC)
        workspace = create(settings, _Clock(noon), demo=True)
        with workspace.engine.begin() as connection:
            sync_principals(connection, workspace.declaration, workspace.now())
        journey = cls(workspace, receiver, home, name)
        journey.took["make the world"] = made - started
        journey.took["make the workspace"] = time.perf_counter() - made
        return journey

    def run(self, *, quiet: bool = False) -> dict[str, Any]:
        """Run every step; print each unless ``quiet``. Returns the figures."""
        show: Callable[..., None] = _silent if quiet else _call
        with self.receiver:
            self._sync(show)
            self._resolve(show)
            self._explain(show)
            self._look(show)
            self._reveal(show)
            self._tag(show)
            self._publish(show)
        self._audit(show)
        self.took["in all"] = sum(self.took.values())
        self.result["seconds"] = round(self.took["in all"], 2)
        self.result["steps"] = {name: round(seconds, 2) for name, seconds in self.took.items()}
        rows = list(self.result["steps"].items())
        show(output.table, "How long each step took", ("step", "seconds"), rows)
        where = f"CDP_HOME={self.folder} CDP_CONFIG={self.folder / 'cdp.yaml'}"
        show(output.say, f"Go on in this workspace with: [bold]{where} cdp --help[/]")
        return self.result

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.took[step] = self.took.get(step, 0) + time.perf_counter() - started

    @property
    def telling_field(self) -> str:
        """The field that is revealed: FEBRL has no phones."""
        return "address" if self.name == "febrl4" else "phone"

    # ── the steps, in the order they are printed ────────────────────────────

    def _sync(self, show: Callable[..., None]) -> None:
        with self._timed("read and seal the sources"), _progress() as steps:
            names = list(self.workspace.declaration.sources)
            reports, failed = sync_all(self.workspace, names, steps.of("rows"))
        for error in failed:
            raise error
        with self.workspace.engine.connect() as connection:
            counts = count_rejects(connection)
        show(show_sync, reports)
        show(show_rejects, counts)
        self.result["sources"] = [report.to_dict() for report in reports]

    def _resolve(self, show: Callable[..., None]) -> None:
        with self._timed("find the people"), _progress() as steps:
            report = resolve(self.workspace, progress=steps.step)
        with self._timed("measure against the truth"):
            measured = self._measure()
        show(output.table, "People found", ("what", "number"), list(report.to_dict().items()))
        show(show_evaluation, measured)
        ours = measured["kith"]
        self.result |= {
            "resolve": report.to_dict(),
            "precision": ours.precision,
            "linkable_recall": ours.linkable_recall,
            "evaluation": {name: one.to_dict() for name, one in measured.items()},
        }
        if "same phone or unionid" in measured:
            plain = measured["same phone or unionid"]
            self.result["rule_precision"] = plain.precision
            self.result["rule_linkable_recall"] = plain.linkable_recall

    def _measure(self) -> dict[str, Evaluation]:
        keys, truth = RecordKeys(self.workspace.keyring), self.folder / "truth.csv"
        with self.workspace.engine.connect() as connection:
            measured = {"kith": evaluate_against(connection, keys, truth)}
        if self.name == "retail":
            people, groups = read_truth(truth, keys)
            predicted: dict[Hashable, Hashable] = {
                keys.record_key(*record): cluster
                for record, cluster in rule.rule_clusters(self.folder).items()
            }
            measured["same phone or unionid"] = evaluate(predicted, people, groups)
        return measured

    def _explain(self, show: Callable[..., None]) -> None:
        records = self._telling_records()
        with self._timed("explain, look, reveal"):
            links = explain_records(self.workspace, "headquarters", "service", records)
        show(output.say, "\nWhy two records are one person:")
        show(show_explanation, links)
        self.result["explained"] = [[f.level for f in link.findings] for link in links]

    def _telling_records(self) -> tuple[tuple[int, str], ...]:
        """Two records of one person whose link shows the most kinds of evidence."""
        edge, member = schema.edge, schema.membership
        low, high = member.alias("low"), member.alias("high")
        # A name that only sounds the same tells more than one that is equal.
        differing_name = edge.c.levels[1] == NAME.level_number(1)
        told = sa.func.cardinality(sa.func.array_remove(edge.c.levels, -1))
        statement = (
            sa.select(low.c.record_id, high.c.record_id, low.c.profile_id)
            .join_from(edge, low, low.c.record_id == edge.c.low_id)
            .join(high, high.c.record_id == edge.c.high_id)
            .where(low.c.profile_id == high.c.profile_id)
            .order_by(differing_name.desc(), told.desc(), edge.c.weight, edge.c.low_id)
            .limit(1)
        )
        with self.workspace.engine.connect() as connection:
            one, other, profile_id = connection.execute(statement).one()
        return (one, profile_id), (other, profile_id)

    def _someone(self) -> tuple[str, list[str]]:
        """A well-known member, and who looks at them: the clerk of their store first."""
        declared = self.workspace.declaration
        clerks = [p for p in declared.principals.values() if p.role == "clerk"]
        own, other = clerks[0], clerks[1]
        manager = next(p.id for p in declared.principals.values() if p.role == "manager")
        profile = schema.profile
        statement = (
            sa.select(profile.c.id)
            .where(profile.c.stores == [own.node], profile.c.golden.has_key(self.telling_field))
            .order_by(profile.c.size.desc(), profile.c.id)
            .limit(1)
        )
        with self.workspace.engine.connect() as connection:
            profile_id = connection.scalar(statement)
        return str(profile_id), [own.id, other.id, manager, "headquarters"]

    def _look(self, show: Callable[..., None]) -> None:
        profile_id, viewers = self._someone()
        gate = Gate(self.workspace)
        seen: dict[str, dict[str, str]] = {}
        with self._timed("explain, look, reveal"):
            for viewer in viewers:
                with self.workspace.engine.begin() as connection:
                    subject = subject_of(self.workspace, viewer)
                    view = gate.view(connection, subject, profile_id, "service")
                seen[viewer] = dict(view_rows(view)) if view else {"": "no such member"}
        names = list(dict.fromkeys(name for rows in seen.values() for name in rows if name))
        rows = [(name, *(one.get(name, "") for one in seen.values())) for name in names]
        rows = rows or [("", *("" for _ in seen))]
        answers = ("(answer)", *(one.get("", "shown") for one in seen.values()))
        show(
            output.table,
            f"Profile {profile_id} as each may see it",
            ("field", *seen),
            [answers, *rows],
        )
        self.result["seen"] = {viewer: sorted(one) for viewer, one in seen.items()}

    def _reveal(self, show: Callable[..., None]) -> None:
        profile_id, (clerk, _, manager, _) = self._someone()
        gate, rows = RevealGate(self.workspace), []
        with self._timed("explain, look, reveal"):
            for viewer in (clerk, manager):
                with self.workspace.engine.begin() as connection:
                    subject = subject_of(self.workspace, viewer)
                    answer = gate.reveal(
                        connection, subject, profile_id, self.telling_field, "service", REASON
                    )
                if isinstance(answer, Denial):
                    rows.append((viewer, "refused", f"{answer.reason}: {answer.sentence}"))
                else:
                    rows.append((viewer, "allowed", answer.value))
        events = self._last_events(profile_id)
        show(
            output.table,
            "A reveal refused and a reveal allowed",
            ("who", "answer", "why or what"),
            rows,
        )
        show(
            output.table,
            "The audit events they left",
            ("at", "actor", "action", "decision", "reason", "fields", "reason given"),
            events,
        )
        self.result["reveals"] = [row[1] for row in rows]

    def _last_events(self, profile_id: str) -> list[tuple[str, ...]]:
        with self.workspace.engine.connect() as connection:
            seen = [s.event for s in who_saw(connection, profile_id)]
        return [
            (
                f"{e.at:%H:%M:%S}",
                e.actor,
                e.action,
                e.decision,
                e.reason,
                ", ".join(e.fields),
                e.detail or "",
            )
            for e in seen
            if e.action == "profile.reveal"
        ]

    def _tag(self, show: Callable[..., None]) -> None:
        declared = self.workspace.declaration
        rules = tags.load(declared.folder, declared.sources.values())
        with self._timed("tag"), self.workspace.engine.begin() as connection:
            report = tags.run(connection, rules, self.workspace.now())
        show(show_tags, report)
        self.result["tags"] = {name: dict(values) for name, values in report.tags.items()}

    def _publish(self, show: Callable[..., None]) -> None:
        with self._timed("publish"):
            reports = publishing.run(self.workspace)
        received = self.receiver.accepted
        secret = Sensitive(self.workspace.keyring.webhook_secret("crm"))
        with self._timed("verify what the receiver got"):
            verified = count_verified(received, secret)
        show(show_publish, reports)
        sizes = [len(one.body) for one in received]
        show(
            output.table,
            "What the webhook receiver got",
            ("messages", "signatures verified by an independent library", "bytes", "fields of one"),
            [(len(received), verified, sum(sizes), _fields_of(received))],
        )
        self.result["webhook"] = {"messages": len(received), "verified": verified}

    def _audit(self, show: Callable[..., None]) -> None:
        with self._timed("verify the audit log"):
            report, _ = verify_log(self.workspace)
        show(show_verified, report)
        self.result["audit"] = report_to_dict(report)


class _Clock:
    """The world's last day at noon, going on from there as real time does."""

    def __init__(self, start: dt.datetime) -> None:
        self._start, self._begun = start, time.monotonic()

    def __call__(self) -> dt.datetime:
        return self._start + dt.timedelta(seconds=time.monotonic() - self._begun)


def _fields_of(received: list[Any]) -> str:
    return ", ".join(received[0].event["data"]) if received else ""


def _call(function: Callable[..., None], *arguments: object) -> None:
    function(*arguments)
    sys.stdout.flush()


def _silent(function: Callable[..., None], *arguments: object) -> None:
    del function, arguments


def _progress() -> Any:
    return output.steps()
