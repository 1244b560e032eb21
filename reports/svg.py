"""Small SVG primitives: escaped text, fixed digits, linear scales. Classes only, colours live in ``style.css``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Scale:
    """Linear map from data to pixels, clamped to its domain."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        if self.high <= self.low:
            return self.start
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def num(value: float) -> str:
    """A coordinate with at most one decimal.

    >>> num(12.04), num(-0.01), num(3.25)
    ('12', '0', '3.2')
    """
    text = f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round tick values within an interval.

    >>> ticks(0.0, 10.0), ticks(-0.4, 1.1)
    ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0], [0.0, 0.5, 1.0])
    """
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1.0, 2.0, 5.0, 10.0) if raw <= power * m * (1 + 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, last + 1)]


def padded(values: Sequence[float], zero: bool = False, share: float = 0.06) -> tuple[float, float]:
    """Domain that holds all finite values with a margin (and zero where asked)."""
    finite = [v for v in values if math.isfinite(v)] + ([0.0] if zero else [])
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    margin = (high - low) * share or max(abs(high), 1.0) * share
    return low - margin, high + margin


@dataclass
class Drawing:
    """Elements of one chart in drawing order; `render` wraps them with title and description."""

    chart_id: str
    title: str
    desc: str
    width: float
    height: float
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, cls: str) -> None:
        """A line."""
        self.parts.append(f'<line class="{cls}" x1="{num(x1)}" y1="{num(y1)}" x2="{num(x2)}" y2="{num(y2)}"/>')

    def rect(self, x: float, y: float, width: float, height: float, cls: str, radius: float = 0) -> None:
        """A rectangle; negative sizes become zero."""
        r = f' rx="{num(radius)}"' if radius else ""
        w, h = num(max(width, 0.0)), num(max(height, 0.0))
        self.parts.append(f'<rect class="{cls}" x="{num(x)}" y="{num(y)}" width="{w}" height="{h}"{r}/>')

    def circle(self, x: float, y: float, radius: float, cls: str, tip: str = "") -> None:
        """A dot, with an optional tooltip of its own."""
        body = f"<title>{escape(tip)}</title>" if tip else ""
        end = f">{body}</circle>" if body else "/>"
        self.parts.append(f'<circle class="{cls}" cx="{num(x)}" cy="{num(y)}" r="{num(radius)}"{end}')

    def text(self, x: float, y: float, content: str, cls: str = "", anchor: str = "start") -> None:
        """A text, escaped; anchor is ``start``, ``middle`` or ``end``."""
        classes = " ".join(c for c in (cls, {"middle": "mid", "end": "end"}.get(anchor, "")) if c)
        c = f' class="{classes}"' if classes else ""
        self.parts.append(f'<text{c} x="{num(x)}" y="{num(y)}">{escape(content)}</text>')

    def path(self, xy: Sequence[tuple[float, float]], cls: str, close: bool = False) -> None:
        """A line or a filled shape through points."""
        body = "L".join(f"{num(x)} {num(y)}" for x, y in xy)
        self.parts.append(f'<path class="{cls}" d="M{body}{"Z" if close else ""}"/>')

    def render(self) -> Markup:
        """The chart as one element."""
        t, d = f"{self.chart_id}-t", f"{self.chart_id}-d"
        head = (
            f'<svg class="chart" viewBox="0 0 {num(self.width)} {num(self.height)}" role="img" '
            f'aria-labelledby="{escape(t)} {escape(d)}"><title id="{escape(t)}">{escape(self.title)}</title>'
            f'<desc id="{escape(d)}">{escape(self.desc)}</desc>'
        )
        return Markup(head + "".join(self.parts) + "</svg>")  # noqa: S704 - every text above is escaped
