"""Pictures and pages as text: what every chart is drawn with.

Invariants:
    1. A file needs nothing else: no script, no picture, no font, no address of anything.
    2. Text is data: whatever a label holds, it is shown as it stands and never read as
       markup. A character that XML cannot hold is shown as U+FFFD.
    3. The same input gives the same text.

Colours are those of Okabe and Ito, which people with any kind of colour vision can tell
apart; each chart says the same again by place, shape or words. Every element carries its
light colour, and a style sheet exchanges it where the reader prefers dark.
"""

import html
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SIZE = 13  # of text, in units of the picture
_NARROW, _WIDE = 0.6, 1.05  # width of a letter, as a share of its height
# class -> colour on white, colour on black.
COLOURS = {
    "paper": ("#ffffff", "#14161a"),
    "ink": ("#1b1b1b", "#f0f0f0"),
    "quiet": ("#595959", "#b4b4b4"),
    "rule": ("#c4c4c4", "#4a4a4a"),
    "for": ("#0072b2", "#56b4e9"),
    "against": ("#d55e00", "#f0884a"),
    "third": ("#00795a", "#2fc79a"),
}
_PAGE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1b1b1b;background:#ffffff}"
    "table{border-collapse:collapse;margin:1rem 0}caption{text-align:left;font-weight:bold}"
    "th,td{padding:.2rem .8rem;border-bottom:1px solid #c4c4c4;text-align:right}"
    "th:first-child,td:first-child{text-align:left}svg{max-width:100%;height:auto}"
    "@media(prefers-color-scheme:dark){body{color:#f0f0f0;background:#14161a}"
    "th,td{border-color:#4a4a4a}}"
)
_POLICY = (
    '<meta http-equiv="Content-Security-Policy"'
    " content=\"default-src 'none'; style-src 'unsafe-inline'\"/>"
)


def plain(text: str) -> str:
    """Text that markup can hold, in an element or an attribute."""
    return html.escape(_NOT_XML.sub("\ufffd", text))


def width(text: str, size: float = _SIZE) -> float:
    """About how wide a text is drawn; a Chinese character takes the place of two letters."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return size * (wide * _WIDE + (len(text) - wide) * _NARROW)


def number(value: float) -> str:
    """A coordinate."""
    return f"{value:.1f}".removesuffix(".0")


def signed(bits: float) -> str:
    """Bits as they are shown: always with a sign."""
    return f"{bits:+.2f}" if math.isfinite(bits) else ("+∞" if bits > 0 else "-∞")


def words(
    x: float, y: float, text: str, *, colour: str = "ink", anchor: str = "start", size: int = _SIZE
) -> str:
    """One line of text; ``y`` is its baseline."""
    return (
        f'<text x="{number(x)}" y="{number(y)}" font-size="{size}" text-anchor="{anchor}"'
        f' class="{colour}" fill="{COLOURS[colour][0]}">{plain(text)}</text>'
    )


def bar(x: float, y: float, end: float, height: float, colour: str) -> str:
    """A horizontal bar from ``x`` to ``end``, in either direction; never too thin to see."""
    return (
        f'<rect x="{number(min(x, end))}" y="{number(y)}" width="{number(max(abs(end - x), 1))}"'
        f' height="{number(height)}" class="{colour}" fill="{COLOURS[colour][0]}"/>'
    )


def rule(x1: float, y1: float, x2: float, y2: float, *, dash: str = "") -> str:
    """A thin line that guides the eye."""
    return line([(x1, y1), (x2, y2)], "rule", dash=dash, thick=1)


def line(
    points: Iterable[tuple[float, float]], colour: str, *, dash: str = "", thick: float = 2.5
) -> str:
    """A line through points."""
    places = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<polyline points="{places}" fill="none" class="{colour}-line"'
        f' stroke="{COLOURS[colour][0]}" stroke-width="{number(thick)}"{dashes}/>'
    )


def picture(name: str, title: str, told: str, size: tuple[float, float], body: str) -> str:
    """A whole SVG picture.

    Args:
        name: letters only; makes the ids of the picture's parts unlike those of others.
        title: what it shows, as a heading.
        told: everything it shows, in words and numbers, for who cannot see it.
        size: width and height.
        body: elements.
    """
    across, down = (number(side) for side in size)
    light = "".join(f".{c}{{fill:{v[0]}}}.{c}-line{{stroke:{v[0]}}}" for c, v in COLOURS.items())
    dark = "".join(f".{c}{{fill:{v[1]}}}.{c}-line{{stroke:{v[1]}}}" for c, v in COLOURS.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across} {down}" width="{across}"'
        f' height="{down}" role="img" aria-labelledby="{name}-title {name}-told"'
        ' font-family="system-ui, sans-serif">\n'
        f'<title id="{name}-title">{plain(title)}</title>\n'
        f'<desc id="{name}-told">{plain(told)}</desc>\n'
        f"<style>{light}@media(prefers-color-scheme:dark){{{dark}}}</style>\n"
        f'<rect width="{across}" height="{down}" class="paper" fill="{COLOURS["paper"][0]}"/>\n'
        f"{body}\n</svg>\n"
    )


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of a page; a float is shown with three places."""
    lines = [f"<table><caption>{plain(caption)}</caption>"]
    lines.append(_row("th", header))
    lines += [_row("td", [shown(value) for value in row]) for row in rows]
    return "\n".join([*lines, "</table>"])


def shown(value: object) -> str:
    """A value of a table."""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


def paragraph(text: str) -> str:
    """A paragraph of a page."""
    return f"<p>{plain(text)}</p>"


def page(title: str, parts: Iterable[str]) -> str:
    """A whole HTML page of parts that were made here; the policy in it forbids scripts."""
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>',
            _POLICY,
            '<meta name="viewport" content="width=device-width"/>',
            '<meta name="color-scheme" content="light dark"/>',
            f"<title>{plain(title)}</title>\n<style>{_PAGE}</style>\n</head>\n<body>",
            f"<h1>{plain(title)}</h1>",
            *parts,
            "</body>\n</html>\n",
        )
    )


def _row(cell: str, texts: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{plain(text)}</{cell}>" for text in texts) + "</tr>"
