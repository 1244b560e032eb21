"""How far a row lies from what a law was fitted to: intervals grow with that distance."""

from __future__ import annotations

import numpy as np

from models.domain import BoolArray, FloatArray

_SLACK = 0.02
FARTHEST = 6.0
# Left out, tests 10 and 15 K colder than all others were foretold within their intervals; the one 25 K colder lost more
# than the law said, by 0.4 of what the law had gained since the edge. On the hot side 20 K (1.33 units) were tried.
COLD_TRIED, FAR_TRIED = 1.0, 1.4
FAR_SHARE = 0.35
EDGE_SHARE = 0.4
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


def far_doubt(loss_frac: FloatArray, edge_frac: FloatArray, distance: FloatArray) -> FloatArray:
    """What is not known of a loss far outside what was tested, shape (n,); 0 inside. [1]

    More than 15 K outside, a law that says less than at the edge of its range is doubted by a share of that gain (a
    cold cell may plate or keep its pace); beyond what leaving conditions out has tried, a share of the loss is added
    for every unit of distance.

    Parameters
    ----------
    loss_frac, edge_frac
        Loss foretold, and that of the same test at the nearest temperature tested, shape (n,). [1]
    distance
        How far outside, shape (n,). [1]

    Limits
    ------
    The first share rests on one test, the second is assumed: no data at hand reach so far.
    """
    gain = EDGE_SHARE * np.maximum(edge_frac - loss_frac, 0.0) * np.clip(3.0 * (distance - COLD_TRIED), 0.0, 1.0)
    far = FAR_SHARE * np.maximum(distance - FAR_TRIED, 0.0) * np.maximum(loss_frac, edge_frac)
    return np.sqrt(gain**2 + far**2)


def clamped(values: FloatArray, span: Span) -> FloatArray:
    """Values brought to the nearest end of a range; unknown ones and all where the range is empty stay."""
    return np.clip(values, span[0], span[1]) if np.isfinite(span).all() else values
