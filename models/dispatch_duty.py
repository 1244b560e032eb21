"""Dispatched years as duty: currents, temperature and state of charge that the laws of ageing take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from models.domain import Duty, FloatArray, Pack, RepresentativeYear, Use
from models.packs import energy_curve
from models.thermal import cell_temperature

if TYPE_CHECKING:
    from models.dispatch import Dispatched

DRIVE_KW = 7.4
"""Least mean power of a drive at the battery: 46.5 km/h (WLTC class 3b, UN GTR 15) at 160 Wh/km; steps of 15 minutes
hold less where a drive fills them in part. [kW]"""
DUTY_START = np.datetime64("2001-01-01T00:00:00", "us")  # a Monday: step 0 of a representative year, local time


def _window_energy(pack: Pack) -> tuple[FloatArray, FloatArray]:
    """Displayed SOC and share of the usable energy below it, both increasing from 0 to 1."""
    inside = (pack.ocv.cell_soc_frac > pack.window_low_frac) & (pack.ocv.cell_soc_frac < pack.window_high_frac)
    soc = np.concatenate([[pack.window_low_frac], pack.ocv.cell_soc_frac[inside], [pack.window_high_frac]])
    share = np.interp(soc, pack.ocv.cell_soc_frac, energy_curve(pack.ocv))
    return (soc - soc[0]) / (soc[-1] - soc[0]), (share - share[0]) / (share[-1] - share[0])


def energy_of_soc(pack: Pack, soc_frac: FloatArray | float) -> FloatArray:
    """Share of the usable energy below displayed states of charge. [1]"""
    soc, share = _window_energy(pack)
    return np.asarray(np.interp(soc_frac, soc, share))


def soc_of_energy(pack: Pack, share_frac: FloatArray) -> FloatArray:
    """Displayed state of charge at shares of the usable energy (clipped to 0..1). [1]"""
    soc, share = _window_energy(pack)
    return np.interp(share_frac, share, soc)


def duty_of(dispatched: Dispatched, year: RepresentativeYear, pack: Pack, step_minutes: int = 60) -> Duty:
    """What the battery goes through in a dispatched year.

    Currents are energies over the step's mean open-circuit voltage, so that they add up to the change of the cell's
    state of charge exactly; heat is the resistance times the mean square current of the fine steps; the temperature
    is `thermal.cell_temperature`, started in the middle of the year's first day. The current while it flows is that of
    the fine steps, of drives at least that of `DRIVE_KW`.

    Parameters
    ----------
    step_minutes
        A multiple of the dispatch's step that divides a day. [min]

    Returns
    -------
    Duty
        364 whole local days from Monday, 2001-01-01 in standard time; ``filled`` is 2 (modelled) throughout.

    Raises
    ------
    ValueError
        The steps don't fit into each other.
    """
    fine = dispatched.step_minutes
    if step_minutes % fine or (24 * 60) % step_minutes:
        raise ValueError(f"step_minutes must be a multiple of {fine} that divides a day, got {step_minutes}.")
    per = step_minutes // fine
    capacity_ah = pack.capacity_ah * dispatched.capacity_frac
    cell_soc = pack.cell_soc(dispatched.soc_frac)
    mid_v = pack.ocv_pack_v((cell_soc[1:] + cell_soc[:-1]) / 2)
    amps = np.zeros((mid_v.size // per, len(Use)))
    square, flow_a = np.zeros(mid_v.size // per), np.zeros(mid_v.size // per)
    _currents(
        dispatched.energy_kwh, cell_soc, mid_v, dispatched.drive_kwh, dispatched.charge_kwh, dispatched.away_charge_kwh,
        dispatched.export_kwh, capacity_ah, fine / 60, per, amps, square, flow_a,
    )  # fmt: skip
    ambient_c = year.ambient_c.reshape(-1, per).mean(axis=1)
    day = 24 * 60 // step_minutes
    return Duty(
        start_utc=DUTY_START - np.timedelta64(round(year.utc_offset_hours * 60), "m"),
        step_minutes=step_minutes,
        cell_soc_frac=np.ascontiguousarray(cell_soc[::per]),
        temp_c=cell_temperature(
            ambient_c, square * pack.resistance_ohm, pack, step_minutes, float(ambient_c[:day].mean())
        ),
        current_a=amps,
        capacity_ah=capacity_ah,
        filled=np.full(ambient_c.size, 2, np.uint8),
        flow_a=flow_a,
    )


@njit(cache=True, nogil=True)
def _currents(
    energy, cell_soc, mid_v, drive, charge, away, export, capacity_ah, hours, per, amps, square, flow_a
):  # pragma: no cover
    moved = np.zeros(flow_a.shape[0])
    for t in range(mid_v.shape[0]):
        net = energy[t + 1] - energy[t]
        k = t // per
        per_kwh = 1000.0 / mid_v[t]
        if abs(net) > 1e-6:
            per_kwh = (cell_soc[t + 1] - cell_soc[t]) * capacity_ah / net
        scale = per_kwh / hours
        d, c, x = -drive[t] * scale, (charge[t] + away[t]) * scale, -export[t] * scale
        amps[k, 0] += d / per
        amps[k, 1] += c / per
        amps[k, 2] += x / per
        total = d + c + x
        square[k] += total * total / per
        flow_a[k] += abs(d) * max(abs(d), 1000.0 * DRIVE_KW / mid_v[t]) + c * c + x * x
        moved[k] += abs(d) + abs(c) + abs(x)
    for k in range(flow_a.shape[0]):
        if moved[k] > 0.0:
            flow_a[k] /= moved[k]
