"""Charts: classes only, a title and a description, the same bytes for the same numbers, nothing outside the frame."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from reports import charts
from reports.svg import Drawing, Scale, num, ticks

_FRAC = st.floats(0.3, 1.05)
_PP = st.floats(-5, 12)
BAD = "<script>alert('x')</script> & \"q\""


def _fan(n: int = 11, bend: float = 0.015) -> list[charts.FanPoint]:
    mids = [0.93 - bend * y for y in range(n)]
    return [charts.FanPoint(2.0 + y, m - 0.04, m - 0.02, m, m + 0.02, m + 0.03) for y, m in enumerate(mids)]


def _interval(low: float, a: float, b: float) -> charts.Interval:
    x, y, z = sorted((low, a, b))
    return charts.Interval("row", x, y, z)


EVERY: dict[str, Callable[[str], Markup]] = {
    "range_bar": lambda s: charts.range_bar("a", 0.91, 0.89, 0.93, 0.7, s, s, s),
    "capacity_fan": lambda s: charts.capacity_fan("a", _fan(), 0.7, 8.0, [charts.Reading(1, 0.98, 0.01)], s, s, s),
    "paired": lambda s: charts.paired_differences("a", [charts.Interval(s, -0.1, 0.5, 1.2, True)], s, s, s, s),
    "breach": lambda s: charts.breach_bars("a", [charts.Interval(s, 0.01, 0.02, 0.05)], s, s),
    "habit": lambda s: charts.habit_bars("a", [charts.Bar(s, 0.4, True)], s, s),
    "frontier": lambda s: charts.frontier_scatter("a", [charts.Dot(s, 200, 1, 0.2, 2)], s, s, s, s),
    "histogram": lambda s: charts.histogram("a", [0.7, 0.8, 0.9, 1.0], [1, 5, 2], s, s, s, 0.7),
    "period": lambda s: charts.period_bars("a", [charts.Interval("2026Q1", 0, 10, 30)], s, s, s),
    "age": lambda s: charts.age_scatter("a", [charts.Reading(3, 0.9, 0)], [0.7], s, s, s),
}


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_chart_is_described_escaped_and_unstyled(name: str) -> None:
    svg = str(EVERY[name](BAD))
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own text
    assert root.attrib["role"] == "img"
    ids = root.attrib["aria-labelledby"].split()
    assert [root[0].tag, root[1].tag] == ["title", "desc"]
    assert [root[0].attrib["id"], root[1].attrib["id"]] == ids
    assert root[0].text == BAD
    assert "<script" not in svg
    assert not re.search(r"\s(style|fill|stroke|on\w+)=", svg)
    assert svg == str(EVERY[name](BAD))


@pytest.mark.parametrize("empty", ["fan", "paired", "breach", "habit", "frontier", "period", "age"])
def test_empty_charts_do_not_fail(empty: str) -> None:
    made: dict[str, Any] = {
        "fan": lambda: charts.capacity_fan("a", [], 0.7, 8, [], "t", "d"),
        "paired": lambda: charts.paired_differences("a", [], "t", "d", "l", "r"),
        "breach": lambda: charts.breach_bars("a", [], "t", "d"),
        "habit": lambda: charts.habit_bars("a", [], "t", "d"),
        "frontier": lambda: charts.frontier_scatter("a", [], "t", "d", "x", "y"),
        "period": lambda: charts.period_bars("a", [], "t", "d", "y"),
        "age": lambda: charts.age_scatter("a", [], [0.7], "t", "d", "x"),
    }
    ElementTree.fromstring(str(made[empty]()))  # noqa: S314 - our own text


def _inside(svg: Markup) -> None:
    root = ElementTree.fromstring(str(svg))  # noqa: S314 - our own text
    width, height = (float(x) for x in root.attrib["viewBox"].split()[2:])
    for e in root.iter():
        for key, limit in (("x", width), ("x1", width), ("x2", width), ("cx", width), ("y", height), ("cy", height)):
            if key in e.attrib:
                assert -0.5 <= float(e.attrib[key]) <= limit + 0.5, (e.tag, e.attrib)
        for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", e.attrib.get("d", "")):
            assert -0.5 <= float(x) <= width + 0.5
            assert -0.5 <= float(y) <= height + 0.5


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(_PP, _PP, _PP), min_size=1, max_size=12), st.floats(0, 20), st.floats(0.2, 0.95))
def test_marks_stay_inside_the_frame(rows: list[tuple[float, float, float]], age: float, floor: float) -> None:
    intervals = [_interval(*r) for r in rows]
    _inside(charts.paired_differences("a", intervals, "t", "d", "l", "r"))
    _inside(charts.capacity_fan("a", _fan(), floor, age, [charts.Reading(age, floor, 0.02)], "t", "d"))
    _inside(charts.range_bar("a", floor, floor - 0.05, floor + 0.04, 0.7, "t", "d", "limit"))
    _inside(
        charts.frontier_scatter("a", [charts.Dot("p", r[0], r[1], *sorted(r[1:])) for r in rows], "t", "d", "x", "y")
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(10, 380), st.floats(40, 240)), min_size=1, max_size=14))
def test_numbers_of_dots_never_cover_each_other_and_stay_in_the_frame(points: list[tuple[float, float]]) -> None:
    got = charts.apart(points, (10, 380), (40, 240))
    assert got[0] == points[0] and all(10 <= x <= 380 and 40 <= y <= 240 for x, y in got)
    assert all(math.dist(a, b) >= 17.0 for a, b in itertools.combinations(got, 2))
    alone = [all(math.dist(p, q) > 160 for j, q in enumerate(points) if j != i) for i, p in enumerate(points)]
    assert all(p == q for p, q, free in zip(points, got, alone, strict=True) if free)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_inside_increasing_and_few(low: float, span: float) -> None:
    marks = ticks(low, low + span, 5)
    assert all(b > a for a, b in itertools.pairwise(marks))
    assert len(marks) <= 12
    assert all(low - 1e-6 * max(span, abs(low)) <= m <= low + span + 1e-6 * max(span, abs(low)) for m in marks)


def test_zero_line_and_intervals_stand_where_the_numbers_are() -> None:
    svg = str(charts.paired_differences("a", [charts.Interval("r", -1.0, 0.0, 1.0)], "t", "d", "l", "r"))
    zero = float(re.search(r'class="zero" x1="([\d.]+)"', svg).group(1))  # pyright: ignore[reportOptionalMemberAccess]
    dot = float(re.search(r'cx="([\d.]+)"', svg).group(1))  # pyright: ignore[reportOptionalMemberAccess]
    assert zero == dot == pytest.approx(charts.WIDTH / 2)


def test_ranges_of_readings_are_whole_and_no_line_crosses_the_limits_name() -> None:
    wide = charts.Reading(1.0, 0.98, 0.08)
    svg = str(charts.capacity_fan("a", _fan(), 0.7, 8.0, [wide], "t", "d"))
    found = re.search(r'"whisker" x1="[\d.]+" y1="([\d.]+)" x2="[\d.]+" y2="([\d.]+)"/><circle.*?cy="([\d.]+)"', svg)
    assert found is not None
    below, above, middle = (float(y) for y in found.groups())
    assert below - middle == pytest.approx(middle - above, abs=0.3)
    assert svg.index('class="today"') < svg.index("warranty limit 70")


def test_golden_chart() -> None:
    d = Drawing("g", "T", "D", 10, 5)
    d.line(0, 0, 1.26, 2, "grid")
    d.text(1, 2, "a<b", "note", "end")
    assert str(d.render()) == (
        '<svg class="chart" viewBox="0 0 10 5" role="img" aria-labelledby="g-t g-d"><title id="g-t">T</title>'
        '<desc id="g-d">D</desc><line class="grid" x1="0" y1="0" x2="1.3" y2="2"/>'
        '<text class="note end" x="1" y="2">a&lt;b</text></svg>'
    )


def test_scale_and_numbers() -> None:
    s = Scale(0, 10, 100, 200)
    assert s(5) == 150
    assert s(-3) == 100
    assert s(99) == 200
    assert num(-0.04) == "0"
    assert not any(math.isnan(s(v)) for v in (0, 10))
