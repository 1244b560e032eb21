"""One vehicle's warranty, virtual kilometres and durability windows, from its fan."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import warranty
from models.claims import VehicleClaims, fates, vehicle_claims
from models.domain import Contract, FloatArray
from models.forecast import Fan
from models.policies import export_reference
from models.seeds import generator
from models.warranty import Distance
from pipelines.steps.decide_types import PolicyYear, VehicleInputs

_Z80 = 1.2815515655446004
_LEAST_BREACH = 1e-4


def distance_of(inputs: VehicleInputs) -> Distance:
    """Kilometres now and a year, as draws of the vehicle's own (seeded by its id)."""
    draws = inputs.terms.draws
    z = generator(inputs.terms.seed, "distance", inputs.vehicle.vehicle_id).standard_normal((2, draws))
    past = inputs.past
    sigma = (past.odometer_high_km - past.odometer_low_km) / (2 * _Z80)
    return Distance(
        age_years=inputs.age_years,
        odometer_km=np.maximum(past.odometer_km + sigma * z[0], 0.0),
        km_per_year=inputs.year.km_per_year * np.exp(inputs.terms.km_per_year_sigma_frac * z[1]),
        virtual_km=warranty.virtual_km(past.export_kwh, inputs.vehicle.certified_worst_wh_per_km),
    )


def virtual_per_year(inputs: VehicleInputs, policy: PolicyYear) -> float:
    """Virtual kilometres of a year under a policy. [km/a]"""
    return warranty.virtual_km(policy.export_kwh, inputs.vehicle.certified_worst_wh_per_km)


def _ends(inputs: VehicleInputs, contract: Contract, distance: Distance, policy: PolicyYear) -> FloatArray:
    past = inputs.past
    cap = warranty.cap_left_months(contract, past.export_kwh, past.export_hours, policy.export_kwh, policy.export_hours)
    return warranty.cover_end_months(
        contract.years, contract.km, distance, virtual_per_year(inputs, policy), contract.virtual_km is True, cap
    )


def _soh(inputs: VehicleInputs, contract: Contract, fan: NDArray[np.float32]) -> NDArray[np.float32]:
    if contract.measure == "soce":
        pack = inputs.pack
        return warranty.soce(np.asarray(fan, dtype=float), pack.usable_kwh, pack.certified_kwh).astype(np.float32)
    return fan


def _at(fan: NDArray[np.float32], month: FloatArray) -> FloatArray:
    last = fan.shape[1] - 1
    x = np.clip(month, 0.0, last)
    i = np.minimum(x.astype(np.int64), last - 1)
    d = np.arange(fan.shape[0])
    return fan[d, i] * (1 - (x - i)) + fan[d, i + 1] * (x - i)


def _basis(inputs: VehicleInputs, contract: Contract) -> str:
    said = []
    if contract.virtual_km is None:
        said.append("whether virtual kilometres count is unknown: not counted")
    if contract.export_cap_kwh is None and contract.export_cap_hours is None:
        said.append("no export cap known")
    error = inputs.terms.error
    said.append(
        f"test error {100 * error.persistent_sigma_frac:.1f} pp persistent and "
        f"{100 * error.per_test_sigma_frac:.1f} pp a test, assumed; tests before the as-of day are not known"
    )
    return f"{contract.label}; " + "; ".join(said)


class _Found:
    """Breach probabilities by test, computed once for what is the same: many combinations share fan and cover."""

    def __init__(self, error: warranty.MeasuringError) -> None:
        self._error = error
        self._known: dict[tuple[bytes, bytes, bytes, float, bool], FloatArray] = {}
        self._digests: dict[int, tuple[NDArray[Any], bytes]] = {}

    def _digest(self, values: NDArray[Any]) -> bytes:
        if id(values) not in self._digests:  # the array is kept, so its id stays its own
            self._digests[id(values)] = (values, hashlib.sha256(np.ascontiguousarray(values).data).digest())
        return self._digests[id(values)][1]

    def of(
        self, fan: NDArray[np.float32], tests: FloatArray, end: FloatArray, floor_frac: float, single: bool
    ) -> FloatArray:
        """As `models.warranty.found`."""
        key = (self._digest(fan), self._digest(tests), self._digest(end), floor_frac, single)
        if key not in self._known:
            self._known[key] = warranty.found(fan, tests, end, floor_frac, self._error, single)
        return self._known[key]


