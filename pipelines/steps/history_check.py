"""Whether the stored duty is the trapezoid sum of the accepted samples, vehicle by vehicle."""

from __future__ import annotations

import numpy as np

from models.integral import plain_sums
from models.life import prepare
from models.packs import pack_of
from models.sessions import rules
from pipelines.settings import Settings
from pipelines.steps.fleet import load_vehicles
from pipelines.steps.history import samples_of
from pipelines.steps.history_rows import load_steps
from warehouse.store import Warehouse


def duty_sums_errors(wh: Warehouse, settings: Settings) -> dict[str, float]:
    """Largest relative difference between ``core_duty_step`` and the raw samples' own trapezoid sums, by vehicle.

    The samples are read, cleaned and cut anew and summed without steps; into and out of the battery, charge and energy
    each count. Vehicles without samples have sums of zero and are left out. A correct warehouse stays below 1e-9.
    Holds for a night whose as-of day is the end of the data.
    """
    rule = rules(settings.home)
    out: dict[str, float] = {}
    for vehicle_id, vehicle in load_vehicles(wh).items():
        raw = wh.samples(vehicle_id)
        steps = load_steps(wh, vehicle_id)
        if steps is None or raw.height == 0:
            continue
        samples, runs, _ = prepare(samples_of(raw), pack_of(vehicle, settings.home), rule)
        worst = 0.0
        for stored, plain in zip((steps.ah, steps.kwh), plain_sums(samples, runs), strict=True):
            size = max(float(plain.sum()), 1e-12)
            worst = max(worst, float(np.abs(stored.sum(axis=(0, 1)) - plain).max()) / size)
        out[vehicle_id] = worst
    return out
