"""Capacity readings against simulated truths, by depth of swing, and on the drives of a real car.

Simulated: packs of known capacity with noise of voltage, OCV curve, current gain and offset; error and share inside the
80 % interval by the largest swing of a month. Real: one BMW i3 of rated 60 A.h; repeatability of the charge per
displayed 100 % over its drives, by depth of swing. Run: ``python benchmarks/bench_readings.py [--quick]``.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from models.integral import integrate  # noqa: E402  the repository first, then its modules
from models.life import prepare  # noqa: E402
from models.rested import CellCurve  # noqa: E402
from models.sessions import US_PER_HOUR, rules  # noqa: E402
from models.soh import anchored_readings  # noqa: E402

DRIVES = ROOT.parent / "shared" / "data" / "logs" / "bmw_i3_trips_1hz.parquet"
OUT = ROOT / "benchmarks" / "out" / "bench_readings.json"
SWINGS = (
    ("10 to 25 %", 0.62, 0.80),
    ("25 to 45 %", 0.45, 0.80),
    ("45 to 65 %", 0.25, 0.82),
    ("above 65 %", 0.10, 0.90),
)
LFP_SWINGS = (("below 15 % to near full", 0.08, 0.995),)
RATED_AH = 60.0


def simulations() -> ModuleType:
    """The simulated packs of the tests."""
    sys.path.insert(0, str(ROOT / "tests"))
    return import_module("history_sim")


def simulated(cars: int) -> list[dict[str, object]]:
    """Error and coverage by swing."""
    sim, rule = simulations(), rules()
    rows: list[dict[str, object]] = []
    for chemistry, pack, swings, curve in (
        ("nmc", sim.nmc_pack(), SWINGS, CellCurve(True, 0.008)),
        ("lfp", sim.lfp_pack(), LFP_SWINGS, CellCurve(True, 0.008)),
    ):
        for name, low, high in swings:
            error, sigma, month_sd = [], [], []
            for seed in range(cars):
                truth = 0.75 + 0.25 * np.random.default_rng(seed).random()
                samples = sim.simulate(pack, truth * pack.capacity_ah, seed, 60, low, high, sim.Errors())
                clean, runs, _ = prepare(samples, pack, rule)
                first = int(clean.time_us[0] // US_PER_HOUR * US_PER_HOUR)
                hours = int((clean.time_us[-1] - first) // US_PER_HOUR + 2)
                integral = integrate(clean, runs, first, hours, 60)
                found = anchored_readings(clean, runs, integral, pack, curve, rule)
                error += [r.soh_frac - truth for r in found]
                sigma += [r.sigma_frac for r in found]
                if len(found) > 1:
                    month_sd.append(float(np.std([r.soh_frac for r in found], ddof=1)))
            e, s = np.array(error), np.array(sigma)
            rows.append(
                {
                    "chemistry": chemistry,
                    "swing": name,
                    "cars": cars,
                    "readings": int(e.size),
                    "rmse_pp": round(float(100 * np.sqrt(np.mean(e**2))), 2) if e.size else None,
                    "bias_pp": round(float(100 * e.mean()), 2) if e.size else None,
                    "stated_sigma_pp": round(float(100 * s.mean()), 2) if e.size else None,
                    "inside_80_frac": round(float(np.mean(np.abs(e) <= 1.2816 * s)), 2) if e.size else None,
                    "month_to_month_pp": round(float(100 * np.mean(month_sd)), 2) if month_sd else None,
                }
            )
    return rows


def bmw() -> list[dict[str, object]] | None:
    """Charge per displayed 100 % of each drive, by swing; none of it is a measurement of capacity (a circle)."""
    if not DRIVES.is_file():
        return None
    import polars as pl

    frame = pl.read_parquet(DRIVES)
    rows = []
    for low, high in ((0.05, 0.10), (0.10, 0.15), (0.15, 0.25), (0.25, 1.0)):
        ah = []
        for trip in frame["trip"].unique().sort().to_list():
            drive = frame.filter(pl.col("trip") == trip).sort("t_s").drop_nulls(["i_A", "soc_pct", "t_s"])
            t, i, soc = (drive[c].to_numpy().astype(float) for c in ("t_s", "i_A", "soc_pct"))
            swing = (soc[-1] - soc[0]) / 100
            if low < abs(swing) <= high:
                charge = float(np.sum(0.5 * (i[1:] + i[:-1]) * np.diff(t))) / 3600
                ah.append(charge / swing)
        if len(ah) > 1:
            sd = float(np.std(ah, ddof=1))
            rows.append(
                {
                    "swing": f"{100 * low:.0f} to {100 * high:.0f} %",
                    "drives": len(ah),
                    "median_ah": round(float(np.median(ah)), 2),
                    "sd_ah": round(sd, 2),
                    "middle_half_ah": round(float(np.subtract(*np.quantile(ah, [0.75, 0.25]))), 2),
                    "median_over_rated": round(float(np.median(ah)) / RATED_AH, 3),
                }
            )
    return rows


def main(argv: list[str]) -> int:
    """Print both tables and write the JSON."""
    quick = "--quick" in argv
    body = {"simulated": simulated(6 if quick else 30), "bmw_i3_displayed_soc": bmw()}
    print("Capacity readings against simulated truth (per month)")
    for r in body["simulated"] or []:
        print("  " + "  ".join(f"{k} {v}" for k, v in r.items()))
    if body["bmw_i3_displayed_soc"] is None:
        print("The BMW i3 drives are not beside the checkout (../shared/data/logs).")
    else:
        print("BMW i3, ampere-hours per displayed 100 % (what its BMS says, marked as reported)")
        for r in body["bmw_i3_displayed_soc"]:
            print("  " + "  ".join(f"{k} {v}" for k, v in r.items()))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
