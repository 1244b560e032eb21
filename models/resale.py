"""Resale: a scenario of the value, never an appraisal.

value = list price x age and distance curve x (1 + elasticity x (SOH - SOH expected of its age)). The only published
elasticity is an expert model's; so its range is carried as draws, shared by all vehicles of a world.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.domain import Estimate, FloatArray
from models.parameters import Parameter, entry
from models.seeds import generator


def split_triangular(u: FloatArray, low: float, middle: float, high: float) -> FloatArray:
    """Draws with median and mode ``middle`` between ``low`` and ``high`` from uniform numbers ``u``.

    Examples
    --------
    >>> split_triangular(np.array([0.0, 0.5, 1.0]), 0.0, 0.5, 1.5).tolist()
    [0.0, 0.5, 1.5]
    """
    if not low <= middle <= high:
        raise ValueError(f"split_triangular needs low <= middle <= high, got {low}, {middle}, {high}.")
    left = low + (middle - low) * np.sqrt(np.clip(2 * u, 0, 1))
    right = high - (high - middle) * np.sqrt(np.clip(2 * (1 - u), 0, 1))
    return np.where(u < 0.5, left, right)


@dataclass(frozen=True, eq=False)
class ResaleWorlds:
    """Draws of what nobody knows about the used-car market, shape (draws,) each; one draw = one world."""

    loss_5y_frac: FloatArray
    loss_per_10000_km_frac: FloatArray
    soh_elasticity: FloatArray
    soh_loss_per_year_frac: FloatArray
    km_per_year: float


def _draw(p: Parameter, u: FloatArray) -> FloatArray:
    middle = float(p.value)
    return split_triangular(u, middle if p.low is None else p.low, middle, middle if p.high is None else p.high)


def resale_worlds(draws: int, seed: int, home: Path | None = None) -> ResaleWorlds:
    """Draw the scenario's parameters from ``parameters/resale.toml`` [value]."""
    e = entry("resale", "value", home)
    u = generator(seed, "resale").random((4, draws))
    return ResaleWorlds(
        loss_5y_frac=_draw(e["loss_5y_frac"], u[0]),
        loss_per_10000_km_frac=_draw(e["loss_per_10000_km_frac"], u[1]),
        soh_elasticity=_draw(e["soh_elasticity"], u[2]),
        soh_loss_per_year_frac=_draw(e["soh_loss_per_year_frac"], u[3]),
        km_per_year=e.number("km_per_year"),
    )


def curve_frac(worlds: ResaleWorlds, age_years: float, km: FloatArray | float) -> FloatArray:
    """Value over list price at an age and a distance, shape (draws,). [1]

    Exponential in age through the loss of the first five years; distance beyond the usual one takes off a share for
    every 10,000 km (a shorter one adds it).

    Limits
    ------
    Market-wide curve of one country and year; model, trim, market and incentives are not in it.
    """
    by_age = (1 - worlds.loss_5y_frac) ** (age_years / 5.0)
    beyond = (np.asarray(km, dtype=float) - worlds.km_per_year * age_years) / 10_000.0
    return by_age * np.exp(-worlds.loss_per_10000_km_frac * beyond)


def value_money(
    list_price_money: float, worlds: ResaleWorlds, age_years: float, km: FloatArray | float, soh_frac: FloatArray
) -> FloatArray:
    """Scenario value in each world, never below zero, shape (draws,). [currency]

    Parameters
    ----------
    list_price_money
        When new. [currency]
    age_years
        Since the first day in service. [a]
    km
        Odometer; virtual kilometres are not on it. [km]
    soh_frac
        Capacity over as new, shape (draws,). [1]
    """
    expected = np.maximum(1.0 - worlds.soh_loss_per_year_frac * age_years, 0.5)
    factor = 1.0 + worlds.soh_elasticity * (np.asarray(soh_frac, dtype=float) - expected)
    return list_price_money * curve_frac(worlds, age_years, km) * np.maximum(factor, 0.0)


LEAST_EXPORT_KWH = 20.0  # a price of next to nothing means nothing


def wear_money_per_kwh(
    value_policy: FloatArray, value_baseline: FloatArray, export_kwh: float, basis: str = ""
) -> Estimate | None:
    """Scenario value lost to the fade of an exported kWh, paired within each world; None below 20 kWh exported.

    Median and 80 % interval; negative where export spares the battery. [currency/kWh]
    """
    if export_kwh < LEAST_EXPORT_KWH:
        return None
    low, mid, high = np.quantile((value_baseline - value_policy) / export_kwh, [0.1, 0.5, 0.9])
    return Estimate(float(mid), float(low), float(high), 0.8, basis)


