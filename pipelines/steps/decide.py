"""Decide: every policy on every vehicle, and what follows for capacity, warranty, claims and value.

Loading reads the warehouse (one thread); computing is pure and runs in threads or processes (`pipelines.computing`);
writing is one transaction. The same data, parameters and seed give the same rows, whatever the batches and workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from models.policies import policies
from pipelines.computing import Computing
from pipelines.settings import Settings
from pipelines.steps.decide_fleet import claims_rows, compliance_rows, frontier_rows, kpi_rows
from pipelines.steps.decide_load import load_inputs, vehicles_with_duty
from pipelines.steps.decide_types import Candidate, Terms, VehicleResult, terms_of
from pipelines.steps.decide_vehicle import compute_vehicle
from pipelines.steps.learn import Learned
from warehouse.store import Warehouse

__all__ = [
    "VehicleResult",
    "batches",
    "compute_vehicle",
    "conformance_candidates",
    "decide",
    "decide_batch",
    "write_results",
]

VEHICLE_TABLES = (
    "out_vehicle_state",
    "out_forecast",
    "out_member",
    "out_warranty",
    "out_virtual_km",
    "out_value",
    "out_policy",
    "out_resistance",
)
_VINTAGE = ("soh_p10", "soh_p50", "soh_p90", "diff_p10_pp", "diff_p50_pp", "diff_p90_pp")


def _terms(wh: Warehouse, settings: Settings) -> Terms:
    return terms_of(wh.as_of(), settings.draws, settings.seed, settings.horizon_years, settings.home)


def batches(wh: Warehouse, settings: Settings) -> list[list[str]]:
    """Vehicles that have duty, in order of their ids, in batches for Prefect's tasks."""
    ids = vehicles_with_duty(wh)
    n = settings.batch_vehicles
    return [ids[i : i + n] for i in range(0, len(ids), n)]


def decide_batch(
    wh: Warehouse, settings: Settings, learned: Learned, vehicle_ids: Sequence[str], computing: Computing
) -> list[VehicleResult]:
    """Compute a batch of vehicles; results in the order given. Writes nothing."""
    inputs = load_inputs(wh, settings, learned, _terms(wh, settings), vehicle_ids)
    return list(computing.in_order(compute_vehicle, inputs))


def _frame(wh: Warehouse, table: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = wh.registry.schema(table)
    return pl.DataFrame({c: [r[c] for r in rows] for c in schema}, schema=schema, strict=False)


def write_results(wh: Warehouse, settings: Settings, learned: Learned, results: Sequence[VehicleResult]) -> str:
    """Sum over the fleet and write all tables in one transaction; returns a sentence for the log.

    Rows of other quarters in ``out_forecast_vintage`` and of other days in ``meta_kpi`` stay: past forecasts are
    scored later.
    """
    results = sorted(results, key=lambda r: r.vehicle_id)
    terms = _terms(wh, settings)
    known = policies(settings.home)
    vintage = terms.quarter_name(0)
    forecasts = [r for v in results for r in v.rows["out_forecast"]]
    old = [{"vintage": vintage, **{k: r[k] for k in ("vehicle_id", "policy_id", "year", *_VINTAGE)}} for r in forecasts]
    kpis = kpi_rows(results, known, terms)
    with wh.transaction():
        for table in VEHICLE_TABLES:
            wh.write(table, _frame(wh, table, [r for v in results for r in v.rows[table]]))
        wh.write("out_forecast_vintage", _frame(wh, "out_forecast_vintage", old), "vintage = ?", [vintage])
        wh.write("out_claims", _frame(wh, "out_claims", claims_rows(results, terms)))
        wh.write("out_compliance", _frame(wh, "out_compliance", compliance_rows(results, terms)))
        wh.write("out_policy_frontier", _frame(wh, "out_policy_frontier", frontier_rows(results)))
        wh.write("meta_kpi", _frame(wh, "meta_kpi", kpis), "as_of_day = ?", [terms.as_of])
    effect = next((k for k in kpis if k["kpi"] == "v2h_effect_pp"), None)
    said = (
        f"; V2H effect after {terms.horizon_years} years {effect['value']:+.1f} pp "
        f"({effect['low']:+.1f} to {effect['high']:+.1f})"
        if effect
        else ""
    )
    return f"{len(results)} vehicles under {len(known)} policies in {terms.draws} worlds{said}."


def conformance_candidates(results: Sequence[VehicleResult]) -> list[Candidate]:
    """Vehicle-policies that the conformance step may sample, in order of vehicle and policy."""
    return [c for r in sorted(results, key=lambda r: r.vehicle_id) for c in r.candidates]


def decide(wh: Warehouse, settings: Settings, learned: Learned) -> list[VehicleResult]:
    """The whole step at once: all batches, then the writing. Returns the results for the conformance step."""
    parts = batches(wh, settings)
    with Computing(settings.workers, sum(map(len, parts))) as computing:
        results = [r for ids in parts for r in decide_batch(wh, settings, learned, ids, computing)]
    write_results(wh, settings, learned, results)
    return results
