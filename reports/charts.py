"""Charts as pure functions: numbers in, one SVG element out. Classes only; ``style.css`` owns every colour.

All charts are drawn 400 units wide, so that their letters stay readable on a phone of 390 px, and carry a title and a
description for those who cannot see them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports import text as t
from reports.svg import Drawing, Scale, padded, ticks

WIDTH = 400.0
MOST_SHOWN = 1.15  # of the range of a reading, in capacities as new


@dataclass(frozen=True)
class FanPoint:
    """Quantiles of capacity [1] at an age [a]."""

    age_years: float
    p10: float
    p25: float
    p50: float
    p75: float
    p90: float


@dataclass(frozen=True)
class Reading:
    """A capacity reading [1] with its standard deviation, at an age [a]."""

    age_years: float
    value: float
    sigma: float


@dataclass(frozen=True)
class Interval:
    """A labelled value with its interval; ``strong`` marks the row to look at."""

    label: str
    low: float
    value: float
    high: float
    strong: bool = False
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """A labelled share."""

    label: str
    value: float
    strong: bool = False


@dataclass(frozen=True)
class Dot:
    """A point of a scatter: benefit, extra fade with its interval."""

    label: str
    x: float
    y: float
    low: float
    high: float
    strong: bool = False


def _x_axis(d: Drawing, sx: Scale, y: float, values: Sequence[float], labels: Sequence[str]) -> None:
    for value, label in zip(values, labels, strict=True):
        d.text(sx(value), y, label, "tick", "middle")


def _clip_label(label: str, characters: int) -> str:
    return label if len(label) <= characters else label[: characters - 1].rstrip() + "…"


def range_bar(
    chart_id: str, value: float, low: float, high: float, floor: float | None, title: str, desc: str, floor_label: str
) -> Markup:
    """One estimate of capacity [1] on a scale, with its interval and the contract's floor."""
    d = Drawing(chart_id, title, desc, WIDTH, 78)
    bottom = min(0.6, *(x - 0.05 for x in (low, floor) if x is not None))
    top = max(1.0, high + 0.01)
    s = Scale(bottom, top, 22, WIDTH - 26)
    d.rect(s(bottom), 30, s(top) - s(bottom), 10, "track", 5)
    d.rect(s(low), 30, s(high) - s(low), 10, "band", 5)
    if floor is not None:
        d.line(s(floor), 22, s(floor), 48, "floor")
        d.text(s(floor), 16, floor_label, "note", "middle" if s(floor) > 60 else "start")
    d.circle(s(value), 35, 7, "dot")
    marks = [v for v in ticks(bottom, top, 5) if bottom <= v <= top]
    _x_axis(d, s, 66, marks, [t.percent(v) for v in marks])
    return d.render()


def capacity_fan(
    chart_id: str,
    fan: Sequence[FanPoint],
    floor: float | None,
    cover_age_years: float | None,
    readings: Sequence[Reading],
    title: str,
    desc: str,
    x_label: str = "years since new",
) -> Markup:
    """Forecast of capacity: bands of 80 and 50 %, median, contract floor, today's mark and past readings."""
    d = Drawing(chart_id, title, desc, WIDTH, 250)
    if not fan:
        d.text(WIDTH / 2, 120, "No forecast", "note", "middle")
        return d.render()
    left, right, top, bottom = 44.0, WIDTH - 12, 22.0, 200.0
    ages = [p.age_years for p in fan]
    levels = [v for p in fan for v in (p.p10, p.p90)] + [r.value for r in readings] + ([floor] if floor else [])
    ends = [r.value + 1.2816 * r.sigma for r in readings]  # cut at the top, a range would look one-sided
    low, high = min(0.65, min(levels) - 0.02), max(1.0, max(levels) + 0.01, min(max(ends, default=0.0), MOST_SHOWN))
    sx, sy = Scale(0.0, max(ages), left, right), Scale(low, high, bottom, top)
    for v in ticks(low, high, 5):
        d.line(left, sy(v), right, sy(v), "grid")
        d.text(left - 6, sy(v) + 4, t.percent(v), "tick", "end")
    for outer, inner, cls in (("p10", "p90", "band"), ("p25", "p75", "band2")):
        upper = [(sx(p.age_years), sy(getattr(p, inner))) for p in fan]
        lower = [(sx(p.age_years), sy(getattr(p, outer))) for p in reversed(fan)]
        d.path(upper + lower, cls, close=True)
    d.path([(sx(p.age_years), sy(p.p50)) for p in fan], "curve")
    if floor is not None:
        end = right if cover_age_years is None else sx(cover_age_years)
        d.line(left, sy(floor), end, sy(floor), "floor")
        if cover_age_years is not None and cover_age_years <= max(ages):
            d.line(end, sy(floor), end, bottom, "floor")
    for r in readings:
        x = sx(r.age_years)
        d.line(x, sy(r.value - 1.2816 * r.sigma), x, sy(r.value + 1.2816 * r.sigma), "whisker")
        d.circle(x, sy(r.value), 2.2, "point")
    now = sx(ages[0])
    d.line(now, top - 4, now, bottom, "today")
    if floor is not None:  # above today's mark, which may cross it
        d.text(left + 4, sy(floor) + 15, f"warranty limit {t.percent(floor)}", "note label")
    d.text(now, top - 9, "today", "note", "middle" if now < right - 24 and now > left + 18 else "start")
    marks = ticks(0.0, max(ages), 7)
    _x_axis(d, sx, bottom + 18, marks, [t.number(v) for v in marks])
    d.text((left + right) / 2, bottom + 38, x_label, "note", "middle")
    return d.render()


