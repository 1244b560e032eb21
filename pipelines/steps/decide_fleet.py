"""Sums over the fleet, within each draw: claims, compliance, frontier and the night's figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from models.claims import ClaimTotals, QuarterClaims, fates, over_forecast, pack_price_draws, summarise
from models.domain import BASELINE_POLICY, FloatArray, Policy
from models.policies import AS_DRIVEN, AS_DRIVEN_NO_EXPORT
from models.quantiles import weighted_quantile
from pipelines.steps.decide_types import Terms, VehicleResult

FLEET_POLICY = "evening_peak"
UNUSUAL_PP = (-1.0, 9.0)
HALF = 0.5


def claims_rows(results: Sequence[VehicleResult], terms: Terms) -> list[dict[str, Any]]:
    """Rows of ``out_claims``: cohort x contract x policy x quarter."""
    price = pack_price_draws(terms.claims, terms.draws, terms.seed)
    groups: dict[tuple[str, str], list[VehicleResult]] = defaultdict(list)
    for r in results:
        groups[r.cohort_id, r.contract_id].append(r)
    rows: list[dict[str, Any]] = []
    for (cohort_id, contract_id), members in sorted(groups.items()):
        luck = {r.vehicle_id: fates(terms.draws, terms.seed, r.vehicle_id) for r in members}
        for policy_id in members[0].claims:
            totals = ClaimTotals.empty(terms.quarters, terms.draws)
            for r in members:
                totals.add(r.claims[policy_id], luck[r.vehicle_id], r.gross_kwh, price, terms.claims)
            for q, one in enumerate(summarise(totals, members[0].weight, terms.claims)):
                rows.append(_claims_row(cohort_id, contract_id, policy_id, terms, q, one, totals.vehicles))
    return rows


def _claims_row(
    cohort_id: str, contract_id: str, policy_id: str, terms: Terms, quarter: int, one: QuarterClaims, vehicles: int
) -> dict[str, Any]:
    few = vehicles < terms.claims.smallest_cohort
    basis = (
        f"{terms.claims_schedule} tests; acceptance, goodwill, repair share, prices and lag are stated assumptions; "
        "prices in USD, no exchange rate applied; reserve = 99 % quantile of the cost to date, never below its "
        "expected value, beside it the Monte Carlo error relative to the reserve"
    )
    if few:
        basis += f"; fewer than {terms.claims.smallest_cohort} cars: tells of single cars, do not pass on"
    return {
        "cohort_id": cohort_id,
        "contract_id": contract_id,
        "policy_id": policy_id,
        "quarter": terms.quarter_name(quarter),
        "breaches": one.breaches[0],
        "breaches_low": one.breaches[1],
        "breaches_high": one.breaches[2],
        "claims": one.claims[0],
        "claims_low": one.claims[1],
        "claims_high": one.claims[2],
        "cost_money": one.cost_money[0],
        "cost_low_money": one.cost_money[1],
        "cost_high_money": one.cost_money[2],
        "reserve_money": one.reserve_money,
        "currency": terms.claims.currency,
        "vehicles": vehicles,
        "monte_carlo_error_frac": one.reserve_error_frac,
        "basis": basis,
    }


def compliance_rows(results: Sequence[VehicleResult], terms: Terms) -> list[dict[str, Any]]:
    """Rows of ``out_compliance``: UN GTR 22 on SOCE, family x policy x window; nobody's customer warranty."""
    groups: dict[tuple[str, str, str], list[VehicleResult]] = defaultdict(list)
    for r in results:
        for policy_id, window_id in r.above:
            groups[r.family, policy_id, window_id].append(r)
    by_id = {w.window_id: w for w in terms.windows}
    rows = []
    for (family, policy_id, window_id), members in sorted(groups.items()):
        w = by_id[window_id]
        above = np.mean([r.above[policy_id, window_id] for r in members], axis=0)
        weight = np.mean([r.weight for r in members], axis=0)
        low, high = weighted_quantile(above, weight, (0.1, 0.9)).tolist()
        share = min(float(np.mean([r.weight @ r.above[policy_id, window_id] for r in members])), 1.0)
        rows.append(
            {
                "family": family,
                "policy_id": policy_id,
                "window_id": window_id,
                "floor_frac": w.floor_frac,
                "vehicles": len(members),
                "share_above_frac": share,
                "share_above_low_frac": min(low, share),
                "share_above_high_frac": min(max(high, share), 1.0),
                "passes_frac": min(float(weight @ (above >= w.pass_share_frac - 1e-9)), 1.0),
                "basis": f"UN GTR 22, {w.label}, SOCE at the window's end, driven plus virtual km; passes if at least "
                f"{100 * w.pass_share_frac:.0f} % are above; family by vehicle type and BMS version, "
                "a sample this small is no Part B test",
            }
        )
    return rows


