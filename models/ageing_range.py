"""How far a row lies from what a law was fitted to: intervals grow with that distance."""

from __future__ import annotations

import numpy as np

from models.domain import BoolArray, FloatArray

_SLACK = 0.02
FARTHEST = 6.0
Span = tuple[float, float]


def span_of(values: FloatArray) -> Span:
    """Smallest and largest known value; an empty range where nothing is known."""
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else (np.inf, -np.inf)


def within(values: FloatArray, span: Span) -> BoolArray:
    """Whether known and inside a range, two per cent of slack at both ends."""
    slack = _SLACK * max(span[1] - span[0], 1e-9)
    return (values >= span[0] - slack) & (values <= span[1] + slack)


def before(values: FloatArray, end: float) -> BoolArray:
    """Whether at most the longest time or throughput seen, two per cent of slack."""
    return values <= end * (1.0 + _SLACK)


def beyond(values: FloatArray, span: Span, scale: float) -> FloatArray:
    """How far outside a range, in units of `scale`; 0 inside, where unknown and where the range is empty. [1]"""
    if not np.isfinite(span).all():
        return np.zeros(values.size)
    out = np.maximum(np.maximum(span[0] - values, values - span[1]), 0.0) / scale
    return np.where(np.isnan(out), 0.0, np.minimum(out, FARTHEST))


def beyond_log(values: FloatArray, span: Span, scale: float) -> FloatArray:
    """As :func:`beyond`, of logarithms; values and range below 0.001 count as 0.001. [1]"""
    if not np.isfinite(span).all():
        return np.zeros(values.size)
    ends = (float(np.log(max(span[0], 1e-3))), float(np.log(max(span[1], 1e-3))))
    return beyond(np.log(np.maximum(values, 1e-3)), ends, scale)


def later(values: FloatArray, end: float) -> FloatArray:
    """Doublings past the longest time or throughput seen; 0 before it. [1]"""
    return beyond_log(values, (1e-3, max(end, 1.0)), float(np.log(2.0)))
