"""Speeds of the LFP members of the SEI laws, fitted to the development half of the ageing tests.

The values in ``models/parameters/laws.toml`` are those found from the speeds of NMC and their prior. Prints the factors
of a further fit from there, which goes on the same way as the prior begins anew: the wear of interstitials would fall
by a third more, with slow and warm cycling held worse and fast cycling better. Multipliers are exact on stored
exposures, so that no simulation is repeated in the fit. The data in
``../shared/data/ageing`` are never copied in. Run ``python benchmarks/fit_lfp_sei.py``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from law_evidence import FILES, FOLDER  # noqa: E402  the repository first, then its modules
from law_evidence import tests_of as usable  # noqa: E402

from models.domain import FloatArray  # noqa: E402
from models.law_tests import Condition, cell_pack, steady_duty  # noqa: E402
from models.laws.base import Law  # noqa: E402
from models.laws.registry import get  # noqa: E402
from pipelines.steps.evidence_read import read_file  # noqa: E402

CELL = "lfp_prada2013"
LAWS = ("sei_ec", "sei_interstitial")
HOTTEST_C, FASTEST_PER_H = 45.0, 1.0
ERROR_PP = 2.0  # of a test as a whole: about what such a law errs by after the fit, not the error of the cycler
_PERIODS = 80


@dataclass(frozen=True, eq=False)
class Test:
    """Exposures of one test on an even grid of time, and its check-ups."""

    name: str
    fitted: bool
    time: FloatArray
    grid: FloatArray
    exposures: FloatArray
    capacity_frac: FloatArray


def even(c: Condition) -> bool:
    """Tests that the members can hold: no reversible loss of shallow cycles around half charge, not hot, not fast."""
    shallow = 0.0 < c.depth_frac < 0.5 and abs(c.soc_mean_frac - 0.5) < 0.1
    return not shallow and c.temp_c <= HOTTEST_C and max(c.charge_per_h, c.discharge_per_h) <= FASTEST_PER_H


def tests_of(law: Law) -> list[Test]:
    """All tests whose conditions are known."""
    pack = cell_pack(CELL)
    out: list[Test] = []
    for name in FILES["lfp"]:
        for c, mine, later in usable(read_file(FOLDER / name).rows):
            duty = steady_duty(c, pack)
            days = duty.steps * duty.step_hours / 24.0
            per_day = law.exposures(duty, pack).sum(axis=0) / days
            turned = float(np.abs(np.diff(duty.cell_soc_frac)).sum()) / 2.0 / days
            time = mine.day[later] if c.depth_frac == 0.0 else mine.cycles[later] / turned
            grid = np.linspace(0.0, float(time.max()), _PERIODS + 1)
            exposures = np.tile(per_day * grid[1], (1, _PERIODS, 1))
            out.append(Test(c.words, even(c), time, grid, exposures, mine.capacity_frac[later]))
    return out


def error_pp(law: Law, logs: FloatArray, test: Test) -> FloatArray:
    """Predicted less measured capacity at the check-ups. [pp]"""
    capacity = law.project(test.exposures, np.ones(1), logs[None]).capacity_frac[0]
    return 100.0 * (np.interp(test.time, test.grid, np.concatenate([[1.0], capacity])) - test.capacity_frac)


def fitted_logs(law: Law, tests: list[Test]) -> FloatArray:
    """Log-multipliers of least squares under the law's own prior."""
    sigma = np.array(law.multiplier_sigma)

    def residuals(p: FloatArray) -> FloatArray:
        parts = [error_pp(law, p, t) / ERROR_PP / np.sqrt(t.time.size) for t in tests if t.fitted]
        return np.concatenate([*parts, p / sigma])

    return least_squares(residuals, np.zeros(sigma.size)).x


def main() -> int:
    """Print factors and errors before and after."""
    if not FOLDER.is_dir():
        print("The ageing tests are looked for in ../shared/data/ageing beside the checkout, and are not there.")
        return 2
    for law_id in LAWS:
        law = get(law_id, CELL)
        tests = tests_of(law)
        logs = fitted_logs(law, tests)
        found = ", ".join(f"{n} x {np.exp(v):.4f}" for n, v in zip(law.multiplier_names, logs, strict=True))
        print(f"\n{law_id}: {found}; errors [pp] as stated, as fitted (the prior holds it back)")
        for t in tests:
            now, then = (float(np.sqrt(np.mean(error_pp(law, p, t) ** 2))) for p in (np.zeros(logs.size), logs))
            print(f"  {t.name:66s} {'fitted' if t.fitted else '-':6s} {now:6.2f} {then:6.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
