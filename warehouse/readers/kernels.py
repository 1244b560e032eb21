"""Bytes of large text files in compiled loops: counting lines, and cells that need no care.

What a loop cannot vouch for is left to the careful way of `warehouse.readers.table`, so that both give the same.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SKIP, NUMBER, TIME, TEXT = 0, 1, 2, 3
MAX_TEXTS = 1 << 17  # distinct texts of a column in a block; a power of two
_DAYS = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_TENS = 10.0 ** np.arange(16)
_MAX_DIGITS = 15  # a whole number of so many digits, and ten to their number, are exact as doubles


@njit(cache=True, nogil=True)
def count_nonblank(block, begun):
    """Non-blank lines that end within a block, and whether a line that holds something goes on."""
    lines = 0
    for byte in block:
        if byte > 32:
            begun = True
        elif byte in (10, 13):
            if begun:
                lines += 1
            begun = False
        elif byte not in (32, 9, 11, 12):
            begun = True
    return lines, begun


@njit(cache=True, nogil=True)
def _two(data, at):
    return (data[at] - 48) * 10 + (data[at + 1] - 48)


@njit(cache=True, nogil=True)
def _day(data, start):
    """Days since 1970 of ``YYYY-MM-DD``, and whether it is such a day."""
    if data[start + 4] != 45 or data[start + 7] != 45:
        return 0, False
    for i in (0, 1, 2, 3, 5, 6, 8, 9):
        if not 48 <= data[start + i] <= 57:
            return 0, False
    year = _two(data, start) * 100 + _two(data, start + 2)
    month, day = _two(data, start + 5), _two(data, start + 8)
    if year < 1 or month < 1 or month > 12 or day < 1 or day > _DAYS[month - 1]:
        return 0, False
    if month == 2 and day == 29 and (year % 4 != 0 or (year % 100 == 0 and year % 400 != 0)):
        return 0, False
    # Days of the proleptic Gregorian calendar: Howard Hinnant, "chrono-compatible low-level date algorithms".
    y = year - (1 if month <= 2 else 0)
    era = y // 400
    yoe = y - era * 400
    doy = (153 * (month + (9 if month <= 2 else -3)) + 2) // 5 + day - 1
    return era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468, True


@njit(cache=True, nogil=True)
def _clock(data, start):
    """Seconds of ``THH:MM:SSZ``, and whether it is such a time."""
    if data[start] != 84 or data[start + 3] != 58 or data[start + 6] != 58 or data[start + 9] != 90:
        return 0, False
    for i in (1, 2, 4, 5, 7, 8):
        if not 48 <= data[start + i] <= 57:
            return 0, False
    hour, minute, second = _two(data, start + 1), _two(data, start + 4), _two(data, start + 7)
    return (hour * 60 + minute) * 60 + second, hour <= 23 and minute <= 59 and second <= 59


@njit(cache=True, nogil=True)
def _same(data, a, b, length):
    for i in range(length):  # noqa: SIM110 - numba compiles loops
        if data[a + i] != data[b + i]:
            return False
    return True


@njit(cache=True, nogil=True)
def _text(data, start, end, table, known, count):
    """Number of a text among the distinct ones of its column (-1: there are too many), and their count."""
    length = end - start
    mask = table.shape[0] - 1
    h = np.uint64(14695981039346656037)
    for i in range(start, end):
        h = (h ^ np.uint64(data[i])) * np.uint64(1099511628211)
    slot = np.int64((h ^ (h >> np.uint64(29))) & np.uint64(mask))
    while table[slot] >= 0:
        code = table[slot]
        if known[code, 1] - known[code, 0] == length and _same(data, known[code, 0], start, length):
            return code, count
        slot = (slot + 1) & mask
    if count >= known.shape[0]:
        return -1, count
    table[slot] = count
    known[count, 0], known[count, 1] = start, end
    return count, count + 1


@njit(cache=True, nogil=True)
def _ends(data, at, delimiter):
    return at >= data.shape[0] or data[at] == delimiter or data[at] == 10


@njit(cache=True, nogil=True)
def _plain_end(data, end, delimiter):
    """Where a field ends, and whether it holds nothing that the careful way alone can read."""
    fine = True
    while not _ends(data, end, delimiter):
        byte = data[end]
        if byte >= 128 or byte == 34 or byte == 0 or byte == 13:
            fine = False
        end += 1
    return end, fine


@njit(cache=True, nogil=True)
def _matches(data, at, delimiter, known, code):
    """Whether the field at a place is a text that is known."""
    length = known[code, 1] - known[code, 0]
    after = at + length
    return after <= data.shape[0] and _ends(data, after, delimiter) and _same(data, known[code, 0], at, length)


@njit(cache=True, nogil=True)
def _blank_line(data, at):
    """Whether a line holds blanks alone, and where it ends."""
    blank = True
    while at < data.shape[0] and data[at] != 10:
        if data[at] not in (32, 9, 11, 12):
            blank = False
        at += 1
    return blank, at


@njit(cache=True, nogil=True)
def parse(data, kinds, delimiter, decimal, starts, good, numbers, times, codes, tables, known, counts):
    """Cells of every line of a block, column by column.

    Parameters
    ----------
    data
        Bytes of the block.
    kinds
        What each column of the file is: `SKIP`, `NUMBER`, `TIME`, `TEXT`.
    delimiter, decimal
        Bytes, not the same.
    starts
        Filled: where the lines start, with one place behind the last line's end.
    good
        Filled: 1 for good lines, 0 for others, 2 for blank ones. Its length is the number of lines.
    numbers, times, codes
        Filled: columns of each kind x lines.
    tables, known, counts
        Distinct texts of each text column: hash table (-1 = free), begin and end in the block, how many.
    """
    size, columns = data.shape[0], kinds.shape[0]
    # What a log's line says is mostly what the last one said, or what followed it the last time.
    last = np.full(codes.shape[0], -1, np.int64)
    follows = np.full((codes.shape[0], known.shape[1]), -1, np.int32)
    days = np.zeros(times.shape[0], np.int64)
    day_at = np.full(times.shape[0], -1, np.int64)
    at = 0
    for line in range(good.shape[0]):
        starts[line] = at
        fine = True
        column = number = time = text = 0
        while True:
            if column >= columns:
                fine = False
                break
            kind, end = kinds[column], at
            if kind == 1:
                negative = end < size and data[end] == 45
                if negative:
                    end += 1
                value, digits, point = 0, 0, -1
                while end < size:
                    byte = data[end]
                    if 48 <= byte <= 57:
                        value = value * 10 + (byte - 48)
                        digits += 1
                    elif byte == decimal and point < 0 and digits > 0:
                        point = digits
                    else:
                        break
                    end += 1
                if not _ends(data, end, delimiter):
                    fine = False
                    break
                if end == at:
                    numbers[number, line] = np.nan
                elif digits == 0 or digits > _MAX_DIGITS or point == digits:
                    fine = False
                    break
                else:
                    result = float(value)
                    if point > 0:
                        result /= _TENS[digits - point]
                    numbers[number, line] = -result if negative else result
                number += 1
            elif kind == 2:
                end = at + 20
                if end > size or not _ends(data, end, delimiter):
                    fine = False
                    break
                if day_at[time] < 0 or not _same(data, day_at[time], at, 10):
                    days[time], fine = _day(data, at)
                    day_at[time] = at if fine else -1
                seconds, is_one = _clock(data, at + 10)
                if not (fine and is_one):
                    fine = False
                    break
                times[time, line] = (days[time] * 86_400 + seconds) * 1_000_000
                time += 1
            elif kind == 3:
                before = last[text]
                code = before
                if code >= 0 and not _matches(data, at, delimiter, known[text], code):
                    code = follows[text, code]
                    if code >= 0 and not _matches(data, at, delimiter, known[text], code):
                        code = -1
                if code >= 0:
                    end = at + known[text, code, 1] - known[text, code, 0]
                else:
                    end, fine = _plain_end(data, end, delimiter)
                    if end > at and (data[at] <= 32 or data[end - 1] <= 32):
                        fine = False
                    if not fine:
                        break
                    code, counts[text] = _text(data, at, end, tables[text], known[text], counts[text])
                    if code < 0:
                        fine = False
                        break
                if before >= 0:
                    follows[text, before] = code
                last[text] = code
                codes[text, line] = code
                text += 1
            else:
                end, fine = _plain_end(data, end, delimiter)
                if not fine:
                    break
            column += 1
            at = end
            if at >= size or data[at] == 10:
                break
            at += 1
        if fine and column == columns:
            good[line] = 1
        else:
            blank, at = _blank_line(data, starts[line])
            good[line] = 2 if blank else 0
        at += 1
    starts[good.shape[0]] = at


@njit(cache=True, nogil=True)
def look(vehicle, time, vehicles):
    """First and last time [us] and rows of each vehicle; whether time rises in each, and they follow."""
    first = np.full(vehicles, np.iinfo(np.int64).max)
    last = np.full(vehicles, np.iinfo(np.int64).min)
    rows = np.zeros(vehicles, np.int64)
    rising = grouped = True
    before = 0
    for i in range(vehicle.shape[0]):
        v, t = np.int64(vehicle[i]), time[i]
        if t <= last[v] and rows[v]:
            rising = False
        first[v], last[v] = min(first[v], t), max(last[v], t)
        rows[v] += 1
        if v < before:
            grouped = False
        before = v
    return first, last, rows, rising, grouped


@njit(cache=True, nogil=True)
def places_by_owner(vehicle, rows):
    """Rows by vehicle, those of each as they stand."""
    ends = np.cumsum(rows) - rows
    places = np.empty(vehicle.shape[0], np.int64)
    for i in range(vehicle.shape[0]):
        places[ends[vehicle[i]]] = i
        ends[vehicle[i]] += 1
    return places
