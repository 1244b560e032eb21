"""From breaches found to claims and money: summed over vehicles within a draw, then quantiles.

One draw is one world, so the claims of a cohort move together. Expected values come from the analytic probabilities;
intervals and the reserve from one sampled fate per vehicle and draw, the same random numbers for every policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.domain import FloatArray
from models.parameters import entry
from models.resale import split_triangular
from models.seeds import generator

NEVER = -1


@dataclass(frozen=True)
class ClaimTerms:
    """Assumed steps from a breach found to a payment; see ``parameters/claims.toml`` for sources and ranges."""

    acceptance_frac: float
    goodwill_frac: float
    goodwill_paid_frac: float
    repair_share_frac: float
    repair_cost_frac: float
    pack_money_per_kwh: float
    pack_low_money_per_kwh: float
    pack_high_money_per_kwh: float
    payment_lag_quarters: int
    reserve_quantile_frac: float
    smallest_cohort: int
    currency: str = "USD"

    @property
    def claim_frac(self) -> float:
        """Claims paid for (accepted or goodwill) a breach found. [1]"""
        return self.acceptance_frac + (1 - self.acceptance_frac) * self.goodwill_frac

    @property
    def cost_frac(self) -> float:
        """Expected cost a breach found, over the price of a pack. [1]"""
        paid = self.acceptance_frac + (1 - self.acceptance_frac) * self.goodwill_frac * self.goodwill_paid_frac
        return paid * (self.repair_share_frac * self.repair_cost_frac + 1 - self.repair_share_frac)


def claim_terms(home: Path | None = None) -> ClaimTerms:
    """Assumptions from ``parameters/claims.toml`` [claims]."""
    e = entry("claims", "claims", home)
    price = e["pack_money_per_kwh"]
    return ClaimTerms(
        acceptance_frac=e.number("acceptance_frac"),
        goodwill_frac=e.number("goodwill_frac"),
        goodwill_paid_frac=e.number("goodwill_paid_frac"),
        repair_share_frac=e.number("repair_share_frac"),
        repair_cost_frac=e.number("repair_cost_frac"),
        pack_money_per_kwh=e.number("pack_money_per_kwh"),
        pack_low_money_per_kwh=price.low if price.low is not None else e.number("pack_money_per_kwh"),
        pack_high_money_per_kwh=price.high if price.high is not None else e.number("pack_money_per_kwh"),
        payment_lag_quarters=int(e.number("payment_lag_quarters")),
        reserve_quantile_frac=e.number("reserve_quantile_frac"),
        smallest_cohort=int(e.number("smallest_cohort")),
    )


def pack_price_draws(terms: ClaimTerms, draws: int, seed: int) -> FloatArray:
    """Price of a fitted pack in each world, shared by all vehicles, shape (draws,). [currency/kWh]"""
    u = generator(seed, "pack price").random(draws)
    return split_triangular(u, terms.pack_low_money_per_kwh, terms.pack_money_per_kwh, terms.pack_high_money_per_kwh)


@dataclass(frozen=True, eq=False)
class VehicleClaims:
    """What one vehicle adds to its cohort under one policy, by quarter of the horizon.

    Parameters
    ----------
    expected
        Expected breaches found, shape (quarters,). [1]
    quarter
        Quarter in which the sampled world finds the breach, ``NEVER`` where it finds none, shape (draws,).
    """

    expected: FloatArray
    quarter: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Fates:
    """One vehicle's luck in every world, the same under all policies, shape (draws,) each."""

    find: FloatArray
    accept: FloatArray
    repair: FloatArray


def fates(draws: int, seed: int, vehicle_id: str) -> Fates:
    """Random numbers of one vehicle; depend on the seed and the vehicle alone."""
    u = generator(seed, "fates", vehicle_id).random((3, draws))
    return Fates(u[0], u[1], u[2])


def vehicle_claims(
    found: FloatArray, test_quarter: NDArray[np.int64], quarters: int, weight: FloatArray, find: FloatArray
) -> VehicleClaims:
    """Turn probabilities by test into expected breaches by quarter and a sampled quarter for each draw.

    Parameters
    ----------
    found
        Probability that the breach is first found at each test, shape (draws, tests).
    test_quarter
        Quarter of each test, 0 = that of the as-of day, shape (tests,).
    weight
        Evidence weights of the draws, sum 1.
    find
        Uniform numbers, shape (draws,).
    """
    expected = np.zeros(quarters)
    np.add.at(expected, test_quarter, weight @ found)
    if found.shape[1] == 0:
        return VehicleClaims(expected, np.full(found.shape[0], NEVER, dtype=np.int16))
    cumulative = np.cumsum(found, axis=1)
    index = (cumulative <= find[:, None]).sum(axis=1)
    hit = index < found.shape[1]
    quarter = np.where(hit, test_quarter[np.minimum(index, found.shape[1] - 1)], NEVER)
    return VehicleClaims(expected, quarter.astype(np.int16))


