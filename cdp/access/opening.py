"""What is opened so that people can be shown, and no more.

Invariants, each named by a test in ``tests/integration/access/test_masked_tier.py``:

1. What is shown masked is opened from its masked form, where it has one of the masks in force;
   its clear value is then not opened. A process with all keys does no different.
2. Without such a form, who holds the key of the clear value opens and masks it. Who does not
   shows ``***``: never an error, and never more.
3. A process that lacks the key of a clear value shows nobody more of it than the mask does.
"""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from cdp.access.showing import Treatments, to_open
from cdp.profiles import reader
from cdp.profiles.reader import StoredProfile
from cdp.vault.forms import AT_COUNTER
from cdp.workspace import Workspace
from connectors.record import Sensitive
from connectors.vocabulary import SENSITIVE_FIELDS
from policies.vocabulary import FieldClass, Treatment

Opened = Mapping[str, Mapping[str, Sensitive | None]]


def holds(workspace: Workspace, field: str) -> bool:
    """Say whether this process can open the clear value of an identity field."""
    return workspace.vault.holds("sensitive" if field in SENSITIVE_FIELDS else "contact")


def within(workspace: Workspace, treatments: Treatments) -> Treatments:
    """Return the treatments that this process can keep to: what it cannot open is masked."""
    lowered = {
        field: Treatment.MASK
        for field in map(FieldClass, to_open(treatments))
        if field not in AT_COUNTER and not holds(workspace, field)
    }
    return {**treatments, **lowered} if lowered else treatments


def opened(
    connection: sa.Connection,
    workspace: Workspace,
    people: Sequence[StoredProfile],
    treatments: Treatments,
    purpose: str,
) -> Opened:
    """Open what the treatments show of these people, the event being written.

    Args:
        connection: in the transaction of the event.
        workspace: whose vault, and whose masks.
        people: as loaded.
        treatments: as `within` gives them.
        purpose: what for.

    Returns:
        {profile id: {field: value or masked form}}; None: there is a value, and ``***`` is
        all that may be shown of it.

    Raises:
        KeyMissing, CellRefused, WrappedKeyRefused, CellGarbled: see the vault.
    """
    asked = to_open(treatments)
    formed = {f for f in asked if f in AT_COUNTER or treatments[FieldClass(f)] is Treatment.MASK}
    givers = {one.id: one.golden_for(purpose) for one in people}
    wanted = {
        profile_id: {field: giver for field, giver in golden.items() if field in formed}
        for profile_id, golden in givers.items()
    }
    found: dict[str, dict[str, Sensitive | None]] = {one.id: {} for one in people}
    if workspace.vault.holds("masked"):
        version = workspace.forms.version
        found |= reader.forms_many(connection, workspace.vault, wanted, version)
    able = [field for field in asked if holds(workspace, field)]
    clear = reader.open_many(connection, workspace.vault, people, able, purpose, found)
    for one in people:
        lacking = {f for f in asked if f in givers[one.id]}.difference(able, found[one.id])
        found[one.id] |= {**dict.fromkeys(lacking), **clear.get(one.id, {})}
    return found
