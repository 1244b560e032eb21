"""Charts of how wrong a law has been: errors against time or full cycles, within the law's own interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports import text as t
from reports.charts import WIDTH
from reports.svg import Drawing, Scale, padded, ticks


@dataclass(frozen=True)
class Trace:
    """Errors of one test: where, measured less predicted, and the ends of the interval about the prediction [pp]."""

    label: str
    x: tuple[float, ...]
    error: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    strong: bool = False


def error_traces(
    chart_id: str,
    traces: Sequence[Trace],
    title: str,
    desc: str,
    x_label: str,
    y_label: str = "measured less predicted",
) -> Markup:
    """Measured less predicted capacity of many tests; the band is the widest interval claimed at that place."""
    d = Drawing(chart_id, title, desc, WIDTH, 250)
    if not any(trace.x for trace in traces):
        d.text(WIDTH / 2, 120, "No test", "note", "middle")
        return d.render()
    left, right, top, bottom = 44.0, WIDTH - 12, 30.0, 200.0
    far = max(x for trace in traces for x in trace.x)
    sx = Scale(0.0, far, left, right)
    low, high = padded([v for trace in traces for v in (*trace.error, *trace.low, *trace.high)], zero=True)
    sy = Scale(low, high, bottom, top)
    for v in ticks(low, high, 5):
        d.line(left, sy(v), right, sy(v), "zero" if v == 0 else "grid")
        d.text(left - 6, sy(v) + 4, t.points(v, 0), "tick", "end")
    for trace in traces:
        upper = [(sx(x), sy(v)) for x, v in zip(trace.x, trace.high, strict=True)]
        lower = [(sx(x), sy(v)) for x, v in zip(trace.x, trace.low, strict=True)]
        d.path([(sx(0.0), sy(0.0)), *upper, *reversed(lower)], "band", close=True)
    for trace in traces:
        points = [(sx(0.0), sy(0.0)), *((sx(x), sy(v)) for x, v in zip(trace.x, trace.error, strict=True))]
        d.path(points, "trace strong" if trace.strong else "trace")
        d.circle(*points[-1], 3.2, "dot" if trace.strong else "dot2", trace.label)
    for v in ticks(0.0, far, 5):
        d.text(sx(v), bottom + 18, t.number(v), "tick", "middle")
    d.text(left, 14, f"↑ {y_label}, points", "note")
    d.text((left + right) / 2, bottom + 38, x_label, "note", "middle")
    return d.render()
