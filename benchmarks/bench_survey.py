"""Owners' survey: a cohort's curve fitted on part of the cars, scored on the rest, beside two plain curves.

Prints a table and writes JSON; skips where the survey (``../shared/data``) is absent. Run: ``python
benchmarks/bench_survey.py``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pipelines.settings import prepare_environment

prepare_environment()

FILE = Path("../shared/data/field/tesla_model3_sr_owner_survey.csv")
OUT = Path("benchmarks/out/bench_survey.json")


def main() -> int:
    """Score both ways of leaving cars out."""
    if not FILE.is_file():
        print(f"bench_survey skips: {FILE} is not there.")
        return 0
    import polars as pl

    from models.survey import cross_validate

    frame = pl.read_csv(FILE).select("age_months", "odometer_km", "degradation_frac").drop_nulls()
    age, km, loss = (frame[c].cast(pl.Float64).to_numpy() for c in frame.columns)
    use = (age > 0) & (km > 0)
    out = {
        name: cross_validate(age[use] / 12.0, km[use], loss[use], forward=forward)
        for name, forward in (("cars_left_out", False), ("oldest_fifth_left_out", True))
    }
    for name, row in out.items():
        print(f"{name:24s} " + "  ".join(f"{k} {v:.3f}" for k, v in row.items()))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
