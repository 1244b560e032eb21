"""How the assumed constants of the SEI members were found: a typical vehicle's duty and the fade a fleet shows.

PyBaMM's stock ageing parameters are not calibrated (OKane2022 with "ec reaction limited" loses 9 % of its lithium in
four days). The members' speeds in ``parameters/laws.toml`` are fitted here to what fleets report, on one stated duty;
tests repeat the fit. Those of LFP are fitted to ageing tests instead (``benchmarks/fit_lfp_sei.py``).
"""

from __future__ import annotations

import numpy as np

from models.domain import Duty, FloatArray, Pack
from models.laws.sei import SeiLaw

TYPICAL_CYCLES_PER_YEAR = 44.0
TYPICAL_MEAN_C = 15.0
YEAR_DAYS = 364
FILM_BALANCE_FRAC = 0.01
"""Lithium lost at which kinetics and diffusion resist equally on the typical duty: storage at 20/50/80/98 % then loses
0.5/1/1.1/1.1 in ten years (assumed). [1]"""
NMC_FADE_FRAC = {1: 0.045, 2: 0.063, 3: 0.076, 4: 0.085, 5: 0.09, 10: 0.14}
"""Owners' survey medians by year of age; ten years between their slowing and Geotab's mean of 2.3 % a year. [1]"""


def typical_duty(
    pack: Pack,
    days: int = YEAR_DAYS,
    cycles_per_year: float = TYPICAL_CYCLES_PER_YEAR,
    mean_c: float = TYPICAL_MEAN_C,
    top_cell_soc: float = 0.80,
    export_frac: float = 0.0,
    start_utc: str = "2001-01-01",
) -> Duty:
    """Hourly duty of a commuter: out at 7, home at 17, charged at night; optionally exporting in the evening.

    Parameters
    ----------
    pack
        Whose currents; SOC refers to its capacity when new.
    days
        Whole days. [d]
    cycles_per_year
        Equivalent full cycles by driving. [1/a]
    mean_c
        Mean cell temperature; 8 K of season and 4 K of day are added. [°C]
    top_cell_soc
        Cell state of charge after charging. [1]
    export_frac
        Share of the capacity exported every evening (three hours). [1]

    Returns
    -------
    Duty
        Simulated, every step marked as modelled.
    """
    hours = days * 24
    hour = np.arange(hours) % 24
    drive = cycles_per_year / 365.25
    current = np.zeros((hours, 4))
    current[:, 0] = np.where((hour == 7) | (hour == 17), -0.5 * drive, 0.0)
    current[:, 2] = np.where((hour >= 18) & (hour < 21), -export_frac / 3.0, 0.0)
    current[:, 1] = np.where((hour >= 1) & (hour < 5), (drive + export_frac) / 4.0, 0.0)
    # The first night starts full, as every other evening's deficit is made up for after midnight.
    soc = top_cell_soc - drive - export_frac + np.concatenate([[0.0], np.cumsum(current.sum(axis=1))])
    t = np.arange(hours) + 0.5
    season = -8.0 * np.cos(2 * np.pi * t / (24 * YEAR_DAYS)) - 4.0 * np.cos(2 * np.pi * (t - 3.0) / 24)
    return Duty(
        start_utc=np.datetime64(start_utc, "m"),
        step_minutes=60,
        cell_soc_frac=np.clip(soc, 0.0, 1.0),
        temp_c=mean_c + season,
        current_a=current * pack.capacity_ah,
        capacity_ah=pack.capacity_ah,
        filled=np.full(hours, 2, dtype=np.uint8),
    )


def fade_by_year(law: SeiLaw, duty: Duty, pack: Pack, years: int, log_multipliers: FloatArray) -> FloatArray:
    """Capacity lost by the end of each year of a repeated duty year, for given log-multipliers, (draws, years)."""
    daily = law.exposures(duty, pack)
    year = np.stack([part.sum(axis=0) for part in np.array_split(daily, 12)]) * (365.25 / daily.shape[0])
    run = law.project(np.tile(year, (years, 1))[None], np.array([1.0]), log_multipliers)
    return 1.0 - run.capacity_frac[:, 11::12]


def fit_speed(law: SeiLaw, duty: Duty, pack: Pack, fade_frac: dict[int, float]) -> dict[str, float]:
    """Factors on a member's speeds that bring its fade to a target, least squares of fade over the years.

    One number is fitted. Where a member has kinetics and diffusion, their ratio is set so that on this duty both resist
    equally once `FILM_BALANCE_FRAC` of the lithium is lost: fleet medians alone would fit a film without kinetics,
    whose growth does not depend on the state of charge, which no storage test shows.

    Parameters
    ----------
    law, duty, pack
        Member and the typical year it is calibrated on.
    fade_frac
        Capacity lost after so many years. [1]

    Returns
    -------
    dict[str, float]
        Multiplier name -> factor; wear is left as it is.
    """
    years = np.array(sorted(fade_frac))
    target = np.array([fade_frac[int(y)] for y in years])
    shift = np.zeros(len(law.multiplier_names))
    if "kinetic" in law.multiplier_names:
        new = int(np.flatnonzero(law.fullness[law.coarse] == 1.0)[0])
        at = law.fullness.size + new * law.nodes.size
        growth = law.exposures(duty, pack).sum(axis=0)[at : at + law.nodes.size]
        slope = (1 / growth[4] - 1 / growth[2]) / (law.nodes[4] - law.nodes[2])
        shift[law.multiplier_names.index("diffusion")] = np.log(
            FILM_BALANCE_FRAC * slope / (1 / growth[2] - slope * law.nodes[2])
        )
    moves = np.array([0.0 if name == "wear" else 1.0 for name in law.multiplier_names])
    centre, width = 0.0, 14.0
    for _ in range(20):
        tried = np.linspace(centre - width, centre + width, 41)
        fade = fade_by_year(law, duty, pack, int(years[-1]), shift + tried[:, None] * moves)[:, years - 1]
        centre = float(tried[int(np.argmin(np.sum((fade - target) ** 2, axis=1)))])
        width *= 0.4
    logs = shift + centre * moves
    return {n: float(np.exp(v)) for n, v in zip(law.multiplier_names, logs, strict=True) if n != "wear"}
