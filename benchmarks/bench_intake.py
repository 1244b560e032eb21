"""Intake at length: CSV and Parquet to raw parts, and to sessions, against DuckDB's bare conversion of the same files.

Every engine runs in a process of its own, so that its memory is its own. Wall and CPU seconds, peak resident memory.
DuckDB writes with the zstd level and the most rows a group that raw parts have, before and after the intake (the mean
counts). Rows of all vehicles stand mixed, as a fleet's log has them; one vehicle alone is the easier case.
Goals: bare CSV / (intake and sessions) >= 0.6, bare Parquet / intake >= 0.5, at most 2 GB whatever the length.
Run: ``python benchmarks/bench_intake.py [--rows 2000000] [--vehicles 1 40] [--json benchmarks/out/intake.json]``;
50 million rows: ``--rows 5000000 50000000 --vehicles 40 --folder DIR`` (5 GB there).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter
from typing import Any

_BLOCK = 500_000
_PERIOD_S = 20
_GOALS = {"csv_and_sessions_of_bare": 0.6, "parquet_of_bare": 0.5, "peak_mb": 2000}
_FORMAT = "fadecast_samples"
FLEET_HEAD = "vehicle,home,vehicle_type,in_service_date,market,contract_id,tariff_id,charger_id,time_zone"

FLEET_ROW = "{0},{0},demo_nmc_60,2023-12-01,DE,common_oem_70,de_fixed,v2h_7kw,Europe/Berlin"


def write(folder: Path, rows: int, vehicles: int) -> None:
    """Logs of cars that drive twice a day and charge in the evening, in time order, as CSV and as Parquet."""
    import polars as pl
    import pyarrow.parquet as pq

    csv, writer = (folder / "samples.csv").open("wb"), None
    for first in range(0, rows, _BLOCK):
        frame = pl.DataFrame({"i": pl.int_range(first, min(first + _BLOCK, rows), eager=True)})
        second = pl.col("i") // vehicles * _PERIOD_S
        frame = frame.with_columns(
            second.alias("s"), (second % 86_400 / 3600).alias("h"), (second // 86_400).alias("d")
        )
        h = pl.col("h")
        drive = h.is_between(8, 9, closed="left") | h.is_between(17, 18, closed="left")
        charge = h.is_between(20, 23, closed="left")
        soc = 80 - 15 * (h - 8).clip(0, 1) - 15 * (h - 17).clip(0, 1) + 10 * (h - 20).clip(0, 3)
        state = pl.when(drive).then(pl.lit("drive")).when(charge).then(pl.lit("charge")).otherwise(pl.lit("rest"))
        session = pl.col("d").cast(pl.String) + "-" + (h // 6).cast(pl.Int8).cast(pl.String)
        noise = (pl.col("i") * 7919 % 101 - 50) / 100
        current = pl.when(drive).then(-25.0 + 20 * noise).when(charge).then(16.7 + noise).otherwise(0.0)
        frame = frame.select(
            (pl.lit("bench-") + (pl.col("i") % vehicles).cast(pl.String)).alias("vehicle"),
            (pl.lit(1_704_067_200) + pl.col("s")).cast(pl.Int64).alias("t"),
            pl.when(drive | charge).then(session).alias("session"),
            state.alias("state"),
            (350 + soc / 3 + noise).round(2).alias("voltage_v"),
            current.round(2).alias("current_a"),
            soc.round(1).alias("soc_pct"),
            (20 + noise).round(1).alias("battery_temp_c"),
            pl.lit(15.0).alias("ambient_c"),
            pl.lit(None, pl.Float64).alias("power_kw"),
            (pl.col("s") / 2000).round(1).alias("odometer_km"),
        )  # fmt: skip
        frame = frame.with_columns(pl.from_epoch("t").alias("t")).rename({"t": "time_utc"})
        table = frame.to_arrow()
        writer = writer or pq.ParquetWriter(folder / "samples.parquet", table.schema, compression="zstd")
        writer.write_table(table)
        frame.with_columns(pl.col("time_utc").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).write_csv(
            csv, include_header=first == 0
        )
    csv.close()
    if writer is not None:
        writer.close()


def bare(folder: Path, type_: str) -> dict[str, Any]:
    """DuckDB alone: read and write."""
    import duckdb

    from warehouse.coded import GROUP_ROWS, ZSTD_LEVEL

    how = f"COMPRESSION zstd, COMPRESSION_LEVEL {ZSTD_LEVEL}, ROW_GROUP_SIZE {GROUP_ROWS}"
    with _Clock() as clock:
        duckdb.sql(f"COPY (FROM read_{type_}('{folder}/samples.{type_}')) TO '{folder}/bare.parquet' ({how})")
    return clock.body


def intake(folder: Path, type_: str, sessions: bool) -> dict[str, Any]:
    """Our own way: raw parts, ledger, and sessions on demand."""
    from pipelines.settings import Settings, prepare_environment

    prepare_environment()
    from pipelines.steps.history import build_history
    from pipelines.steps.intake import ingest, register_fleet
    from warehouse.formatspec import load_format
    from warehouse.store import open_warehouse

    settings = Settings(home=folder / "home")
    name: str | Path = _FORMAT
    if type_ == "parquet":
        name = folder / "samples_parquet.toml"
        packaged = (files("warehouse") / "formats" / f"{_FORMAT}.toml").read_text(encoding="utf-8")
        text = packaged.replace('type = "csv"', 'type = "parquet"').replace('delimiter = ","', "")
        name.write_text(text.replace(f'name = "{_FORMAT}"', 'name = "samples_parquet"'), encoding="utf-8")
    load_format(name)
    with _Clock() as clock:
        done = ingest(settings, [folder / f"samples.{type_}"], name)[0]
    body = clock.body | {"rows": done.rows_read, "loaded": done.rows_loaded}
    if done.status != "loaded":
        raise SystemExit(f"the intake refused the file: {done.error}")
    if sessions:
        cars = sorted({f"bench-{i}" for i in range(int((folder / "vehicles").read_text()))})
        (folder / "fleet.csv").write_text("\n".join([FLEET_HEAD, *(FLEET_ROW.format(c) for c in cars)]) + "\n")
        register_fleet(settings, folder / "fleet.csv")
        with _Clock() as clock, open_warehouse(settings.home) as wh:
            built = build_history(wh, settings)
        body |= {f"history_{k}": v for k, v in clock.body.items()} | {"sessions": built.sessions}
    return body


class _Clock:
    """Wall and CPU seconds of a block, and the peak of the process so far."""

    def __enter__(self) -> _Clock:
        self._wall, self._cpu = perf_counter(), _cpu()
        return self

    def __exit__(self, *_: object) -> None:
        # Not ru_maxrss: that remembers the parent's memory across exec.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        self.body = {
            "wall_s": round(perf_counter() - self._wall, 2),
            "cpu_s": round(_cpu() - self._cpu, 2),
            "peak_mb": round(peak / 1024),
        }


def _cpu() -> float:
    used = getrusage(RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


ENGINES = {
    "bare_csv": lambda folder: bare(folder, "csv"),
    "intake_csv": lambda folder: intake(folder, "csv", sessions=True),
    "bare_csv_again": lambda folder: bare(folder, "csv"),
    "bare_parquet": lambda folder: bare(folder, "parquet"),
    "intake_parquet": lambda folder: intake(folder, "parquet", sessions=False),
    "bare_parquet_again": lambda folder: bare(folder, "parquet"),
}


def measured(rows: int, vehicles: int, where: Path | None) -> dict[str, Any]:
    """All engines, one after the other, on the same logs."""
    body: dict[str, Any] = {"rows": rows, "vehicles": vehicles}
    with tempfile.TemporaryDirectory(prefix="fadecast-bench-", dir=where) as name:
        folder = Path(name)
        (folder / "vehicles").write_text(str(vehicles))
        for engine in ("write", *ENGINES):
            command = [
                sys.executable,
                __file__,
                "--only",
                engine,
                name,
                "--rows",
                str(rows),
                "--vehicles",
                str(vehicles),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{engine}: {done.stderr[-2000:]}")
            if engine != "write":
                body[engine] = json.loads(done.stdout.splitlines()[-1])
                print(f"{vehicles} vehicles  {engine}  {body[engine]}", flush=True)
            for left in ("home", "bare.parquet"):
                _remove(folder / left)
    for type_ in ("csv", "parquet"):
        one, two, other = body[f"bare_{type_}"], body[f"bare_{type_}_again"], body[f"intake_{type_}"]
        body[f"{type_}_of_bare"] = {
            k: round((one[f"{k}_s"] + two[f"{k}_s"]) / 2 / other[f"{k}_s"], 3) for k in ("wall", "cpu")
        }
    first = body["intake_csv"]
    body["csv_and_sessions_of_bare"] = {
        k: round(body["csv_of_bare"][k] * first[f"{k}_s"] / (first[f"{k}_s"] + first[f"history_{k}_s"]), 3)
        for k in ("wall", "cpu")
    }
    peaks = [first["peak_mb"], first["history_peak_mb"], body["intake_parquet"]["peak_mb"]]
    body["peak_mb"] = max(peaks)
    met = {name: body[name]["cpu"] >= goal for name, goal in _GOALS.items() if name != "peak_mb"}
    body["met"] = met | {"peak_mb": body["peak_mb"] <= _GOALS["peak_mb"]}
    return body


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000_000])
    parser.add_argument("--vehicles", type=int, nargs="+", default=[1, 40])
    parser.add_argument("--json", type=Path, default=Path(__file__).with_name("out") / "intake.json")
    parser.add_argument("--quick", action="store_true", help="half a million rows of one vehicle")
    parser.add_argument(
        "--folder", type=Path, help="where the logs are made and removed (by default that for such files)"
    )
    parser.add_argument("--only", nargs=2, metavar=("ENGINE", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only is not None:
        engine, folder = given.only[0], Path(given.only[1])
        if engine == "write":
            write(folder, given.rows[0], given.vehicles[0])
        else:
            print(json.dumps(ENGINES[engine](folder)))
        return 0
    if given.quick:
        given.rows, given.vehicles = [500_000], [1]
    runs = [measured(rows, vehicles, given.folder) for vehicles in given.vehicles for rows in given.rows]
    for run in runs:
        said = "  ".join(f"{k} {run[k]}" for k in run if k.endswith("of_bare"))
        print(f"{run['rows']} rows, {run['vehicles']} vehicles: {said}  peak {run['peak_mb']} MB")
        print(
            "  ".join(f"{name} {'met' if met else 'NOT met'} (goal {_GOALS[name]})" for name, met in run["met"].items())
        )
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps({"goals": _GOALS, "runs": runs}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
