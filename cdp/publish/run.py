"""Publish to the declared destinations: the command behind ``cdp publish run``.

Invariants, each named by a test in ``tests/integration/publish``:

1. One publisher for a destination at a time; a second one is refused.
2. A bad destination does not stop or slow another: each has its own thread, connections
   and report.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from cdp.errors import KithError, Stop
from cdp.publish.contract import Contract, Withheld
from cdp.publish.deliver import Courier, Progress, World
from cdp.publish.plan import Planned, contract_for, plan
from cdp.publish.receivers import is_present, open_destination
from cdp.publish.retry import Pace
from cdp.publish.table import TableRun
from cdp.storage.locks import only_one
from cdp.workspace import Workspace
from connectors.base import TableDestination
from connectors.errors import ConnectorError

_NOTHING = Planned(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class PublishReport:
    """How publishing to one destination went."""

    destination: str
    connector: str
    planned: Planned = _NOTHING
    fields: tuple[str, ...] = ()  # what is sent
    withheld: tuple[Withheld, ...] = ()  # what is declared and not sent, and why
    delivered: int = 0  # messages accepted, or rows written
    removed: int = 0  # of the messages: told to forget
    failed_attempts: int = 0
    parked: int = 0  # given up in this run
    left: int = 0  # queued, for the next run
    stopped: str | None = None  # what has to be put right first; None: all went well


@dataclass(frozen=True, slots=True)
class Publisher:
    """What a run uses beside the workspace; the defaults are for real work."""

    pace: Pace = field(default_factory=Pace)
    world: World = field(default_factory=World)


def run(
    workspace: Workspace,
    destination_names: Sequence[str] | None = None,
    progress: Progress | None = None,
    publisher: Publisher | None = None,
) -> list[PublishReport]:
    """Plan and deliver to the named destinations, or to all, in the order given.

    What goes wrong at one destination is in its report (``stopped``).

    Raises:
        Stop: a name that is not declared, or no destination at all; nothing is sent.
    """
    declared = workspace.declaration.destinations
    names = list(dict.fromkeys(declared if destination_names is None else destination_names))
    unknown = [name for name in names if name not in declared]
    if unknown or not names:
        known = ", ".join(declared) or "none yet; write one under destinations"
        raise Stop(
            "no_such_destination",
            f"name a declared destination: {known}",
            destination=unknown[0] if unknown else None,
        )
    # One policy for the whole run; what is made when first needed is made before threads want it.
    workspace = workspace.pinned()
    used = publisher or Publisher()
    with ThreadPoolExecutor(len(names), thread_name_prefix="destination") as pool:
        return list(pool.map(lambda name: _publish(workspace, name, progress, used), names))


def _publish(
    workspace: Workspace, name: str, progress: Progress | None, publisher: Publisher
) -> PublishReport:
    declared = workspace.declaration.destinations[name]
    report = PublishReport(name, declared.connector)
    step = "wait until it has ended, then publish again"
    try:
        with only_one(workspace.engine, f"publish {name}", step):
            with workspace.engine.begin() as connection:
                workspace.check_ledger(connection)
            contract = contract_for(workspace, name)
            destination = open_destination(workspace, declared, contract)
            if isinstance(destination, TableDestination):
                return _table(workspace, contract, destination, progress)
            try:
                return _messages(
                    workspace,
                    Courier(
                        workspace, contract, destination, publisher.pace, publisher.world, progress
                    ),
                )
            finally:
                destination.close()
    except (KithError, ConnectorError) as error:
        return PublishReport(report.destination, report.connector, stopped=str(error))


def _messages(workspace: Workspace, courier: Courier) -> PublishReport:
    contract = courier.contract
    with workspace.engine.begin() as connection:
        planned = plan(connection, workspace, contract.destination, workspace.now())
    done = courier.deliver()
    return PublishReport(
        destination=contract.destination,
        connector=workspace.declaration.destinations[contract.destination].connector,
        planned=planned,
        fields=contract.fields,
        withheld=contract.withheld,
        delivered=done.messages,
        removed=done.removed,
        failed_attempts=done.failed_attempts,
        parked=done.parked,
        left=done.left,
        stopped=done.stopped,
    )


def _table(
    workspace: Workspace,
    contract: Contract,
    destination: TableDestination,
    progress: Progress | None,
) -> PublishReport:
    declared = workspace.declaration.destinations[contract.destination]
    table = TableRun(workspace, contract, destination, workspace.now())
    planned, written = table.publish(present=is_present(workspace, declared))
    if progress:
        progress(contract.destination, written, written)
    return PublishReport(
        destination=contract.destination,
        connector=declared.connector,
        planned=planned,
        fields=contract.fields,
        withheld=contract.withheld,
        delivered=written,
    )
