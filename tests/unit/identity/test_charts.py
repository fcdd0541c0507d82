"""Charts are files of their own that show what they were given."""

import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import charts, drawing
from identity.sweep import Row, Sweep

SVG = "{http://www.w3.org/2000/svg}"
NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'
HOSTILE = '"><script>alert(1)</script><a href="x" onload=\'y\'>&amp;\x00\x1b\ud800 张三'
bits = st.floats(-60, 60)
names = st.text(max_size=20)


def waterfall(label="phone", found="same number", given_bits=12.4):
    steps = (charts.Step(label, found, given_bits), charts.Step("birth date", "differs", -4.2))
    return charts.waterfall(label, [charts.Waterfall(f"pair of {label}", -13.25, steps)])


def weights(label="phone", found="same number"):
    levels = [charts.Weight(found, 13.5, 0.9, 0.00007), charts.Weight("differs", -3.2, 0.1, 0.93)]
    return charts.weights(label, {label: levels})


def thresholds(label="sweep", shares=((0.9, 0.99), (0.95, 0.9), (0.99, 0.4))):
    rows = [
        Row(float(at), p, r, 2 * p * r / (p + r) if p + r else 0.0, 0.9, None, 0.0, 5)
        for at, (p, r) in enumerate(shares)
    ]
    return charts.thresholds(label, Sweep(tuple(rows)))


EVERY = (waterfall, weights, thresholds)


def parsed(made):
    return ET.fromstring(made)  # noqa: S314 - made here, a line above


def texts(svg):
    return [element.text or "" for element in parsed(svg).iter(f"{SVG}text")]


def is_closed(svg):
    """No script, no handler, no address: nothing is fetched and nothing runs."""
    rest = svg.replace(NAMESPACE, "", 1)
    assert not re.search(r"https?:|url\(|@import|data:", rest)
    allowed = {"svg", "title", "desc", "style", "rect", "text", "polyline", "circle", "polygon"}
    for element in parsed(svg).iter():
        assert element.tag.removeprefix(SVG) in allowed
        assert not [a for a in element.attrib if a.startswith("on") or "href" in a or a == "style"]


@pytest.mark.parametrize("chart", EVERY)
def test_a_chart_needs_nothing_else(chart):
    """A chart parses as XML and holds no script and no reference (drawing, invariant 1)."""
    is_closed(chart())


@pytest.mark.parametrize("chart", EVERY)
def test_a_hostile_label_is_shown_as_text(chart):
    """Markup in a label is text, and what XML cannot hold is U+FFFD (drawing, invariant 2)."""
    svg = chart(HOSTILE)
    is_closed(svg)
    shown = re.sub("[\x00\x1b\ud800]", "\ufffd", HOSTILE)
    assert shown in texts(svg)
    assert parsed(svg).find(f"{SVG}title").text == shown


@pytest.mark.parametrize("chart", EVERY)
def test_the_same_input_gives_the_same_file(chart):
    """A chart drawn twice is the same text (drawing, invariant 3)."""
    assert chart() == chart()


@pytest.mark.parametrize("chart", EVERY)
def test_a_chart_can_be_read_without_seeing_it(chart):
    """Title and description are named by the picture; the description holds the figures."""
    root = parsed(chart())
    title, told = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.get("aria-labelledby").split() == [title.get("id"), told.get("id")]
    assert root.get("role") == "img"
    assert title.text
    figures = {"waterfall": "-4.20", "weights": "m 0.9, u 7e-05", "thresholds": "recall 0.400"}
    assert figures[chart.__name__] in told.text


def test_a_waterfall_names_each_step_and_its_bits():
    """Prior, every comparison and the sum stand there with their bits."""
    shown = texts(waterfall())
    for text in ("any two records", "-13.25", "phone", "same number", "+12.40", "birth date",
                 "differs", "-4.20", "together", "-5.05"):  # fmt: skip
        assert text in shown


