"""OCPP logs: reader against DuckDB's bare ``read_ndjson`` on the same file, in CPU time of the same run.

Messages are made with the `ocpp` package's own classes (2.0.1 TransactionEvent with 6 to 9 sampled values, the answers,
heartbeats and status notifications around them, as a central system's logger wraps them). Prints a table and JSON.
Run: ``python benchmarks/bench_ocpp.py [--quick]``.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time

import numpy as np

STATIONS, PERIOD_S = 40, 60


def messages(size: int, wrapped: bool) -> list[bytes]:
    """Lines of about ``size`` bytes in all."""
    rng = np.random.default_rng(20240501)
    lines: list[bytes] = []
    made, step = 0, 0
    begun = datetime(2024, 5, 1, tzinfo=UTC)
    register = rng.uniform(1e5, 1e6, STATIONS)
    while made < size:
        now = begun + timedelta(seconds=PERIOD_S * step)
        for station in range(STATIONS):
            part = step % 60
            power = float(np.round(rng.normal(3000, 2000), 1))
            register[station] += max(power, 0) / 60
            event = "Started" if part == 0 else "Ended" if part == 59 else "Updated"
            sampled = _sampled(rng, power, float(np.round(register[station], 1)), part)
            unique = f"{rng.integers(1 << 62):016x}-{step:x}"
            payload = {
                "eventType": event,
                "timestamp": f"{now:%Y-%m-%dT%H:%M:%S}.{int(rng.integers(1000)):03d}Z",
                "triggerReason": "MeterValuePeriodic",
                "seqNo": part,
                "transactionInfo": {
                    "transactionId": f"tx-{station:03d}-{step // 60:06d}",
                    "chargingState": "Charging",
                },
                "evse": {"id": 1, "connectorId": 1},
                "meterValue": [{"timestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}", "sampledValue": sampled}],
            }
            for direction, frame in (
                ("in", [2, unique, "TransactionEvent", payload]),
                ("out", [3, unique, {}]),
            ):
                record: object = frame
                if wrapped:
                    record = {
                        "timestamp": f"{now + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}",
                        "stationId": f"CP-{station:04d}",
                        "direction": direction,
                        "message": frame,
                    }
                line = json.dumps(record, separators=(",", ":")).encode()
                lines.append(line)
                made += len(line) + 1
        step += 1
    return lines


def _sampled(rng: np.random.Generator, power: float, register: float, part: int) -> list[dict[str, object]]:
    context = "Transaction.Begin" if part == 0 else "Transaction.End" if part == 59 else "Sample.Periodic"
    watt, wh = {"unit": "W"}, {"unit": "Wh"}
    phases = [
        {"value": float(np.round(rng.normal(230, 2), 1)), "context": context, "measurand": "Voltage", "phase": phase,
         "location": "Outlet", "unitOfMeasure": {"unit": "V"}}
        for phase in ("L1-N", "L2-N", "L3-N")
    ]  # fmt: skip
    return [
        {"value": register, "context": context, "measurand": "Energy.Active.Import.Register", "unitOfMeasure": wh},
        {"value": 1200.5, "context": context, "measurand": "Energy.Active.Export.Register", "unitOfMeasure": wh},
        {"value": max(power, 0.0), "context": context, "measurand": "Power.Active.Import", "unitOfMeasure": watt},
        {"value": max(-power, 0.0), "context": context, "measurand": "Power.Active.Export", "unitOfMeasure": watt},
        {"value": 30 + part * 0.5, "context": context, "measurand": "SoC", "location": "EV"},
        *phases,
    ]


def measure(path: Path) -> dict[str, float]:
    """CPU seconds of the bare read and of the reader, and megabytes a CPU second."""
    import duckdb

    from warehouse.formatspec import load_format
    from warehouse.readers.ocpp import read_messages

    spec = load_format("ocpp_201")
    begun = process_time()
    duckdb.sql(f"CREATE OR REPLACE TEMP TABLE bare AS FROM read_ndjson('{path}')")
    bare = process_time() - begun
    duckdb.sql("DROP TABLE bare")
    begun = process_time()
    rows = 0
    with path.open("rb") as stream:
        for batch in read_messages(stream, spec, path.name):
            rows += sum(frame.height for frame in batch.rows.values())
    ours = process_time() - begun
    size = path.stat().st_size / 1e6
    return {"mb": size, "rows": rows, "bare_mb_s": size / bare, "reader_mb_s": size / ours, "of_bare": bare / ours}


def main() -> int:
    """Write the logs, read them both ways, compare."""
    from warehouse.formatspec import load_format
    from warehouse.readers.ocpp import read_bytes

    size = 30_000_000 if "--quick" in sys.argv else 200_000_000
    read_bytes(b"\n".join(messages(200_000, wrapped=True)), load_format("ocpp_201"))  # compiled before it counts
    body: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="fadecast-bench-") as folder:
        for shape, wrapped in (("wrapped", True), ("frames", False)):
            path = Path(folder) / f"CP1_{shape}.jsonl"
            path.write_bytes(b"\n".join(messages(size, wrapped)))
            body[shape] = {k: round(v, 3) for k, v in measure(path).items()}
            print(shape, "  ".join(f"{k} {v}" for k, v in body[shape].items()))
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
    print(json.dumps(body | {"peak_mb": peak}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
