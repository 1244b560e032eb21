"""Fit the LFP power law to the development half of Naumann's storage and cycling tests.

Reads ``../shared/data/ageing`` (never copied in), prints coefficients and errors as a table and as JSON. The numbers
stand in ``models/parameters/laws_power.toml`` under ``lfp_sony_own``. Run: ``python benchmarks/fit_lfp_law.py``.

Left out, on purpose: cycling above 1C (a knee of its own), and cycles shallower than 80 % around 50 % SOC, whose
apparent loss of 5 to 12 pp partly returns (lithium unevenly spread, not gone). The
forecast carries irreversible fade only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
from scipy.optimize import least_squares

GAS_CONSTANT = 8.314462618
FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "ageing"


def calendar_k(x: np.ndarray, temp_k: np.ndarray, soc: np.ndarray) -> np.ndarray:
    """k25 exp(-Ea/R (1/T - 1/298.15)) (1 + a (SOC - 0.5) + b (SOC - 0.5)^3), x = ln k25, Ea [kJ/mol], a, b, p."""
    s = soc - 0.5
    return np.exp(x[0] - 1e3 * x[1] / GAS_CONSTANT * (1 / temp_k - 1 / 298.15)) * (1 + x[2] * s + x[3] * s**3)


def weights(test: np.ndarray) -> np.ndarray:
    """Every test weighs the same, whatever its number of check-ups."""
    _, place, count = np.unique(test, return_inverse=True, return_counts=True)
    return np.sqrt(count.mean() / count[place])


def rmse_pp(error: np.ndarray) -> float:
    """Root-mean-square error [pp]."""
    return float(np.sqrt(np.mean(error**2)) * 100)


def main() -> int:
    """Fit both terms and print them."""
    if not FOLDER.is_dir():
        print(f"No ageing data at {FOLDER}: nothing to fit.", file=sys.stderr)
        return 2
    cal = pl.read_csv(FOLDER / "naumann_lfp_calendar.csv", infer_schema_length=None)
    temp, soc = cal["temperature_c"].to_numpy() + 273.15, cal["soc_mean_frac"].to_numpy()
    day, loss, test = cal["day"].to_numpy(), 1 - cal["capacity_frac"].to_numpy(), cal["test_id"].to_numpy()

    def error_cal(x: np.ndarray) -> np.ndarray:
        return calendar_k(x, temp, soc) * day ** x[4] - loss

    start = [np.log(0.001), 30.0, 1.0, 0.0, 0.55]
    fit = least_squares(lambda x: error_cal(x) * weights(test) * 100, start)
    c = fit.x
    cyc = pl.read_csv(FOLDER / "naumann_lfp_cycle.csv", infer_schema_length=None).filter(
        (pl.max_horizontal("charge_c_rate", "discharge_c_rate") <= 1)
        & ((pl.col("dod_frac") >= 0.8) | (pl.col("soc_mean_frac") < 0.4))
    )
    temp2, day2 = cyc["temperature_c"].to_numpy() + 273.15, cyc["day"].to_numpy()
    depth, efc, loss2 = cyc["dod_frac"].to_numpy(), cyc["efc"].to_numpy(), 1 - cyc["capacity_frac"].to_numpy()
    rate = 0.5 * (cyc["charge_c_rate"] + cyc["discharge_c_rate"]).to_numpy()
    centre, test2 = cyc["soc_mean_frac"].to_numpy(), cyc["test_id"].to_numpy()
    swing = np.linspace(-0.5, 0.5, 41)
    mean_z = np.mean([calendar_k(c, temp2, np.clip(centre + depth * u, 0, 1)) ** (1 / c[4]) for u in swing], axis=0)
    stored = (mean_z * day2) ** c[4]

    def error_cyc(x: np.ndarray) -> np.ndarray:
        return stored + np.exp(x[0]) * depth ** x[1] * rate ** x[2] * (efc / 1000) ** x[3] - loss2

    g = least_squares(lambda x: error_cyc(x) * weights(test2) * 100, [np.log(0.05), 0.5, 0.3, 0.6]).x
    out = {
        "calendar_k25": float(np.exp(c[0])),
        "calendar_activation_j_per_mol": float(c[1] * 1e3),
        "calendar_soc_linear": float(c[2]),
        "calendar_soc_cubic": float(c[3]),
        "calendar_exponent": float(c[4]),
        "cycling_k1": float(np.exp(g[0])),
        "cycling_depth_exponent": float(g[1]),
        "cycling_rate_exponent": float(g[2]),
        "cycling_exponent": float(g[3]),
        "rmse_storage_pp": rmse_pp(error_cal(c)),
        "rmse_cycling_pp": rmse_pp(error_cyc(g)),
    }
    for name, value in out.items():
        print(f"{name:32s} {value:.6g}", file=sys.stderr)
    for ids, error in ((test, error_cal(c)), (test2, error_cyc(g))):
        for name in np.unique(ids):
            print(f"  {name:52s} {rmse_pp(error[ids == name]):5.2f} pp", file=sys.stderr)
    print(json.dumps(out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