def test_a_waterfall_starts_where_the_step_before_ended():
    """Bars hang together: each begins where the one before ended, the sum begins at zero."""
    pair = charts.Waterfall("x", -10.0, (charts.Step("a", "", 20.0), charts.Step("b", "", -5.0)))
    root = parsed(charts.waterfall("x", [pair]))
    bars = [r for r in root.iter(f"{SVG}rect") if r.get("class") in {"for", "against"}]
    spans = [(float(b.get("x")), float(b.get("x")) + float(b.get("width"))) for b in bars]
    (low, zero), (start, high), (back, top), (origin, end) = spans
    assert (start, top, origin, end) == pytest.approx((low, high, zero, back))
    assert [b.get("class") for b in bars] == ["against", "for", "against", "for"]
    assert (high - low) / (zero - low) == pytest.approx(2, abs=0.01)


def test_a_chain_shows_each_pair_and_no_pair_says_so():
    """Two links are two waterfalls in one picture; without a link the picture says so."""
    pairs = [charts.Waterfall(f"pair {at}", -9.0, ()) for at in range(2)]
    assert {"pair 0", "pair 1"} <= set(texts(charts.waterfall("chain", pairs)))
    assert "Nothing joins these two records." in texts(charts.waterfall("none", []))


def test_a_weight_chart_names_levels_with_m_and_u():
    """Each level stands there with its bits, m and u."""
    epoch = {"comparisons": {"name": [{"level": "equal", "m": 0.8, "u": 0.1}]}}
    assert charts.weights_of(epoch) == {"name": [charts.Weight("equal", 3.0, 0.8, 0.1)]}
    shown = texts(charts.weights("Epoch", charts.weights_of(epoch)))
    assert {"name", "equal", "+3.00", "m 0.8, u 0.1"} <= set(shown)
    is_closed(charts.weights("empty", {}))


def test_a_sweep_chart_tells_lines_apart_without_colour():
    """Each line has its own dashes, its own points and its name at the end."""
    svg = thresholds()
    root = parsed(svg)
    drawn = [p for p in root.iter(f"{SVG}polyline") if p.get("stroke-width") == "2.5"]
    assert len({p.get("stroke-dasharray") for p in drawn}) == len(drawn) == 3
    assert {"precision 0.990", "recall 0.400", "F1 0.570"} <= set(texts(svg))
    assert len(list(root.iter(f"{SVG}circle"))) == len(list(root.iter(f"{SVG}polygon"))) == 3
    assert "best F1 0.943 at 0 bits" in texts(svg)


@pytest.mark.parametrize("shares", [[(1, 1)], [(0, 0)], [(1, 0), (1, 0)]])
def test_a_sweep_of_one_threshold_or_of_extremes_is_drawn(shares):
    """One threshold, all right and all wrong are charts too, with places that are numbers."""
    svg = thresholds(shares=shares)
    is_closed(svg)
    assert not re.search(r"\b(nan|inf)\b", svg)


@settings(max_examples=60, deadline=None)
@given(label=names, found=names, value=bits | st.sampled_from([math.inf, -math.inf]))
def test_any_label_and_any_bits_can_be_drawn(label, found, value):
    """Whatever a label holds and however strong a weight is, the file is sound."""
    for svg in (waterfall(label, found, value), weights(label, found)):
        is_closed(svg)
        root = parsed(svg)
        far = float(root.get("width"))
        for drawn in root.iter(f"{SVG}rect"):
            assert 0 <= float(drawn.get("x", 0)) <= far


def contrast(one, other):
    """The contrast of two colours, as WCAG 2.2 defines it."""

    def light(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("shade", [0, 1], ids=["light", "dark"])
def test_charts_can_be_read_on_light_and_on_dark(shade):
    """Text has a contrast of 4.5 or more, bars and lines of 3 or more, in both themes."""
    paper = drawing.COLOURS["paper"][shade]
    for name, least in {"ink": 4.5, "quiet": 4.5, "for": 3, "against": 3, "third": 3}.items():
        assert contrast(drawing.COLOURS[name][shade], paper) >= least, name


def test_a_page_forbids_scripts_and_escapes_its_tables():
    """A page carries its own policy, and a cell is text."""
    made = drawing.page(HOSTILE, [drawing.table("t", ["a"], [[HOSTILE], [0.5], [1234], [None]])])
    assert "<script" not in made
    assert "default-src 'none'" in made
    root = parsed(made.removeprefix("<!DOCTYPE html>\n"))
    cells = [cell.text for cell in root.iter("td")]
    assert cells[1:] == ["0.500", "1,234", None]
    assert "\x00" not in made
