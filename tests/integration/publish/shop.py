"""A retailer with a receiver at the other end, and a destination in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
import yaml

from cdp.demo.receiver import Receiver
from cdp.profiles.build import rebuild
from cdp.publish.deliver import Courier
from cdp.publish.plan import Planned, contract_for, plan
from cdp.publish.receivers import open_destination
from cdp.publish.retry import Pace
from cdp.publish.run import Publisher, PublishReport, run
from cdp.storage import schema
from cdp.workspace import Workspace, utc_now
from connectors.base import Message
from tests.integration.retailer import TRUST, Retailer

PHONE, OTHER, LEGACY = "+8613911112222", "+8613733334444", "+8613655556666"
QUICK = Publisher(Pace(base=0.001, cap=0.01, patience=5.0))
UPDATED, REMOVED = "kith.profile.updated.v1", "kith.profile.removed.v1"


@dataclass
class Shop:
    """A retailer with a receiver at the other end."""

    retailer: Retailer
    receiver: Receiver
    workspace: Workspace
    opened: list[Any] = field(default_factory=list)

    @property
    def engine(self) -> sa.Engine:
        """The database."""
        return self.workspace.engine

    def publish(self, *names: str, publisher: Publisher = QUICK) -> PublishReport:
        """Publish to one destination."""
        return run(self.workspace, names or ("crm",), None, publisher)[0]

    def plan(self, name: str = "crm") -> Planned:
        """Plan alone."""
        with self.engine.begin() as connection:
            return plan(connection, self.workspace, name, self.workspace.now())

    def person(self, name: str, phone: str = PHONE, **more: Any) -> str:
        """Add a person of one record."""
        number = self.retailer.record("pos", {"name": name, "phone": phone}, **more)
        return self.retailer.person(number)

    def change(self, statement: sa.Executable, *profiles: str) -> None:
        """Change records, then their profiles."""
        with self.engine.begin() as connection:
            connection.execute(statement)
            rebuild(connection, TRUST, profiles, self.workspace.now())

    def refuse(self, profile_id: str, purpose: str = "marketing") -> None:
        """Let a person refuse a purpose in every record."""
        members = sa.select(schema.membership.c.record_id).where(
            schema.membership.c.profile_id == profile_id
        )
        self.change(
            sa.update(schema.record)
            .where(schema.record.c.id.in_(members))
            .values(refused=[purpose], purposes=["service"]),
            profile_id,
        )

    def rows(self, table: sa.Table) -> list[Any]:
        """Every row of a table."""
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(table).order_by(*table.primary_key.columns)))

    def courier(self, destination: Any = None, **parts: Any) -> Courier:
        """A courier to the crm, or to another destination in its place."""
        contract = contract_for(self.workspace, "crm")
        declared = self.workspace.declaration.destinations["crm"]
        used = destination or open_destination(self.workspace, declared, contract)
        self.opened.append(used)
        return Courier(self.workspace, contract, used, **{"pace": QUICK.pace, **parts})


def declare(retailer: Retailer, change: Callable[[dict[str, Any]], None]) -> Workspace:
    """The workspace anew, after ``change`` to its cdp.yaml."""
    path = retailer.workspace.settings.declaration
    content = yaml.safe_load(path.read_text("utf-8"))
    change(content)
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), "utf-8")
    return Workspace(
        retailer.workspace.settings, retailer.engine, retailer.workspace.keyring, utc_now
    )


class Recorder:
    """A destination in memory; ``fails`` decides what becomes of each message."""

    name = "crm"

    def __init__(self, fails: Callable[[Message], BaseException | None] = lambda _: None) -> None:
        self.sent: list[Message] = []
        self._fails = fails

    def deliver(self, message: Message) -> None:
        """Keep the message, and fail as told."""
        self.sent.append(message)
        error = self._fails(message)
        if error is not None:
            raise error

    def close(self) -> None:
        """Nothing to close."""
