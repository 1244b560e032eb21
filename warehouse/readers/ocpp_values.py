"""Values of messages behind the marks of a plan: columns of slots for a shape, plain values for a single message."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from warehouse.readers.ocpp_names import distinct_texts
from warehouse.readers.ocpp_numbers import NO_TIME
from warehouse.readers.ocpp_schema import reading
from warehouse.readers.ocpp_tokens import Tokens

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MARK = "\x00"
_CLOCK = re.compile(
    r"\s*(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*([Zz]|[+-]\d\d(?::?\d\d)?)?\s*", re.ASCII
)
# Numbers for a time of the logger: seconds or milliseconds since 1970, told apart by their size (years 2001 to 2286).
_SECONDS, _MILLIS = (1e9, 1e10), (1e12, 1e13)


class Values(Protocol):
    """What marks stand for, for every message of a plan."""

    def numbers(self, mark: Any) -> Floats:
        """Readings; NaN where there is none."""
        ...

    def times(self, mark: Any, stated: bool = False) -> Ints:
        """Microseconds since 1970, `NO_TIME` where there is none."""
        ...

    def texts(self, mark: Any) -> tuple[list[str | None], Ints]:
        """Names and ids: the distinct texts, and which of them each message has."""
        ...


def parse_time(text: Any, stated: bool = False) -> int:
    """Microseconds since 1970 of a time as chargers write it, `NO_TIME` when it is none.

    Any number of fractional digits (those beyond microseconds are cut), any offset; without an offset the time is UTC,
    as OCPP asks for; ``stated``: without one it is not known.

    Examples
    --------
    >>> parse_time("1970-01-01T01:00:01.5+01:00"), parse_time("1970-01-01T00:00:00.123456789Z")
    (1500000, 123456)
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return _epoch(float(text)) if abs(text) < 1e15 else NO_TIME
    found = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return NO_TIME
    year, month, day, hour, minute = (int(found[i]) for i in range(1, 6))
    second = int(found[6] or 0)
    if not (year >= 1 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]):
        return NO_TIME
    if hour > 23 or minute > 59 or second > 59:
        return NO_TIME
    if found[8] is None and stated:
        return NO_TIME
    zone = found[8] or "Z"
    shift = 0
    if zone not in "Zz":
        hours, minutes = int(zone[1:3]), int(zone[-2:]) if len(zone) > 3 else 0
        if hours > 23 or minutes > 59:
            return NO_TIME
        shift = (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)
    days = datetime(year, month, day).toordinal() - datetime(1970, 1, 1).toordinal()
    micros = int(((found[7] or "") + "000000")[:6])
    return (((days * 24 + hour) * 60 + minute - shift) * 60 + second) * 1_000_000 + micros


def _epoch(number: float) -> int:
    if _SECONDS[0] <= number < _SECONDS[1]:
        return int(number * 1e6)
    return int(number * 1e3) if _MILLIS[0] <= number < _MILLIS[1] else NO_TIME


class PlainValues:
    """One message, parsed as it stands."""

    def numbers(self, mark: Any) -> Floats:
        number = reading(mark)
        return np.array([np.nan if number is None else number])

    def times(self, mark: Any, stated: bool = False) -> Ints:
        return np.array([parse_time(mark, stated)], dtype=np.int64)

    def texts(self, mark: Any) -> tuple[list[str | None], Ints]:
        only = np.zeros(1, dtype=np.int64)
        if isinstance(mark, bool) or not isinstance(mark, str | int | float):
            return [None], only
        # Halves of surrogate pairs are JSON but no text.
        return [str(mark).encode("utf-8", "replace").decode()], only


class SlotValues:
    """The messages of one shape."""

    def __init__(self, data: bytes, tokens: Tokens, rows: Ints) -> None:
        self._data, self._tokens, self._first = data, tokens, tokens.first[rows]

    def _slot(self, mark: Any) -> Ints | None:
        if isinstance(mark, str) and mark.startswith(MARK):
            return self._first + int(mark[1:])
        return None

    def numbers(self, mark: Any) -> Floats:
        slot = self._slot(mark)
        if slot is not None:
            return self._tokens.number[slot]
        number = reading(mark)
        return np.full(self._first.size, np.nan if number is None else number)

    def times(self, mark: Any, stated: bool = False) -> Ints:
        slot = self._slot(mark)
        if slot is None:
            return np.full(self._first.size, parse_time(mark, stated), dtype=np.int64)
        micros, number = self._tokens.micros[slot], self._tokens.number[slot]
        if not np.any(micros == NO_TIME):
            return micros
        numbers = np.array([NO_TIME if np.isnan(n) else _epoch(n) for n in number], dtype=np.int64)
        left = (micros == NO_TIME) & (numbers == NO_TIME)
        for row in np.flatnonzero(left):
            text = self._data[self._tokens.start[slot[row]] : self._tokens.end[slot[row]]].decode()
            numbers[row] = parse_time(text, stated)
        return np.where(micros == NO_TIME, numbers, micros)

    def texts(self, mark: Any) -> tuple[list[str | None], Ints]:
        slot = self._slot(mark)
        if slot is None:
            return PlainValues().texts(mark)[0], np.zeros(self._first.size, dtype=np.int64)
        start, end = self._tokens.start[slot], self._tokens.end[slot]
        index, first = distinct_texts(self._data, start, end)
        spans = zip(start[first].tolist(), end[first].tolist(), strict=True)
        return [self._data[a:b].decode("ascii") for a, b in spans], index


def marked(data: bytes, start: int, end: int, spans: list[tuple[int, int]]) -> str:
    """Text of a message with its slots replaced by marks."""
    parts: list[bytes] = []
    at = start
    for index, (a, b) in enumerate(spans):
        quoted = data[a - 1 : a] == b'"'
        mark = f"\\u0000{index}" if quoted else f'"\\u0000{index}"'
        parts += [data[at:a], mark.encode()]
        at = b
    return b"".join([*parts, data[at:end]]).decode("ascii")
