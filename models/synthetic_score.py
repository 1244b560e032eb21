"""How well a night found the hidden truth of a simulated fleet: error, coverage, sign of the difference.

Pure comparison of truth records (`models.synthetic.truth_record`) with rows of ``out_vehicle_state`` and
``out_forecast``. The night never sees the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.domain import FloatArray

YEARS = (1, 3, 5, 10)
EXPORT_LEAST_KWH_PER_YEAR = 100.0
DRIVEN_POLICY = "as_driven"


@dataclass(frozen=True)
class Found:
    """One comparison over ``n`` vehicles; errors in percentage points, estimate minus truth; intervals are of 80 %."""

    name: str
    n: int
    truth_mean_pp: float
    rmse_pp: float
    bias_pp: float
    inside_80_frac: float
    width_80_pp: float
    sign_right_frac: float | None = None
    clear_frac: float | None = None
    clear_wrong_frac: float | None = None


def compare(
    name: str, truth_pp: FloatArray, value_pp: FloatArray, low_pp: FloatArray, high_pp: FloatArray, signed: bool = False
) -> Found | None:
    """Compare estimates and their intervals with the truth, shapes (vehicles,); None where nothing is known.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.array([1.0])
    >>> compare("x", one, 1.5 * one, 0.5 * one, 2.5 * one, signed=True).sign_right_frac
    1.0
    """
    known = np.isfinite(truth_pp) & np.isfinite(value_pp) & np.isfinite(low_pp) & np.isfinite(high_pp)
    if not known.any():
        return None
    truth, value, low, high = (np.asarray(a)[known] for a in (truth_pp, value_pp, low_pp, high_pp))
    error = value - truth
    sign = clear = wrong = None
    if signed:
        certain = (low > 0) | (high < 0)
        sign = float(np.mean(np.sign(value) == np.sign(truth)))
        clear = float(np.mean(certain))
        wrong = float(np.mean(certain & (np.sign(value) != np.sign(truth))))
    return Found(
        name=name,
        n=int(known.sum()),
        truth_mean_pp=float(np.mean(truth)),
        rmse_pp=float(np.sqrt(np.mean(error**2))),
        bias_pp=float(np.mean(error)),
        inside_80_frac=float(np.mean((low <= truth) & (truth <= high))),
        width_80_pp=float(np.mean(high - low)),
        sign_right_frac=sign,
        clear_frac=clear,
        clear_wrong_frac=wrong,
    )


def _column(rows: Sequence[Mapping[str, Any] | None], name: str, factor: float = 1.0) -> FloatArray:
    values = [None if r is None else r.get(name) for r in rows]
    return np.array([np.nan if v is None else float(v) * factor for v in values])


def score(
    truth: Sequence[Mapping[str, Any]],
    state: Mapping[str, Mapping[str, Any]],
    forecast: Mapping[tuple[str, int], Mapping[str, Any]],
) -> list[Found]:
    """Compare a night's results with the truth.

    Parameters
    ----------
    truth
        Records of `models.synthetic.truth_record`, each with its ``vehicle_id``.
    state
        ``vehicle_id`` -> row of ``out_vehicle_state``.
    forecast
        ``(vehicle_id, year)`` -> row of ``out_forecast`` of the policy ``as_driven``.

    Returns
    -------
    list of Found
        Capacity now and after 1, 3, 5 and 10 more years as driven; what the export on record has cost so far and what
        as many more years of it will cost (against the same charging without export), exporters only.
    """
    out: list[Found | None] = []
    ids = [str(t["vehicle_id"]) for t in truth]
    rows = [state.get(i) for i in ids]
    out.append(
        compare(
            "capacity now",
            _column(truth, "soh_frac", 100),
            _column(rows, "soh_frac", 100),
            _column(rows, "soh_low_frac", 100),
            _column(rows, "soh_high_frac", 100),
        )
    )
    for year in YEARS:
        real = np.array([_at(t, "soh_as_driven_frac", year) for t in truth]) * 100
        later = [forecast.get((i, year)) for i in ids]
        value, low, high = (_column(later, n, 100) for n in ("soh_p50", "soh_p10", "soh_p90"))
        out.append(compare(f"capacity +{year} a", real, value, low, high))
    exporters = [t for t in truth if float(t["export_kwh_per_year"]) >= EXPORT_LEAST_KWH_PER_YEAR]
    rows = [state.get(str(t["vehicle_id"])) for t in exporters]
    value, low, high = (_column(rows, f"export_cost_{n}pp") for n in ("", "low_", "high_"))
    real = _column(exporters, "logged_export_cost_pp")
    out.append(compare("export so far", real, value, low, high, signed=True))
    for year in YEARS:
        real = np.array([_at(t, "further_cost_pp", year) for t in exporters])
        later = [forecast.get((str(t["vehicle_id"]), year)) for t in exporters]
        value, low, high = (_column(later, n) for n in ("export_p50_pp", "export_p10_pp", "export_p90_pp"))
        out.append(compare(f"export +{year} a", real, value, low, high, signed=True))
    return [found for found in out if found is not None]


def _at(record: Mapping[str, Any], name: str, year: int) -> float:
    years = list(record["years"])
    return float(record[name][years.index(year)]) if year in years else float("nan")


def as_json(found: Sequence[Found]) -> list[dict[str, Any]]:
    """Comparisons as plain values, rounded to what they are worth (0.0001)."""
    return [
        {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(f).items() if v is not None} for f in found
    ]
