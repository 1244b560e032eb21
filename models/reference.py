"""The reference question: ten years of a 60 kWh car that exports 10 kWh every evening, against the same car without.

Published models disagree on it (18 of them: -0.3 to +8.7 pp, median +1.6), so it is the yardstick of the ensemble: 44
full cycles a year grow to 105, the mean state of charge falls from 0.74 to 0.70.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.calibration import TYPICAL_CYCLES_PER_YEAR, typical_duty
from models.domain import BASELINE_POLICY, Duty, FloatArray, History, Pack, Readings
from models.ensemble import Worlds, worlds
from models.exposure import LEVELS, level_exposures
from models.forecast import Fan, project_vehicle
from models.laws.base import Law
from models.packs import mean_ocv_v, ocv_of
from models.parameters import entry

GROSS_KWH = 60.0
EXPORT_KWH_PER_DAY = 10.0
YEARS = 10
EXPORT = "evening_peak"
PUBLISHED_PP = {"models": 18, "low": -0.3, "median": 1.6, "high": 8.7}
"""Effect of export in ten years on this profile among published models, compared beforehand. [pp]"""


def reference_pack(cell_id: str, home: Path | None = None) -> Pack:
    """A pack of 60 kWh, 96 cells in series, of a cell of ``cells.toml``."""
    ocv = ocv_of(cell_id, home)
    charge = 1000.0 * GROSS_KWH / (96 * mean_ocv_v(ocv))
    chemistry = entry("cells", cell_id, home).text("chemistry")
    return Pack("reference", cell_id, chemistry, 96, charge, GROSS_KWH, 57.0, 57.0, 0.02, 0.97, 0.085, ocv, 3.3e5, 9.0)


def reference_duty(pack: Pack, export: bool, level: float = 1.0) -> Duty:
    """One year of the profile at a present capacity: the same energy, hence deeper swings as capacity falls.

    Parameters
    ----------
    pack
        When new.
    export
        With 10 kWh every evening, or without.
    level
        Present capacity over capacity as new. [1]
    """
    aged = replace(pack, capacity_ah=pack.capacity_ah * level)
    share = EXPORT_KWH_PER_DAY / GROSS_KWH / level if export else 0.0
    return typical_duty(aged, cycles_per_year=TYPICAL_CYCLES_PER_YEAR / level, export_frac=share)


def reference_exposures(pack: Pack, laws: Sequence[Law], export: bool) -> dict[str, FloatArray]:
    """Exposures of the profile at falling capacity, law -> (levels, 12, k)."""
    return level_exposures([reference_duty(pack, export, level) for level in LEVELS], pack, laws)


def reference_fan(
    cell_id: str, laws: Sequence[Law], draws: int, seed: int, home: Path | None = None
) -> tuple[Fan, Worlds]:
    """What the ensemble says of the profile before any reading: a new car of a cohort that nobody has measured.

    Returns
    -------
    tuple[Fan, Worlds]
        Fan of the baseline and of `EXPORT` over ten years, and the worlds it was drawn in.
    """
    pack = reference_pack(cell_id, home)
    years: Mapping[str, dict[str, FloatArray]] = {
        BASELINE_POLICY: reference_exposures(pack, laws, export=False),
        EXPORT: reference_exposures(pack, laws, export=True),
    }
    none = np.empty(0)
    readings = Readings(none, none, none, none, np.empty(0, dtype=bool))
    past = {law.law_id: np.empty((0, len(law.exposure_names))) for law in laws}
    history = History("reference", "reference", none, past, readings, 0.0)
    duty = reference_duty(pack, export=True)
    outside = {law.law_id: law.range_check(duty, pack).outside_frac for law in laws}
    w = worlds({}, "reference", "reference", laws, draws, seed, outside_frac=outside, home=home)
    return project_vehicle(w, laws, history, years, YEARS), w
