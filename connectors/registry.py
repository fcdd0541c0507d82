"""Connector names, as a declaration writes them, and the classes that serve them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from connectors.declaration import SourceDeclaration
from connectors.destinations.csv_file import CsvFileDestination
from connectors.destinations.webhook import WebhookDestination
from connectors.errors import Stop
from connectors.sources.csv_file import CsvFileSource
from connectors.sources.json_lines import JsonLinesSource
from connectors.sources.local_file import FileSource
from connectors.sources.spreadsheet import SpreadsheetSource

SOURCES: Final[Mapping[str, type[FileSource]]] = {
    "csv": CsvFileSource,
    "jsonl": JsonLinesSource,
    "xlsx": SpreadsheetSource,
}

DESTINATIONS: Final[Mapping[str, type[WebhookDestination] | type[CsvFileDestination]]] = {
    "webhook": WebhookDestination,
    "csv_file": CsvFileDestination,
}


def open_source(declaration: SourceDeclaration, folder: Path) -> FileSource:
    """The source of a declaration; ``folder`` is that of cdp.yaml. Reads nothing yet.

    Raises:
        Stop: when no connector has the declared name.
    """
    serving = SOURCES.get(declaration.connector)
    if serving is None:
        step = f"Use one of: {', '.join(sorted(SOURCES))}."
        raise Stop(declaration.name, "unknown_connector", step, field="connector")
    return serving(declaration, folder)
