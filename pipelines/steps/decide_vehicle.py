"""One vehicle, from its inputs to its rows: pure, safe in threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from models import forecast, resale
from models.domain import BASELINE_POLICY, FloatArray
from models.forecast import Fan
from models.policies import cap_words, export_reference
from models.quantiles import weighted_quantile
from models.resale import Option
from models.warranty import Distance
from pipelines.steps import decide_cover as cover
from pipelines.steps.decide_policies import run_policies
from pipelines.steps.decide_resistance import resistance_rows
from pipelines.steps.decide_twin import twin_exposures
from pipelines.steps.decide_types import Candidate, PolicySums, PolicyYear, VehicleInputs, VehicleResult

LEVEL = 0.8
AS_DRIVEN = "as_driven"
VALUE_BASIS = (
    "scenario, never an appraisal: curve of iSeeCars 2025, elasticity 0.5 (0 to 1.5) of Autovista/TWAICE's expert model"
)


def compute_vehicle(inputs: VehicleInputs) -> VehicleResult:
    """All figures of one vehicle.

    The same inputs give the same result, in any thread or process: draws are seeded by the settings' seed and names
    of vehicle and cohort, never by the clock.
    """
    terms, vehicle = inputs.terms, inputs.vehicle
    years = run_policies(inputs)
    fan = forecast.project_vehicle(
        inputs.worlds,
        inputs.laws,
        inputs.history,
        {y.policy.policy_id: y.exposures for y in years},
        terms.horizon_years,
        first_month=(terms.as_of.month - 1 + (terms.as_of.day > 15)) % 12,
        outside_frac={y.policy.policy_id: y.outside_frac for y in years},
    )
    distance = cover.distance_of(inputs)
    warranty_rows, claims = cover.warranty_rows(inputs, fan, years, distance)
    value_rows = _value_rows(inputs, fan, years, distance)
    own_breach = cover.breach_at(warranty_rows, inputs.contracts[0].contract_id, terms.claims_schedule)
    end = 12 * terms.horizon_years
    apart = inputs.worlds.difference_weight
    diffs = {
        y.policy.policy_id: forecast.difference_quantiles(fan, y.policy.policy_id, [end], weight=apart)[0]
        for y in years
    }
    at_end = {r["policy_id"]: r for r in value_rows if r["year"] == terms.horizon_years}
    recommended, reason = _recommend(inputs, years, own_breach, at_end, diffs)
    state = _state_row(inputs, fan, years)
    sums = {
        p: PolicySums(
            bill_saved_money=at_end[p]["bill_saved_money_per_year"],
            export_kwh=at_end[p]["export_kwh_per_year"],
            fade_diff_pp=float(d[1]),
            diff_draws_pp=forecast.paired_difference_pp(fan, p, 12 * inputs.terms.horizon_years).astype(np.float32),
            diff_low_pp=float(d[0]),
            diff_high_pp=float(d[2]),
            breach_frac=own_breach[p]["breach_frac"],
            breach_low_frac=own_breach[p]["breach_low_frac"],
            breach_high_frac=own_breach[p]["breach_high_frac"],
            cap_changed_days_frac=next(y for y in years if y.policy.policy_id == p).cap_changed_days_frac,
        )
        for p, d in diffs.items()
    }
    return VehicleResult(
        vehicle_id=vehicle.vehicle_id,
        cohort_id=vehicle.cohort_id,
        family=inputs.family,
        contract_id=inputs.contracts[0].contract_id,
        currency=vehicle.currency,
        gross_kwh=vehicle.gross_kwh,
        standing=inputs.past.standing,
        weight=inputs.worlds.weight,
        difference_weight=apart,
        recommended=recommended,
        rows={
            "out_vehicle_state": [state],
            "out_forecast": _forecast_rows(inputs, fan),
            "out_member": _member_rows(inputs, fan, years),
            "out_warranty": warranty_rows,
            "out_virtual_km": [r for y in years for r in cover.virtual_km_rows(inputs, y, distance)],
            "out_value": value_rows,
            "out_policy": _policy_rows(inputs, years, recommended, reason),
            "out_resistance": resistance_rows(inputs, years),
        },
        claims=claims,
        above=cover.compliance(inputs, fan, years, distance),
        sums=sums,
        export_kwh_so_far=inputs.past.export_kwh,
        soh_frac=state["soh_frac"],
        candidates=tuple(
            Candidate(
                vehicle.vehicle_id,
                vehicle.cell_id,
                y.policy.policy_id,
                y.temp_mean_c,
                y.c_rate_p95,
                y.mean_soc_frac,
            )
            for y in years
        ),
    )


def basis_of(inputs: VehicleInputs) -> str:
    """What the vehicle's figures rest on, in words."""
    past = inputs.past
    laws = ", ".join(f"{law.law_id} {law.version}" for law in inputs.laws)
    if past.standing == "measured":
        own = past.readings - past.readings_bms
        rest = f"{own} capacity reading{'' if own == 1 else 's'} of the car"
    elif past.standing == "inferred":
        rest = "no reading: not yet measured (state of charge inferred); its type's range"
    else:
        rest = "no reading: not yet measured; its type's range"
    if past.readings_bms:
        rest += f", {past.readings_bms} reading{'' if past.readings_bms == 1 else 's'} reported by its own BMS"
    return f"{rest}; laws {laws}; {inputs.terms.draws} draws, 80 % interval"


