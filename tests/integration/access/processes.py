"""Processes of every role on the database of one shop."""

from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from cdp.access.by_parts import PartsGate
from cdp.access.principals import subject_of
from cdp.ingest.remask import RemaskReport, remask
from cdp.settings import Settings
from cdp.vault.roles import ProcessRole
from cdp.workspace import Workspace, open_workspace
from tests.integration.access.shop import Shop, fields_of
from tests.integration.retailer import NOW

Fields = dict[str, tuple[str, str]]


@dataclass
class Process:
    """One process: its workspace, its gate, and what people ask of it."""

    workspace: Workspace

    @property
    def gate(self) -> PartsGate:
        """The gate of this process."""
        return PartsGate(self.workspace)

    def view(self, who: str, profile_id: str) -> Fields | None:
        """What ``who`` sees of one person."""
        with self.workspace.engine.begin() as connection:
            subject = subject_of(self.workspace, who)
            return fields_of(self.gate.view(connection, subject, profile_id, "service"))

    def reveal(self, who: str, profile_id: str, field: str):
        """A reveal with a reason."""
        with self.workspace.engine.begin() as connection:
            subject, reason = subject_of(self.workspace, who), "Call back about ticket 4711"
            return self.gate.reveal(connection, subject, profile_id, field, "service", reason)

    def sql(self, text: str) -> list[sa.Row]:
        """What the database gives this process for a statement of its own."""
        with self.workspace.engine.connect() as connection:
            return list(connection.execute(sa.text(text)))


def settings_of(shop: Shop, home: Path | None = None) -> Settings:
    """Settings that lead another process to the shop's database."""
    url = shop.engine.url.render_as_string(hide_password=False)
    settings = shop.retailer.workspace.settings
    return replace(settings, database_url=url, home=home or settings.home)


def process(shop: Shop, role: ProcessRole, home: Path | None = None) -> Process:
    """Start another process in its role."""
    return Process(open_workspace(settings_of(shop, home), lambda: NOW, role=role))


def masked(shop: Shop) -> RemaskReport:
    """Make the masked forms of every record of the shop."""
    return remask(shop.retailer.workspace, lambda *_: None)
