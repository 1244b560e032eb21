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
from numpy.typing import NDArray

from models.domain import FloatArray

VECTOR = {"cache": True, "nogil": True, "error_model": "numpy"}
"""Options of loops without branch and call, whose divisions raise nothing: they compile to vector instructions."""
BRIEF = {"cache": True, "error_model": "numpy"}
"""The same for what takes microseconds: to give Python's lock away and wait for it again would take longer."""
BLOCK = 16
"""Four numbers at a time and four times unrolled: what a loop leaves over of such blocks runs one number at a time."""
_CHUNK = 256  # numbers at a time: they stay in the first cache
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
_ONE_BITS = np.int64(1023 << 52)
_LEAST = 2.2250738585072014e-308


def _bitcast(given: Any, taken: Any, kind: ir.Type) -> tuple[Any, Callable[..., Any]]:
    """Signature and code of an intrinsic that reads bits as a number of another type."""
    return taken(given), lambda context, builder, signature, args: builder.bitcast(args[0], kind)


def _whole_of(typing_context: Any, number: Any) -> tuple[Any, Callable[..., Any]]:
    return _bitcast(types.float32, types.int32, ir.IntType(32))


def _float_of(typing_context: Any, bits: Any) -> tuple[Any, Callable[..., Any]]:
    return _bitcast(types.int32, types.float32, ir.FloatType())  # what comes in with 64 bits is cut to 32


as_whole: Any = intrinsic(_whole_of)
"""The 32 bits of a single-precision number as a whole number, in compiled code."""
as_float: Any = intrinsic(_float_of)
"""32 bits as a single-precision number, in compiled code."""


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


@njit(**VECTOR)
def _exp_of(z: FloatArray, out: FloatArray, scale: FloatArray, scale_bits: NDArray[np.int64]) -> None:
    """out <- exp(z), not in place; ``scale_bits`` are those of ``scale``, which is overwritten."""
    for i in range(z.size):
        x = z[i]
        x = x if x > _LOWEST else _LOWEST
        x = x if x < _HIGHEST else _HIGHEST
        y = x * _LOG2_E + _ROUND
        scale[i] = y
        y -= _ROUND
        r = (x - y * _LN2_HIGH) - y * _LN2_LOW
        r2 = r * r
        r4 = r2 * r2
        low = (_C2 + _C3 * r) + r2 * (_C4 + _C5 * r)
        middle = (_C6 + _C7 * r) + r2 * (_C8 + _C9 * r)
        high = (_C10 + _C11 * r) + r2 * (_C12 + _C13 * r)
        out[i] = 1.0 + (r + r2 * (low + r4 * (middle + r4 * high)))
    for i in range(z.size):
        scale_bits[i] = (scale_bits[i] << 52) + _ONE_BITS
    for i in range(z.size):
        out[i] *= scale[i]


@njit(**VECTOR)
def _log_in(
    z: FloatArray, bits: NDArray[np.uint64], octave: FloatArray, octave_bits: NDArray[np.uint64], scale: float
) -> None:
    """z <- scale log(z), z normal and positive; ``bits`` are those of z, ``octave_bits`` those of ``octave``."""
    for i in range(z.size):
        b = bits[i] + _TO_ONE
        octave_bits[i] = (b >> _MANTISSA_BITS) | _AS_WHOLE
        bits[i] = (b & _MANTISSA) + _ROOT_HALF
    for i in range(z.size):
        k = octave[i] - _WHOLE_ZERO
        f = z[i] - 1.0
        s = f / (2.0 + f)
        s2 = s * s
        s4 = s2 * s2
        rest = s4 * (_L2 + s4 * (_L4 + s4 * _L6)) + s2 * (_L1 + s4 * (_L3 + s4 * (_L5 + s4 * _L7)))
        half = 0.5 * f * f
        z[i] = scale * (k * _LN2_HIGH - ((half - (s * (half + rest) + k * _LN2_LOW)) - f))


@njit(**BRIEF)
def exp(x: FloatArray) -> FloatArray:
    """exp(x), shape (n,), to 3e-16 for -708 < x < 709; beyond that the value at the edge, NaN where x is.

    Numpy's own takes twice to three times as long.
    """
    out = np.empty(x.size)
    scale = np.empty(_CHUNK)
    bits = scale.view(np.int64)
    for low in range(0, x.size, _CHUNK):
        said, z = x[low : low + _CHUNK], out[low : low + _CHUNK]
        _exp_of(said, z, scale, bits)
        for i in range(z.size):
            z[i] = z[i] if said[i] == said[i] else np.nan
    return out


@njit(**BRIEF)
def power(x: FloatArray, exponent: float) -> FloatArray:
    """x ** exponent for an exponent above zero, shape (n,); 0 where x is, NaN where it is less, or NaN.

    Errs by at most about 2e-16 times 1 + abs(exponent log x): a few 1e-15 for rates of ageing. Results beyond 1e±307
    are held there. Numpy's own takes three to four times as long.
    """
    out, some, scale = np.empty(x.size), np.empty(_CHUNK), np.empty(_CHUNK)
    for low in range(0, x.size, _CHUNK):
        z = out[low : low + _CHUNK]
        power_into(x[low : low + _CHUNK], exponent, z, some[: z.size], scale[: z.size])
    return out


@njit(**VECTOR)
def power_into(x: FloatArray, exponent: float, out: FloatArray, logs: FloatArray, scale: FloatArray) -> None:
    """out <- x ** exponent as `power`, for few numbers many times: ``logs`` and ``scale`` are room of x's size."""
    for i in range(x.size):
        logs[i] = x[i]
    _log_in(logs, logs.view(np.uint64), scale, scale.view(np.uint64), exponent)
    _exp_of(logs, out, scale, scale.view(np.int64))
    for i in range(x.size):
        out[i] = out[i] if x[i] >= _LEAST else (0.0 if x[i] >= 0.0 else np.nan)