def _state_row(inputs: VehicleInputs, fan: Fan, years: tuple[PolicyYear, ...]) -> dict[str, Any]:
    past = inputs.past
    low, mid, high = weighted_quantile(
        fan.capacity_frac[0, :, 0].astype(float), inputs.worlds.weight, (0.1, 0.5, 0.9)
    ).tolist()
    cost: list[float | None] = [None, None, None]
    twin = twin_exposures(inputs, years)
    if past.export_kwh <= 0:
        cost = [0.0, 0.0, 0.0]
    elif twin is not None:
        lost = forecast.lost_to_export_pp(inputs.worlds, inputs.laws, inputs.history.exposures, twin)
        cost = [float(x) for x in np.quantile(lost, [0.1, 0.5, 0.9])]
    return {
        "vehicle_id": inputs.vehicle.vehicle_id,
        "soh_frac": mid,
        "soh_low_frac": low,
        "soh_high_frac": high,
        "standing": past.standing,
        "last_data_utc": past.last_data_utc,
        "readings": past.readings,
        "readings_bms": past.readings_bms,
        "export_kwh": past.export_kwh,
        "export_hours": past.export_hours,
        "virtual_km": 1000.0 * past.export_kwh / inputs.vehicle.certified_worst_wh_per_km,
        "odometer_km": past.odometer_km,
        "odometer_low_km": past.odometer_low_km,
        "odometer_high_km": past.odometer_high_km,
        "age_years": inputs.age_years,
        "export_cost_pp": cost[1],
        "export_cost_low_pp": cost[0],
        "export_cost_high_pp": cost[2],
        "mean_soc_frac": past.mean_soc_frac,
        "hot_share_frac": past.hot_share_frac,
        "high_soc_share_frac": past.high_soc_share_frac,
        "full_cycles_per_year": past.full_cycles_per_year,
        "backcast_share_frac": inputs.history.backcast_share_frac,
        "outside_frac": past.outside_frac,
        "shrinkage": past.shrinkage,
        "residual_model": past.residual_note,
        "basis": basis_of(inputs),
    }


