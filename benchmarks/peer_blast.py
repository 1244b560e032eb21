"""Runs BLAST-Lite on a profile: started by bench_speed.py with the Python of BLAST-Lite's own virtual environment.

Run: ``python peer_blast.py PROFILE.npz RESULT.json YEARS``; the profile holds ``time_s, soc, temp_c``.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from time import process_time

MODELS = {
    "nmc811_lgmj1_2020": "Nmc811_GrSi_LGMJ1_4Ah_Battery",
    "nmc_b1_2023": "NMC_Gr_50Ah_B1",
    "lfp_250ah_2023": "Lfp_Gr_250AhPrismatic",
}


def main() -> int:
    """CPU seconds a simulated year, and capacity at each break point, with and without feedback."""
    warnings.filterwarnings("ignore")
    import blast.models
    import numpy as np

    profile = np.load(sys.argv[1])
    series = {"Time_s": profile["time_s"], "SOC": profile["soc"], "Temperature_C": profile["temp_c"]}
    out = {}
    for law_id, name in MODELS.items():
        rows = {}
        for feedback in (False, True):
            model = getattr(blast.models, name)()
            begun = process_time()
            model.simulate_battery_life(
                series, threshold_time=float(sys.argv[3]), is_conserve_energy_throughput=feedback
            )
            spent = process_time() - begun
            days = model.stressors["t_days"]
            rows["with feedback" if feedback else "without feedback"] = {
                "cpu_ms_a_year": 1e3 * spent / (days[-1] / 365.25),
                "days": days.tolist(),
                "capacity_frac": model.outputs["q"].tolist(),
                "full_cycles": float(model.stressors["efc"][-1]),
                "storage_loss": 1.0 - model.outputs["q_t"][-1],
                "cycling_loss": 1.0 - model.outputs["q_EFC"][-1],
            }
        out[law_id] = rows
    Path(sys.argv[2]).write_text(json.dumps(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
