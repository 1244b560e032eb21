"""Learn: exposures of the past, a history for every vehicle, fits of every cohort and law, the learned residual.

Exposures are brought up to date by `pipelines.steps.exposures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from models.departure import Departure, departure_terms, fleet_departures
from models.domain import FloatArray, History, Readings, Vehicle
from models.evidence import MIN_READINGS, Z80, FleetFit, fit_fleet, predict_marginal
from models.exposure import fill_days, monthly
from models.fleet import CohortFit
from models.laws.base import Law
from models.laws.registry import laws_for
from models.learned.conformal import HORIZON_EDGES_DAYS
from models.learned.residual import ResidualModel, feature_row, fit_residual, residual_terms
from models.parameters import entry
from pipelines.settings import Settings
from pipelines.steps.exposures import AS_DRIVEN, WHERE, Computed, update_exposures
from pipelines.steps.fleet import load_vehicles
from pipelines.steps.history import load_readings
from warehouse.store import Warehouse


@dataclass(frozen=True)
class Shift:
    """What the learned residual adds to a vehicle's capacity and its standard deviation [1], and why."""

    frac: float
    sigma_frac: float
    note: str


@dataclass(frozen=True, eq=False)
class Learned:
    """What a night learned, for the decide step.

    Parameters
    ----------
    histories
        Vehicle -> history (vehicles without any logged day have none).
    fits
        (cohort, law) -> fit, with its evidence weight.
    laws
        Cohort -> members of its ensemble, in their fixed order.
    residual
        Learned residual; says why where it stands aside.
    outside
        Vehicle -> law -> share of the recorded exposure outside the law's range. [1]
    shifts
        Vehicle -> what the learned residual adds to its capacity.
    computed
        Vehicles and days whose exposures were computed in this run.
    """

    histories: dict[str, History]
    fits: dict[tuple[str, str], CohortFit]
    laws: dict[str, tuple[Law, ...]]
    residual: ResidualModel
    outside: dict[str, dict[str, float]]
    shifts: dict[str, Shift]
    computed: Computed

    @property
    def sentence(self) -> str:
        """What was done, for the night's summary."""
        readings = sum(h.readings.days.shape[0] for h in self.histories.values())
        again = f"{self.computed.vehicles} with new exposures, on {self.computed.days} days"
        return (
            f"{len(self.histories)} vehicles ({again}), {readings} capacity readings, "
            f"{len(self.fits)} fits in {len(self.laws)} cohorts; learned residual {self.residual.reason}."
        )

    def vehicle_shrinkage(self, vehicle_id: str) -> float:
        """Posterior over prior spread of the vehicle's own offset, least over laws: 1 = nothing was learned of it."""
        cohort = self.histories[vehicle_id].cohort_id
        return min(self.fits[cohort, law.law_id].vehicle_shrinkage(vehicle_id) for law in self.laws[cohort])


def learn(wh: Warehouse, settings: Settings) -> Learned:
    """Bring exposures up to date, fit, write ``core_exposure_day`` and ``out_`` of fits, residual and departures.

    Raises
    ------
    warehouse.store.WarehouseError
        A table cannot be read or written.
    """
    as_of, vehicles = wh.as_of(), load_vehicles(wh)
    logged = {row[0] for row in wh.rows("SELECT DISTINCT vehicle_id FROM core_duty_step ORDER BY vehicle_id")}
    vehicles = {v: x for v, x in vehicles.items() if v in logged}
    laws: dict[str, tuple[Law, ...]] = {}
    for vehicle in vehicles.values():
        if vehicle.cohort_id not in laws:
            laws[vehicle.cohort_id] = laws_for(vehicle.cell_id, settings.home)
    computed = update_exposures(wh, settings, vehicles, laws)
    histories: dict[str, History] = {}
    outside: dict[str, dict[str, float]] = {}
    for vehicle_id, vehicle in vehicles.items():
        members = laws[vehicle.cohort_id]
        histories[vehicle_id], outside[vehicle_id] = load_history(wh, vehicle, members, as_of)
    fleet = fit_fleet(histories, laws, settings.home)
    duty = {v: _duty_features(wh, v, as_of) for v in sorted({h.vehicle_id for h in fleet.held_out})}
    weights = {c: fleet.weight(c) for c in laws}
    residual = fit_residual(fleet.held_out, weights, duty, residual_terms(settings.home))
    departures = fleet_departures(fleet, histories, laws, departure_terms(settings.home))
    shifts = {v: _shift(wh, h, fleet, laws[h.cohort_id], residual, as_of) for v, h in histories.items()}
    with wh.transaction():
        wh.write("out_fit", _frame(wh, "out_fit", fit_rows(fleet, histories)))
        wh.write("out_residual", _frame(wh, "out_residual", residual_rows(residual)))
        rows = departure_rows(departures, fleet, histories, vehicles)
        wh.write("out_departure", _frame(wh, "out_departure", rows))
    return Learned(histories, fleet.fits, laws, residual, outside, shifts, computed)


