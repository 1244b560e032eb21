"""A made-up home and car for the benchmarks: seeded, no two days alike, no input data needed."""

from __future__ import annotations

import numpy as np

from models.domain import Pack, RepresentativeYear
from models.packs import ocv_of

POLICIES = (
    "as_driven", "no_export_smart", "no_export_immediate", "backup_only", "evening_peak", "arbitrage",
    "evening_peak_floor_60", "evening_peak_2_kwh_day",
)  # fmt: skip
PER_DAY, DAYS = 96, 364


def pack_of_cell(cell_id: str, chemistry: str) -> Pack:
    """A pack of 60 kWh of a cell."""
    return Pack(
        "bench", cell_id, chemistry, 96, 160.0, 60.0, 57.0, 57.0, 0.03, 0.97, 0.1, ocv_of(cell_id), 4e5, 10.0
    )  # fmt: skip


def made_year(seed: int) -> RepresentativeYear:
    """Drives on most days at times of their own, at home otherwise; evening peak, cheap night, four outages."""
    rng = np.random.default_rng(seed)
    n = DAYS * PER_DAY
    plugged, drive = np.ones(n, dtype=bool), np.zeros(n)
    charge, export = np.zeros(n), np.zeros(n)
    for day in range(DAYS):
        at = day * PER_DAY
        export[at + 72 : at + 80] = 0.4
        charge[at + 4 : at + 20] = 0.6
        if rng.random() < 0.15:
            continue
        out, back = at + int(rng.integers(26, 36)), at + int(rng.integers(60, 72))
        kwh = min(float(rng.lognormal(2.0, 0.5)), 30.0)
        plugged[out:back] = False
        drive[out : out + 3] += kwh / 6
        drive[back - 3 : back] += kwh / 6
    hour, day = np.arange(n) // 4 % 24, np.arange(n) // PER_DAY
    outage = np.zeros(n, dtype=bool)
    for begin in rng.integers(0, n - 16, 4):
        outage[begin : begin + 16] = True
    weather = np.repeat(rng.normal(0.0, 2.5, DAYS), PER_DAY)
    return RepresentativeYear(
        step_minutes=15,
        utc_offset_hours=0.0,
        plugged=plugged,
        drive_kwh=drive,
        away_charge_kwh=np.zeros(n),
        recorded_charge_kwh=np.where(plugged, charge, 0.0),
        recorded_export_kwh=np.where(plugged, export, 0.0),
        load_kw=(0.3 + 0.9 * ((hour >= 16) & (hour < 22))) * rng.gamma(4.0, 0.25, n),
        pv_kw=np.zeros(n),
        import_money_per_kwh=np.where((hour >= 1) & (hour < 5), 0.085, 0.28),
        feed_in_money_per_kwh=0.15,
        peak=np.isin(hour, (16, 17, 18, 19)),
        cheap=np.isin(hour, (1, 2, 3, 4)),
        outage=outage,
        ambient_c=10 + 8 * np.sin(2 * np.pi * (day - 110) / 365) + 4 * np.sin(2 * np.pi * (hour - 9) / 24) + weather,
        currency="GBP",
        km_per_year=13_000.0,
        sources={"vehicle": "made up"},
        recorded_start_soc_frac=0.7,
    )