def paired_differences(
    chart_id: str, rows: Sequence[Interval], title: str, desc: str, left_label: str, right_label: str
) -> Markup:
    """Differences with their intervals around a zero line; each row's label stands above its interval."""
    step, top = 40.0, 30.0
    d = Drawing(chart_id, title, desc, WIDTH, top + step * max(len(rows), 1) + 36)
    if not rows:
        d.text(WIDTH / 2, 50, "Nothing to compare", "note", "middle")
        return d.render()
    low, high = padded([v for r in rows for v in (r.low, r.high)], zero=True)
    sx = Scale(low, high, 14, WIDTH - 14)
    bottom = top + step * len(rows)
    marks = ticks(low, high, 6)
    for v in marks:
        d.line(sx(v), top - 8, sx(v), bottom, "zero" if v == 0 else "grid")
    _x_axis(d, sx, bottom + 16, marks, [t.points(v, 1 if high - low < 8 else 0) for v in marks])
    d.text(14, 14, f"← {left_label}", "note")
    d.text(WIDTH - 14, 14, f"{right_label} →", "note", "end")
    for i, r in enumerate(rows):
        y = top + step * i + 27
        strong = " strong" if r.strong else ""
        d.text(14, y - 11, _clip_label(r.label, 54), f"label{strong}")
        d.rect(sx(r.low), y - 3, sx(r.high) - sx(r.low), 6, f"span{strong}", 3)
        d.circle(sx(r.value), y, 5, f"dot{strong}" if r.strong else "dot2")
    return d.render()


def breach_bars(chart_id: str, rows: Sequence[Interval], title: str, desc: str) -> Markup:
    """Probabilities as bars with their intervals, label above, figure to the right."""
    step, top = 40.0, 6.0
    d = Drawing(chart_id, title, desc, WIDTH, top + step * max(len(rows), 1) + 24)
    highest = max([r.high for r in rows] + [r.value for r in rows] + [0.0])
    full = next(v for v in (0.05, 0.1, 0.2, 0.5, 1.0) if highest <= v or v == 1.0)
    sx = Scale(0.0, full, 18, WIDTH - 96)
    for i, r in enumerate(rows):
        y = top + step * i + 26
        strong = " strong" if r.strong else ""
        d.text(14, y - 10, _clip_label(r.label, 54), f"label{strong}")
        d.rect(sx(0), y - 4, sx(full) - sx(0), 8, "track", 4)
        d.rect(sx(0), y - 4, sx(r.value) - sx(0), 8, f"bar{strong}", 4)
        d.line(sx(r.low), y, sx(r.high), y, "whisker")
        d.text(WIDTH - 88, y + 4, r.note or t.chance(r.value), f"value{strong}")
    marks = [0.0, full / 2, full]
    _x_axis(
        d, sx, top + step * max(len(rows), 1) + 18, marks, [t.percent(v, 0 if full * 50 >= 5 else 1) for v in marks]
    )
    return d.render()


