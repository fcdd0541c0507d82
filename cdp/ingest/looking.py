"""A source, looked at before anything is read in: what its reader finds, and what nobody mapped."""

from cdp.ingest.guessing import undeclared
from cdp.ingest.values import Reading
from connectors.base import Feed, Finding, Level, Source
from connectors.declaration import SourceDeclaration
from connectors.errors import Stop
from connectors.table import Tabular


def looked_at(
    source: Source | Feed, declaration: SourceDeclaration, reading: Reading
) -> list[Finding]:
    """What a check finds, and a warning for each column of personal data that is no field.

    A column that is an attribute is no field either: attributes are stored as they are, open to
    whoever reads the database.
    """
    found = source.check()
    if not isinstance(source, Tabular) or any(one.level is Level.ERROR for one in found):
        return found
    attributes = {spec.column for spec in declaration.attributes.values()}
    fields = {c for specs in declaration.fields.values() for spec in specs for c in spec.columns}
    read = set(declaration.columns()) - (attributes - fields)
    try:
        return found + undeclared(source.table(), read, reading)
    except Stop as stop:
        return [*found, Finding(Level.ERROR, stop.rule, declaration.name, stop.next_step)]
