"""From a declared destination to the connector that serves it."""

from dataclasses import replace

from cdp.errors import Stop
from cdp.publish.contract import Contract
from cdp.workspace import Workspace, utc_now
from connectors.base import Destination
from connectors.destination_declaration import DestinationDeclaration
from connectors.destinations.csv_file import CsvFileDestination
from connectors.destinations.webhook import WebhookDestination
from connectors.record import Sensitive


def open_destination(
    workspace: Workspace, declared: DestinationDeclaration, contract: Contract
) -> Destination:
    """Return the destination, ready; nothing is sent or written yet.

    A table has a column for each field that is sent, and none for one that is withheld.

    Raises:
        Stop: no connector of that name.
        connectors.errors.Stop: the address or the secret cannot be used.
    """
    if declared.connector == "webhook":
        return WebhookDestination(
            declared,
            [signing_secret(workspace, declared.name)],
            clock=utc_now,  # receivers refuse an old timestamp by their own clock
            origin=f"/kith/{workspace.id}",
        )
    if declared.connector == "csv_file":
        narrowed = replace(declared, fields=contract.fields)
        return CsvFileDestination(narrowed, workspace.declaration.folder)
    raise Stop("unknown_connector", "use webhook or csv_file", destination=declared.name)


def signing_secret(workspace: Workspace, name: str) -> Sensitive:
    """Return what the receiver of a webhook verifies signatures with, ``whsec_`` and base64.

    Show it once, to the one who configures the receiver.

    Raises:
        Stop: no such destination, or it signs nothing.
    """
    declared = workspace.declaration.destinations.get(name)
    if declared is None or declared.secret is None:
        known = [d.name for d in workspace.declaration.destinations.values() if d.secret]
        raise Stop("no_signed_destination", f"name one of: {', '.join(known)}", destination=name)
    return Sensitive(workspace.keyring.webhook_secret(declared.secret))


def is_present(workspace: Workspace, declared: DestinationDeclaration) -> bool:
    """Say whether the file of a table destination is there."""
    return (workspace.declaration.folder / declared.location).exists()
