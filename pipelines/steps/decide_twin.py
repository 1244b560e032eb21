"""What export has cost so far: the vehicle's life again, its export not made and not charged again."""

from __future__ import annotations

import numpy as np

from models.dispatch import dispatch, duty_of
from models.domain import DAYS_PER_MONTH, DAYS_PER_YEAR, FloatArray
from models.exposure import year_exposures
from models.representative import no_export_twin
from pipelines.steps.decide_types import PolicyYear, VehicleInputs

AS_DRIVEN = "as_driven"


def twin_exposures(inputs: VehicleInputs, years: tuple[PolicyYear, ...]) -> dict[str, FloatArray] | None:
    """Exposures of the life so far without its export, law -> (periods, k); None where nothing was exported.

    The difference between two representative years, the recorded one and its twin without export, is added to the
    exposures of the logged months, calendar month by calendar month; exposures never fall below zero.

    Limits
    ------
    Export before the first log is unknown and stays out: the cost is that of the export on record. The difference is
    taken at full capacity, without the feedback of fade on duty.
    """
    recorded = next((y for y in years if y.policy.policy_id == AS_DRIVEN), None)
    if recorded is None or inputs.past.export_kwh <= 0:
        return None
    twin_year = no_export_twin(inputs.year)
    done = dispatch(twin_year, recorded.policy, inputs.charger, inputs.tariff, inputs.pack, 1.0)
    twin = year_exposures(duty_of(done, twin_year, inputs.pack), inputs.pack, inputs.laws)
    share = _logged_share(inputs)
    month = _calendar_months(inputs)
    out = {}
    for law_id, past in inputs.history.exposures.items():
        change = twin[law_id] - recorded.exposures[law_id][0]
        n = past.shape[0]
        out[law_id] = np.maximum(past + share[:n, None] * change[month[:n]], 0.0)
    return out


def _logged_share(inputs: VehicleInputs) -> FloatArray:
    """Days of each month in service that were logged, in months: the last ones, as many as there are logs."""
    days = inputs.history.period_days
    end = np.cumsum(days)
    first = end[-1] - min(inputs.past.logged_days, end[-1])
    return np.clip(end - np.maximum(end - days, first), 0.0, days) / DAYS_PER_MONTH


def _calendar_months(inputs: VehicleInputs) -> np.ndarray:
    """Twelfth of the representative year that the middle of each month in service falls into."""
    days = inputs.history.period_days
    start = inputs.vehicle.in_service_date.timetuple().tm_yday - 1
    middle = start + np.cumsum(days) - days / 2
    return np.floor(middle / DAYS_PER_YEAR * 12 + 1e-9).astype(np.int64) % 12
