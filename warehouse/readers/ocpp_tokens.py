"""OCPP messages to shapes and slots: what is the same in thousands of messages, and the few values that differ.

Chargers repeat themselves: two messages differ in times, numbers and ids alone. One pass over the bytes gives each
message a hash of everything that is structure (punctuation, names of keys, the words of enumerations, the type and
length class of every value) and its values as slots. A shape is parsed, validated by the schemas and interpreted once;
its messages are then columns of slots. What the pass cannot vouch for (escapes, bytes beyond ASCII, odd times, any
token that is not plain JSON) is left to the slow path, message by message.

Most messages are even of the same bytes as one just before them, but for the slots. Such a message is not taken apart
again: its bytes between the slots are compared, and its slots have to be of the same kinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from warehouse.readers.ocpp_numbers import NO_TIME, number_at, time_at
from warehouse.readers.ocpp_words import PAD, SEED, Bytes, Ints, Words, bytes_and_words, same, text_at, text_code

Floats = NDArray[np.float64]

# What a key says about the value after it.
STRUCTURAL_TEXT, STRUCTURAL_NUMBER, TIME, NUMBER_TEXT, WRAPPER_STRUCTURAL = 1, 2, 4, 8, 16
_PRIME = np.uint64(0x100000001B3)
_SHIFT = np.uint64(29)
_TABLE = 1024
_MAX_DEPTH = 24
# Of a slot: its key's marks, whether the logger wrote it, and its kind and length class above them.
_OF_WRAPPER, _MARKS, _KIND = 32, 31, 64
_TEXT, _TEXT_NUMBER, _LENGTHS = 84, 78, 16
_PATTERNS = 8  # messages that the next ones are compared with


class Slots(NamedTuple):
    """Values of all messages: their bytes, what they say, and their rule (marks and kind)."""

    start: Ints
    end: Ints
    number: Floats
    micros: Ints
    inexact: NDArray[np.bool_]  # numbers of more digits than the pass computes exactly
    rule: Ints


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
    inexact: NDArray[np.bool_]


def key_table(classes: dict[str, int]) -> tuple[NDArray[np.uint64], Ints]:
    """Open hash table of the keys that say something about their value."""
    hashes, marks = np.zeros(_TABLE, dtype=np.uint64), np.zeros(_TABLE, dtype=np.int64)
    for name, mark in classes.items():
        said = name.encode()
        code = int(text_code(bytes_and_words(said + PAD)[1], 0, len(said)))
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
    padded = data if not end.size or int(end.max()) + len(PAD) <= len(data) else data + PAD
    view, words = bytes_and_words(padded)
    size = int((end - start).sum()) // 2 + 2 * start.size + 2
    begin, stop, micros, rule = (np.empty(size, np.int64) for _ in range(4))
    slots = Slots(begin, stop, np.empty(size), micros, np.empty(size, np.bool_), rule)
    shape, content = np.zeros(start.size, np.uint64), np.zeros(start.size, np.uint64)
    first = np.zeros(start.size + 1, np.int64)
    _pass(view, words, start, end, *table, lengths, shape, content, first, slots)
    n = int(first[-1])
    number, inexact = slots.number[:n], slots.inexact[:n]
    return Tokens(shape, content, first, begin[:n], stop[:n], number, micros[:n], inexact)


@njit(cache=True, nogil=True)
def _mix(code: Any, value: Any) -> Any:
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


@njit(cache=True, nogil=True, inline="always")
def _text_slot(view: Bytes, i: int, j: int, said: Any, lengths: Ints, slots: Slots, at: int) -> bool:
    """Put the text from ``i`` to ``j`` into a slot, by the marks of its key; whether it is what they ask for."""
    kind, number, micros, exact = _TEXT, np.nan, np.int64(NO_TIME), True
    if said & TIME:
        micros = time_at(view, i, j)
        if micros == NO_TIME and not said & _OF_WRAPPER:
            return False
    elif said & NUMBER_TEXT:
        after, number, _, exact = number_at(view, i, j)
        if after != j and not said & _OF_WRAPPER:
            return False
        kind = _TEXT_NUMBER
    length = 0
    while length < lengths.size and j - i > lengths[length]:
        length += 1
    slots.start[at], slots.end[at], slots.rule[at] = i, j, said + _KIND * (kind * _LENGTHS + length)
    slots.number[at], slots.micros[at], slots.inexact[at] = number, micros, not exact
    return True


@njit(cache=True, nogil=True, inline="always")
def _number_slot(
    view: Bytes, i: int, j: int, number: Any, whole: Any, exact: Any, said: Any, slots: Slots, at: int
) -> None:
    """Put the number from ``i`` to ``j`` into a slot."""
    # A reading may be written with or without a point; elsewhere the schemas ask for integers.
    sign = 2 if view[i] == 45 else 0
    kind = 70 if said & NUMBER_TEXT else (71 + sign if whole else 72 + sign)
    slots.start[at], slots.end[at], slots.rule[at] = i, j, said + _KIND * (kind * _LENGTHS)
    slots.number[at], slots.micros[at], slots.inexact[at] = number, NO_TIME, not exact


@njit(cache=True, nogil=True)
def _like(
    view: Bytes, words: Words, i: Any, stop: Any, begin: Any, end: Any, of: Any, slots: Slots, to: Any, lengths: Ints
) -> Any:
    """Whether a message has the bytes of another one (from ``begin`` to ``end``) but for its slots, of the same kinds.

    The slots of the other are those from ``of[0]`` to ``of[1]``; the message's are put from ``to`` on. The second value
    is the hash of what its slots say. What follows a slot depends on its kind alone, so that the pass would have found
    the same tokens.
    """
    said = SEED
    for slot in range(of[0], of[1]):
        size = slots.start[slot] - begin
        if i + size >= stop or not same(words, i, begin, size):
            return False, said
        i += size
        rule = slots.rule[slot]
        marks = rule & (_MARKS | _OF_WRAPPER)
        if rule >= _KIND * _TEXT_NUMBER * _LENGTHS:
            j, text = text_at(view, words, i, stop)
            if j < 0 or not _text_slot(view, i, j, marks, lengths, slots, to):
                return False, said
        else:
            j, number, whole, exact = number_at(view, i, stop)
            if j < 0:
                return False, said
            text = text_code(words, i, j)
            _number_slot(view, i, j, number, whole, exact, marks, slots, to)
        if slots.rule[to] != rule:
            return False, said
        if not rule & _OF_WRAPPER:
            said = _mix(said, text)
        to += 1
        i, begin = j, slots.end[slot]
    return stop - i == end - begin and same(words, i, begin, stop - i), said


@njit(cache=True, nogil=True)
def _pass(
    view: Bytes,
    words: Words,
    start: Ints,
    end: Ints,
    hashes: NDArray[np.uint64],
    marks: Ints,
    lengths: Ints,
    shape: NDArray[np.uint64],
    content: NDArray[np.uint64],
    first: Ints,
    slots: Slots,
) -> None:
    """Shape, content and slots of every message: like a pattern, or taken apart and a pattern from then on."""
    patterns, after = np.full(_PATTERNS, -1, np.int64), np.zeros(_PATTERNS, np.int64)
    last, oldest = 0, 0
    for k in range(start.size):
        to, found = first[k], -1
        # What came after the last message before, comes again; else any other.
        for turn in range(-1, _PATTERNS):
            pattern = after[last] if turn < 0 else turn
            row = patterns[pattern]
            if row < 0 or (turn == after[last]):
                continue
            alike, said = _like(
                view, words, start[k], end[k], start[row], end[row], first[row : row + 2], slots, to, lengths
            )
            if alike:
                shape[k], content[k] = shape[row], _mix(said, shape[row])
                first[k + 1] = to + first[row + 1] - first[row]
                found = pattern
                break
        if found < 0:
            first[k + 1] = _apart(view, words, start[k], end[k], hashes, marks, lengths, shape, content, k, slots, to)
            if shape[k] == np.uint64(0):
                continue
            found, oldest = oldest, (oldest + 1) % _PATTERNS
            patterns[found] = k
        after[last] = found
        last = found


@njit(cache=True, nogil=True)
def _apart(
    view: Bytes,
    words: Words,
    i: Any,
    stop: Any,
    hashes: NDArray[np.uint64],
    marks: Ints,
    lengths: Ints,
    shape: NDArray[np.uint64],
    content: NDArray[np.uint64],
    k: int,
    slots: Slots,
    begun: Any,
) -> int:
    """Take message ``k`` apart, byte by byte; the place after its last slot."""
    is_object = np.zeros(_MAX_DEPTH + 1, np.bool_)
    key_mark = np.zeros(_MAX_DEPTH + 1, np.int64)
    index = np.zeros(_MAX_DEPTH + 1, np.int64)
    to, depth, code, said, key_next, wrapped = begun, 0, SEED, SEED, False, False
    while i < stop:
        c = view[i]
        if c == 34:
            j, text = text_at(view, words, i + 1, stop)
            if j < 0:
                return begun
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
                if not _text_slot(view, i + 1, j, mark | (_OF_WRAPPER if at_wrapper else 0), lengths, slots, to):
                    return begun
                code = _mix(code, np.uint64(slots.rule[to] // _KIND))
                if not at_wrapper:
                    said = _mix(said, text)
                to += 1
            i = j + 1
        elif c == 45 or (c >= 48 and c <= 57):
            j, number, whole, exact = number_at(view, i, stop)
            if j < 0:
                return begun
            at_wrapper = wrapped and depth == 1
            mark = key_mark[depth] if is_object[depth] else 0
            text = text_code(words, i, j)
            if is_object[depth]:
                fixed = mark & WRAPPER_STRUCTURAL if at_wrapper else mark & STRUCTURAL_NUMBER
            else:
                fixed = 1 if index[depth] == 0 and depth <= 2 else 0
            if fixed:
                code = _mix(_mix(code, text), np.uint64(68))
            else:
                of_wrapper = _OF_WRAPPER if at_wrapper else 0
                _number_slot(view, i, j, number, whole, exact, mark | of_wrapper, slots, to)
                code = _mix(code, np.uint64(slots.rule[to] // _KIND))
                if not at_wrapper:
                    said = _mix(said, text)
                to += 1
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
                return begun
            is_object[depth], index[depth], key_mark[depth] = c == 123, 0, 0
            key_next = c == 123
            i += 1
        elif c == 125 or c == 93:
            code = _mix(code, np.uint64(c))
            depth -= 1
            key_next = False
            if depth < 0:
                return begun
            i += 1
        elif c == 32 or c == 9 or c == 10 or c == 13:
            i += 1
        else:
            j = _literal(view, i, stop)
            if j < 0:
                return begun
            code = _mix(code, np.uint64(c))
            i = j
    shape[k] = code | np.uint64(1)
    content[k] = _mix(said, shape[k])
    return to


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
