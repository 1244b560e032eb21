"""A whole forecast: 1,000 vehicles x 8 policies x 10 years x 200 draws on two threads; seconds and peak memory.

Inside the measure, by vehicle: worlds, projection of the life so far and of every policy, level quantiles and paired
differences of every year; exposures of every policy at every present capacity; where it says so the dispatch of every
policy at every present capacity and its duty too. Outside: making up the year of each home, reading parameters, the
first call of each numba kernel, interpreter start. Everything is computed anew for each vehicle: no two share a year.

Run: ``python benchmarks/bench_forecast.py [--quick]`` (12 vehicles, scaled). Writes ``benchmarks/out/forecast.json``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, process_time

from pipelines.settings import prepare_environment

prepare_environment()

VEHICLES, QUICK, DRAWS, YEARS, THREADS = 1000, 12, 200, 10, 2
GOAL_SECONDS, GOAL_GB = 60.0, 4.0
CELL = ("nmc811_lgm50", "nmc")
OUT = Path(__file__).parent / "out"


def main() -> int:
    """Time the stages of a vehicle, then the whole fleet on two threads."""
    import numpy as np
    from made_home import POLICIES, made_year, pack_of_cell

    from models import forecast
    from models.dispatch import dispatch, duty_of
    from models.domain import Duty, History, Readings, RepresentativeYear
    from models.ensemble import worlds
    from models.exposure import LEVELS, year_exposures
    from models.laws.registry import laws_for
    from models.policies import charger, policies, tariff

    vehicles = QUICK if "--quick" in sys.argv else VEHICLES
    pack, laws = pack_of_cell(*CELL), laws_for(CELL[0])
    box, prices = charger("v2h_7kw"), tariff("uk_go_like")
    known = [p for p in policies() if p.policy_id in POLICIES]
    none = np.zeros(0)
    years = list(range(1, YEARS + 1))
    spent = dict.fromkeys(("dispatch", "duty", "exposures", "worlds and projection", "quantiles"), 0.0)

    def duties_of(year: RepresentativeYear) -> dict[str, list[Duty]]:
        """Each dispatched year becomes a duty at once: its arrays are used again for the next."""
        out: dict[str, list[Duty]] = {p.policy_id: [] for p in known}
        for p in known:
            for level in LEVELS:
                begun = process_time()
                done = dispatch(year, p, box, prices, pack, level)
                between = process_time()
                out[p.policy_id].append(duty_of(done, year, pack))
                spent["dispatch"] += between - begun
                spent["duty"] += process_time() - between
        return out

    def forecast_of(name: str, duties: dict) -> np.ndarray:
        begun = process_time()
        year = {}
        for policy_id, by_level in duties.items():
            made = [year_exposures(d, pack, laws) for d in by_level]
            year[policy_id] = {law.law_id: np.stack([m[law.law_id] for m in made]) for law in laws}
        between = process_time()
        past = {k: np.concatenate([x[0], x[0]]) for k, x in year["as_driven"].items()}
        history = History(name, "c", np.full(24, 365.25 / 12), past, Readings(*[none] * 4, none.astype(bool)), 0.5)
        drawn = worlds({}, "c", name, laws, DRAWS, 1)
        fan = forecast.project_vehicle(drawn, laws, history, year, YEARS)
        after = process_time()
        months = [12 * y for y in years]
        rows = [
            (
                forecast.level_quantiles(fan.of(p), drawn.weight, months),
                forecast.difference_quantiles(fan, p, months),
            )
            for p in fan.policy_ids
        ]
        spent["exposures"] += between - begun
        spent["worlds and projection"] += after - between
        spent["quantiles"] += process_time() - after
        return np.concatenate([np.concatenate([a.ravel(), b.ravel()]) for a, b in rows])

    forecast_of("warm", duties_of(made_year(0)))  # compiles every kernel
    spent.update(dict.fromkeys(spent, 0.0))
    sample = {f"v{i}": duties_of(made_year(i)) for i in range(4)}
    for name, duties in sample.items():
        forecast_of(name, duties)
    stages = {k: 1e3 * v / len(sample) for k, v in spent.items()}

    def fleet(with_dispatch: bool) -> tuple[float, float]:
        """Seconds on the clock and of CPU for the whole fleet."""
        homes = [made_year(i) for i in range(4)]
        names = list(sample)

        def one(i: int) -> float:
            if not with_dispatch:
                return float(forecast_of(f"v{i}", sample[names[i % len(names)]])[0])
            return float(forecast_of(f"v{i}", duties_of(homes[i % len(homes)]))[0])

        wall, cpu = perf_counter(), process_time()
        with ThreadPoolExecutor(THREADS) as pool:
            levels = list(pool.map(one, range(vehicles)))
        if not all(0.3 < x < 1.1 for x in levels):
            raise SystemExit("bench_forecast: a level lies outside 0.3 to 1.1; the forecast is wrong, not fast.")
        return perf_counter() - wall, process_time() - cpu

    scale = VEHICLES / vehicles
    rows = []
    for with_dispatch in (False, True):
        wall, cpu = (scale * x for x in fleet(with_dispatch))
        rows.append(
            {
                "forecast": "from dispatched duties" if not with_dispatch else "dispatch and duty included",
                "seconds_two_threads": wall,
                "cpu_seconds": cpu,
                "met": wall <= GOAL_SECONDS,
            }
        )
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    result = {
        "vehicles": VEHICLES,
        "measured_vehicles": vehicles,
        "policies": len(known),
        "draws": DRAWS,
        "years": YEARS,
        "levels": len(LEVELS),
        "laws": [law.law_id for law in laws],
        "cpu_ms_a_vehicle": stages,
        "rows": rows,
        "peak_gb": peak_gb,
        "load_average": os.getloadavg()[0],
        "goals": {"seconds": GOAL_SECONDS, "gb": GOAL_GB},
    }
    print(
        f"{VEHICLES} vehicles, {len(known)} policies, {YEARS} years, {DRAWS} draws, {len(laws)} laws, {THREADS} threads"
    )
    if scale > 1:
        print(f"measured on {vehicles} vehicles and scaled")
    print("CPU of a vehicle [ms]: " + ", ".join(f"{k} {v:.1f}" for k, v in stages.items()))
    for row in rows:
        print(f"{row['forecast']}: {row['seconds_two_threads']:.1f} s, CPU {row['cpu_seconds']:.1f} s on two cores")
        print(f"  goal {GOAL_SECONDS:.0f} s on the clock: {'met' if row['met'] else 'not met'}")
    print(f"peak memory {peak_gb:.2f} GB  goal {GOAL_GB:.0f}: {'met' if peak_gb <= GOAL_GB else 'not met'}")
    print(f"load average {result['load_average']:.1f}: on a busy machine the clock says more than the work is")
    OUT.mkdir(exist_ok=True)
    (OUT / "forecast.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
