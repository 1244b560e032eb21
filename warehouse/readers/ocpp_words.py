"""Bytes eight at a time: where a text or a line ends, and the hash of a text.

The tests on all eight bytes of a word at once are those of S. E. Anderson's "Bit Twiddling Hacks" ("determine if a word
has a zero byte", "... has a byte less than n"). A byte above the first hit may be named in error, the first never is;
nothing but the first is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
PAD = bytes(16)  # words are read whole, and two at a time
SEED = np.uint64(0xCBF29CE484222325)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_ONES, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_QUOTES, _BACKSLASHES = np.uint64(0x2222222222222222), np.uint64(0x5C5C5C5C5C5C5C5C)
_BLANKS, _NEWLINES = np.uint64(0x2020202020202020), np.uint64(0x0A0A0A0A0A0A0A0A)
_N1, _N3, _N7, _N29, _N32 = (np.uint64(n) for n in (1, 3, 7, 29, 32))
_N56, _N63 = np.uint64(56), np.uint64(63)
_QUOTE, _NEWLINE = 34, 10


def bytes_and_words(data: bytes) -> tuple[Bytes, Words]:
    """Bytes as an array, and as little-endian words; what is read of them has to end `PAD` before the data."""
    return np.frombuffer(data, dtype=np.uint8), np.frombuffer(data, dtype="<u8", count=len(data) // 8)


@njit(cache=True, nogil=True, inline="always")
def _load(words: Words, i: int) -> Any:
    """Bytes ``i`` to ``i + 7``, the first lowest."""
    at = np.uint64(i)
    place, shift = at >> _N3, (at & _N7) << _N3
    return (words[place] >> shift) | ((words[place + _N1] << _N1) << (_N63 - shift))


@njit(cache=True, nogil=True, inline="always")
def _add(code: Any, word: Any) -> Any:
    """Take a word into a hash (a bijection for any one of the two)."""
    code ^= word
    code = (code ^ (code >> _N32)) * _SPREAD
    return code ^ (code >> _N29)


@njit(cache=True, nogil=True, inline="always")
def text_at(view: Bytes, words: Words, i: int, stop: int) -> Any:
    """Place of the quote that ends a text from ``i`` on, and the text's hash.

    The place is -1 where the text does not end before ``stop`` or holds an escape, a control character or bytes beyond
    ASCII. No text has a zero byte, so that the zeros that fill the last word stand for its end.
    """
    code = SEED
    while i < stop:
        word = _load(words, i)
        quote, back = word ^ _QUOTES, word ^ _BACKSLASHES
        hits = ((quote - _ONES) & ~quote) | ((back - _ONES) & ~back) | ((word - _BLANKS) & ~word) | word
        hits &= _HIGHS
        if hits:
            below = ((hits & (~hits + _N1)) >> _N7) - _N1
            place = i + np.int64(((below & _ONES) * _ONES) >> _N56)
            if place >= stop or view[place] != _QUOTE:
                return np.int64(-1), code
            return place, _add(code, word & below)
        code = _add(code, word)
        i += 8
    return np.int64(-1), code


@njit(cache=True, nogil=True, inline="always")
def text_code(words: Words, i: int, end: int) -> Any:
    """Hash of the bytes from ``i`` to ``end``, as `text_at` has it."""
    code = SEED
    while end - i >= 8:
        code = _add(code, _load(words, i))
        i += 8
    below = (_N1 << np.uint64(8 * (end - i))) - _N1
    return _add(code, _load(words, i) & below)


@njit(cache=True, nogil=True, inline="always")
def same(words: Words, i: int, j: int, size: int) -> bool:
    """Whether ``size`` bytes from ``i`` on are those from ``j`` on."""
    done = 0
    while size - done >= 8:
        if _load(words, i + done) != _load(words, j + done):
            return False
        done += 8
    above = np.uint64(8 * (8 - (size - done))) & _N63  # a shift by all 64 bits is none
    return size == done or (_load(words, i + done) ^ _load(words, j + done)) << above == np.uint64(0)


@njit(cache=True, nogil=True)
def line_breaks(view: Bytes, words: Words) -> Ints:
    """Places of the line breaks in the bytes; ``words`` may lack the last few."""
    found = np.empty(1024, np.int64)
    n = 0
    for place in range(words.size + 1):
        if place < words.size:
            word = words[place] ^ _NEWLINES
            if not (word - _ONES) & ~word & _HIGHS:
                continue
        for i in range(8 * place, min(8 * place + 8, view.size)):
            if view[i] == _NEWLINE:
                if n == found.size:
                    found = np.concatenate((found, np.empty(n, np.int64)))
                found[n] = i
                n += 1
    return found[:n].copy()