@dataclass
class ClaimTotals:
    """Sums over the vehicles of a cohort under one policy, within each draw."""

    breaches: NDArray[np.float32]
    claims: NDArray[np.float32]
    cost: NDArray[np.float32]
    expected: FloatArray
    expected_pack_kwh: FloatArray
    vehicles: int = 0

    @classmethod
    def empty(cls, quarters: int, draws: int) -> ClaimTotals:
        """No vehicles yet."""
        z = [np.zeros((quarters, draws), dtype=np.float32) for _ in range(3)]
        return cls(z[0], z[1], z[2], np.zeros(quarters), np.zeros(quarters))

    def add(self, one: VehicleClaims, luck: Fates, gross_kwh: float, price: FloatArray, terms: ClaimTerms) -> None:
        """Add one vehicle; in a fixed order of vehicles the sums are the same every night."""
        self.vehicles += 1
        self.expected += one.expected
        self.expected_pack_kwh += gross_kwh * one.expected
        hit = np.flatnonzero(one.quarter != NEVER)
        if not hit.size:
            return
        quarter = one.quarter[hit].astype(np.int64)
        accepted = luck.accept[hit] < terms.acceptance_frac
        goodwill = ~accepted & (luck.accept[hit] < terms.claim_frac)
        share = np.where(luck.repair[hit] < terms.repair_share_frac, terms.repair_cost_frac, 1.0)
        paid = np.where(accepted, 1.0, np.where(goodwill, terms.goodwill_paid_frac, 0.0))
        self.breaches[quarter, hit] += 1
        self.claims[quarter, hit] += accepted | goodwill
        due = quarter + terms.payment_lag_quarters
        inside = due < self.cost.shape[0]
        cost = (paid * share * gross_kwh * price[hit]).astype(np.float32)
        self.cost[due[inside], hit[inside]] += cost[inside]


@dataclass(frozen=True)
class QuarterClaims:
    """One quarter of a cohort under one policy."""

    breaches: tuple[float, float, float]  # expected, low, high (80 %)
    claims: tuple[float, float, float]
    cost_money: tuple[float, float, float]
    reserve_money: float
    reserve_error_frac: float


def summarise(totals: ClaimTotals, weight: FloatArray, terms: ClaimTerms) -> list[QuarterClaims]:
    """Expected values, 80 % intervals and the reserve of every quarter.

    The reserve is the quantile (99 %) of the cost *to date*, and never below its expected value: with few cars the
    99 % world may hold no claim at all. Its Monte Carlo error is half the distance of the quantiles one standard error
    of the rank apart, over the reserve.

    Raises
    ------
    ValueError
        The weights do not belong to the draws.
    """
    quarters, draws = totals.cost.shape
    if weight.shape != (draws,):
        raise ValueError(f"summarise needs one weight a draw: {weight.shape} against {draws}.")
    mean_price = (terms.pack_low_money_per_kwh, terms.pack_money_per_kwh, terms.pack_high_money_per_kwh)
    price = split_triangular_mean(*mean_price)
    expected_cost = np.zeros(quarters)
    lag = terms.payment_lag_quarters
    expected_cost[lag:] = (terms.cost_frac * price * totals.expected_pack_kwh)[: quarters - lag]
    to_date = np.cumsum(totals.cost, axis=0, dtype=np.float64)
    q = terms.reserve_quantile_frac
    se = float(np.sqrt(q * (1 - q) * np.sum(weight**2)))
    levels = np.array([q - se, q, min(q + se, 1.0)])
    out = []
    for i in range(quarters):
        lower, reserve, upper = _quantiles(to_date[i], weight, levels)
        expected_to_date = float(expected_cost[: i + 1].sum())
        out.append(
            QuarterClaims(
                _estimate(float(totals.expected[i]), totals.breaches[i], weight),
                _estimate(float(terms.claim_frac * totals.expected[i]), totals.claims[i], weight),
                _estimate(float(expected_cost[i]), totals.cost[i], weight),
                max(float(reserve), expected_to_date),
                float((upper - lower) / (2 * reserve)) if reserve > 0 else 0.0,
            )
        )
    return out


def over_forecast(totals: ClaimTotals, weight: FloatArray, terms: ClaimTerms) -> QuarterClaims:
    """All quarters together: expected values add up, intervals are those of a world's sums, the reserve is the last."""
    rows = summarise(totals, weight, terms)
    return QuarterClaims(
        _estimate(sum(r.breaches[0] for r in rows), totals.breaches.sum(axis=0), weight),
        _estimate(sum(r.claims[0] for r in rows), totals.claims.sum(axis=0), weight),
        _estimate(sum(r.cost_money[0] for r in rows), totals.cost.sum(axis=0), weight),
        rows[-1].reserve_money,
        rows[-1].reserve_error_frac,
    )


def split_triangular_mean(low: float, middle: float, high: float) -> float:
    """Mean of `models.resale.split_triangular`: half the weight on either side of the middle."""
    return 0.5 * ((low + 2 * middle) / 3 + (2 * middle + high) / 3)


def _quantiles(values: FloatArray, weight: FloatArray, q: FloatArray) -> FloatArray:
    # The smallest value whose cumulated weight reaches q: exact for counts, no interpolation between atoms.
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weight[order])
    at = np.searchsorted(cumulative, q * cumulative[-1] - 1e-12)
    return values[order][np.minimum(at, values.shape[0] - 1)]


def _estimate(value: float, draws: NDArray[np.float32], weight: FloatArray) -> tuple[float, float, float]:
    low, high = _quantiles(draws.astype(float), weight, np.array([0.1, 0.9]))
    return value, min(float(low), value), max(float(high), value)
