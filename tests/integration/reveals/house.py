"""A house where the sensitive tier is revealed: who asks, who approves, what they ask."""

import datetime as dt
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from cdp.access.answers import Denial, Revealed
from cdp.access.principals import subject_of, sync_principals
from cdp.access.reveal_gate import RevealGate
from cdp.access.reveal_states import Act, Request, State
from cdp.access.second_person import Judgement, Listed, SecondPerson
from cdp.storage.schema import record, reveal, reveal_request
from cdp.workspace import Workspace
from tests.integration.access.shop import Shop

REASON = "Points stolen, case 4711"
PEOPLE = [
    {"id": "second", "role": "headquarters", "node": "kith"},
    {"id": "south", "role": "headquarters", "node": "south"},
    {"id": "officer", "role": "compliance", "node": "kith"},
]


class House:
    """A shop with more principals, a clock to set, and everything that reveals can do."""

    def __init__(self, engine: sa.Engine, home: Path) -> None:
        self.shop = Shop(engine, home)
        self.engine = engine
        self.retailer = self.shop.retailer
        self.ada, self.far = self.shop.ada, self.shop.far
        with engine.begin() as connection:  # as sources that declare the purpose fraud
            everybody = sa.func.array_append(record.c.purposes, "fraud")
            connection.execute(sa.update(record).values(purposes=everybody))
        self.declare(principals=[*self.written()["principals"], *PEOPLE])

    @property
    def workspace(self) -> Workspace:
        """The workspace as it is declared now."""
        return self.retailer.workspace

    def written(self) -> dict[str, Any]:
        """``cdp.yaml`` as it stands."""
        text = self.workspace.settings.declaration.read_text(encoding="utf-8")
        written: dict[str, Any] = yaml.safe_load(text)
        return written

    def declare(self, **sections: Any) -> None:
        """Write sections of ``cdp.yaml`` anew and start again."""
        old = self.workspace
        content = {**self.written(), **sections}
        old.settings.declaration.write_text(
            yaml.safe_dump(content, allow_unicode=True), encoding="utf-8"
        )
        self.retailer.workspace = Workspace(old.settings, old.engine, old.keyring, old.now)
        with self.engine.begin() as connection:
            sync_principals(connection, self.workspace.declaration, self.now)

    @property
    def now(self) -> dt.datetime:
        """What the clock shows."""
        return self.retailer.clock

    def later(self, **by: float) -> None:
        """Set the clock forward, or back."""
        self.retailer.clock += dt.timedelta(**by)

    def _asked(self, verb: str, who: str, person: str, field: str, purpose: str) -> Any:
        gate = RevealGate(self.workspace)
        with self.engine.begin() as connection:
            subject = subject_of(self.workspace, who)
            return getattr(gate, verb)(connection, subject, person, field, purpose, REASON)

    def reveal(
        self, who: str, person: str, field: str = "phone", purpose: str = "service"
    ) -> Revealed | Denial:
        """A reveal in a transaction of its own."""
        answer: Revealed | Denial = self._asked("reveal", who, person, field, purpose)
        return answer

    def broken(
        self, who: str, person: str, field: str = "phone", purpose: str = "service"
    ) -> Revealed | Denial:
        """A broken glass in a transaction of its own."""
        answer: Revealed | Denial = self._asked("break_glass", who, person, field, purpose)
        return answer

    def ask(
        self, who: str, person: str, field: str = "national_id", purpose: str = "fraud"
    ) -> Request | Denial:
        """A request in a transaction of its own."""
        answer: Request | Denial = self._asked("request", who, person, field, purpose)
        return answer

    def judge(self, who: str, request_id: str, act: Act, comment="Seen", minutes=None):
        """A judgement in a transaction of its own."""
        with self.engine.begin() as connection:
            subject = subject_of(self.workspace, who)
            judgement = Judgement(act, comment, minutes)
            return SecondPerson(self.workspace).judge(connection, subject, request_id, judgement)

    def withdraw(self, who: str, request_id: str) -> Request | Denial:
        """Take a request back."""
        with self.engine.begin() as connection:
            subject = subject_of(self.workspace, who)
            return SecondPerson(self.workspace).withdraw(connection, subject, request_id)

    def listed(self, who: str, *states: State) -> list[Request]:
        """What somebody's list shows, as far as one answer goes."""
        return list(self.page(who, *states).requests)

    def page(self, who: str, *states: State, after: str | None = None) -> Listed:
        """One answer of somebody's list."""
        with self.engine.begin() as connection:
            subject = subject_of(self.workspace, who)
            found = SecondPerson(self.workspace).listed(connection, subject, states, after)
        assert isinstance(found, Listed), found
        return found

    def granted(self, who: str = "headquarters", by: str = "officer") -> Request:
        """A request for Ada's ID number that was approved."""
        asked = self.ask(who, self.ada)
        assert isinstance(asked, Request), asked
        done = self.judge(by, asked.id, Act.APPROVE)
        assert isinstance(done, Request), done
        return done

    def state(self, request_id: str) -> str:
        """What is stored of a request's state."""
        statement = sa.select(reveal_request.c.state).where(reveal_request.c.id == request_id)
        with self.engine.connect() as connection:
            return str(connection.scalar(statement))

    def rows(self) -> tuple[int, int]:
        """How many reveals and requests are stored."""
        with self.engine.connect() as connection:
            return (
                connection.scalar(sa.select(sa.func.count()).select_from(reveal)) or 0,
                connection.scalar(sa.select(sa.func.count()).select_from(reveal_request)) or 0,
            )

    def events(self) -> list[dict[str, Any]]:
        """The audit log."""
        return self.retailer.events()


def code(answer: object) -> str:
    """The code of a denial; ``shown`` or ``done`` where there is none."""
    if isinstance(answer, Denial):
        return answer.reason
    return "shown" if isinstance(answer, Revealed) else "done"
