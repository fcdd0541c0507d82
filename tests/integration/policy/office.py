"""A retailer whose policy changes: its people, its policy in folders, and a hand in the tables."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cdp.access.policy_changes import PolicyChanges
from cdp.access.principals import subject_of
from cdp.policy import content
from cdp.storage.engine import open_engine
from cdp.workspace import Workspace, create, open_workspace
from policies.decision import Subject
from tests.journeys import tills

NOW = dt.datetime(2026, 5, 4, 9, 30, tzinfo=dt.UTC)
WHY = "Ticket 4711"
PEOPLE = [
    {"id": "operator", "role": "operator", "node": "kith"},
    {"id": "officer", "role": "compliance", "node": "kith"},
    {"id": "deputy", "role": "compliance", "node": "kith"},
    {"id": "Deputy", "role": "compliance", "node": "kith"},
    {"id": "office", "role": "headquarters", "node": "kith"},
    {"id": "clerk", "role": "clerk", "node": "BJ01"},
]
WIDER = (
    "p, clerk, read, gender, clear, service, allow",
    "p, clerk, read, postcode, clear, service, allow",
)
HIDDEN = ("p, clerk, read, contact, mask, service, allow", "")


def edited(*changes: tuple[str, str], file: str = "policy.csv", text: str | None = None) -> str:
    """The text of a policy with lines replaced: a new line is added behind, an empty one drops."""
    files = dict(content.files(text or content.shipped()))
    for old, new in changes:
        assert old in files[file]
        files[file] = files[file].replace(old, f"{old}\n{new}" if new else "")
    return content._CANONICAL.encode({"format": content.FORMAT, "files": files})


def wider() -> str:
    """Clerks also see the postcode."""
    return edited(WIDER)


def narrower() -> str:
    """Clerks see no contact data."""
    return edited(HIDDEN)


class Office:
    """A workspace as `cdp init` makes it, on a database of its own; one that is `begun` is opened.

    What it has of the house, its key ring above all, lies in ``home`` of its folder.
    """

    def __init__(
        self, folder: Path, database_url: str, *, anew: bool = False, begun: bool = False
    ) -> None:
        people = {"principals": PEOPLE}
        tills.write_declaration(folder, tills.declaration(**people))
        self.settings = tills.settings(folder, database_url)
        self.clock = NOW
        if begun:
            self.workspace = open_workspace(self.settings, lambda: self.clock)
        else:
            self.workspace = create(self.settings, lambda: self.clock, anew=anew)

    @property
    def engine(self) -> sa.Engine:
        """Of the workspace."""
        return self.workspace.engine

    def process(self, **more: Any) -> Workspace:
        """Another process on the same workspace."""
        return open_workspace(self.settings, lambda: self.clock, **more)

    def by(self, who: str, workspace: Workspace | None = None) -> PolicyChanges:
        """What somebody may do to the policy, in a process of their own."""
        used = workspace or self.process()
        return PolicyChanges(used, subject_of(used, who))

    def change(self, text: str, proposed_by: str = "operator", approved_by: str = "officer") -> int:
        """Put a policy in force, by two persons; return the serial."""
        return self.change_in(self.process(), text, proposed_by, approved_by)

    def change_in(
        self,
        workspace: Workspace,
        text: str,
        proposed_by: str = "operator",
        approved_by: str = "officer",
    ) -> int:
        """As `change`, in a process that is there."""
        proposal = self.by(proposed_by, workspace).propose(text, WHY)
        return self.by(approved_by, workspace).approve(proposal.id, proposal.version).serial

    def sql(self, text: str, given: Mapping[str, Any] | None = None) -> list[Any]:
        """What an administrator of the database does, or sees."""
        with self.engine.begin() as connection:
            done = connection.execute(sa.text(text), given or {})
            return list(done) if done.returns_rows else []

    def forced(self, text: str) -> None:
        """What an administrator does whom no constraint stops."""
        with self.engine.begin() as connection:
            connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
            connection.execute(sa.text(text))

    def events(self) -> list[tuple[str, str, str, str]]:
        """Actor, action, decision and reason of every event about the policy."""
        found = self.sql("SELECT line::jsonb AS line FROM kith.audit_event ORDER BY id")
        parts = ("actor", "action", "decision", "reason")
        return [
            tuple(one.line[part] for part in parts)
            for one in found
            if one.line["action"].startswith("policy.")
        ]

    def close(self) -> None:
        """End every connection of its own."""
        self.workspace.engine.dispose()


def sees(workspace: Workspace, field: str, who: Subject | None = None) -> str:
    """How a clerk of BJ01 sees a field of their own member."""
    clerk = who or Subject("clerk", "clerk", "BJ01")
    found = workspace.policy.decide(clerk, "read", field, "service", frozenset({"BJ01"}))
    return found.treatment.word


__all__ = ["NOW", "PEOPLE", "WHY", "Office", "edited", "narrower", "open_engine", "sees", "wider"]
