"""What commands print: `cdp/cli/output.py`."""

import io
import json

import pytest
from rich.console import Console

from cdp.cli import output

# Each could hide from a reader what stands beside it, or make it look like something else.
TRICKS = {
    "wipes the screen": "\x1b[2J\x1b[H",
    "one character back": "narrower\b\b\b",
    "to the start of the line": "WIDER\rnarrower",
    "of eight bits": "\x9b2K",
    "delete": "a\x7fb",
    "the other way round": "\u202ewider\u202c",
    "nothing to see": "a\u200bb\u2060c\ufeff",
    "another line": "a\u2028b\u2029c\x85d\x0be",
    "a link": "\x1b]8;;https://example.com\x1b\\here\x1b]8;;\x1b\\",
    "half a pair": "a\ud800b",
    "of no language": "a\U000e0041b",
}


@pytest.mark.parametrize("text", TRICKS.values(), ids=TRICKS)
def test_what_does_not_show_is_written_out(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Cells, titles, words and JSON hold printable characters and line ends, whatever is told."""
    output.table(f"About {text}", ("what", "is"), [("says", text), (text, "policy")])
    output.say(output.plain(text))
    output.results().print(output.plain(f"one\n{text}"), soft_wrap=True)
    output.as_json({"says": text, text: ["policy"]})
    printed = capsys.readouterr()
    for line in (printed.out + printed.err).split("\n"):
        assert line.isprintable(), ascii(line)
    document = printed.out[printed.out.index("{") :]
    assert json.loads(document) == {"says": text, text: ["policy"]}


@pytest.mark.parametrize("text", ["张敏 13.5 €", "one\ntwo", "é", "朝阳店 👍", "[not markup]"])
def test_what_shows_is_left_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of any script, signs and lines stay what they are."""
    assert output.visible(text) == text
    output.as_json(text)
    output.say(output.plain(text))
    printed = capsys.readouterr()
    assert json.loads(printed.out) == text
    assert printed.err == f"{text}\n"


def test_lines_of_windows_are_lines() -> None:
    """A file with such line ends is shown line by line."""
    assert output.visible("a\r\nb\rc") == "a\nb\\rc"


def test_progress_has_a_rate_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long work says what it is at, how fast it goes, and how long it will still take."""
    clock = iter(range(0, 10_000, 10))
    drawn = io.StringIO()
    with output.steps() as steps:
        progress = steps._progress
        monkeypatch.setattr(progress, "get_time", lambda: float(next(clock)))
        report = steps.of("till")
        for done in (0, 1_000, 2_000):
            report(done, 12_000)
        monkeypatch.setattr(progress, "get_time", lambda: 100.0)
        Console(file=drawn, width=150).print(progress.get_renderable())
    shown = drawn.getvalue()
    assert "till" in shown
    assert "2000/12000" in shown
    assert "100/s" in shown
    assert "0:01:40" in shown  # 10,000 rows are left


def test_progress_of_unknown_length_has_a_rate_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stream has no end that is known: what came is told, and how fast."""
    clock = iter(range(0, 10_000, 10))
    drawn = io.StringIO()
    with output.steps() as steps:
        progress = steps._progress
        monkeypatch.setattr(progress, "get_time", lambda: float(next(clock)))
        for done in (0, 500, 1_000):
            steps.rows("feed", done, None)
        monkeypatch.setattr(progress, "get_time", lambda: 100.0)
        Console(file=drawn, width=150).print(progress.get_renderable())
    assert "50/s" in drawn.getvalue()
    assert "1000/?" in drawn.getvalue()
