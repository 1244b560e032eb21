"""Intake of Fadecast's own sample format against DuckDB's bare CSV to Parquet, same file, same run.

Prints a table and JSON. Run: ``python benchmarks/bench_intake.py``.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from pipelines.settings import Settings, prepare_environment

prepare_environment()

ROWS = 1_000_000


def main() -> int:
    """Write a file, convert it bare, take it in, compare."""
    import duckdb
    import numpy as np
    import polars as pl

    from pipelines.steps.intake import ingest

    with tempfile.TemporaryDirectory(prefix="fadecast-bench-") as folder:
        log = Path(folder) / "samples.csv"
        n = np.arange(ROWS)
        time = pl.Series(np.datetime64("2025-01-01T00:00:00", "ms") + n * np.timedelta64(20_000, "ms"))
        soc = 50 + 30 * np.sin(n / 2000)
        pl.DataFrame(
            {
                "vehicle": "bench-1",
                "time_utc": time.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "session": (n // 500).astype(str),
                "state": "drive",
                "voltage_v": np.round(350 + soc / 3, 2),
                "current_a": np.round(20 * np.cos(n / 300), 2),
                "soc_pct": np.round(soc, 1),
                "battery_temp_c": 20.0,
                "ambient_c": 15.0,
                "power_kw": 0.0,
                "odometer_km": np.round(n * 0.05, 1),
            }
        ).write_csv(log)
        begun = perf_counter()
        duckdb.sql(f"COPY (FROM read_csv('{log}')) TO '{folder}/bare.parquet' (COMPRESSION zstd)")
        bare = perf_counter() - begun
        begun = perf_counter()
        done = ingest(Settings(home=Path(folder) / "home"), [log], "fadecast_samples")
        ours = perf_counter() - begun
    body = {
        "rows": done[0].rows_loaded,
        "bare_s": round(bare, 2),
        "intake_s": round(ours, 2),
        "bare_over_intake": round(bare / ours, 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }
    print("  ".join(f"{k} {v}" for k, v in body.items()))
    print(json.dumps(body))
    return 0


if __name__ == "__main__":
    sys.exit(main())
