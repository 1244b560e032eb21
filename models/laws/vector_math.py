"""exp and powers of whole arrays, compiled to vector instructions: numba calls libm once a number where SVML is absent.

Loops here have no branch and no call, like those of `models.laws.sei_vector`; unlike its short series these are exact
to a few units in the last place over the whole range.

References
----------
Logarithm: Sun Microsystems' fdlibm, ``e_log.c`` (1993). exp: Taylor's series to the 13th power within half an octave.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from models.domain import FloatArray

VECTOR = {"cache": True, "nogil": True, "error_model": "numpy"}
"""Options of loops without branch and call, whose divisions raise nothing: they compile to vector instructions."""
BRIEF = {"cache": True, "error_model": "numpy"}
"""The same for what takes microseconds: to give Python's lock away and wait for it again would take longer."""
BLOCK = 16
"""Loops run over four or eight numbers at a time, and unrolled: what they leave over of a block runs one by one."""
_ROUND = 1.5 * 2.0**52  # adding it rounds to a whole number, which then stands in the lowest bits
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_LOWEST, _HIGHEST = -708.0, 709.0
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = (1.0 / factorial(i) for i in range(2, 14))
_L1, _L2, _L3 = 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01
_L4, _L5 = 2.222219843214978396e-01, 1.818357216161805012e-01
_L6, _L7 = 1.531383769920937332e-01, 1.479819860511658591e-01
_MANTISSA_BITS = np.uint64(52)
_MANTISSA = np.uint64(2**52 - 1)
_ROOT_HALF = np.uint64(0x3FE6A09E00000000)  # sqrt(1/2): mantissas are taken from there to sqrt(2)
_TO_ONE = np.uint64(0x3FF0000000000000 - 0x3FE6A09E00000000)
_AS_WHOLE = np.uint64(0x4330000000000000)  # 2^52: a whole number in its mantissa bits reads as 2^52 + it
_WHOLE_ZERO = 2.0**52 + 1023.0
_ONE_BITS = np.uint64(1023 << 52)
_LEAST = 2.2250738585072014e-308


def _same_bits(taken: Any, given: Any, kind: ir.Type) -> Any:
    """An intrinsic for compiled code: the bits of one type read as another (what comes in wider is cut)."""

    def read(typing_context: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
        return given(taken), lambda context, builder, signature, args: builder.bitcast(args[0], kind)

    return intrinsic(read)


as_whole = _same_bits(types.float32, types.int32, ir.IntType(32))
as_float = _same_bits(types.int32, types.float32, ir.FloatType())
as_whole_64 = _same_bits(types.float64, types.uint64, ir.IntType(64))
as_float_64 = _same_bits(types.uint64, types.float64, ir.DoubleType())


@njit(**VECTOR)
def blocks(n: int) -> int:
    return (n + BLOCK - 1) // BLOCK * BLOCK


@njit(**VECTOR)
def padded(values: FloatArray) -> FloatArray:
    """Values with the last one repeated up to a whole number of blocks."""
    out = np.empty(blocks(values.size))
    for i in range(out.size):
        out[i] = values[min(i, values.size - 1)]
    return out


@njit(forceinline=True, **VECTOR)
def _exp(x: float) -> float:
    """exp(x), at the edge beyond -708 < x < 709, where x is no NaN."""
    x = x if x > _LOWEST else _LOWEST
    x = x if x < _HIGHEST else _HIGHEST
    y = x * _LOG2_E + _ROUND
    scale = as_float_64((as_whole_64(y) << _MANTISSA_BITS) + _ONE_BITS)
    y -= _ROUND
    r = (x - y * _LN2_HIGH) - y * _LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    low = (_C2 + _C3 * r) + r2 * (_C4 + _C5 * r)
    middle = (_C6 + _C7 * r) + r2 * (_C8 + _C9 * r)
    high = (_C10 + _C11 * r) + r2 * (_C12 + _C13 * r)
    return (1.0 + (r + r2 * (low + r4 * (middle + r4 * high)))) * scale


@njit(forceinline=True, **VECTOR)
def _log(x: float) -> float:
    """log(x) of a normal number above zero."""
    bits = as_whole_64(x) + _TO_ONE
    k = as_float_64((bits >> _MANTISSA_BITS) | _AS_WHOLE) - _WHOLE_ZERO
    f = as_float_64((bits & _MANTISSA) + _ROOT_HALF) - 1.0
    s = f / (2.0 + f)
    s2 = s * s
    s4 = s2 * s2
    rest = s4 * (_L2 + s4 * (_L4 + s4 * _L6)) + s2 * (_L1 + s4 * (_L3 + s4 * (_L5 + s4 * _L7)))
    half = 0.5 * f * f
    return k * _LN2_HIGH - ((half - (s * (half + rest) + k * _LN2_LOW)) - f)


@njit(**BRIEF)
def exp(x: FloatArray) -> FloatArray:
    """exp(x), shape (n,), to 3e-16 for -708 < x < 709; beyond that the value at the edge, NaN where x is.

    Numpy's own takes twice to three times as long.
    """
    out = np.empty(x.size)
    for i in range(x.size):
        z = _exp(x[i])
        out[i] = z if x[i] == x[i] else np.nan
    return out


@njit(**BRIEF)
def power(x: FloatArray, exponent: float) -> FloatArray:
    """x ** exponent for an exponent above zero, shape (n,); 0 where x is, NaN where it is less, or NaN.

    Errs by at most about 2e-16 times 1 + abs(exponent log x): a few 1e-15 for rates of ageing. Results beyond 1e±307
    are held there. Numpy's own takes three to four times as long.
    """
    out = np.empty(x.size)
    power_into(x, exponent, out)
    return out


@njit(forceinline=True, **VECTOR)
def power_into(x: FloatArray, exponent: float, out: FloatArray) -> None:
    """out <- x ** exponent as `power`, for few numbers many times."""
    for i in range(x.size):
        out[i] = exponent * _log(x[i])
    for i in range(x.size):  # a loop of its own: both in one have no room in the registers
        z = _exp(out[i])
        out[i] = z if x[i] >= _LEAST else (0.0 if x[i] >= 0.0 else np.nan)
