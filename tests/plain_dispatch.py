"""The plan of a dispatch told plainly and slowly: what the compiled kernels of `models.dispatch` must give to the bit.

`Plan` is the plan, `duty` the duty of a dispatched year.

No shortcut of the kernels is taken here: the whole path of a block is written after every move, its highest and lowest
are looked for in all of it, and every step is driven.
"""

from __future__ import annotations

import numpy as np

from models.dispatch import CHARGING_CODES, EXPORT_CODES, WARM_UP_DAYS, YEAR_SCALE, Dispatched
from models.dispatch_blocks import full_step_kwh, prepare
from models.dispatch_duty import DRIVE_KW, energy_of_soc
from models.dispatch_moves import ARBITRAGE, IMMEDIATE, NONE, PEAK, SMART, SOLAR, TINY
from models.domain import Charger, FloatArray, Pack, Policy, RepresentativeYear
from models.thermal import cell_temperature

DAY = 96


class Plan:
    """One policy on one year."""

    def __init__(self, year: RepresentativeYear, policy: Policy, box: Charger, pack: Pack, capacity: float) -> None:
        lim, self.year, self.box, self.dt = policy.limits, year, box, year.step_minutes / 60
        self.usable = pack.usable_kwh * capacity
        self.ceiling = float(energy_of_soc(pack, lim.soc_ceiling_frac)) * self.usable
        self.floor = float(energy_of_soc(pack, lim.soc_floor_frac)) * self.usable
        self.reserve, self.lim = lim.driving_reserve_kwh, lim
        self.most_kw = box.export_kw if lim.export_kw is None else min(box.export_kw, lim.export_kw)
        self.charging, self.export = CHARGING_CODES[policy.charging], EXPORT_CODES[policy.export]
        self.sun_cost = year.feed_in_money_per_kwh / box.charge_efficiency_frac
        self.per_kwh = 1 / box.charge_efficiency_frac + box.standby_kw * self.dt / full_step_kwh(box, self.dt)
        self.known = prepare(year, box)
        self.energy = np.zeros(year.steps + 1)
        self.drive, self.away, self.charge, self.exported = (np.zeros(year.steps) for _ in range(4))
        first = max(year.steps - WARM_UP_DAYS * DAY - DAY // 2, 0)
        self.run(0, self.run(first, self.ceiling))

    def run(self, first: int, e: float) -> float:
        """Dispatch from a step on; gives the last energy."""
        blocks = self.known.blocks
        self.used_day, self.used_hours, self.used_year = np.zeros(self.year.steps), np.zeros(self.year.steps), 0.0
        self.window, self.sun_window = -1, 0.0
        self.charge[first:], self.exported[first:] = 0.0, 0.0
        at = int(np.searchsorted(blocks[:, 0], first))
        t, self.energy[first] = first, e
        while t < self.year.steps:
            if at == len(blocks) or t < blocks[at, 0]:
                self.energy[t + 1] = self.step(t, float(self.energy[t]))
                t += 1
            else:
                t = self.block(at, float(self.energy[t]))
                at += 1
        return float(self.energy[-1])

    def step(self, t: int, e: float) -> float:
        """Drive, rest, charge elsewhere."""
        d, a = float(self.year.drive_kwh[t]), float(self.year.away_charge_kwh[t])
        after = e - d + a
        if after > self.usable:
            a -= min(after - self.usable, a)
            after = e - d + a
            if after > self.usable:
                d += after - self.usable
                after = self.usable
        elif after < 0.0:
            d += after
            after = 0.0
        self.drive[t], self.away[t] = d, a
        return after

    def put_in(self, j: int, kwh: float) -> None:
        """Charge in a step of the block."""
        self.path[j + 1 :] += kwh
        self.note(j, kwh)

    def note(self, j: int, kwh: float) -> None:
        """Less is left of a step."""
        self.left[j] -= kwh
        self.sun[j] = max(self.sun[j] - kwh, 0.0)
        self.charge[self.begin + j] += kwh

    def put_out(self, j: int, kwh: float) -> None:
        """Count an export."""
        s = self.begin + j
        self.exported[s] += kwh
        self.used_day[s // DAY] += kwh
        self.used_hours[s // DAY] += self.dt
        self.used_year += kwh

    def wanted_kw(self, j: int) -> float:
        """AC power that limits and house allow."""
        s, lim, box = self.begin + j, self.lim, self.box
        day = np.inf if lim.export_kwh_per_day is None else lim.export_kwh_per_day
        year = np.inf if lim.export_kwh_per_year is None else lim.export_kwh_per_year
        left = min(day - self.used_day[s // DAY], year / YEAR_SCALE - self.used_year)
        ac = min(float(self.known.resid_kw[s]), self.most_kw)
        ac = min(ac, left * box.export_efficiency_frac / self.dt - box.standby_kw)
        hours = np.inf if lim.export_hours_per_day is None else lim.export_hours_per_day
        if self.used_hours[s // DAY] + self.dt > hours + 1e-9 or ac <= 1e-6:
            return 0.0
        return 0.0 if ac < box.min_export_kw and not self.year.outage[s] else ac

    def block(self, b: int, e: float) -> int:
        """Plan a block; gives its end."""
        known, box = self.known, self.box
        self.begin, end, window, leaves = (int(x) for x in known.blocks[b])
        begin, m = self.begin, end - self.begin
        trip = min(float(known.need_kwh[window]), self.usable)
        keep = min(self.ceiling, trip + self.reserve)
        target = self.ceiling
        if self.export == SOLAR and not leaves:
            target = min(self.ceiling, max(keep, self.ceiling - known.sun_after_kwh[b]))
        if end == self.year.steps and self.charging == SMART and self.export != SOLAR:
            target = keep
        target = max(target, min(self.usable, trip + self.reserve) - known.grid_after_kwh[b])
        top, bound = max(self.ceiling, target), max(self.floor, keep)
        self.path = np.full(m + 1, e)
        for j in range(m):
            self.path[j + 1] = self.step(begin + j, float(self.path[j]))
        path = self.path
        self.left, self.sun = known.full_kwh[begin:end].copy(), known.sun_kwh[begin:end].copy()
        outage, peak = self.year.outage[begin:end], self.year.peak[begin:end]
        for stage, level in enumerate((keep, target) if self.charging == IMMEDIATE else (keep,)):
            if level - path.min() <= TINY:
                continue
            for j in range(m):
                if stage == 1 and self.export == PEAK and peak[j]:
                    continue
                want = min(level - path[j], self.left[j])
                if want > TINY and (want := min(want, top - path[j + 1 :].max())) > TINY:
                    self.put_in(int(j), want)
        for j in range(m) if self.export != NONE else ():
            if self.charge[begin + j] > 0.0 or not (outage[j] or (self.export == PEAK and peak[j])):
                continue
            goal = trip - known.grid_after_kwh[b] if outage[j] else target
            after = 0.0
            for kwh in self.left[:j:-1]:
                after = after + kwh
            room = min(path[j + 1 :].min() - (self.floor if outage[j] else bound), path[m] + after - goal)
            ac = min(self.wanted_kw(j), room * box.export_efficiency_frac / self.dt - box.standby_kw)
            if ac > 1e-6 and (ac >= box.min_export_kw or outage[j]):
                x = (ac + box.standby_kw) * self.dt / box.export_efficiency_frac
                path[j + 1 :] -= x
                self.put_out(j, x)
        latest = range(m - 1, -1, -1) if self.charging == SMART else ()
        cheap = known.cheap[begin:end] - begin if self.charging == SMART else np.arange(m)
        for steps, have in ((latest, self.sun), (cheap, self.left)):
            for j in steps:
                if have[j] > TINY and self.exported[begin + j] == 0.0:
                    want = min(have[j], target - path[m], top - path[j + 1 :].max())
                    if want > TINY:
                        self.put_in(int(j), want)
        if self.export == SOLAR:
            self.own_sun(b, target, bound)
        if self.export == ARBITRAGE:
            self.pairs(top, bound)
        for s in range(begin, end):
            self.energy[s + 1] = self.energy[s] - self.drive[s] + self.away[s] + self.charge[s] - self.exported[s]
        return end

    def own_sun(self, b: int, target: float, bound: float) -> None:
        """Sun beyond the target, used in the house where later sun brings it back."""
        box, path, begin, m = self.box, self.path, self.begin, self.left.size
        if self.known.blocks[b, 2] != self.window:
            self.window, self.sun_window = int(self.known.blocks[b, 2]), 0.0
            for kwh in self.known.sun_kwh[begin : begin + m]:
                self.sun_window += kwh
            self.sun_window = self.known.sun_after_kwh[b] + self.sun_window
        for stage in range(3):
            for j in range(m):
                s = begin + j
                if stage != 1:
                    want = min(self.sun[j], self.ceiling - path[j + 1 :].max())
                    if self.sun[j] > TINY and self.exported[s] == 0.0 and want > TINY:
                        self.put_in(int(j), want)
                    continue
                if self.charge[s] > 0.0 or self.exported[s] > 0.0 or self.year.outage[s] or path[m] - target <= TINY:
                    continue
                room = min(path[j + 1 :].min() - bound, path[m] - target, self.sun_window)
                ac = min(self.wanted_kw(j), room * box.export_efficiency_frac / self.dt - box.standby_kw)
                if ac > 1e-6 and ac >= box.min_export_kw:
                    x = (ac + box.standby_kw) * self.dt / box.export_efficiency_frac
                    path[j + 1 :] -= x
                    self.sun_window -= x
                    self.put_out(j, x)

    def sources(self) -> list[tuple[float, FloatArray, int]]:
        """Cost, what is left of its kind, and step: sun in order of time, then the grid, cheapest first."""
        begin, m, price = self.begin, self.left.size, self.year.import_money_per_kwh
        cheap = self.known.cheap[begin : begin + m] - begin
        sun = [(self.sun_cost, self.sun, i) for i in range(m)] if (self.sun > TINY).any() else []
        return sun + [(float(price[begin + i]) * self.per_kwh, self.left, int(i)) for i in cheap]

    def pairs(self, top: float, bound: float) -> None:
        """A dear step in the house and steps that bring the energy back for less."""
        box, path, begin, m = self.box, self.path, self.begin, self.left.size
        sources = self.sources()
        cheapest = min(cost for cost, _, _ in sources)
        price, eta = self.year.import_money_per_kwh, box.export_efficiency_frac
        for s in self.known.dear[begin : begin + m]:
            j = int(s) - begin
            if price[s] * eta <= cheapest:
                break
            ac = self.wanted_kw(j)
            if self.charge[s] > 0.0 or self.exported[s] > 0.0 or self.year.outage[s] or ac <= 0.0:
                continue
            x = (ac + box.standby_kw) * self.dt / eta
            value, missing, paid = price[s] * ac * self.dt / x, x, 0.0
            done: list[tuple[slice, float, int, float]] = []
            for cost, have, i in sources:
                amount = min(have[i], missing)
                if amount <= TINY or i == j or self.exported[begin + i] > 0.0 or cost >= value:
                    continue
                if i > j:
                    amount = min(amount, path[j + 1 : i + 1].min() - bound)
                elif path[j + 1] >= bound:
                    amount = min(amount, top - path[i + 1 : j + 1].max())
                else:
                    continue
                if amount <= TINY:
                    continue
                between, kwh = (slice(i + 1, j + 1), amount) if i < j else (slice(j + 1, i + 1), -amount)
                path[between] += kwh
                done.append((between, kwh, i, float(self.sun[i])))
                self.note(i, amount)
                missing -= amount
                paid += amount * cost
                if missing <= TINY:
                    break
            x -= max(missing, 0.0)
            ac = x * eta / self.dt - box.standby_kw
            if x > 0.0 and ac >= box.min_export_kw and price[s] * ac * self.dt > paid:
                self.put_out(j, x)
                continue
            for between, kwh, i, sun in reversed(done):
                path[between] -= kwh
                left = self.charge[begin + i] - abs(kwh)
                self.charge[begin + i] = left if left >= TINY else 0.0
                self.left[i] += abs(kwh)
                self.sun[i] = sun


def duty(
    done: Dispatched, year: RepresentativeYear, pack: Pack, per: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Cell's state of charge, temperature, currents and current while it flows, `per` steps of the dispatch each."""
    hours, capacity_ah = done.step_minutes / 60, pack.capacity_ah * done.capacity_frac
    cell = pack.window_low_frac + done.soc_frac * (pack.window_high_frac - pack.window_low_frac)
    volts = pack.n_series * np.interp((cell[1:] + cell[:-1]) / 2, pack.ocv.cell_soc_frac, pack.ocv.ocv_v)
    net, moves = np.diff(done.energy_kwh), np.abs(np.diff(done.energy_kwh)) > 1e-6
    per_kwh = np.where(moves, np.diff(cell) * capacity_ah / np.where(moves, net, 1.0), 1000.0 / volts) / hours
    columns = (-done.drive_kwh, done.charge_kwh + done.away_charge_kwh, -done.export_kwh, np.zeros(net.size))
    fine = np.stack(columns, axis=1) * per_kwh[:, None]
    heat = fine.sum(axis=1) ** 2
    size = np.abs(fine)
    pulled = size * np.maximum(size, np.stack([1000.0 * DRIVE_KW / volts] + 3 * [np.zeros(net.size)], axis=1))
    heat, flow, moved, air = (
        x.reshape(-1, per).sum(axis=1) for x in (heat, pulled.sum(1), size.sum(1), year.ambient_c)
    )
    temp = cell_temperature(
        air / per, heat / per * pack.resistance_ohm, pack, per * done.step_minutes, air[: DAY // per].mean() / per
    )
    flows = np.divide(flow, moved, out=np.zeros_like(flow), where=moved > 0)
    return cell[::per], temp, fine.reshape(-1, per, 4).mean(axis=1), flows