def warranty_rows(
    inputs: VehicleInputs, fan: Fan, years: tuple[PolicyYear, ...], distance: Distance
) -> tuple[list[dict[str, Any]], dict[str, VehicleClaims]]:
    """Rows of ``out_warranty`` and, under the vehicle's own contract, what it adds to its cohort's claims."""
    terms, weight = inputs.terms, inputs.worlds.weight
    rows: list[dict[str, Any]] = []
    claims: dict[str, VehicleClaims] = {}
    luck = fates(terms.draws, terms.seed, inputs.vehicle.vehicle_id)
    tests = {s: warranty.event_months(inputs.age_years, m or 12, terms.months) for s, m in terms.schedules.items()}
    members = [m for m in (inputs.worlds.of_member(i) for i in range(len(inputs.worlds.law_ids))) if m.size]
    fans = {p: np.ascontiguousarray(fan.of(p)) for p in fan.policy_ids}
    reference = {y.policy.policy_id: export_reference(y.policy, fans) for y in years}
    found = _Found(terms.error)
    for contract in inputs.contracts:
        soh = {p: _soh(inputs, contract, f) for p, f in fans.items()}
        ends = {y.policy.policy_id: _ends(inputs, contract, distance, y) for y in years}
        for year in years:
            policy_id = year.policy.policy_id
            base = reference[policy_id]
            end, base_end = ends[policy_id], ends[base]
            shared = {
                **_fade_by_export(soh[base], soh[policy_id], end),
                "cover_end_years": float(np.median(end)) / 12,
                "cover_lost_by_export_years": float(np.mean(base_end - end)) / 12,
                "virtual_km": distance.virtual_km + virtual_per_year(inputs, year) * float(np.median(end)) / 12,
                "basis": _basis(inputs, contract),
            }
            truth = np.isfinite(warranty.true_breach_month(soh[policy_id], end, contract.floor_frac))
            for schedule, months in terms.schedules.items():

                def p(
                    policy: str,
                    until: FloatArray,
                    at: FloatArray = tests[schedule],
                    single: bool = months == 0,
                    by_policy: dict[str, NDArray[np.float32]] = soh,
                    floor_frac: float = contract.floor_frac,
                ) -> FloatArray:
                    return found.of(by_policy[policy], at, until, floor_frac, single)

                own = p(policy_id, end)
                by_draw = own.sum(axis=1)
                four = [
                    p(which, until).sum(axis=1)
                    for which, until in ((policy_id, end), (policy_id, base_end), (base, end), (base, base_end))
                ]
                both = min(float(weight @ four[0]), 1.0)
                parts = warranty.attribute(both, *(min(float(weight @ x), 1.0) for x in four[1:]))
                # Ranges over the members: each alone, with equal draws.
                each = [[min(float(x[m].mean()), 1.0) for x in four] for m in members]
                alone = [x[0] for x in each]
                by_fade = [parts.by_fade_frac, *(warranty.attribute(*x).by_fade_frac for x in each)]
                if contract is inputs.contracts[0] and schedule == terms.claims_schedule:
                    claims[policy_id] = vehicle_claims(
                        own, terms.quarter_of(tests[schedule]), terms.quarters, weight, luck.find
                    )
                rows.append(
                    {
                        "vehicle_id": inputs.vehicle.vehicle_id,
                        "contract_id": contract.contract_id,
                        "policy_id": policy_id,
                        "test_schedule": schedule,
                        "breach_frac": both,
                        "breach_low_frac": min(both, *alone),
                        "breach_high_frac": max(both, *alone),
                        "true_breach_frac": min(float(weight @ truth), 1.0),
                        "breach_year_p50": _breach_year(own, tests[schedule], weight),
                        "breach_by_fade_frac": parts.by_fade_frac,
                        "breach_by_fade_low_frac": min(by_fade),
                        "breach_by_fade_high_frac": max(by_fade),
                        "breach_by_cover_frac": parts.by_cover_frac,
                        "monte_carlo_error_frac": warranty.monte_carlo_error(by_draw, weight),
                        **shared,
                    }
                )
    return rows, claims


def _breach_year(found: FloatArray, tests: FloatArray, weight: FloatArray) -> float | None:
    by_test = weight @ found
    total = float(by_test.sum())
    if total < _LEAST_BREACH:
        return None
    return float(tests[int(np.searchsorted(np.cumsum(by_test), 0.5 * total))]) / 12


def _fade_by_export(base: NDArray[np.float32], own: NDArray[np.float32], end: FloatArray) -> dict[str, float | None]:
    names = ("fade_by_export_low_pp", "fade_by_export_pp", "fade_by_export_high_pp")
    if not np.any(end > 0):
        return dict.fromkeys(names)
    low, mid, high = np.quantile(100.0 * (_at(base, end) - _at(own, end)), [0.1, 0.5, 0.9])
    return dict(zip(names, (float(low), float(mid), float(high)), strict=True))


def virtual_km_rows(inputs: VehicleInputs, year: PolicyYear, distance: Distance) -> list[dict[str, Any]]:
    """The ledger of virtual kilometres (UN GTR 22, 5.2), year by year."""
    rows = []
    rate = virtual_per_year(inputs, year)
    for y in inputs.terms.years:
        driven = inputs.past.odometer_km + y * inputs.year.km_per_year
        extra = distance.virtual_km + y * rate
        total = driven + extra
        rows.append(
            {
                "vehicle_id": inputs.vehicle.vehicle_id,
                "policy_id": year.policy.policy_id,
                "year": y,
                "driven_km": driven,
                "virtual_km": extra,
                "total_km": total,
                "virtual_share_frac": extra / total if total > 0 else 0.0,
                "export_kwh": inputs.past.export_kwh + y * year.export_kwh,
                "basis": f"UN GTR 22, 5.2: energy exported over {inputs.vehicle.certified_worst_wh_per_km:.0f} Wh/km, "
                "the worst-case certified consumption"
                + (" (assumed)" if "certified_worst_wh_per_km" in inputs.vehicle.assumed else ""),
            }
        )
    return rows


def compliance(
    inputs: VehicleInputs, fan: Fan, years: tuple[PolicyYear, ...], distance: Distance
) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """Per policy and window: whether SOCE is above the floor at the window's end; not for windows already over."""
    out: dict[tuple[str, str], NDArray[np.bool_]] = {}
    for year in years:
        energy = warranty.soce(
            np.asarray(fan.of(year.policy.policy_id), dtype=float), inputs.pack.usable_kwh, inputs.pack.certified_kwh
        )
        for w in inputs.terms.windows:
            end = warranty.cover_end_months(w.years, w.km, distance, virtual_per_year(inputs, year), True)
            if np.median(end) > 0:
                out[year.policy.policy_id, w.window_id] = warranty.above_at_window_end(energy, end, w.floor_frac)
    return out


def breach_at(rows: list[dict[str, Any]], contract_id: str, schedule: str) -> dict[str, dict[str, Any]]:
    """The rows of one contract and schedule by policy."""
    return {r["policy_id"]: r for r in rows if r["contract_id"] == contract_id and r["test_schedule"] == schedule}
