"""Many nights of small files: what the reading of all lives costs a night, as they came in and joined into packs.

Each car's export of each night is one small file. CPU seconds of reading every life and of making its history anew,
before and after `warehouse.packs.compact`; then night after night with packs, the work of all nights together.
Run: ``python benchmarks/bench_packs.py [--nights 365] [--cars 2] [--rows 240] [--quick]``. Prints a table and JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from time import process_time
from typing import Any

from pipelines.settings import Settings, prepare_environment

prepare_environment()

from bench_intake import FLEET_HEAD, FLEET_ROW  # noqa: E402

from pipelines.steps.history import build_history  # noqa: E402
from pipelines.steps.intake import ingest_into, register_fleet  # noqa: E402
from warehouse.digest import digest_samples  # noqa: E402
from warehouse.formatspec import load_format  # noqa: E402
from warehouse.packs import compact  # noqa: E402
from warehouse.store import Warehouse, open_warehouse  # noqa: E402

HEAD = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km"


def write(folder: Path, night: int, car: int, rows: int) -> Path:
    """One night's export of one car."""
    begun, lines = datetime(2024, 1, 1) + timedelta(days=night), [HEAD]
    for i in range(rows):
        at = begun + timedelta(seconds=i * 86_400 / rows)
        drive = 8 <= at.hour < 9
        state, amps = ("drive", -20.0 - i % 7) if drive else ("charge", 15.0) if 20 <= at.hour < 22 else ("rest", 0.0)
        name = f"{night}-{state}" if state != "rest" else ""
        soc = 60 + 20 * (at.hour >= 22 or at.hour < 8)
        lines.append(
            f"bench-{car},{at:%Y-%m-%dT%H:%M:%SZ},{name},{state},{350 + i % 9},{amps},{soc},20,15,,{1000 + night}"
        )
    path = folder / f"{night:04d}-{car}.csv"
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def read_all(wh: Warehouse) -> float:
    """CPU seconds of reading every life once."""
    begun = process_time()
    for vehicle_id in wh.vehicles_with("samples"):
        wh.samples_and_late(vehicle_id)
    return process_time() - begun


def made_anew(wh: Warehouse, settings: Settings) -> float:
    """CPU seconds of the history of all cars."""
    wh.con.execute("DELETE FROM meta_state WHERE subject = 'history'")
    begun = process_time()
    build_history(wh, settings)
    return process_time() - begun


def run(nights: int, cars: int, rows: int) -> dict[str, Any]:
    """All nights in one home, then joined at once; and in another one joined night by night."""
    spec, body = load_format("fadecast_samples"), {"nights": nights, "cars": cars, "rows_a_file": rows}
    with tempfile.TemporaryDirectory(prefix="fadecast-bench-") as name:
        folder = Path(name)
        files = [[write(folder, night, car, rows) for car in range(cars)] for night in range(nights)]
        settings = Settings(home=folder / "home")
        named = [FLEET_ROW.format(f"bench-{car}") for car in range(cars)]
        (folder / "fleet.csv").write_text("\n".join([FLEET_HEAD, *named]) + "\n", encoding="ascii")
        register_fleet(settings, folder / "fleet.csv")
        with open_warehouse(settings.home) as wh:
            ingest_into(wh, [path for night in files for path in night], spec)
            build_history(wh, settings)  # compiled before it counts
            body |= {"files": len(wh.parts("samples")), "read_cpu_s": read_all(wh)}
            body["history_cpu_s"] = made_anew(wh, settings)
            before, begun = digest_samples(wh), process_time()
            compact(wh)
            body |= {"join_all_cpu_s": process_time() - begun, "files_joined": len(wh.parts("samples"))}
            body |= {"read_joined_cpu_s": read_all(wh), "history_joined_cpu_s": made_anew(wh, settings)}
            if digest_samples(wh) != before:
                raise SystemExit("the packs hold other samples than the parts did")
        joined, most = 0.0, 0
        with open_warehouse(folder / "other") as wh:
            for night in files:
                ingest_into(wh, night, spec)
                begun = process_time()
                compact(wh)
                joined += process_time() - begun
                most = max(most, len(wh.parts("samples")))
        body |= {"join_nightly_cpu_s": joined, "files_most": most}
    return {key: round(value, 2) if isinstance(value, float) else value for key, value in body.items()}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--cars", type=int, default=2)
    parser.add_argument("--rows", type=int, default=240)
    parser.add_argument("--quick", action="store_true", help="forty nights")
    given = parser.parse_args()
    body = run(40 if given.quick else given.nights, given.cars, given.rows)
    for key, value in body.items():
        print(f"{key:22} {value}")
    out = Path(__file__).with_name("out") / "packs.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
