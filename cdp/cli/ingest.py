"""``cdp ingest``: rows that another tool writes to standard output.

Standard output is the sender's: states go back to it there, each once its rows are committed.
What a person reads goes to standard error.
"""

import json
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from cdp.cli import output, session
from cdp.erasure.departing import Departing
from cdp.ingest.feed_sync import Following, sync_feed
from connectors.base import State
from connectors.declaration import SourceDeclaration
from connectors.streams.airbyte import AirbyteMessages
from connectors.streams.debezium import DebeziumMessages
from connectors.streams.pipe import lines_of
from connectors.streams.plain import PlainMessages
from connectors.streams.singer import SingerMessages
from connectors.streams.stream_feed import Messages, StreamFeed

app = typer.Typer(help="Take in what another tool writes to standard output.", no_args_is_help=True)
Source = Annotated[str, typer.Option("--source", help="A source of cdp.yaml: whose rows come.")]


_TOLD = (
    "read", "added", "changed", "unchanged", "deleted", "superseded", "rejected", "set_aside",
    "shredded", "passed_over",
)  # fmt: skip


@app.command()
def singer(
    source: Source,
    all_may_go: Annotated[
        bool,
        typer.Option(help="Follow a version that lacks over half of the records before it."),
    ] = False,
    as_json: session.Json = False,
) -> None:
    """Messages of a Singer tap; states go to standard output: tap | cdp ingest singer.

    Example: tap-crm | cdp ingest singer --source crm
    """
    _ingest(SingerMessages, source, as_json=as_json, all_may_go=all_may_go)


@app.command()
def airbyte(source: Source, as_json: session.Json = False) -> None:
    """Messages of an Airbyte source; its STATE messages go to standard output.

    Example: source-crm read | cdp ingest airbyte --source crm
    """
    _ingest(AirbyteMessages, source, as_json=as_json)


@app.command()
def debezium(source: Source, as_json: session.Json = False) -> None:
    """Change events of Debezium, a line each; deletions and tombstones included.

    Example: consumer | cdp ingest debezium --source crm
    """
    _ingest(DebeziumMessages, source, as_json=as_json)


@app.command()
def jsonl(source: Source, as_json: session.Json = False) -> None:
    """JSON objects, one row a line.

    Example: cdp ingest jsonl --source crm < members.jsonl
    """
    _ingest(PlainMessages, source, as_json=as_json)


def _ingest(
    read: Callable[[SourceDeclaration], Messages],
    name: str,
    *,
    as_json: bool,
    all_may_go: bool = False,
) -> None:
    workspace = session.workspace()
    declaration = workspace.declaration.source(name)
    messages = read(declaration)
    feed = StreamFeed(name, messages, lines_of(sys.stdin.fileno()))

    def give_back(state: State) -> None:
        sent = messages.state_as_sent(state)
        if sent is not None:
            sys.stdout.write(f"{sent}\n")
            sys.stdout.flush()

    how = Following(departures=Departing(), hear=give_back, resumes=False, all_may_go=all_may_go)
    report = sync_feed(workspace, declaration, feed, how)
    told = report.to_dict() | {"passed_over": feed.passed_over}
    if as_json:
        sys.stderr.write(f"{json.dumps(told)}\n")
    else:
        counts = ", ".join(f"{one.replace('_', ' ')} {told[one]:,}" for one in _TOLD if told[one])
        output.say(f"Took in {name}: {counts or 'nothing came'}.")
        for one in report.findings:
            said = f"{one.subject}: {one.rule} ({one.action}); next: {one.next_step}"
            output.say(output.plain(said))
        output.say("Next: cdp identity resolve" if not report.nothing_new else "Nothing changed.")
    if report.read and report.rejected == report.read:
        raise typer.Exit(1)
