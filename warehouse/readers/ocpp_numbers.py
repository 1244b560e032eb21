"""Numbers and times of a message, read from its bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from warehouse.readers.ocpp_words import Bytes

NO_TIME = np.iinfo(np.int64).min
_POWERS: NDArray[np.float64] = np.array([10.0**power for power in range(23)])


@njit(cache=True, nogil=True, inline="always")
def number_at(view: Bytes, i: int, end: int) -> Any:
    """End of a JSON number (-1: none), its value, whether it has neither point nor exponent, whether it is exact."""
    negative = i < end and view[i] == 45
    if negative:
        i += 1
    if i >= end or view[i] < 48 or view[i] > 57:
        return -1, 0.0, False, False
    if view[i] == 48 and i + 1 < end and view[i + 1] >= 48 and view[i + 1] <= 57:
        return -1, 0.0, False, False
    mantissa, digits, exponent, whole = np.int64(0), 0, 0, True
    while i < end and view[i] >= 48 and view[i] <= 57:
        if digits < 18:
            mantissa = mantissa * 10 + np.int64(view[i] - 48)
        digits += 1 if mantissa > 0 else 0
        i += 1
    if i < end and view[i] == 46:
        whole = False
        i += 1
        if i >= end or view[i] < 48 or view[i] > 57:
            return -1, 0.0, False, False
        while i < end and view[i] >= 48 and view[i] <= 57:
            if digits < 18:
                mantissa = mantissa * 10 + np.int64(view[i] - 48)
                exponent -= 1
            digits += 1 if mantissa > 0 else 0
            i += 1
    if i < end and (view[i] == 101 or view[i] == 69):
        whole = False
        i += 1
        down = False
        if i < end and (view[i] == 43 or view[i] == 45):
            down = view[i] == 45
            i += 1
        if i >= end or view[i] < 48 or view[i] > 57:
            return -1, 0.0, False, False
        power = 0
        while i < end and view[i] >= 48 and view[i] <= 57:
            power = min(power * 10 + np.int64(view[i] - 48), 100000)
            i += 1
        exponent += -power if down else power
    # Exact in double precision: the mantissa below 2**53 and a power of ten up to 22 (one rounding).
    exact = digits <= 17 and mantissa <= 9007199254740992 and exponent >= -22 and exponent <= 22
    value = 0.0
    if exact:
        value = float(mantissa) / _POWERS[-exponent] if exponent < 0 else float(mantissa) * _POWERS[exponent]
        value = -value if negative else value
    return i, value, whole, exact


@njit(cache=True, nogil=True, inline="always")
def _two(view: Bytes, i: int) -> Any:
    a, b = np.int64(view[i]) - 48, np.int64(view[i + 1]) - 48
    return a * 10 + b if a >= 0 and a <= 9 and b >= 0 and b <= 9 else -1


@njit(cache=True, nogil=True, inline="always")
def time_at(view: Bytes, i: int, end: int) -> Any:
    """Microseconds since 1970 of ``YYYY-MM-DDThh:mm:ss[.f]Z`` (or an offset); anything else is `NO_TIME`."""
    if end - i < 20 or view[i + 4] != 45 or view[i + 7] != 45 or view[i + 10] != 84:
        return NO_TIME
    if view[i + 13] != 58 or view[i + 16] != 58:
        return NO_TIME
    century, years, month, day = _two(view, i), _two(view, i + 2), _two(view, i + 5), _two(view, i + 8)
    hour, minute, second = _two(view, i + 11), _two(view, i + 14), _two(view, i + 17)
    if min(century, years) < 0 or min(hour, minute, second) < 0 or hour > 23 or minute > 59 or second > 59:
        return NO_TIME
    year = century * 100 + years
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    most = 30 if month in (4, 6, 9, 11) else (29 if leap else 28) if month == 2 else 31
    if year < 1 or month < 1 or month > 12 or day < 1 or day > most:
        return NO_TIME
    # Days from the civil calendar, years beginning in March (H. Hinnant, days_from_civil).
    y = year - (1 if month <= 2 else 0)
    era = y // 400
    of_era = y - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
    i += 19
    micros, place = 0, 100000
    if view[i] == 46:
        i += 1
        first = i
        while i < end and view[i] >= 48 and view[i] <= 57:
            micros += (np.int64(view[i]) - 48) * place
            place //= 10
            i += 1
        if i == first:
            return NO_TIME
    shift = 0
    if i == end - 1 and view[i] == 90:
        shift = 0
    elif i == end - 6 and (view[i] == 43 or view[i] == 45) and view[i + 3] == 58:
        hours, minutes = _two(view, i + 1), _two(view, i + 4)
        if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
            return NO_TIME
        shift = (hours * 60 + minutes) * (-1 if view[i] == 45 else 1)
    else:
        return NO_TIME
    return (((days * 24 + hour) * 60 + minute - shift) * 60 + second) * 1000000 + micros