def habit_bars(chart_id: str, rows: Sequence[Bar], title: str, desc: str) -> Markup:
    """Shares of time as bars, one row a class."""
    step = 26.0
    d = Drawing(chart_id, title, desc, WIDTH, step * max(len(rows), 1) + 6)
    sx = Scale(0.0, max([r.value for r in rows] + [0.01]), 112, WIDTH - 56)
    for i, r in enumerate(rows):
        y = step * i + 18
        d.text(104, y, r.label, "label", "end")
        d.rect(sx(0), y - 11, sx(r.value) - sx(0), 14, "bar strong" if r.strong else "bar", 3)
        d.text(sx(r.value) + 8, y, t.percent(r.value), "value")
    return d.render()


def frontier_scatter(chart_id: str, dots: Sequence[Dot], title: str, desc: str, x_label: str, y_label: str) -> Markup:
    """Benefit of a policy (to the right) against its extra fade (upwards), with intervals."""
    d = Drawing(chart_id, title, desc, WIDTH, 300)
    if not dots:
        d.text(WIDTH / 2, 120, "Nothing to compare", "note", "middle")
        return d.render()
    left, right, top, bottom = 44.0, WIDTH - 16, 30.0, 250.0
    x0, x1 = padded([p.x for p in dots], zero=True)
    y0, y1 = padded([v for p in dots for v in (p.low, p.high)], zero=True)
    sx, sy = Scale(x0, x1, left, right), Scale(y0, y1, bottom, top)
    for v in ticks(y0, y1, 5):
        d.line(left, sy(v), right, sy(v), "zero" if v == 0 else "grid")
        d.text(left - 6, sy(v) + 4, t.points(v), "tick", "end")
    marks = ticks(x0, x1, 5)
    for v in marks:
        d.line(sx(v), top, sx(v), bottom, "zero" if v == 0 else "grid")
    _x_axis(d, sx, bottom + 16, marks, [t.number(v) for v in marks])
    d.text(left, 14, f"↑ {y_label}", "note")
    d.text(right, bottom + 36, f"{x_label} →", "note", "end")
    for p in dots:
        d.line(sx(p.x), sy(p.low), sx(p.x), sy(p.high), "whisker")
    places = apart([(sx(p.x), sy(p.y)) for p in dots], (left + 8, right - 8), (top + 8, bottom - 8))
    for p, (x, y) in zip(dots, places, strict=True):
        if (x, y) != (sx(p.x), sy(p.y)):
            d.line(sx(p.x), sy(p.y), x, y, "leader")
            d.circle(sx(p.x), sy(p.y), 2.5, "spot", p.label)
    for i, (p, (x, y)) in enumerate(zip(dots, places, strict=True)):
        d.circle(x, y, 8, "dot" if p.strong else "dot2", f"{i + 1} {p.label}")
        d.text(x, y + 3.5, str(i + 1), "index strong" if p.strong else "index", "middle")
    return d.render()


def apart(
    points: Sequence[tuple[float, float]], across: tuple[float, float], down: tuple[float, float], gap: float = 17.0
) -> list[tuple[float, float]]:
    """Where numbers go so that none covers another: at their points, else on the nearest free place around.

    Parameters
    ----------
    points
        Places of the dots. [px]
    across, down
        What a number that is moved keeps within. [px]
    gap
        Least distance of two numbers. [px]
    """
    out: list[tuple[float, float]] = []
    turns = [(math.cos(k * math.pi / 8), math.sin(k * math.pi / 8)) for k in (12, 4, 10, 14, 2, 6, 0, 8, 11, 13, 3, 5)]
    for x, y in points:
        rings = [(x + r * c, y + r * s) for r in (gap * n / 2 for n in range(2, 16)) for c, s in turns]
        inside = [(a, b) for a, b in rings if across[0] <= a <= across[1] and down[0] <= b <= down[1]]
        free = (q for q in [(x, y), *inside] if all(math.dist(q, other) >= gap for other in out))
        out.append(next(free, (x, y)))
    return out


