"""From profiles to what a destination gets of them, in memory and many at a time.

Invariants, each named by a test in ``tests/integration/publish``:

1. The data of a person has exactly the fields of the contract; what is not known is null.
2. Values, numbers and stores come only from records whose own consent covers the purpose.
3. Who is not included is not rendered, and none of their cells is opened.
4. What was rendered shows in no ``repr`` and is never stored: only its keyed digest is.

Tags are the exception to 2 that cannot be helped: a tag is one word about the whole person.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.access import showing
from cdp.access.answers import View
from cdp.access.rows import inside
from cdp.profiles import reader
from cdp.publish.contract import Contract
from cdp.storage.schema import profile
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from connectors.record import Raw
from connectors.vocabulary import IDENTITY_FIELDS
from policies.vocabulary import FieldClass

PART: Final = 500  # people rendered together


@dataclass(frozen=True, slots=True)
class Rendered(Raw):
    """One person as the destination gets them."""

    profile_id: str
    data: Mapping[str, object] = field(repr=False)
    shown: tuple[str, ...]  # the fields that hold something: what the audit event names
    digest: bytes


class Renderer:
    """Renders for one contract. Any number of threads may use it."""

    def __init__(self, workspace: Workspace, contract: Contract) -> None:
        self._workspace = workspace
        self._contract = contract
        self._keys = RecordKeys(workspace.keyring)
        self._open = showing.to_open(contract.treatments)

    def render(self, connection: sa.Connection, ids: Collection[str]) -> dict[str, Rendered]:
        """Return those of ``ids`` that are included now, in their order.

        Raises:
            KithError: a cell does not open; see the vault.
        """
        contract, trust = self._contract, self._workspace.declaration.trust
        people = [
            one
            for one in reader.load_many(connection, ids, trust).values()
            if contract.includes(one)
        ]
        vault = self._workspace.vault
        opened = reader.open_many(connection, vault, people, self._open, contract.purpose)
        tags = reader.tags_of(connection, [one.id for one in people])
        masker = self._workspace.policy.masker
        terms = showing.Terms(contract.purpose, contract.treatments, masker)
        rendered = {}
        for one in people:
            seen = showing.view(one, opened.get(one.id, {}), tags.get(one.id, {}), terms)
            data = {name: _value(seen, name) for name in contract.fields}
            rendered[one.id] = Rendered(one.id, data, _shown(data), self.digest(data))
        return rendered

    def digest(self, data: Mapping[str, object]) -> bytes:
        """Return the keyed digest of a body under this contract, 16 bytes."""
        text = json.dumps(data, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
        body = f"{self._contract.terms}\n{text}".encode()
        return self._keys.published_digest(self._contract.destination, body)


def _value(seen: View, name: str) -> object:
    if name in IDENTITY_FIELDS:
        shown = seen.fields.get(name)
        return shown.value if shown else None
    parts: dict[str, object] = {
        FieldClass.PROFILE_ID: seen.profile_id,
        FieldClass.ATTRIBUTES: dict(seen.attributes),
        FieldClass.TAGS: dict(seen.tags),
        FieldClass.STORES: list(seen.stores),
    }
    return parts[name]


def _shown(data: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(sorted(name for name, value in data.items() if value not in (None, {}, [])))


# ── who is included ─────────────────────────────────────────────────────────


def consenting(contract: Contract) -> sa.ColumnElement[bool]:
    """The people for whom the purpose holds, whether or not they are in the scope."""
    return profile.c.purposes.contains(sa.literal([contract.purpose], ARRAY(sa.Text)))


def included(contract: Contract) -> sa.ColumnElement[bool]:
    """What `Contract.includes` says, as a row filter."""
    return sa.and_(inside(contract.scope), consenting(contract))


def count_not_consenting(connection: sa.Connection, contract: Contract) -> int:
    """Count the people in the scope for whom the purpose does not hold."""
    statement = sa.select(sa.func.count()).where(inside(contract.scope), ~consenting(contract))
    return connection.scalar(statement) or 0


def included_parts(connection: sa.Connection, contract: Contract) -> Iterator[list[str]]:
    """Yield the ids of everybody included, 500 at a time, in alphabetical order."""
    after = ""
    while True:
        statement = (
            sa.select(profile.c.id)
            .where(included(contract), profile.c.id > after)
            .order_by(profile.c.id)
            .limit(PART)
        )
        ids = list(connection.scalars(statement))
        if ids:
            yield ids
        if len(ids) < PART:
            return
        after = ids[-1]