def _forecast_rows(inputs: VehicleInputs, fan: Fan) -> list[dict[str, Any]]:
    months = [12 * y for y in inputs.terms.years]
    basis = basis_of(inputs)
    reference = {p.policy_id: export_reference(p, fan.policy_ids) for p in inputs.policies}
    rows, apart = [], inputs.worlds.difference_weight
    for policy_id in fan.policy_ids:
        level = forecast.level_quantiles(fan.of(policy_id), inputs.worlds.weight, months)
        diff = forecast.difference_quantiles(fan, policy_id, months, weight=apart)
        alone = forecast.difference_quantiles(fan, policy_id, months, reference[policy_id], apart)
        for y, q, d, e in zip(inputs.terms.years, level.tolist(), diff.tolist(), alone.tolist(), strict=True):
            rows.append(
                {
                    "vehicle_id": inputs.vehicle.vehicle_id,
                    "policy_id": policy_id,
                    "year": y,
                    **dict(zip(("soh_p10", "soh_p25", "soh_p50", "soh_p75", "soh_p90"), q, strict=True)),
                    **dict(zip(("diff_p10_pp", "diff_p50_pp", "diff_p90_pp"), d, strict=True)),
                    **dict(zip(("export_p10_pp", "export_p50_pp", "export_p90_pp"), e, strict=True)),
                    "level": LEVEL,
                    "basis": basis,
                }
            )
    return rows


def _member_rows(inputs: VehicleInputs, fan: Fan, years: tuple[PolicyYear, ...]) -> list[dict[str, Any]]:
    outside = {y.policy.policy_id: y.outside_frac for y in years}
    horizon = inputs.terms.horizon_years
    shown = sorted({min(5, horizon), horizon})
    return [
        {
            "vehicle_id": inputs.vehicle.vehicle_id,
            "policy_id": m.policy_id,
            "law_id": m.law_id,
            "year": m.year,
            "soh_p50": m.soh_p50,
            "diff_p50_pp": m.diff_p50_pp,
            "outside_frac": outside[m.policy_id][m.law_id],
            "weight": m.weight,
        }
        for m in forecast.member_medians(fan, inputs.worlds, shown)
    ]


def _value_rows(
    inputs: VehicleInputs, fan: Fan, years: tuple[PolicyYear, ...], distance: Distance
) -> list[dict[str, Any]]:
    terms, vehicle = inputs.terms, inputs.vehicle
    baseline = next(y for y in years if y.policy.policy_id == BASELINE_POLICY)
    basis = VALUE_BASIS + ("; list price assumed" if "list_price_money" in vehicle.assumed else "")
    if inputs.year.currency != vehicle.currency:
        basis += f"; bill in {inputs.year.currency} at {inputs.exchange:.3g} {vehicle.currency}, assumed"
    rows = []
    values: dict[tuple[str, int], FloatArray] = {}
    for year in (baseline, *(y for y in years if y is not baseline)):
        policy_id = year.policy.policy_id
        soh = fan.of(policy_id)[:, ::12].astype(float)
        for y in terms.years:
            km = distance.odometer_km + y * distance.km_per_year
            values[policy_id, y] = resale.value_money(
                vehicle.list_price_money, terms.resale, inputs.age_years + y, km, soh[:, y]
            )
    for year in years:
        policy_id = year.policy.policy_id
        for y in terms.years:
            own, base = values[policy_id, y], values[BASELINE_POLICY, y]
            without = values[export_reference(year.policy, fan.policy_ids), y]
            low, mid, high = weighted_quantile(own, inputs.worlds.weight, (0.1, 0.5, 0.9)).tolist()
            diff_low, diff, diff_high = np.quantile(own - base, [0.1, 0.5, 0.9]).tolist()
            wear = resale.wear_money_per_kwh(own, without, year.export_kwh * y)
            rows.append(
                {
                    "vehicle_id": vehicle.vehicle_id,
                    "policy_id": policy_id,
                    "year": y,
                    "value_money": mid,
                    "value_low_money": low,
                    "value_high_money": high,
                    "value_diff_money": diff,
                    "value_diff_low_money": diff_low,
                    "value_diff_high_money": diff_high,
                    "bill_saved_money_per_year": inputs.exchange * (baseline.bill_money - year.bill_money),
                    "wear_money_per_kwh": None if wear is None else wear.value,
                    "wear_low_money_per_kwh": None if wear is None else wear.low,
                    "wear_high_money_per_kwh": None if wear is None else wear.high,
                    "outage_hours_bridged": year.outage_hours_bridged,
                    "export_kwh_per_year": year.export_kwh,
                    "currency": vehicle.currency,
                    "basis": basis,
                }
            )
    return rows