def frontier_rows(results: Sequence[VehicleResult]) -> list[dict[str, Any]]:
    """Rows of ``out_policy_frontier``: benefit against fade and risk, cohort x policy (x currency)."""
    groups: dict[tuple[str, str], list[VehicleResult]] = defaultdict(list)
    for r in results:
        groups[r.cohort_id, r.currency].append(r)
    rows = []
    for (cohort_id, currency), members in sorted(groups.items()):
        for policy_id in members[0].sums:
            s = [r.sums[policy_id] for r in members]
            # One world at a time: the mean of the vehicles within each draw, then quantiles over the draws.
            diff, apart = np.mean([x.diff_draws_pp for x in s], axis=0), members[0].difference_weight
            if apart is None:
                low, mid, high = np.quantile(diff, [0.1, 0.5, 0.9]).tolist()
            else:  # what the cohort's contrast in throughput has taught weighs its vehicles' draws alike
                low, mid, high = weighted_quantile(diff, apart, [0.1, 0.5, 0.9]).tolist()
            caps = [x.cap_changed_days_frac for x in s if x.cap_changed_days_frac is not None]
            rows.append(
                {
                    "cohort_id": cohort_id,
                    "policy_id": policy_id,
                    "vehicles": len(members),
                    "bill_saved_money_per_year": _mean([x.bill_saved_money for x in s]),
                    "export_kwh_per_year": _mean([x.export_kwh for x in s]),
                    "fade_diff_p10_pp": low,
                    "fade_diff_p50_pp": mid,
                    "fade_diff_p90_pp": high,
                    "breach_frac": _mean([x.breach_frac for x in s]),
                    "cap_changed_days_frac": _mean(caps) if caps else None,
                    "currency": currency,
                }
            )
    return rows


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(np.asarray(values, dtype=float)))


def _found(results: Sequence[VehicleResult], policy_id: str, draws: int) -> tuple[float, FloatArray]:
    """Expected breaches found over the horizon, and the sampled number in each world."""
    number = np.zeros(draws)
    expected = 0.0
    for r in results:
        number += r.claims[policy_id].quarter >= 0
        expected += float(r.claims[policy_id].expected.sum())
    return expected, number


def kpi_rows(results: Sequence[VehicleResult], policies: Sequence[Policy], terms: Terms) -> list[dict[str, Any]]:
    """Rows of ``meta_kpi``: the night's figures, each with its interval where it has one."""
    rows: list[dict[str, Any]] = []

    def put(kpi: str, value: float, unit: str, basis: str, low: float | None = None, high: float | None = None) -> None:
        rows.append(
            {"as_of_day": terms.as_of, "kpi": kpi, "value": value, "low": low, "high": high, "unit": unit,
             "basis": basis}
        )  # fmt: skip

    n = len(results)
    put("vehicles", n, "vehicles", "registered vehicles with data")
    for standing in ("measured", "inferred", "prior_only"):
        count = sum(r.standing == standing for r in results)
        put(f"vehicles_{standing}", count, "vehicles", "standing of the battery's state")
    if n == 0:
        return rows
    measured = sum(r.standing == "measured" for r in results)
    put("share_measured", measured / n, "1", "vehicles with a capacity reading of their own")
    soh = np.array([r.soh_frac for r in results])
    put("soh_median", float(np.median(soh)), "1", "median over vehicles; low and high: 10 and 90 % of vehicles",
        *np.quantile(soh, [0.1, 0.9]).tolist())  # fmt: skip
    put("export_kwh_so_far", float(sum(r.export_kwh_so_far for r in results)), "kWh", "logged, at the battery")
    _breach_kpis(results, terms, put)
    _claim_kpis(results, terms, put)
    _effect_kpis(results, policies, put)
    return rows


def _breach_kpis(results: Sequence[VehicleResult], terms: Terms, put: Any) -> None:
    weight = np.mean([r.weight for r in results], axis=0)
    basis = f"own contract, {terms.claims_schedule} tests, 80 % interval over worlds"
    own, number = _found(results, AS_DRIVEN, terms.draws)
    low, high = weighted_quantile(number, weight, (0.1, 0.9)).tolist()
    put("expected_breaches_as_driven", own, "vehicles", basis, min(low, own), max(high, own))
    for policy_id, name in ((BASELINE_POLICY, "no_export"), (FLEET_POLICY, FLEET_POLICY)):
        if policy_id in results[0].claims:
            value, other = _found(results, policy_id, terms.draws)
            low, high = weighted_quantile(other, weight, (0.1, 0.9)).tolist()
            put(f"expected_breaches_{name}", value, "vehicles", basis, min(low, value), max(high, value))
    smart = "smart charging without export"
    for policy_id, reference, name, words in (
        (AS_DRIVEN, AS_DRIVEN_NO_EXPORT, "recorded_export", "as driven against the same charging without export"),
        (AS_DRIVEN, BASELINE_POLICY, "way_of_use", f"as driven against {smart}"),
        (FLEET_POLICY, BASELINE_POLICY, "export", f"{FLEET_POLICY} against {smart}"),
    ):
        if policy_id not in results[0].claims or reference not in results[0].claims:
            continue
        base, base_number = _found(results, reference, terms.draws)
        value, number = _found(results, policy_id, terms.draws)
        low, high = weighted_quantile(number - base_number, weight, (0.1, 0.9)).tolist()
        more, said = value - base, f"{words}, paired worlds"
        put(f"breaches_due_to_{name}", more, "vehicles", said, min(low, more), max(high, more))
        if value > 0.01:
            put(f"share_of_breaches_due_to_{name}", more / value, "1", f"{said}: over the breaches under {policy_id}")


