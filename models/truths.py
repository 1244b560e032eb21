"""Truths of the trial fleets: how simulated cars really fade, by formulas that no fitted law has.

Four generators, each with kinetics drawn anew for every fleet, and what else goes wrong in the field: rates of storage
and of use that scatter apart, weak batches, the weakest cell of a pack, temperatures that the log has wrong, readings
with a gain of their own, BMS values with an offset and a buffer that hides the first loss.

``mixed_film``: an inner film that stops growing by tunnelling, an outer one that thickens by diffusion, cracks opened
by throughput. ``anode_knee``: a film until the anode, worn by deep cycles and by itself, becomes the smaller electrode.
``soc_storage``: storage that jumps at two states of charge, next to no wear. ``odd_exponent``: one power of one damage
sum, with an exponent below or above those of all laws.

Limits: a year of duty is repeated; the fade of the truth does not feed back on its duty; all numbers are own choices,
scaled so that cars lose some 1.5 to 3 % a year (Geotab, January 2026).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.domain import DAYS_PER_YEAR, Duty, FloatArray, Pack
from models.laws.power import half_cycles
from models.seeds import generator
from models.truth_duty import DAYS

GENERATORS = ("mixed_film", "anode_knee", "soc_storage", "odd_exponent")
MONTHS = 12
_GAS = 8.314
_T25 = 298.15
STRESSES = ("inner", "outer", "steps", "slope", "cold_depth", "deep", "full_cycles")


def _speed(temp_c: FloatArray, activation_kj: float) -> FloatArray:
    return np.exp(activation_kj * 1e3 / _GAS * (1.0 / _T25 - 1.0 / (temp_c + 273.15)))


def stresses(duty: Duty, pack: Pack, wrong_c: float) -> FloatArray:
    """What a year does to a cell that is warmer than its log says by ``wrong_c``, shape (12, 7); see `STRESSES`.

    The first four are means over a month times its years, the others full cycles of the month, weighed.
    """
    temp = duty.temp_c + wrong_c
    soc = 0.5 * (duty.cell_soc_frac[1:] + duty.cell_soc_frac[:-1])
    step = 1.0 / (1.0 + np.exp(-(soc - 0.58) / 0.04))
    top = 1.0 / (1.0 + np.exp(-(soc - 0.90) / 0.03))
    hourly = [
        _speed(temp, 58.0) * np.exp(1.6 * (soc - 0.5)),
        _speed(temp, 32.0),
        _speed(temp, 48.0) * (0.25 + 0.9 * step + 1.3 * top),
        _speed(temp, 40.0) * (0.4 + 1.2 * soc),
    ]
    out = np.empty((MONTHS, len(STRESSES)))
    month = np.minimum(np.arange(duty.steps) * MONTHS // duty.steps, MONTHS - 1)
    size = np.bincount(month, minlength=MONTHS)
    for k, rate in enumerate(hourly):
        out[:, k] = np.bincount(month, rate, MONTHS) / size / MONTHS
    h = half_cycles(duty, pack)
    cold = 1.0 + 0.04 * np.maximum(10.0 - (h.temp_k - 273.15 + wrong_c), 0.0)
    weights = (cold * h.depth**0.6, (h.depth / 0.5) ** 1.5, np.ones(h.depth.shape))
    when = np.minimum(h.day * MONTHS // DAYS, MONTHS - 1)
    for k, w in enumerate(weights):
        out[:, 4 + k] = np.bincount(when, w * h.full_cycles, MONTHS) * DAYS_PER_YEAR / DAYS
    return out


@dataclass(frozen=True)
class Kinetics:
    """Kinetics of one fleet under a generator: factors around one, and an exponent where the generator has one."""

    generator_id: str
    storage: float
    use: float
    shape: float


def draw_kinetics(generator_id: str, seed: int) -> Kinetics:
    """Kinetics of a fleet; ``shape`` is the exponent of ``odd_exponent`` or the spare anode of ``anode_knee``."""
    rng = generator(seed, "kinetics", generator_id)
    storage, use = np.exp(rng.normal(0.0, [0.15, 0.25]))
    low, high = float(rng.uniform(0.32, 0.40)), float(rng.uniform(0.84, 0.95))
    exponent = low if rng.random() < 0.5 else high
    spare = float(rng.uniform(0.13, 0.19))
    return Kinetics(generator_id, float(storage), float(use), spare if generator_id == "anode_knee" else exponent)


def cell_loss(kinetics: Kinetics, monthly: FloatArray) -> FloatArray:
    """Loss of capacity of a mean cell at the end of each month.

    Parameters
    ----------
    monthly
        Stresses of every month of a life, shape (vehicles, months, 7).

    Returns
    -------
    FloatArray
        Shape (vehicles, months). [1]
    """
    k = kinetics
    n, months, _ = monthly.shape
    out = np.empty((n, months))
    inner, outer, crack, wear = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    damage = np.zeros(n)
    for m in range(months):
        s = monthly[:, m]
        if k.generator_id == "mixed_film":
            inner += k.storage * 0.03 * s[:, 0] * np.exp(-inner / 0.008)
            outer += k.storage * 2.8e-4 * s[:, 1] / (0.004 + outer)
            crack += k.use * 6.0e-5 * s[:, 4]
            lithium = inner + outer + crack
            out[:, m] = 1.1 * lithium + 1.2 * lithium**2
        elif k.generator_id == "anode_knee":
            outer += k.storage * 4.5e-4 * s[:, 1] / (0.004 + outer)
            wear += k.use * 1.2e-4 * s[:, 5] * (1.0 + 3.0 * wear) + 0.003 / MONTHS
            lithium = outer + 0.25 * wear
            over = wear + 0.2 * lithium - k.shape
            out[:, m] = 1.15 * lithium + 1.2 * 0.012 * np.logaddexp(0.0, over / 0.012)
        elif k.generator_id == "soc_storage":
            damage += k.storage * 0.030 * s[:, 2] / (1.0 + damage / 0.06) + k.use * 1.0e-5 * s[:, 6]
            out[:, m] = damage
        else:
            damage += k.storage * s[:, 3] + k.use * 1.5e-3 * s[:, 6]
            out[:, m] = 0.085 * (damage / 6.0) ** k.shape
    return out


@dataclass(frozen=True, eq=False)
class Nature:
    """What belongs to each car of a fleet and nobody sees, shape (vehicles,) each.

    Parameters
    ----------
    storage, use
        Speed of storage and of use. [1]
    weakest
        Loss of the weakest cell over that of the mean one. [1]
    new_frac
        Capacity when new over nominal. [1]
    wrong_c
        True temperature less that of the log. [K]
    gain, bms_offset_frac, bms_buffer_frac
        Errors of the readings: common to all of a car, of its BMS, and loss that the BMS hides at first. [1]
    bms_only
        Whether only the BMS's own values are known.
    """

    storage: FloatArray
    use: FloatArray
    weakest: FloatArray
    new_frac: FloatArray
    wrong_c: FloatArray
    gain: FloatArray
    bms_offset_frac: FloatArray
    bms_buffer_frac: FloatArray
    bms_only: np.ndarray


def draw_nature(vehicles: int, seed: int, weak_share: float = 0.03, weak_rate: float = 1.8) -> Nature:
    """Draw cars; a few are of a weak batch."""
    rng = generator(seed, "nature")
    common = rng.normal(0.0, 0.12, vehicles)
    weak = np.where(rng.random(vehicles) < weak_share, np.log(weak_rate), 0.0)
    spread = rng.uniform(0.05, 0.08, vehicles)
    return Nature(
        storage=np.exp(common + weak + rng.normal(0.0, 0.08, vehicles)),
        use=np.exp(common + weak + rng.normal(0.0, 0.15, vehicles)),
        weakest=np.exp(spread * rng.standard_normal((96, vehicles))).max(axis=0),
        new_frac=rng.normal(1.003, 0.010, vehicles),
        wrong_c=rng.normal(0.0, 2.0, vehicles),
        gain=rng.normal(0.0, 0.004, vehicles),
        bms_offset_frac=rng.normal(0.01, 0.025, vehicles),
        bms_buffer_frac=np.where(rng.random(vehicles) < 0.5, 0.02, 0.0),
        bms_only=rng.random(vehicles) < 0.25,
    )


def pack_soh(kinetics: Kinetics, nature: Nature, monthly: FloatArray) -> FloatArray:
    """True capacity of packs over nominal at the end of each month, shape (vehicles, months). [1]"""
    speed = np.ones(monthly.shape[2])[None, :] * nature.storage[:, None]
    speed[:, 4:] = nature.use[:, None]
    loss = cell_loss(kinetics, monthly * speed[:, None, :])
    return nature.new_frac[:, None] * (1.0 - nature.weakest[:, None] * loss)
