"""A whole forecast: 1,000 vehicles x 8 policies x 10 years x 200 draws by two workers; seconds and peak memory.

Inside the measure, by vehicle: worlds, projection of the life so far and of every policy, level quantiles and paired
differences of every year; exposures of every policy at every present capacity; where it says so the dispatch of every
policy at every present capacity and its duty too, with the year handed to the worker. Workers are those of a night of
that many vehicles (`pipelines.computing`: processes; threads below 200 vehicles), the threads beside them for
comparison. Outside: making up the year of each home, reading parameters, the first call of each numba kernel; starting
the processes is shown apart. Everything is computed anew for each vehicle: no two share a year.

Run: ``python benchmarks/bench_forecast.py [--quick]`` (24 vehicles, scaled). Writes ``benchmarks/out/forecast.json``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from pipelines.settings import prepare_environment

prepare_environment()

import numpy as np  # noqa: E402
from made_home import POLICIES, made_year, pack_of_cell  # noqa: E402

from models import forecast  # noqa: E402
from models.dispatch import dispatch, duty_of  # noqa: E402
from models.domain import Duty, History, Readings, RepresentativeYear  # noqa: E402
from models.ensemble import worlds  # noqa: E402
from models.exposure import LEVELS, level_exposures  # noqa: E402
from models.laws.registry import laws_for  # noqa: E402
from models.policies import charger, policies, tariff  # noqa: E402
from pipelines.computing import PROCESSES_FROM, Computing  # noqa: E402

VEHICLES, QUICK, DRAWS, YEARS, WORKERS, HOMES = 1000, 24, 200, 10, 2, 4
GOAL_SECONDS, GOAL_GB = 60.0, 4.0
CELL = ("nmc811_lgm50", "nmc")
OUT = Path(__file__).parent / "out"
STAGES = ("dispatch", "duty", "exposures", "worlds and projection", "quantiles")
spent = dict.fromkeys(STAGES, 0.0)


@cache
def given() -> tuple[Any, ...]:
    """Pack, laws, charger, tariff and policies: read once a process."""
    known = [p for p in policies() if p.policy_id in POLICIES]
    return pack_of_cell(*CELL), laws_for(CELL[0]), charger("v2h_7kw"), tariff("uk_go_like"), known


def duties_of(year: RepresentativeYear) -> dict[str, list[Duty]]:
    """Each dispatched year becomes a duty at once."""
    pack, _, box, prices, known = given()
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


@cache
def dispatched(home: int) -> dict[str, list[Duty]]:
    """Duties of one of the homes, made outside the measure."""
    return duties_of(made_year(home))


def forecast_of(name: str, duties: dict[str, list[Duty]]) -> float:
    """All quantiles of a vehicle; gives the first one."""
    pack, laws, *_ = given()
    begun = process_time()
    year = {policy_id: level_exposures(by_level, pack, laws) for policy_id, by_level in duties.items()}
    between = process_time()
    none = np.zeros(0)
    past = {k: np.concatenate([x[0], x[0]]) for k, x in year["as_driven"].items()}
    history = History(name, "c", np.full(24, 365.25 / 12), past, Readings(*[none] * 4, none.astype(bool)), 0.5)
    drawn = worlds({}, "c", name, laws, DRAWS, 1)
    fan = forecast.project_vehicle(drawn, laws, history, year, YEARS)
    after = process_time()
    months = [12 * y for y in range(1, YEARS + 1)]
    levels = [forecast.level_quantiles(fan.of(p), drawn.weight, months) for p in fan.policy_ids]
    for p in fan.policy_ids:
        forecast.difference_quantiles(fan, p, months)
    spent["exposures"] += between - begun
    spent["worlds and projection"] += after - between
    spent["quantiles"] += process_time() - after
    return float(levels[0].ravel()[0])


def of_duties(i: int) -> tuple[float, int, float]:
    """A vehicle from its dispatched duties: first quantile, process and its CPU so far."""
    first = forecast_of(f"v{i}", dispatched(i % HOMES))
    return first, os.getpid(), process_time()


def of_year(task: tuple[int, RepresentativeYear]) -> tuple[float, int, float]:
    """A vehicle from its year, dispatch included."""
    i, year = task
    return forecast_of(f"v{i}", duties_of(year)), os.getpid(), process_time()


def begin(_: int) -> tuple[int, float, float]:
    """Compile or read every kernel in this process: its number, CPU so far and largest memory in GB."""
    for home in range(HOMES):
        forecast_of("warm", dispatched(home))
    return os.getpid(), process_time(), _gigabytes()


def peak(_: int) -> tuple[int, float]:
    return os.getpid(), _gigabytes()


def _gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def timed(computing: Computing, vehicles: int, with_dispatch: bool) -> tuple[float, float]:
    """Seconds on the clock and of CPU for the whole fleet."""
    homes = [made_year(i) for i in range(HOMES)]
    compute: Callable[[Any], tuple[float, int, float]] = of_year if with_dispatch else of_duties
    tasks: list[Any] = [(i, homes[i % HOMES]) if with_dispatch else i for i in range(vehicles)]
    cpu = dict((pid, seconds) for pid, seconds, _ in computing.in_order(begin, range(2 * WORKERS)))
    wall, own = perf_counter(), process_time()
    done = list(computing.in_order(compute, tasks))
    wall, own = perf_counter() - wall, process_time() - own
    if not all(0.3 < first < 1.1 for first, *_ in done):
        raise SystemExit("bench_forecast: a level lies outside 0.3 to 1.1; the forecast is wrong, not fast.")
    ended = {pid: seconds for _, pid, seconds in done if pid != os.getpid()}
    return wall, own + sum(seconds - cpu.get(pid, 0.0) for pid, seconds in ended.items())


def main() -> int:
    """Time the stages of a vehicle, then the whole fleet by two workers, in processes and in threads."""
    vehicles = QUICK if "--quick" in sys.argv else VEHICLES
    begin(0)
    spent.update(dict.fromkeys(spent, 0.0))
    for home in range(HOMES):
        forecast_of(f"v{home}", duties_of(made_year(home)))
    stages = {k: 1e3 * v / HOMES for k, v in spent.items()}
    scale, rows, start_seconds, peak_gb = VEHICLES / vehicles, [], 0.0, 0.0
    for by, fleet in (("processes", VEHICLES), ("threads", PROCESSES_FROM - 1)):
        with Computing(WORKERS, fleet) as computing:
            begun = perf_counter()
            list(computing.in_order(begin, range(WORKERS)))
            start_seconds = max(start_seconds, perf_counter() - begun)
            for with_dispatch in (False, True):
                wall, cpu = (scale * x for x in timed(computing, vehicles, with_dispatch))
                said = "dispatch and duty included" if with_dispatch else "from dispatched duties"
                rows.append(
                    {"forecast": said, "workers": by, "seconds": wall, "cpu_seconds": cpu, "met": wall <= GOAL_SECONDS}
                )
            own = {os.getpid(): _gigabytes(), **dict(computing.in_order(peak, range(4 * WORKERS)))}
            peak_gb = max(peak_gb, sum(own.values()))
    _, laws, _, _, known = given()
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
        "start_seconds": start_seconds,
        "peak_gb": peak_gb,
        "load_average": os.getloadavg()[0],
        "goals": {"seconds": GOAL_SECONDS, "gb": GOAL_GB},
    }
    print(f"{VEHICLES} vehicles, {len(known)} policies, {YEARS} years, {DRAWS} draws, {len(laws)} laws, two workers")
    if scale > 1:
        print(f"measured on {vehicles} vehicles and scaled")
    print("CPU of a vehicle [ms]: " + ", ".join(f"{k} {v:.1f}" for k, v in stages.items()))
    for row in rows:
        met = "met" if row["met"] else "not met"
        print(
            f"{row['forecast']}, {row['workers']}: {row['seconds']:.1f} s (goal {GOAL_SECONDS:.0f}: {met}), "
            f"CPU {row['cpu_seconds']:.1f} s"
        )
    print(f"processes start, read kernels and make what is outside the measure in {start_seconds:.1f} s")
    met = "met" if peak_gb <= GOAL_GB else "not met"
    print(f"peak memory of all processes {peak_gb:.2f} GB, goal {GOAL_GB:.0f}: {met}")
    print(f"load average {result['load_average']:.1f}: on a busy machine the clock says more than the work is")
    OUT.mkdir(exist_ok=True)
    (OUT / "forecast.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
