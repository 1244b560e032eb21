"""How much cheaper the daily exposures are than PyBaMM on the same duty, and how far apart the two end.

Prints a table and JSON; ratios of CPU seconds in one run, so that a noisy machine matters little.
Run: ``python benchmarks/bench_kernel.py``.
"""

from __future__ import annotations

import json
import sys
from time import process_time

from pipelines.settings import prepare_environment

prepare_environment()

CELLS = {"nmc811_lgm50": "nmc", "lfp_prada2013": "lfp"}
DAYS = 60


def main() -> int:
    """Time both routes for every member of two cells."""
    from models.calibration import typical_duty
    from models.conformance import conformance
    from models.domain import Pack
    from models.exposure import daily_exposures
    from models.laws.registry import laws_for
    from models.laws.sei import SeiLaw
    from models.packs import ocv_of

    rows = []
    for cell_id, chemistry in CELLS.items():
        pack = Pack(
            "bench", cell_id, chemistry, 96, 160.0, 60.0, 57.0, 57.0, 0.03, 0.97, 0.1, ocv_of(cell_id), 4e5, 10.0
        )
        duty = typical_duty(pack, days=DAYS, export_frac=0.15)
        for law in laws_for(cell_id):
            daily_exposures(duty, pack, (law,))
            begun = process_time()
            for _ in range(10):
                daily_exposures(duty, pack, (law,))
            fast = (process_time() - begun) / 10
            if not isinstance(law, SeiLaw):
                rows.append({"law": law.law_id, "exposures_ms_per_year": 1e3 * fast * 365.25 / DAYS})
                continue
            begun = process_time()
            result = conformance(duty, pack, law, DAYS)
            rows.append(
                {
                    "law": law.law_id,
                    "cell": cell_id,
                    "exposures_ms_per_year": 1e3 * fast * 365.25 / DAYS,
                    "pybamm_over_exposures": (process_time() - begun - fast) / fast,
                    "error_pp": result.error_pp,
                }
            )
    for row in rows:
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    json.dump(rows, sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
