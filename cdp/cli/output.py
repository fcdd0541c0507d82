"""What a command prints: results to stdout, words to stderr, tables for people, JSON for tools."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from cdp.errors import Stop

WIDTH = 118  # of tables where the output is no terminal


def results() -> Console:
    """Where results go."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH)


def say(words: str) -> None:
    """Tell the person something that is not a result. ``words`` may hold markup."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(words)


def all_open(broken: Iterable[int], count: int) -> None:
    """End with an error if a job met records that do not open.

    Args:
        broken: ids of the first of them.
        count: how many there are.
    """
    if count:
        raise Stop(
            "records_do_not_open",
            "restore these records from a backup, or sync their sources again",
            count=count,
            records=", ".join(map(str, broken)),
        )


def visible(text: str) -> str:
    """Text in which what does not show is written out as Python escapes it; lines stay lines.

    What moves a cursor, wipes a line or turns the reading round could hide what stands beside it.
    """
    text = text.replace("\r\n", "\n")
    if text.replace("\n", "").isprintable():
        return text
    return "".join(one if one == "\n" or one.isprintable() else _written_out(one) for one in text)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def plain(text: str) -> str:
    """Text with nothing read as markup, and nothing in it that does not show."""
    return escape(visible(text))


def as_json(content: Any) -> None:
    """Print one JSON document; what does not show stands in it as JSON writes it out."""
    text = json.dumps(content, ensure_ascii=False, indent=2, default=str)
    if not text.replace("\n", "").isprintable():
        text = "".join(
            one if one == "\n" or one.isprintable() else json.dumps(one)[1:-1] for one in text
        )
    # Straight to stdout: a console would wrap long lines.
    print(text)  # noqa: T201


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; numbers stand to the right."""
    drawn = Table(
        title=visible(title), title_justify="left", title_style="bold", header_style="bold"
    )
    content = [list(row) for row in rows]
    for place, name in enumerate(header):
        numeric = bool(content) and all(isinstance(row[place], int | float) for row in content)
        drawn.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in content:
        drawn.add_row(*(_cell(value) for value in row))
    results().print(drawn)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return plain("" if value is None else str(value))


class Steps:
    """Progress of long work: one line at a time, with rate and time left where known."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def rows(self, name: str, done: int, expected: int | None) -> None:
        """Report ``done`` of ``expected`` rows of ``name``."""
        self._progress.update(self._task, description=name, completed=done, total=expected)

    def of(self, name: str) -> Callable[[int, int | None], None]:
        """A reporter for the rows of ``name``."""
        return lambda done, expected: self.rows(name, done, expected)

    def step(self, name: str) -> None:
        """Report that ``name`` began."""
        self._progress.reset(self._task, total=None, description=name)


@contextmanager
def steps() -> Iterator[Steps]:
    """Show progress on stderr while the block runs, and clear it afterwards."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        yield Steps(progress)


class _Rate(ProgressColumn):
    """Rows per second, once known."""

    def render(self, task: Task) -> Text:
        """Draw the rate of one task."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")
