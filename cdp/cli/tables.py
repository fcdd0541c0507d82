"""``cdp source init --dsn``: a new entry of cdp.yaml, from a table of somebody's database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import typer

from cdp.cli import output, session
from cdp.credentials import SourceSecrets
from cdp.declaration import Declaration
from cdp.errors import Stop
from cdp.ingest.drafting import Wanted, draft, require_questions
from cdp.ingest.following import lines_of
from cdp.ingest.guessing import Guess, guess
from cdp.ingest.storing import reading_under
from cdp.settings import Settings
from cdp.workspace import utc_now
from connectors.credentials import Credentials, parse_credentials
from connectors.declaration_schema import is_identifier
from connectors.record import Raw, Sensitive
from connectors.sources.sql_engine import shows_a_secret
from connectors.sources.sql_sample import sample_of, tables_of

SQL: Final = "sql"
QUESTIONS: Final = frozenset({"record_id", "dsn"})
_SHOWN: Final = 200  # tables
_ASKED: Final = '"<where the address lies, such as env:SOURCE_CRM_DSN>"'
_NEVER: Final = "put the address into a variable and name that: --dsn env:SOURCE_NAME"


@dataclass(frozen=True, slots=True)
class Asked(Raw):
    """One table of one database.

    Attributes:
        settings: of the process.
        dsn: the address, without a password, or where it lies.
        table: with its schema before a dot, where that is not the default one.
        name: of the new source; None: that of the table.
    """

    settings: Settings
    dsn: str = field(repr=False)
    table: str
    name: str | None = field(repr=False)


def asked(
    settings: Settings, dsn: str | None, table: str | None, name: str | None, *, as_json: bool
) -> Asked | None:
    """What a person asks for; None: the tables were listed.

    Raises:
        typer.BadParameter: a table without its database.
    """
    if dsn is None:
        raise typer.BadParameter("say where the database of --table lies: --dsn env:SOURCE_X")
    if table is not None:
        return Asked(settings, dsn, table, name)
    found = tables_of("init", _address(settings, dsn))
    if as_json:
        output.as_json({"tables": list(found)})
        return None
    output.table("Tables and views", ("--table",), [(one,) for one in found[:_SHOWN]])
    if len(found) > _SHOWN:
        output.say(f"And {len(found) - _SHOWN} more.")
    output.say("Next: the same command with --table TABLE")
    return None


def guessed(
    asked: Asked, declared: Declaration, given: Mapping[str, str]
) -> tuple[str, str, Guess]:
    """Draft the entry of a table.

    Args:
        asked: which.
        declared: cdp.yaml, or an empty one.
        given: answers, by name.

    Returns:
        The name of the source, its entry and what was guessed.
    """
    source = asked.name or _name_of(asked.table)
    sample = sample_of(source, _address(asked.settings, asked.dsn), asked.table)
    found = guess(sample.table, reading_under(declared, utc_now().date()))
    there = sample.table.columns
    ids = given["record_id"].split(",") if "record_id" in given else list(sample.key)
    if any(one not in there for one in ids):
        raise Stop("no_such_column", f"name one of: {', '.join(there)}", table=asked.table)
    require_questions(given, declared.identifiers, QUESTIONS)
    reference = given.get("dsn") or (_ASKED if "://" in asked.dsn else asked.dsn)
    more = tuple(lines_of(asked.table, sample.kinds, sample.filled, reference))
    wanted = Wanted(source, SQL, "", ",", ids, given, more)
    return source, draft(wanted, sample.table, found, declared.identifiers), found


def _name_of(table: str) -> str:
    last = table.rpartition(".")[2].lower()
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in last)
    if not is_identifier(name):
        raise Stop("name_needed", "give the source a name: --name NAME")
    return name


def _address(settings: Settings, dsn: str) -> Sensitive:
    """The address itself; only one without a password may stand on the command line.

    Raises:
        Stop: it shows a password, or is neither an address nor a reference.
    """
    if "://" in dsn and not dsn.startswith(("env:", "file:", "ring:")):
        if shows_a_secret(dsn):
            raise Stop("secret_on_the_command_line", f"everybody here can read it: {_NEVER}")
        return Sensitive(dsn)
    references = parse_credentials("init", {"dsn": dsn})
    keyring = session.workspace().keyring if references["dsn"].kind == "ring" else None
    secrets = SourceSecrets(settings, settings.declaration.parent, keyring)
    return Credentials("init", references, secrets).require("dsn")
