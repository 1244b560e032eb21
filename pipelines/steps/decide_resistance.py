"""Rows of ``out_resistance``: growth of a vehicle's resistance since new, by policy and year."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.resistance_growth import (
    ResistanceHistory,
    growth_frac,
    growth_law,
    growth_quantiles,
    growth_sigma,
    multiplier_weights,
)
from pipelines.steps.decide_types import PolicyYear, VehicleInputs

_NONE = ResistanceHistory(np.empty(0), np.empty(0), np.empty(0))


def resistance_rows(inputs: VehicleInputs, years: tuple[PolicyYear, ...]) -> list[dict[str, Any]]:
    """Median and 80 % range of the growth, learned from the vehicle's own readings where there are two or more.

    The life so far is taken to be the recorded year, repeated; the horizon is that of each policy.
    """
    law, known = growth_law(), {y.policy.policy_id: y.resistance_z for y in years}
    past = known.get("as_driven")
    if past is None:
        return []
    readings = inputs.past.resistance or _NONE
    sigma = growth_sigma(inputs.pack.chemistry)
    weights = multiplier_weights(readings, growth_frac(law, past, 0.0, past, readings.years), sigma)
    n, at = int(readings.years.shape[0]), np.array(inputs.terms.years, dtype=float)
    told = f"{n} readings of its own" if n >= 2 else "no readings of its own to tell growth by: the law alone"
    own = "" if inputs.pack.chemistry == law.chemistry else ", borrowed from NMC"
    basis = f"{told}; {law.label}{own}; 80 % interval"
    rows = []
    for policy_id, z in known.items():
        if z is None:
            continue
        growth = growth_quantiles(weights, growth_frac(law, past, inputs.age_years, z, at))
        for year, (low, mid, high) in zip(inputs.terms.years, growth.tolist(), strict=True):
            rows.append(
                {
                    "vehicle_id": inputs.vehicle.vehicle_id,
                    "policy_id": policy_id,
                    "year": year,
                    "resistance_growth_frac": mid,
                    "resistance_growth_low_frac": low,
                    "resistance_growth_high_frac": high,
                    "readings": n,
                    "basis": basis,
                }
            )
    return rows