def load_history(wh: Warehouse, vehicle: Vehicle, laws: Sequence[Law], as_of: date) -> tuple[History, dict[str, float]]:
    """A vehicle's life from in-service to the as-of day in months, days without logs filled by calendar month.

    Returns
    -------
    tuple[History, dict[str, float]]
        The history, and law -> share of the recorded exposure outside its range.
    """
    life = max((as_of - vehicle.in_service_date).days + 1, 1)
    exposures: dict[str, FloatArray] = {}
    outside: dict[str, float] = {}
    share, period_days = 1.0, np.empty(0)
    for law in laws:
        frame = wh.read(
            f"SELECT day, exposures FROM core_exposure_day WHERE {WHERE} AND day BETWEEN ? AND ? "  # noqa: S608
            "ORDER BY day",
            [vehicle.vehicle_id, law.law_id, AS_DRIVEN, vehicle.in_service_date, as_of],
        )
        k = len(law.exposure_names)
        days = (frame["day"] - vehicle.in_service_date).dt.total_days().to_numpy().astype(np.int64)
        values = frame["exposures"].explode().to_numpy().reshape(-1, k) if frame.height else np.zeros((0, k))
        daily, share = fill_days(days, values, life, vehicle.in_service_date)
        exposures[law.law_id], period_days = monthly(daily, 0)
        share_outside = wh.scalar(
            f"SELECT outside_frac FROM core_exposure_life WHERE {WHERE}",  # noqa: S608
            [vehicle.vehicle_id, law.law_id, AS_DRIVEN],
        )
        outside[law.law_id] = float(share_outside) if frame.height and share_outside is not None else 0.0
    readings = _until(load_readings(wh, vehicle), float(life))
    common = entry("ensemble", "fleet", wh.home).number("shared_reading_share") * readings.shared_sigma_frac
    readings = replace(readings, shared_sigma_frac=common)
    history = History(vehicle.vehicle_id, vehicle.cohort_id, period_days, exposures, readings, share)
    return history, outside


def _until(readings: Readings, days: float) -> Readings:
    keep = (readings.days >= 0.0) & (readings.days <= days)
    return Readings(*(getattr(readings, name)[keep] for name in Readings.__dataclass_fields__))


def _duty_features(wh: Warehouse, vehicle_id: str, as_of: date) -> dict[str, float]:
    frame = wh.read(
        "SELECT temp_c, cell_soc_start_frac, abs(cell_soc_end_frac - cell_soc_start_frac) AS swing, step_minutes "
        "FROM core_duty_step WHERE vehicle_id = ? AND step_utc < ? ORDER BY step_utc",
        [vehicle_id, as_of + timedelta(days=1)],
    )
    years = float(frame["step_minutes"].to_numpy().sum()) / (60 * 24 * 365.25)
    return {
        "full_cycles_per_year": float(np.nansum(frame["swing"].to_numpy())) / 2.0 / max(years, 1e-9),
        "mean_temp_c": float(np.nanmean(frame["temp_c"].to_numpy())),
        "mean_soc_frac": float(np.nanmean(frame["cell_soc_start_frac"].to_numpy())),
    }


def _shift(
    wh: Warehouse, history: History, fleet: FleetFit, laws: Sequence[Law], residual: ResidualModel, as_of: date
) -> Shift:
    age = float(history.period_days.sum())
    anchored = history.readings.days[~history.readings.bms_reported]
    if anchored.shape[0] < MIN_READINGS:
        few = f"withdrawn to the laws: fewer than {MIN_READINGS} readings of its own"
        return Shift(0.0, 0.0, few if residual.used else residual.reason)
    fits = [fleet.fits[history.cohort_id, law.law_id] for law in laws]
    weight = np.array([f.weight for f in fits])
    fresh = np.array([float(np.mean(history.readings.fresh_sigma_frac[~history.readings.bms_reported]))])
    at = np.array([age])
    said = [predict_marginal(f, history, law, at, fresh) for f, law in zip(fits, laws, strict=True)]
    means, sds = (np.array([float(x[k][0]) for x in said]) for k in (0, 1))
    mean = float(means @ weight)
    sd = float(np.sqrt((sds**2 + (means - mean) ** 2) @ weight))
    horizon = age - float(anchored.max())
    sigma = residual.extra_sigma_frac(horizon, sd)
    if not residual.used:
        return Shift(0.0, sigma, residual.reason)
    duty = _duty_features(wh, history.vehicle_id, as_of)
    shift, note = residual.shift_frac(feature_row(age / 365.25, horizon / 365.25, 1.0 - mean, duty))
    return Shift(shift, sigma, note)


