"""OCPP messages to shapes and slots: what is the same in thousands of messages, and the few values that differ.

Chargers repeat themselves: two messages differ in times, numbers and ids alone. One pass over the bytes gives each
message a hash of everything that is structure (punctuation, names of keys, the words of enumerations, the type and
length class of every value) and its values as slots. A shape is parsed, validated by the schemas and interpreted once;
its messages are then columns of slots. What the pass cannot vouch for (escapes, bytes beyond ASCII, odd times, any
token that is not plain JSON) is left to the slow path, message by message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# What a key says about the value after it.
STRUCTURAL_TEXT, STRUCTURAL_NUMBER, TIME, NUMBER_TEXT, WRAPPER_STRUCTURAL = 1, 2, 4, 8, 16
NO_TIME = np.iinfo(np.int64).min
_SEED, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_SHIFT = np.uint64(29)
_TABLE = 1024
_MAX_DEPTH = 24
_POWERS: Floats = np.array([10.0**power for power in range(23)])


@dataclass(frozen=True)
class Tokens:
    """Shape and content hash of each message (shape 0: not vouched for), and its slots from ``first`` on."""

    shape: NDArray[np.uint64]
    content: NDArray[np.uint64]
    first: Ints
    start: Ints
    end: Ints
    number: Floats
    micros: Ints
    inexact: NDArray[np.bool_]  # numbers of more digits than the pass computes exactly


def key_table(classes: dict[str, int]) -> tuple[NDArray[np.uint64], Ints]:
    """Open hash table of the keys that say something about their value."""
    hashes, marks = np.zeros(_TABLE, dtype=np.uint64), np.zeros(_TABLE, dtype=np.int64)
    for name, mark in classes.items():
        code = int(_SEED)
        for byte in name.encode():
            code = ((code ^ byte) * int(_PRIME)) % 2**64
        place = code % _TABLE
        while hashes[place]:
            place = (place + 1) % _TABLE
        hashes[place], marks[place] = code, mark
    return hashes, marks


def tokenize(data: bytes, start: Ints, end: Ints, table: tuple[NDArray[np.uint64], Ints], lengths: Ints) -> Tokens:
    """Shapes and slots of messages.

    Parameters
    ----------
    data, start, end
        Bytes, and the span of each message.
    table
        Of `key_table`.
    lengths
        Longest texts that the schemas name, ascending: a text's class is how many of them it exceeds.
    """
    view = np.frombuffer(data, dtype=np.uint8)
    size = int((end - start).sum()) // 2 + 2 * start.size + 2
    begin, stop, micros = (np.empty(size, np.int64) for _ in range(3))
    number, inexact = np.empty(size), np.empty(size, np.bool_)
    shape, content = np.zeros(start.size, np.uint64), np.zeros(start.size, np.uint64)
    first = np.zeros(start.size + 1, np.int64)
    _pass(view, start, end, *table, lengths, shape, content, first, begin, stop, number, micros, inexact, _POWERS)
    n = int(first[-1])
    return Tokens(shape, content, first, begin[:n], stop[:n], number[:n], micros[:n], inexact[:n])


@njit(cache=True, nogil=True)
def _mix(code: np.uint64, value: np.uint64) -> np.uint64:
    code = (code ^ value) * _PRIME
    return code ^ (code >> _SHIFT)


@njit(cache=True, nogil=True)
def _mark(code: np.uint64, hashes: NDArray[np.uint64], marks: Ints) -> int:
    place = np.int64(code & np.uint64(_TABLE - 1))
    while hashes[place] != np.uint64(0):
        if hashes[place] == code:
            return marks[place]
        place = (place + 1) % _TABLE
    return 0


@njit(cache=True, nogil=True)
def _number(view: Bytes, i: int, end: int, powers: Floats) -> Any:
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
        value = float(mantissa) / powers[-exponent] if exponent < 0 else float(mantissa) * powers[exponent]
        value = -value if negative else value
    return i, value, whole, exact


@njit(cache=True, nogil=True)
def _two(view: Bytes, i: int) -> Any:
    a, b = np.int64(view[i]) - 48, np.int64(view[i + 1]) - 48
    return a * 10 + b if a >= 0 and a <= 9 and b >= 0 and b <= 9 else -1


@njit(cache=True, nogil=True)
def _time(view: Bytes, i: int, end: int) -> Any:
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


@njit(cache=True, nogil=True)
def _pass(
    view: Bytes,
    start: Ints,
    end: Ints,
    hashes: NDArray[np.uint64],
    marks: Ints,
    lengths: Ints,
    shape: NDArray[np.uint64],
    content: NDArray[np.uint64],
    first: Ints,
    slot_start: Ints,
    slot_end: Ints,
    slot_number: Floats,
    slot_micros: Ints,
    slot_inexact: NDArray[np.bool_],
    powers: Floats,
) -> None:
    is_object = np.zeros(_MAX_DEPTH + 1, np.bool_)
    key_mark = np.zeros(_MAX_DEPTH + 1, np.int64)
    index = np.zeros(_MAX_DEPTH + 1, np.int64)
    slots = 0
    for k in range(start.size):
        first[k] = slots
        i, stop, depth = start[k], end[k], 0
        code, said, key_next, good = _SEED, _SEED, False, True
        wrapped = False
        while i < stop:
            c = view[i]
            if c == 34:
                j, text = i + 1, _SEED
                while j < stop and view[j] != 34:
                    b = view[j]
                    if b == 92 or b >= 128 or b < 32:
                        good = False
                        break
                    text = (text ^ np.uint64(b)) * _PRIME
                    j += 1
                if not good or j >= stop:
                    good = False
                    break
                if key_next:
                    code = _mix(_mix(code, text), np.uint64(75))
                    key_mark[depth] = _mark(text, hashes, marks)
                    key_next = False
                    i = j + 1
                    continue
                at_wrapper = wrapped and depth == 1
                mark = key_mark[depth] if is_object[depth] else 0
                if is_object[depth]:
                    fixed = mark & WRAPPER_STRUCTURAL if at_wrapper else mark & STRUCTURAL_TEXT
                else:
                    fixed = 1 if index[depth] == 2 and depth <= 2 else 0
                if fixed:
                    code = _mix(_mix(code, text), np.uint64(83))
                else:
                    kind, number, micros, exact = 84, np.nan, np.int64(NO_TIME), True
                    if mark & TIME:
                        micros = _time(view, i + 1, j)
                        if micros == NO_TIME and not at_wrapper:
                            good = False
                            break
                    elif mark & NUMBER_TEXT:
                        after, number, _, exact = _number(view, i + 1, j, powers)
                        if after != j and not at_wrapper:
                            good = False
                            break
                        kind = 78
                    length = 0
                    while length < lengths.size and j - i - 1 > lengths[length]:
                        length += 1
                    code = _mix(code, np.uint64(kind * 16 + length))
                    if not at_wrapper:
                        said = _mix(said, text)
                    slot_start[slots], slot_end[slots] = i + 1, j
                    slot_number[slots], slot_micros[slots], slot_inexact[slots] = number, micros, not exact
                    slots += 1
                i = j + 1
            elif c == 45 or (c >= 48 and c <= 57):
                j, number, whole, exact = _number(view, i, stop, powers)
                if j < 0:
                    good = False
                    break
                at_wrapper = wrapped and depth == 1
                mark = key_mark[depth] if is_object[depth] else 0
                text = _SEED
                for b in range(i, j):
                    text = (text ^ np.uint64(view[b])) * _PRIME
                if is_object[depth]:
                    fixed = mark & WRAPPER_STRUCTURAL if at_wrapper else mark & STRUCTURAL_NUMBER
                else:
                    fixed = 1 if index[depth] == 0 and depth <= 2 else 0
                if fixed:
                    code = _mix(_mix(code, text), np.uint64(68))
                else:
                    # A reading may be written with or without a point; elsewhere the schemas ask for integers.
                    sign = 2 if c == 45 else 0
                    kind = 70 if mark & NUMBER_TEXT else (71 + sign if whole else 72 + sign)
                    code = _mix(code, np.uint64(kind * 16))
                    if not at_wrapper:
                        said = _mix(said, text)
                    slot_start[slots], slot_end[slots] = i, j
                    slot_number[slots], slot_micros[slots], slot_inexact[slots] = number, NO_TIME, not exact
                    slots += 1
                i = j
            elif c == 44 or c == 58:
                code = _mix(code, np.uint64(c))
                if c == 44:
                    if is_object[depth]:
                        key_next = True
                    index[depth] += 1
                i += 1
            elif c == 123 or c == 91:
                code = _mix(code, np.uint64(c))
                if depth == 0 and c == 123:
                    wrapped = True
                depth += 1
                if depth > _MAX_DEPTH:
                    good = False
                    break
                is_object[depth], index[depth], key_mark[depth] = c == 123, 0, 0
                key_next = c == 123
                i += 1
            elif c == 125 or c == 93:
                code = _mix(code, np.uint64(c))
                depth -= 1
                key_next = False
                if depth < 0:
                    good = False
                    break
                i += 1
            elif c == 32 or c == 9 or c == 10 or c == 13:
                i += 1
            else:
                j = _literal(view, i, stop)
                if j < 0:
                    good = False
                    break
                code = _mix(code, np.uint64(c))
                i = j
        if good:
            shape[k] = code | np.uint64(1)
            content[k] = _mix(said, code)
        else:
            slots = first[k]
    first[start.size] = slots


@njit(cache=True, nogil=True)
def _literal(view: Bytes, i: int, stop: int) -> int:
    """Place after true, false or null; -1 for anything else."""
    left = stop - i
    if left >= 4 and view[i] == 116 and view[i + 1] == 114 and view[i + 2] == 117 and view[i + 3] == 101:
        return i + 4
    if left >= 4 and view[i] == 110 and view[i + 1] == 117 and view[i + 2] == 108 and view[i + 3] == 108:
        return i + 4
    if left >= 5 and view[i] == 102 and view[i + 1] == 97 and view[i + 2] == 108 and view[i + 3] == 115:
        return i + 5 if view[i + 4] == 101 else -1
    return -1
