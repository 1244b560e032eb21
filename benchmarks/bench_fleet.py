"""How well a fleet is learned, on simulated fleets whose truth is no law that is fitted; prints tables, writes JSON.

For every generator of truth some fleets are drawn independently: 200 vehicles in two climates, two years of monthly
readings, forecasts 1, 3, 5 and 10 years on, with and without export, beside the truth of both. Exporters are drawn at
random in one half of the fleets and by confounding (they park fuller, at home, in the heat) in the other. In the same
run: square root of time, straight line, cohort mean, gradient boosting; shrinkage; Laplace against MCMC (emcee);
vehicles that depart from their forecast. Run: ``python benchmarks/bench_fleet.py [--quick]``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from time import process_time
from typing import Any

from pipelines.settings import prepare_environment

prepare_environment()

import numpy as np  # noqa: E402  (threads of BLAS are set above)

SEEDS = (1, 2, 3, 4, 5)
VEHICLES = 200
DRAWS = 100
OUT = Path("benchmarks/out/bench_fleet.json")


def _mean(rows: list[dict[str, Any]], key: str) -> list[float]:
    return np.mean([r[key] for r in rows], axis=0).tolist()


def _print(title: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    level = {k: _mean(rows, k) for k in ("rmse_pp", "bias_pp", "inside_80_frac", "width_80_pp")}
    others = {k: np.mean([r["rivals_rmse_pp"][k] for r in rows], axis=0).tolist() for k in rows[0]["rivals_rmse_pp"]}
    diff = {k: _mean(rows, k) for k in rows[0] if k.startswith("diff_")}
    print(f"\n{title}: {len(rows)} fleets; years ahead {rows[0]['years']}")
    for name, values in {**level, **{f"rival {k} rmse_pp": v for k, v in others.items()}, **diff}.items():
        print(f"  {name:34s} " + " ".join(f"{x:8.2f}" for x in values))
    return {**level, "rivals_rmse_pp": others, **diff, "fleets": len(rows)}


def _watch(rows: list[Any]) -> dict[str, float]:
    months = sum(w.sound_months for w in rows)
    faults = sum(w.faults for w in rows)
    lead = np.concatenate([w.lead_months_to_3_pp for w in rows])
    floor = np.concatenate([w.lead_months_to_floor for w in rows])
    return {
        "vehicle_months_without_fault": months,
        "false_alarms_per_1000_vehicle_months": 1000.0 * sum(w.false_alarms for w in rows) / months,
        "faults": faults,
        "found_frac": lead.size / faults,
        "found_before_3_pp_frac": sum(w.found_before_3_pp for w in rows) / faults,
        "median_lead_to_3_pp_months": float(np.median(lead)) if lead.size else float("nan"),
        "median_lead_to_80_percent_months": float(np.median(floor)) if floor.size else float("nan"),
    }


def main() -> int:
    """Draw the fleets, fit, forecast, score."""
    from models.departure import departure_terms
    from models.fleet_mcmc import laplace_against_mcmc
    from models.fleet_score import score_trial, verdict, watch_trial
    from models.fleet_trial import YEARS, forecast_trial, make_trial, make_world
    from models.truths import GENERATORS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one fleet a generator")
    parser.add_argument("--vehicles", type=int, default=VEHICLES)
    quick = bool(os.environ.get("QUICK"))
    args = parser.parse_args()
    seeds = SEEDS[:1] if args.quick or quick else SEEDS
    began, rows, watched, shrinkage = process_time(), [], [], {}
    for seed in seeds:
        world = make_world(seed, args.vehicles)
        for k, generator_id in enumerate(GENERATORS):
            trial = make_trial(world, generator_id, confounded=(seed + k) % 2 == 0)
            said, fit = forecast_trial(trial, DRAWS)
            rows.append(score_trial(trial, said))
            watched.append(watch_trial(trial, fit, departure_terms()))
            for (cohort, law), f in fit.fits.items():
                vehicles = [f.vehicle_shrinkage(v) for v, h in trial.histories.items() if h.cohort_id == cohort]
                shrinkage.setdefault(f"{generator_id} {law}", []).append(
                    {**dict(zip(f.names, f.shrinkage.tolist(), strict=True)), "vehicle": float(np.median(vehicles))}
                )
            r = rows[-1]
            print(
                f"{generator_id} {seed} {r['exporters']}: rmse 3 years {r['rmse_pp'][1]:.2f} pp, "
                f"inside {r['inside_80_frac'][1]:.2f}",
                file=sys.stderr,
            )
    out: dict[str, Any] = {"fleets": rows, "by_generator": {}}
    for generator_id in GENERATORS:
        out["by_generator"][generator_id] = _print(generator_id, [r for r in rows if r["generator"] == generator_id])
    for how in ("random", "confounded"):
        part = [r for r in rows if r["exporters"] == how]
        if part:
            out[f"exporters_{how}"] = _print(f"exporters {how}", part)
    out["all"] = _print("all", rows)
    out["verdicts"] = [verdict(rows, year) for year in (3, 10)]
    print("\n" + "\n".join(out["verdicts"]))
    at = YEARS.index(3)
    best = min(v[at] for v in out["all"]["rivals_rmse_pp"].values())
    own, inside = out["all"]["rmse_pp"][at], out["all"]["inside_80_frac"][at]
    print(
        f"three years ahead: {own:.2f} pp (wanted 1.5), best rival {best:.2f}; 80 % interval holds {100 * inside:.0f} %"
    )
    out["shrinkage"] = {k: {n: float(np.mean([r[n] for r in v])) for n in v[0]} for k, v in shrinkage.items()}
    print("\nposterior over prior standard deviation (1 = nothing was learned), mean over fleets and climates")
    for name, values in out["shrinkage"].items():
        print(f"  {name:34s} " + "  ".join(f"{n} {x:.2f}" for n, x in values.items()))
    out["departure"] = _watch(watched)
    print("\nvehicles that depart: " + "; ".join(f"{k} {v:.3g}" for k, v in out["departure"].items()))
    out["mcmc"] = laplace_against_mcmc(seed=1)
    print("\nLaplace against MCMC, cohort parameters:")
    for name, values in out["mcmc"]["parameters"].items():
        print(f"  {name:10s} " + "  ".join(f"{k} {v:.3f}" for k, v in values.items()))
    out["cpu_seconds"] = process_time() - began
    print(f"{out['cpu_seconds']:.0f} CPU seconds")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
