"""A month of V2H duty from -10 to 40 degC: the kernel with and without self-heating against PyBaMM's DFN, lumped heat.

Prints the error of the kernel over the loss in capacity after every ten days, and JSON in benchmarks/out. Budget: 95 %
within 1 % of the loss. Exit 1 when it is missed. A month of DFN costs about two minutes of CPU.

Run: ``python benchmarks/bench_self_heating.py`` (OKane2022, ``sei_ec``, some seven minutes of CPU), ``--cell ID``,
``--law ID``, ``--days 10``, ``--quick`` (5 days, two temperatures).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from pipelines.settings import prepare_environment

prepare_environment()

CELLS = ("nmc811_lgm50", "nmc811_chen2020", "nmc532_mohtat2020", "lco_ai2020")
AIR_C = (-10.0, 0.0, 10.0, 25.0, 40.0)
BUDGET_FRAC = 0.01
OUT = Path(__file__).parent / "out"


def main() -> int:
    """Run, print, write JSON."""
    from models.warm_month import warm_month

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", choices=CELLS, default=CELLS[0])
    parser.add_argument("--law", default="sei_ec")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    cell_id = args.cell
    airs = (AIR_C[0], AIR_C[2]) if args.quick else AIR_C
    days = 5 if args.quick else args.days
    rows = []
    print("cell               air degC   loss pp   warming K   without heat   with heat   CPU s")
    for air_c in airs:
        r = warm_month(cell_id, args.law, air_c, days)
        worst = [100.0 * float(e[np.argmax(np.abs(e))]) for e in (r.cold_error_frac, r.error_frac)]
        print(
            f"{cell_id:18} {air_c:8.0f} {r.lost_pp[-1]:9.4f} {r.warming_k:11.3f} {worst[0]:+13.2f}% "
            f"{worst[1]:+10.2f}% {r.cpu_s:7.0f}",
            flush=True,
        )
        rows.append(
            {
                "cell_id": cell_id,
                "law_id": args.law,
                "air_c": air_c,
                "days": days,
                "lost_pp": r.lost_pp.tolist(),
                "error_without_heat_frac": r.cold_error_frac.tolist(),
                "error_frac": r.error_frac.tolist(),
                "warming_k": r.warming_k,
                "dfn_cpu_s": r.cpu_s,
            }
        )
    p95 = [float(np.quantile(np.abs(np.concatenate([row[k] for row in rows])), 0.95)) for k in rows[0] if "error" in k]
    print(f"95 % of the errors within {p95[0]:.2%} of the loss without self-heating, {p95[1]:.2%} with it.")
    OUT.mkdir(exist_ok=True)
    found = {"p95_frac": p95[1], "p95_without_heat_frac": p95[0], "rows": rows}
    (OUT / "self_heating.json").write_text(json.dumps(found, indent=1) + "\n")
    return 1 if p95[1] > BUDGET_FRAC else 0


if __name__ == "__main__":
    sys.exit(main())
