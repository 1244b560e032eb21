"""What BLAST-Lite's models say of a profile: run by bench_reference.py in a virtual environment of BLAST-Lite's own.

Takes the profile (npz: ``t``, ``base``, ``export``, ``temp``) and the years; prints one JSON line a model.
"""

from __future__ import annotations

import inspect
import json
import sys
import warnings
from typing import Any


def main(profile: str, years: float) -> None:
    """Run every model of the package on the profile with and without export."""
    warnings.filterwarnings("ignore")
    import blast.models as models  # type: ignore[import-not-found]
    import numpy as np
    from blast.models.degradation_model import BatteryDegradationModel  # type: ignore[import-not-found]

    d = np.load(profile)
    for name, model in sorted(inspect.getmembers(models, inspect.isclass)):
        if not issubclass(model, BatteryDegradationModel) or model is BatteryDegradationModel:
            continue
        lost = []
        for key in ("base", "export"):
            run: Any = model()
            life = {"Time_s": d["t"], "SOC": d[key].copy(), "Temperature_C": d["temp"]}
            run.simulate_battery_life(life, threshold_time=years)
            lost.append(100.0 * float(1.0 - run.outputs["q"][-1]))
        print(json.dumps({"model": name, "base_fade_pp": lost[0], "effect_pp": lost[1] - lost[0]}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
