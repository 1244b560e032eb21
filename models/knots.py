"""Values between the known samples of a life: of a long column only the samples beside a time are read."""

from __future__ import annotations

import numpy as np
from numba import njit

from models.domain import FloatArray, IntArray

# Shorter columns are not worth compiled code, and it is made for those of `models.sessions.Samples`.
_COMPILED_FROM = 2_000


@njit(cache=True, nogil=True)
def _beside(at_us, time_us, value, out):  # pragma: no cover
    """Places of the known values beside each of some rising times, of the first and of the last; returns how many."""
    n = time_us.shape[0]
    first, last = 0, n - 1
    while first < n and not np.isfinite(value[first]):
        first += 1
    if first == n:
        return 0
    while not np.isfinite(value[last]):
        last -= 1
    out[0] = first
    count = 1
    here = right = left = first
    for k in range(at_us.shape[0]):
        while here <= last and time_us[here] <= at_us[k]:
            if np.isfinite(value[here]):
                left = here
            here += 1
        right = max(right, here)
        while right < last and not np.isfinite(value[right]):
            right += 1
        if left > out[count - 1]:
            out[count] = left
            count += 1
        if right <= last and right > out[count - 1]:
            out[count] = right
            count += 1
    if last > out[count - 1]:
        out[count] = last
        count += 1
    return count


def interp_known(at_us: IntArray, time_us: IntArray, value: FloatArray) -> FloatArray:
    """Linear interpolation between known values, held beyond them; NaN where nothing is known.

    Parameters
    ----------
    at_us
        Where, shape (k,).
    time_us, value
        In time order, shape (n,).
    """
    if time_us.shape[0] >= _COMPILED_FROM and not value.flags.writeable and not (at_us[1:] < at_us[:-1]).any():
        known = np.empty(2 * at_us.shape[0] + 2, np.int64)
        known = known[: _beside(at_us, time_us, value, known)]
    else:
        known = np.flatnonzero(np.isfinite(value))
    if known.shape[0] == 0:
        return np.full(at_us.shape, np.nan)
    origin = int(time_us[0])
    return np.interp((at_us - origin) * 1e-6, (time_us[known] - origin) * 1e-6, value[known])
