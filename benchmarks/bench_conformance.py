"""Ten years of vehicle-to-home: kernel and daily exposures against PyBaMM's SPM, in capacity.

Five parameter sets x two members x starts at 0, 10 and 20 % lithium loss; the duty is the made V2H year of
`models.v2h_year` (seasons, weekends, evening export). CPU seconds of one run, so that a noisy machine matters little.
Budgets: 95 % of |error| along the ten years within 0.05 pp, daily exposures within 0.1 % of the lithium lost against
16 or more sub-steps a day from new. Exit 1 when one is missed. Four times slower without gcc (or with --plain).

Run: ``python benchmarks/bench_conformance.py`` (about 20 minutes of CPU), ``--quick`` (one start, two years).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from time import process_time

from pipelines.settings import prepare_environment

prepare_environment()

CELLS = ("nmc811_lgm50", "nmc811_chen2020", "nmc532_mohtat2020", "lco_ai2020", "lfp_prada2013")
LAWS = ("sei_ec", "sei_interstitial")
STARTS = (0.0, 0.1, 0.2)
BUDGET_PP = 0.05
LITHIUM_BUDGET_FRAC = 0.001
OUT = Path(__file__).parent / "out" / "conformance.json"
HEAD = "set         member            start  loss pp route      p95 pp   max pp  of loss    CPU x"


def main() -> int:
    """Run, print, write JSON."""
    from models.laws.sei import SeiLaw
    from models.ten_years import ANCHOR, build_reference, daily_path, drift, kernel_path, lithium_of, pybamm_path
    from models.v2h_year import v2h_duty, v2h_pack

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two sets, new cells only, two years")
    parser.add_argument("--plain", action="store_true", help="do not compile PyBaMM's equations")
    args = parser.parse_args()
    cells, starts, years = (CELLS[1:3], STARTS[:1], 2) if args.quick else (CELLS, STARTS, 10)
    rows, missed = [], []
    compiled = not args.plain and shutil.which("gcc") is not None
    print(HEAD)
    for cell_id in cells:
        pack = v2h_pack(cell_id)
        duty = v2h_duty(pack)
        for law_id in LAWS:
            law = SeiLaw(cell_id, law_id)
            begun = process_time()
            reference = build_reference(law, duty, pack, compiled=compiled)
            built_s = process_time() - begun
            daily_path(law, duty, pack, law.tables.new_state, 1)  # compiled before it is timed
            kernel_path(law, duty, pack, law.tables.new_state, 1)
            for start in starts:
                state = law.tables.aged_state(start)
                truth = pybamm_path(law, duty, pack, state, years, reference)
                kernel = kernel_path(law, duty, pack, state, years)
                cap, lithium, cpu_s = daily_path(law, duty, pack, state, years)
                month_cap, month_lithium, month_s = daily_path(law, duty, pack, state, years, ANCHOR)
                steps = kernel_path(law, duty, pack, state, years, 1.0)
                found = {
                    "kernel": (
                        drift(law, state, truth.states, _capacity(law, kernel.states), lithium_of(law, kernel.states)),
                        kernel.cpu_s,
                    ),
                    "daily": (drift(law, state, truth.states, cap, lithium), cpu_s),
                    "monthly": (drift(law, state, truth.states, month_cap, month_lithium), month_s),
                }
                of_steps = drift(law, state, steps.states, cap, lithium).lithium_error_frac
                name = law.cell.text("parameter_set")
                for route, (d, spent) in found.items():
                    ratio = truth.cpu_s / spent
                    print(
                        f"{name:11} {law_id:17} {start:5.0%} {d.lost_pp:8.3f} {route:8} {d.p95_pp:8.4f} "
                        f"{d.max_pp:8.4f} {d.of_loss_frac:+8.2%} {ratio:8.0f}",
                        flush=True,
                    )
                    if d.p95_pp > BUDGET_PP:
                        missed.append(f"{name} {law_id} from {start:.0%}: {route} p95 {d.p95_pp:.3f} pp")
                    rows.append(
                        {
                            "parameter_set": name,
                            "law_id": law_id,
                            "start_lithium_loss_frac": start,
                            "route": route,
                            "years": years,
                            "lost_pp": d.lost_pp,
                            "p95_pp": d.p95_pp,
                            "max_pp": d.max_pp,
                            "error_of_loss_frac": d.of_loss_frac,
                            "lithium_error_frac": d.lithium_error_frac,
                            "lithium_error_against_substeps_frac": of_steps if route == "daily" else None,
                            "pybamm_cpu_s": truth.cpu_s,
                            "pybamm_build_cpu_s": built_s,
                            "cpu_ratio": ratio,
                        }
                    )
                print(f"{'':36} daily exposures against sub-steps: {of_steps:+.3%} of the lithium lost", flush=True)
                if start == 0.0 and abs(of_steps) > LITHIUM_BUDGET_FRAC:
                    missed.append(f"{name} {law_id}: daily exposures {of_steps:+.2%} of lithium")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(rows, indent=1) + "\n")
    print(
        f"\n{len(rows)} rows in {OUT.name}. "
        + ("Within the budgets." if not missed else "Missed: " + "; ".join(missed))
    )
    return 1 if missed else 0


def _capacity(law, states):
    import numpy as np

    return np.array([law.tables.capacity_frac(s) for s in states])


if __name__ == "__main__":
    sys.exit(main())