def fit_rows(fleet: FleetFit, histories: Mapping[str, History]) -> list[dict[str, Any]]:
    """Rows of ``out_fit``: prior and posterior of every parameter, how far it shrank, weight and held-out scores."""
    rows = []
    for (cohort_id, law_id), fit in fleet.fits.items():
        vehicles = sum(h.cohort_id == cohort_id for h in histories.values())
        note = "" if fit.readings else "prior only: no capacity reading in this cohort"
        if fit.difference_weight is not None:
            note = f"contrast in throughput: weighs {fit.difference_weight:.2f} on differences between policies"
        for name, prior, mean, sd in zip(
            fit.names, fit.prior_sigma, fit.mean, np.sqrt(np.diag(fit.covariance)), strict=True
        ):
            rows.append(
                {
                    "cohort_id": cohort_id,
                    "law_id": law_id,
                    "parameter": name,
                    "prior_value": 0.0,
                    "prior_sigma": float(prior),
                    "value": float(mean),
                    "low": float(mean - Z80 * sd),
                    "high": float(mean + Z80 * sd),
                    "shrinkage": float(sd / prior),
                    "readings": fit.readings,
                    "vehicles": vehicles,
                    "weight": fit.weight,
                    "heldout_rmse_pp": fit.heldout_rmse_pp,
                    "heldout_inside_80_frac": fit.heldout_inside_80_frac,
                    "note": note,
                }
            )
    return rows


def residual_rows(residual: ResidualModel) -> list[dict[str, Any]]:
    """Rows of ``out_residual``: the fleet, time-forward, then each bin of horizon with its conformal half width."""
    conformal = residual.conformal
    row = {
        "scope": "fleet",
        "groups": residual.groups,
        "readings": residual.readings,
        "used": residual.used,
        "reason": residual.reason,
        "rmse_laws_pp": residual.rmse_laws_pp,
        "rmse_learned_pp": residual.rmse_learned_pp,
        "half_width_pp": None,
        "inside_80_frac": None if conformal is None else conformal.inside_frac,
    }
    rows = [row]
    if residual.forward_laws_pp is not None:
        forward = {"rmse_laws_pp": residual.forward_laws_pp, "rmse_learned_pp": residual.forward_learned_pp}
        said = "learned from earlier held-out readings, tried on later ones"
        rows.append(row | forward | {"scope": "fleet, time-forward", "reason": said, "inside_80_frac": None})
    if conformal is not None:
        for b, (groups, width) in enumerate(zip(conformal.groups, conformal.widths_frac, strict=True)):
            low, high = HORIZON_EDGES_DAYS[b : b + 2]
            name = f"{low:.0f} to {high:.0f} days ahead" if np.isfinite(high) else f"over {low:.0f} days ahead"
            few = "too few vehicles: the laws' interval stands" if np.isnan(width) else "group-wise conformal interval"
            more = {"scope": name, "groups": groups, "reason": few, "inside_80_frac": None}
            rows.append(row | more | {"half_width_pp": None if np.isnan(width) else 100.0 * float(width)})
    return rows


def departure_rows(
    departures: Mapping[str, Departure],
    fleet: FleetFit,
    histories: Mapping[str, History],
    vehicles: Mapping[str, Vehicle],
) -> list[dict[str, Any]]:
    """Rows of ``out_departure``: which readings of a vehicle leave its forecast, by how much, and since when."""
    rows = []
    for vehicle_id, d in departures.items():
        cohort_id, start = histories[vehicle_id].cohort_id, vehicles[vehicle_id].in_service_date
        fits = [f for (c, _), f in fleet.fits.items() if c == cohort_id]
        offset = sum(f.weight * float(f.vehicle(vehicle_id).mean[0]) / f.prior.vehicle_sigma for f in fits)
        rows.append(
            {
                "vehicle_id": vehicle_id,
                "cohort_id": cohort_id,
                "departed": d.departed,
                "since_day": start + timedelta(days=int(d.since_days)),
                "flagged_day": start + timedelta(days=int(d.flagged_days)) if d.departed else None,
                "tested_readings": d.readings,
                "run_readings": d.run_readings,
                "run_sigmas": d.sigmas,
                "below_forecast_pp": d.below_pp,
                "cusum_sigma": d.score,
                "cusum_limit_sigma": d.limit,
                "offset_sigmas": offset / sum(f.weight for f in fits),
                "note": d.sentence,
            }
        )
    return rows


def _frame(wh: Warehouse, table: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=wh.registry.schema(table))