def histogram(
    chart_id: str,
    edges: Sequence[float],
    counts: Sequence[int],
    title: str,
    desc: str,
    x_label: str,
    mark: float | None = None,
) -> Markup:
    """Counts per class; edges as fractions, shown in percent; an optional marked limit."""
    d = Drawing(chart_id, title, desc, WIDTH, 210)
    left, right, top, bottom = 34.0, WIDTH - 14, 22.0, 160.0
    sx, sy = Scale(edges[0], edges[-1], left, right), Scale(0.0, float(max([*counts, 1])), bottom, top)
    for v in [v for v in ticks(0.0, float(max([*counts, 1])), 4) if v == int(v)]:
        d.line(left, sy(v), right, sy(v), "grid")
        d.text(left - 6, sy(v) + 4, t.number(v), "tick", "end")
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        if count:
            d.rect(sx(low) + 1, sy(count), sx(high) - sx(low) - 2, bottom - sy(count), "bar strong", 2)
    if mark is not None and edges[0] <= mark <= edges[-1]:
        d.line(sx(mark), top - 6, sx(mark), bottom, "floor")
        d.text(sx(mark) + 5, top, f"limit {t.percent(mark)}", "note")
    step = max(1, (len(edges) - 1) // 6)
    _x_axis(d, sx, bottom + 18, edges[::step], [t.percent(v) for v in edges[::step]])
    d.text((left + right) / 2, bottom + 40, x_label, "note", "middle")
    return d.render()


def period_bars(chart_id: str, rows: Sequence[Interval], title: str, desc: str, y_label: str) -> Markup:
    """Expected amounts by period as columns with their intervals; of many quarters the first of a year is named."""
    d = Drawing(chart_id, title, desc, WIDTH, 220)
    left, right, top, bottom = 60.0, WIDTH - 10, 30.0, 176.0
    top_value = max([r.high for r in rows] + [r.value for r in rows] + [0.0]) or 1.0
    sy = Scale(0.0, top_value, bottom, top)
    width = (right - left) / max(len(rows), 1)
    for v in ticks(0.0, top_value, 4):
        d.line(left, sy(v), right, sy(v), "grid")
        d.text(left - 6, sy(v) + 4, t.number(v, 0 if top_value >= 8 else 1 if top_value >= 0.8 else 2), "tick", "end")
    firsts = [i for i, r in enumerate(rows) if r.label.endswith("Q1")]
    named = set(range(len(rows))) if len(rows) <= 6 else set(firsts[:: -(-len(firsts) // 6) or 1])
    for i, r in enumerate(rows):
        x = left + width * i
        d.rect(x + width * 0.18, sy(r.value), width * 0.64, bottom - sy(r.value), "bar strong")
        d.line(x + width / 2, sy(r.low), x + width / 2, sy(r.high), "whisker")
        if i in named:
            label, middle = r.label if len(rows) <= 6 else r.label[:-2], x + width / 2
            end = middle > WIDTH - 18  # half a label would leave the drawing
            d.text(WIDTH - 2 if end else middle, bottom + 17, label, "tick", "end" if end else "middle")
    d.text(8, 14, y_label, "note")
    return d.render()


def age_scatter(
    chart_id: str, dots: Sequence[Reading], floors: Sequence[float], title: str, desc: str, x_label: str
) -> Markup:
    """Capacity [1] of many vehicles against age, with the contracts' floors."""
    d = Drawing(chart_id, title, desc, WIDTH, 230)
    left, right, top, bottom = 44.0, WIDTH - 14, 16.0, 176.0
    levels = [p.value for p in dots] + list(floors)
    low, high = min([0.68, *levels]) - 0.02, max([1.0, *levels]) + 0.01
    sx = Scale(0.0, max([p.age_years for p in dots] + [1.0]) * 1.04, left, right)
    sy = Scale(low, high, bottom, top)
    for v in ticks(low, high, 5):
        d.line(left, sy(v), right, sy(v), "grid")
        d.text(left - 6, sy(v) + 4, t.percent(v), "tick", "end")
    for floor in floors:
        d.line(left, sy(floor), right, sy(floor), "floor")
        d.text(right, sy(floor) - 5, f"warranty limit {t.percent(floor)}", "note", "end")
    for p in dots:
        d.circle(sx(p.age_years), sy(p.value), 3, "dot3")
    marks = ticks(0.0, sx.high, 6)
    _x_axis(d, sx, bottom + 18, marks, [t.number(v, 0 if marks[-1] >= 3 else 1) for v in marks])
    d.text((left + right) / 2, bottom + 40, x_label, "note", "middle")
    return d.render()
