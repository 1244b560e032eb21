"""Compile what is compiled at first use: a tiny night in a temporary home (``make setup`` runs this once).

Numba keeps the machine code beside the sources, so that the first real night starts at full speed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import perf_counter

from pipelines.settings import Settings, prepare_environment

SEED, VEHICLES, DAYS = 1, 3, 45
_HEAD = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km\n"
_ROW = "warm,2025-01-01T00:00:00Z,1,drive,350.5,-20.1,55.5,20,15,0,1000\n"
_EVENT = (
    '[2,"1","TransactionEvent",{"eventType":"Started","timestamp":"2025-01-01T00:00:00Z","triggerReason":"CablePluggedIn",'
    '"seqNo":0,"transactionInfo":{"transactionId":"1"},"evse":{"id":1},"meterValue":[{"timestamp":"2025-01-01T00:00:00Z",'
    '"sampledValue":[{"value":12.5,"measurand":"Energy.Active.Import.Register"}]}]}]\n'
)


def warm_readers() -> None:
    """Compile what reads logs: small files never reach the compiled loops of large ones, so a large one is made."""
    import polars as pl

    from warehouse.coded import joined, order_of
    from warehouse.formatspec import load_format
    from warehouse.readers import ocpp, source, table

    samples = load_format("fadecast_samples")
    # The first block is read the careful way, whatever its size; a second one has to follow.
    lines = (source.BLOCK_BYTES + 2 * table.MIN_BYTES) // len(_ROW)
    read = source.BytesSource((_HEAD + _ROW * lines).encode(), table.counter(samples))
    frames = [batch.rows["samples"] for batch in table.read(read, samples)]
    rows = joined(frames)
    cars = pl.Series(["warm", "cold"] * (rows.height // 2), dtype=pl.Enum(["cold", "warm"])).alias("vehicle_id")
    rising = (pl.col("time_utc") + pl.duration(seconds=pl.int_range(pl.len()))).alias("time_utc")
    order_of(rows.head(cars.len()).with_columns(cars, rising))
    events = load_format("ocpp_201")
    reader = ocpp.READER
    if reader.counter is None:
        raise TypeError("OCPP messages are counted while they are read")
    for text in (_EVENT * 3, f"[{_EVENT},{_EVENT}]"):
        for _ in reader.read(source.BytesSource(text.encode(), reader.counter(events), name="CP1.jsonl"), events):
            pass


def warm() -> float:
    """Run the steps of a night on three made-up cars; returns the seconds it took."""
    from models.synthetic import fleet_of, small_fleet
    from pipelines.demo import take_in
    from pipelines.demo_files import sha256_of, write_files
    from pipelines.nightly import run_plain
    from warehouse.keys import write_demo_key, write_demo_marker

    begun = perf_counter()
    warm_readers()
    with tempfile.TemporaryDirectory(prefix="fadecast-warm-") as folder:
        home = Path(folder) / "home"
        settings = Settings(home=home, seed=SEED, draws=50, conformance_samples=1, conformance_days=7)
        write_demo_key(home, SEED)
        files = write_files(home, fleet_of(VEHICLES, DAYS, SEED), small_fleet(SEED, VEHICLES, DAYS), DAYS)
        write_demo_marker(home, SEED, [sha256_of(p) for p in files.all])
        take_in(settings, files)
        run_plain(settings)
    return perf_counter() - begun


if __name__ == "__main__":
    prepare_environment()
    sys.stderr.write(f"Kernels compiled in {warm():.0f} s.\n")
