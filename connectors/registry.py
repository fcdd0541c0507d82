"""Connector names, as a declaration writes them, and the classes that serve them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from connectors.base import Feed, Source
from connectors.credentials import Credentials, Lookup, refuse
from connectors.declaration import SourceDeclaration
from connectors.destinations.csv_file import CsvFileDestination
from connectors.destinations.webhook import WebhookDestination
from connectors.errors import Stop
from connectors.installed import INSTALLED, open_installed
from connectors.sources.csv_file import CsvFileSource
from connectors.sources.http_feed import HttpFeed
from connectors.sources.json_lines import JsonLinesSource
from connectors.sources.local_file import FileSource
from connectors.sources.parquet import ParquetSource
from connectors.sources.piped import PipedFeed
from connectors.sources.spreadsheet import SpreadsheetSource
from connectors.sources.sql_feed import SqlFeed
from connectors.sources.topic_feed import TopicFeed

SOURCES: Final[Mapping[str, type[FileSource]]] = {
    "csv": CsvFileSource,
    "jsonl": JsonLinesSource,
    "parquet": ParquetSource,
    "tsv": CsvFileSource,
    "xlsx": SpreadsheetSource,
}

FEEDS: Final[Mapping[str, Callable[[SourceDeclaration, Credentials], Feed]]] = {
    "http": HttpFeed,
    "kafka": TopicFeed,
    "piped": PipedFeed,
    "sql": SqlFeed,
}

DESTINATIONS: Final[Mapping[str, type[WebhookDestination] | type[CsvFileDestination]]] = {
    "webhook": WebhookDestination,
    "csv_file": CsvFileDestination,
}


def open_source(
    declaration: SourceDeclaration, folder: Path, lookup: Lookup = refuse
) -> Source | Feed:
    """The source of a declaration, a file or a feed. Reads nothing yet, and fetches no secret.

    Args:
        declaration: of the source.
        folder: that of cdp.yaml.
        lookup: fetches the secrets that the declaration refers to; by default none can be had.

    Raises:
        Stop: when no connector has the declared name.
    """
    credentials = Credentials(declaration.name, declaration.credentials, lookup)
    if declaration.connector in FEEDS:
        return FEEDS[declaration.connector](declaration, credentials)
    if declaration.connector == INSTALLED:
        return open_installed(declaration, folder, credentials)
    if declaration.inbound is not None or declaration.hook is not None:
        step = "Nothing is read from it: point the sender at Kith, and run cdp serve."
        raise Stop(declaration.name, "rows_are_sent", step, field="connector")
    serving = SOURCES.get(declaration.connector)
    if serving is None:
        step = f"Use one of: {', '.join([*sorted({*SOURCES, *FEEDS}), INSTALLED])}."
        raise Stop(declaration.name, "unknown_connector", step, field="connector")
    return serving(declaration, folder, credentials)
