"""Exponential and logarithm that a compiler turns into vector instructions: arithmetic and selections only.

Both are within 2 units in the last place of the exact value, and have the limits of the C library.
"""

import math

import numpy as np
from numba import njit

__all__ = ["exp", "log"]

LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""The logarithm of 2; the high part has zeros at its end, so that whole multiples of it are exact."""


@njit(nogil=True, error_model="numpy")
def exp(x):  # type: ignore[no-untyped-def]
    """Return e to the power of x: 2 to a whole power times a quotient of polynomials (the Cephes library's)."""
    y = x if x < 720.0 else 720.0
    y = y if y > -750.0 else -750.0
    k = math.floor(y * 1.4426950408889634 + 0.5)
    r = (y - k * LN2_HIGH) - k * LN2_LOW
    z = r * r
    p = r * ((1.26177193074810590878e-4 * z + 3.02994407707441961300e-2) * z + 1.0)
    q = ((3.00198505138664455042e-6 * z + 2.52448340349684104192e-3) * z + 2.27265548208155028766e-1) * z + 2.0
    n = np.int64(k)
    half = n >> 1  # in two steps, so that numbers below the smallest normal one are reached
    low = np.int64((half + 1023) << 52).view(np.float64)
    high = np.int64((n - half + 1023) << 52).view(np.float64)
    return (1.0 + 2.0 * p / (q - p)) * low * high if x == x else x


@njit(nogil=True, error_model="numpy")
def log(x):  # type: ignore[no-untyped-def]
    """Return the natural logarithm: that of the power of 2, and a polynomial (the one of fdlibm)."""
    tiny = x < 2.2250738585072014e-308
    bits = np.float64(x * 18014398509481984.0 if tiny else x).view(np.int64)
    m = np.int64((bits & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000).view(np.float64)
    large = m > 1.4142135623730951
    k = float((bits >> 52) - (1077 if tiny else 1023) + (1 if large else 0))
    f = (0.5 * m if large else m) - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    odd = z * (
        6.666666666666735130e-01
        + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01))
    )
    square = 0.5 * f * f
    found = k * LN2_HIGH - ((square - (s * (square + even + odd) + k * LN2_LOW)) - f)
    above = found if x < math.inf else x
    return above if x > 0.0 else (-math.inf if x == 0.0 else math.nan)
