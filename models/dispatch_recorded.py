"""Compiled kernel of `models.dispatch`: the recorded past on a battery of any capacity."""

from __future__ import annotations

from numba import njit

from models.dispatch_moves import drive_step


@njit(cache=True, nogil=True)
def run_recorded(
    drive, away, charge, export, full_kwh, usable, e, energy, out_charge, out_export, cut_step, cut_kwh, spill
):  # fmt: skip  # pragma: no cover
    """The recorded past; what a smaller battery cannot give or take is made good at the next recorded charge.

    Fills what `models.dispatch_kernel.run_policy` fills and gives the number of steps that are not as asked for,
    and that of steps in which what flows leaves the energy as it is.
    """
    owed = 0.0  # above 0: charged elsewhere, so less at home; below 0: did not fit, so more when it does
    after = energy[0] = e
    cuts, even = 0, 0
    for t in range(drive.shape[0]):
        d, a, want, x = drive[t], away[t], charge[t], export[t]
        if d == 0.0 and a == 0.0 and want == 0.0 and x == 0.0 and 0.0 <= e <= usable:
            out_charge[t] = 0.0
            out_export[t] = 0.0
            energy[t + 1] = after
            continue
        short = spill[0] - spill[1]
        e, d, a = drive_step(e, d, a, usable, spill)
        if d != drive[t] or a != away[t]:
            cut_step[cuts], cut_kwh[cuts, 0], cut_kwh[cuts, 1] = t, d, a
            cuts += 1
        owed += spill[0] - spill[1] - short
        more = 0.0
        if want > 0.0:
            back = max(min(owed, want), min(want - full_kwh, 0.0))
            owed -= back
            want -= back
            more = max(-back, 0.0)
        if x > e + want:
            owed += x - e - want
            spill[3] += x - e - want
            x = e + want
        c = min(want, usable - e + x)
        spill[2] += max(want - c - more, 0.0)
        owed -= want - c
        e = e + c - x
        out_charge[t] = c
        out_export[t] = x
        before = after
        after = after - d + a + c - x
        if after == before and (d != 0.0 or a != 0.0 or c != 0.0 or x != 0.0):
            even += 1
        energy[t + 1] = after
    return cuts, even