def _claim_kpis(results: Sequence[VehicleResult], terms: Terms, put: Any) -> None:
    """Claims of the whole fleet as driven, each vehicle under its own contract, summed within each world."""
    price = pack_price_draws(terms.claims, terms.draws, terms.seed)
    totals = ClaimTotals.empty(terms.quarters, terms.draws)
    for r in results:
        luck = fates(terms.draws, terms.seed, r.vehicle_id)
        totals.add(r.claims[AS_DRIVEN], luck, r.gross_kwh, price, terms.claims)
    one = over_forecast(totals, np.mean([r.weight for r in results], axis=0), terms.claims)
    basis = f"all cohorts, own contracts, {terms.claims_schedule} tests, stated assumptions; 80 % interval over worlds"
    put("expected_claims_as_driven", one.claims[0], "vehicles", basis, *one.claims[1:])
    put("claims_cost_as_driven", one.cost_money[0], terms.claims.currency, basis, *one.cost_money[1:])
    put("claims_reserve_as_driven", one.reserve_money, terms.claims.currency, "99 % quantile of all cohorts' cost")


def _effect_kpis(results: Sequence[VehicleResult], policies: Sequence[Policy], put: Any) -> None:
    known = {p.policy_id: p for p in policies}
    if FLEET_POLICY not in results[0].sums:
        return
    exporting = [r for r in results if r.sums[FLEET_POLICY].export_kwh > 1.0]
    if not exporting:
        put("v2h_effect_vehicles", 0, "vehicles", "no vehicle can export: no effect to tell")
        return
    label = known[FLEET_POLICY].label
    paired = [r.sums[FLEET_POLICY] for r in exporting]
    effect = np.array([s.fade_diff_pp for s in paired])
    # The range of medians between vehicles would read as an interval on the difference, and a far too narrow one.
    low, high = (float(np.median([getattr(s, end) for s in paired])) for end in ("diff_low_pp", "diff_high_pp"))
    put("v2h_effect_vehicles", len(exporting), "vehicles", f"vehicles that would export under '{label}'")
    put("v2h_effect_pp", float(np.median(effect)), "pp",
        f"extra fade of '{label}' at the horizon against no export, a typical vehicle: median over vehicles of their "
        "medians and of the ends of their paired 80 % intervals", low, high)  # fmt: skip
    unusual = int(np.sum((effect < UNUSUAL_PP[0]) | (effect > UNUSUAL_PP[1])))
    put("v2h_effect_unusual_vehicles", unusual, "vehicles", "outside -1 to +9 pp, where published models lie")
    unclear = sum(r.sums[FLEET_POLICY].diff_low_pp <= 0 <= r.sums[FLEET_POLICY].diff_high_pp for r in exporting)
    put("v2h_effect_unclear_share", unclear / len(exporting), "1", "vehicles whose paired interval includes zero")
    put("recommended_export_vehicles", sum(r.recommended not in (BASELINE_POLICY, "no_export_immediate")
                                           for r in results), "vehicles", "recommended setting exports")  # fmt: skip
    full = _mean([r.sums[FLEET_POLICY].fade_diff_pp for r in exporting])
    capped = [p for p in policies if p.uncapped_policy_id == FLEET_POLICY and p.policy_id in results[0].sums]
    shares = {}
    for p in capped:
        share = _mean([r.sums[p.policy_id].fade_diff_pp for r in exporting]) / full if abs(full) > 1e-6 else 1.0
        kept = _mean([r.sums[p.policy_id].export_kwh / r.sums[FLEET_POLICY].export_kwh for r in exporting])
        shares[p.policy_id] = (share, kept)
        put(f"effect_left_{p.policy_id}", share, "1",
            f"mean extra fade over that of '{label}'; keeps {100 * kept:.0f} % of the exported energy")  # fmt: skip
    halving = [p for p in capped if shares[p.policy_id][0] <= HALF]
    if full > 0 and halving:
        best = max(halving, key=lambda p: shares[p.policy_id][1])
        put("cap_that_halves_effect", shares[best.policy_id][0], "1",
            f"{best.policy_id}: of the caps that at least halve it, the one that keeps most energy "
            f"({100 * shares[best.policy_id][1]:.0f} %)")  # fmt: skip