def _recommend(
    inputs: VehicleInputs,
    years: tuple[PolicyYear, ...],
    breach: dict[str, dict[str, Any]],
    value: dict[str, dict[str, Any]],
    diffs: dict[str, FloatArray],
) -> tuple[str, str]:
    baseline = next(y for y in years if y.policy.policy_id == BASELINE_POLICY)
    drive = max(baseline.drive_kwh, 1.0)
    options = tuple(
        Option(
            policy_id=p.policy.policy_id,
            label=p.policy.label,
            exports=p.policy.export != "none",
            capped=bool(p.policy.caps),
            bill_saved_money_per_year=value[p.policy.policy_id]["bill_saved_money_per_year"],
            value_diff_money=value[p.policy.policy_id]["value_diff_money"],
            value_diff_low_money=value[p.policy.policy_id]["value_diff_low_money"],
            breach_increase_frac=breach[p.policy.policy_id]["breach_frac"] - breach[BASELINE_POLICY]["breach_frac"],
            fade_increase_low_pp=float(diffs[p.policy.policy_id][0]),
            fade_increase_high_pp=float(diffs[p.policy.policy_id][2]),
            unserved_drive_frac=max(p.unserved_drive_kwh - baseline.unserved_drive_kwh, 0.0) / drive,
        )
        for p in years
        if p.policy.policy_id != BASELINE_POLICY and p.policy.charging != AS_DRIVEN
    )
    return resale.recommend(
        options,
        BASELINE_POLICY,
        inputs.charger.export_kw > 0,
        float(inputs.terms.horizon_years),
        inputs.terms.recommendation,
        inputs.vehicle.currency,
    )


def _policy_rows(
    inputs: VehicleInputs, years: tuple[PolicyYear, ...], recommended: str, reason: str
) -> list[dict[str, Any]]:
    weights = dict(zip(inputs.worlds.law_ids, _member_weights(inputs), strict=True))
    sources = "; ".join(f"{k}: {v}" for k, v in sorted(inputs.year.sources.items()))
    return [
        {
            "vehicle_id": inputs.vehicle.vehicle_id,
            "policy_id": y.policy.policy_id,
            "export_kwh_per_year": y.export_kwh,
            "export_hours_per_year": y.export_hours,
            "charge_kwh_per_year": y.charge_kwh,
            "full_cycles_per_year": y.full_cycles,
            "mean_soc_frac": y.mean_soc_frac,
            "bill_money_per_year": y.bill_money,
            "outage_hours": y.outage_hours,
            "outage_hours_bridged": y.outage_hours_bridged,
            "unserved_drive_kwh": y.unserved_drive_kwh,
            "cap_changed_days_frac": y.cap_changed_days_frac,
            "cap": cap_words(y.policy) or None,
            "currency": inputs.year.currency,
            "outside_frac": sum(weights[k] * v for k, v in y.outside_frac.items()),
            "plating_hours_per_year": y.plating_hours,
            "recommended": y.policy.policy_id == recommended,
            "basis": reason if y.policy.policy_id == recommended else f"representative year: {sources}",
        }
        for y in years
    ]


def _member_weights(inputs: VehicleInputs) -> list[float]:
    w = inputs.worlds
    return [float(w.weight[w.of_member(m)].sum()) for m in range(len(w.law_ids))]
