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
def ends_and_longest(data):
    """Number of line ends in a block, and the bytes of its longest line."""
    n, longest, start = 0, 0, 0
    for i in range(data.shape[0]):
        if data[i] == 10:
            n += 1
            longest = max(longest, i - start)
            start = i + 1
    return n, max(longest, data.shape[0] - start)


@njit(cache=True, nogil=True)
def line_starts(data):
    """Where the lines of a block start, with one place behind the last line's end."""
    n, size = ends_and_longest(data)[0], data.shape[0]
    open_end = size > 0 and data[size - 1] != 10
    starts = np.empty(n + 1 + (1 if open_end else 0), np.int64)
    starts[0] = 0
    at = 1
    for i in range(size):
        if data[i] == 10:
            starts[at] = i + 1
            at += 1
    if open_end:
        starts[at] = size + 1
    return starts


@njit(cache=True, nogil=True)
def _number(data, start, end, decimal):
    """A plain decimal number, and whether it is one."""
    at = start
    negative = data[at] == 45
    if negative:
        at += 1
    value, digits, after = 0, 0, -1
    while at < end:
        byte = data[at]
        if 48 <= byte <= 57:
            value = value * 10 + (byte - 48)
            digits += 1
            if after >= 0:
                after += 1
        elif byte == decimal and after < 0 and digits > 0:
            after = 0
        else:
            return 0.0, False
        at += 1
    if digits == 0 or digits > _MAX_DIGITS or after == 0:
        return 0.0, False
    number = float(value) / _TENS[max(after, 0)]
    return (-number if negative else number), True


@njit(cache=True, nogil=True)
def _two(data, at):
    return (data[at] - 48) * 10 + (data[at + 1] - 48)


@njit(cache=True, nogil=True)
def _time(data, start, end):
    """Microseconds since 1970 of ``YYYY-MM-DDTHH:MM:SSZ``, and whether it is such a time."""
    if end - start != 20 or data[start + 19] != 90:
        return 0, False
    if data[start + 4] != 45 or data[start + 7] != 45 or data[start + 10] != 84:
        return 0, False
    if data[start + 13] != 58 or data[start + 16] != 58:
        return 0, False
    for i in (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18):
        if not 48 <= data[start + i] <= 57:
            return 0, False
    year = _two(data, start) * 100 + _two(data, start + 2)
    month, day = _two(data, start + 5), _two(data, start + 8)
    hour, minute, second = _two(data, start + 11), _two(data, start + 14), _two(data, start + 17)
    if year < 1 or month < 1 or month > 12 or day < 1 or day > _DAYS[month - 1]:
        return 0, False
    if hour > 23 or minute > 59 or second > 59:
        return 0, False
    if month == 2 and day == 29 and (year % 4 != 0 or (year % 100 == 0 and year % 400 != 0)):
        return 0, False
    # Days of the proleptic Gregorian calendar: Howard Hinnant, "chrono-compatible low-level date algorithms".
    y = year - (1 if month <= 2 else 0)
    era = y // 400
    yoe = y - era * 400
    doy = (153 * (month + (9 if month <= 2 else -3)) + 2) // 5 + day - 1
    days = era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000, True


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
def parse(data, starts, kinds, delimiter, decimal, numbers, times, codes, tables, known, counts):
    """Cells of every line of a block, column by column; returns 1 for good lines, 0 for others, 2 for blank ones.

    Parameters
    ----------
    data, starts
        Bytes of the block, and where its lines start (`line_starts`).
    kinds
        What each column of the file is: `SKIP`, `NUMBER`, `TIME`, `TEXT`.
    delimiter, decimal
        Bytes.
    numbers, times, codes
        Filled: columns of each kind x lines.
    tables, known, counts
        Distinct texts of each text column: hash table (-1 = free), begin and end in the block, how many.
    """
    n = starts.shape[0] - 1
    good = np.zeros(n, np.uint8)
    columns = kinds.shape[0]
    for line in range(n):
        at, stop = starts[line], starts[line + 1] - 1
        blank = True
        fine = True
        for i in range(at, stop):
            byte = data[i]
            if 34 < byte < 128:
                blank = False
                continue
            if byte >= 128 or byte == 34 or byte == 0 or byte == 13:
                fine = False
                blank = False
                break
            if byte not in (32, 9, 11, 12):
                blank = False
        if blank:
            good[line] = 2
            continue
        if not fine:
            continue
        column = number = time = text = 0
        while True:
            end = at
            while end < stop and data[end] != delimiter:
                end += 1
            if column >= columns:
                fine = False
                break
            kind = kinds[column]
            if kind == 1:
                if end == at:
                    numbers[number, line] = np.nan
                else:
                    value, is_one = _number(data, at, end, decimal)
                    fine = fine and is_one
                    numbers[number, line] = value
                number += 1
            elif kind == 2:
                micros, is_one = _time(data, at, end)
                fine = fine and is_one
                times[time, line] = micros
                time += 1
            elif kind == 3:
                if end > at and (data[at] <= 32 or data[end - 1] <= 32):
                    fine = False
                code = codes[text, line - 1] if line > 0 and good[line - 1] == 1 else -1
                if (
                    code < 0
                    or known[text, code, 1] - known[text, code, 0] != end - at
                    or not _same(data, known[text, code, 0], at, end - at)
                ):
                    code = -1
                if code < 0:
                    code, counts[text] = _text(data, at, end, tables[text], known[text], counts[text])
                fine = fine and code >= 0
                codes[text, line] = max(code, 0)
                text += 1
            column += 1
            if end >= stop or not fine:
                break
            at = end + 1
        if fine and column == columns:
            good[line] = 1
    return good