def exchange(from_currency: str, to_currency: str, home: Path | None = None) -> float:
    """Units of one currency a unit of another, by the round figures of ``parameters/resale.toml`` [exchange].

    Only to set a bill beside a value where a home and a list price are in different currencies.

    Raises
    ------
    ParameterError
        A currency is not in the file; the message lists those that are.
    """
    if from_currency == to_currency:
        return 1.0
    e = entry("resale", "exchange", home)
    return e.number(from_currency) / e.number(to_currency)


@dataclass(frozen=True)
class Option:
    """One setting as the rule for the recommendation sees it; all differences are against the baseline."""

    policy_id: str
    label: str
    exports: bool
    capped: bool
    bill_saved_money_per_year: float
    value_diff_money: float
    value_diff_low_money: float
    breach_increase_frac: float
    fade_increase_low_pp: float
    fade_increase_high_pp: float
    unserved_drive_frac: float


@dataclass(frozen=True)
class RecommendationTerms:
    """Limits of the rule, from ``parameters/resale.toml`` [recommendation]."""

    breach_increase_frac: float
    fade_increase_pp: float
    least_gain_money_per_year: float
    unserved_drive_frac: float


def recommendation_terms(home: Path | None = None) -> RecommendationTerms:
    """Limits of the rule for the recommended setting."""
    e = entry("resale", "recommendation", home)
    return RecommendationTerms(
        e.number("breach_increase_frac"),
        e.number("fade_increase_pp"),
        e.number("least_gain_money_per_year"),
        e.number("unserved_drive_frac"),
    )


def recommend(
    options: tuple[Option, ...],
    baseline_id: str,
    can_export: bool,
    years: float,
    terms: RecommendationTerms,
    currency: str,
) -> tuple[str, str]:
    """The recommended setting and the reason in a sentence, by a written rule.

    1. Where the charger cannot export, the baseline.
    2. A setting is admissible when it raises the breach probability by no more than ``breach_increase_frac``, the extra
       fade at the cautious end of its interval stays below ``fade_increase_pp`` and it serves the driving.
    3. Its yearly gain = bill saved + median of the value difference / years. It must beat the baseline by
       ``least_gain_money_per_year``, and still be a gain at the cautious end (10 %) of the value difference.
    4. The largest gain wins; the first of those within ``least_gain_money_per_year`` of it that has no cap is taken
       instead (the simpler), then the first in the order given.
    5. None left: the baseline.
    """
    if not can_export:
        return baseline_id, "The charger here cannot export: charge smartly; there is nothing else to set."
    admissible: list[tuple[float, Option]] = []
    barred = 0
    for o in options:
        gain = o.bill_saved_money_per_year + o.value_diff_money / years
        cautious = o.bill_saved_money_per_year + o.value_diff_low_money / years
        if gain < terms.least_gain_money_per_year or cautious <= 0:
            continue
        if (
            o.breach_increase_frac > terms.breach_increase_frac
            or o.fade_increase_high_pp > terms.fade_increase_pp
            or o.unserved_drive_frac > terms.unserved_drive_frac
        ):
            barred += 1
            continue
        admissible.append((gain, o))
    if not admissible:
        why = (
            f"{barred} settings would pay but cost more capacity, cover or driving than the rule allows"
            if barred
            else f"no setting gains {terms.least_gain_money_per_year:.0f} {currency} a year after the loss of value"
        )
        return baseline_id, f"Charge smartly without export: {why}."
    best = max(g for g, _ in admissible)
    near = [(g, o) for g, o in admissible if g > best - terms.least_gain_money_per_year]
    gain, chosen = next(((g, o) for g, o in near if not o.capped), near[0])
    tie = "; others gain about as much" if len(near) > 1 else ""
    if chosen.fade_increase_low_pp <= 0 <= chosen.fade_increase_high_pp:
        fade = f"no clear difference in fade after {years:.0f} years"
    else:
        fade = f"extra fade after {years:.0f} years up to {chosen.fade_increase_high_pp:.1f} pp at the cautious end"
    return chosen.policy_id, (
        f"{chosen.label}: saves {chosen.bill_saved_money_per_year:.0f} {currency} a year on the bill, "
        f"{gain:.0f} {currency} after the scenario's loss of value; {fade}{tie}."
    )
