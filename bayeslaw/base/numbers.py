"""The format of all numbers: three significant digits, and large ones with a letter (12.4 k, 25 M, 7 B, 1.2 T)."""

import math
from collections.abc import Callable
from typing import Any, SupportsFloat

__all__ = [
    "COUNTED_COLUMNS",
    "SMALLEST_SHARE",
    "amount",
    "apart",
    "as_share",
    "between",
    "exact",
    "level",
    "percent",
    "probability",
    "p_value",
    "short",
    "times",
    "with_interval",
    "writer",
    "written",
]

COUNTED_COLUMNS = ("N", "D", "U", "step", "domain_tokens", "N_total")
"""Columns whose values `amount` writes."""

COUNTED_UNITS = ("parameters", "tokens", "steps")
"""Units of quantities, or words in them, that `amount` writes."""

SHARES = ("share", "domain_share", "safe share", "recommended", "duration", "weight")
"""Columns of shares, of which `SMALLEST_SHARE` is the smallest that counts."""

SMALLEST_SHARE = 5e-4
"""A smaller share is written as 0."""

DIGITS = 3
"""Significant digits of a number."""

MOST_DIGITS = 6
"""Significant digits of a number whose interval is narrow."""

LETTERS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))

LARGEST, LARGEST_IN_FULL, SMALLEST = 1e15, 1e4, 1e-4
"""Numbers from the first on, and those below the last, have an exponent; those from the second on a letter."""

SURELY = 0.995
"""A probability above this, or below 1 minus this, is written as a bound."""


def short(number: SupportsFloat, digits: int = DIGITS) -> str:
    """Write a number: 0.618, 1270, 12.4 k, 3e21, 2e-5."""
    return _lettered(float(number), digits, LARGEST_IN_FULL)


def amount(number: SupportsFloat, digits: int = DIGITS) -> str:
    """Write a number of parameters, tokens or steps: 922720 is 923 k."""
    return _lettered(float(number), digits, 1e3)


def exact(number: SupportsFloat) -> str:
    """Write a number as somebody gave it: 0.05, 1.5e9."""
    return _without_zeros(f"{float(number):g}")


def _lettered(number: float, digits: int, least: float) -> str:
    if not math.isfinite(number) or number == 0:
        return exact(number) if number else "0"
    rounded = float(f"{number:.{digits - 1}e}")
    size = abs(rounded)
    if size >= LARGEST or size < SMALLEST:
        return _without_zeros(f"{rounded:.{digits - 1}e}")
    unit, letter = next(((u, f" {own}") for u, own in LETTERS if size >= max(u, least)), (1.0, ""))
    decimals = max(digits - 1 - math.floor(math.log10(size / unit)), 0)
    text = f"{rounded / unit:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + letter


def _without_zeros(text: str) -> str:
    """Return a number without the zeros of its decimals and exponent: 3.00e+21 is 3e21."""
    digits, e, exponent = text.partition("e")
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return f"{digits}e{int(exponent)}" if e else digits


def with_interval(
    middle: float, low: float, high: float, write: Callable[[float, int], str] = short, least: float = 1e-3
) -> str:
    """Write a number and its interval with the digits that the width of the interval deserves.

    Three significant digits, and more where the width, to two digits, needs them: 0.618 [0.608, 0.628], and 2.7185
    [2.7179, 2.7191]. What lies below the part `least` of the width is 0.
    """
    width = high - low

    def of_width(number: float) -> str:
        if not (number and 0 < width < math.inf and math.isfinite(number)):
            return write(number, DIGITS)
        if abs(number) < least * width:
            return write(0.0, DIGITS)
        seen = math.floor(math.log10(abs(number))) - math.floor(math.log10(width)) + 2
        return write(number, min(max(seen, DIGITS), MOST_DIGITS))

    shown, *ends = map(of_width, (middle, low, high))
    return shown if ends[0] == ends[1] else f"{shown} [{ends[0]}, {ends[1]}]"


def between(low: float, high: float, write: Callable[[float], str] = exact) -> str:
    """Write a range: 0.1 to 1; 0 or more; at most 5; any number."""
    if math.isinf(low) and math.isinf(high):
        return "any number"
    if math.isinf(high):
        return f"{write(low)} or more"
    return f"at most {write(high)}" if math.isinf(low) else f"{write(low)} to {write(high)}"


def percent(share: float, digits: int = 2) -> str:
    """Write a share in percent: 0.92 is 92 %."""
    return f"{short(100 * share, digits)} %"


def level(prob: float) -> str:
    """Write the probability of an interval as somebody gave it: 0.955 is 95.5 %."""
    return f"{exact(100 * prob)} %"


def apart(log_ratio: float) -> str:
    """Write how far one number lies above or below another, given the logarithm of their ratio: 0.83 is 130 %."""
    return percent(abs(math.expm1(log_ratio)))


def times(factor: float) -> str:
    """Write a factor above 1: 410 times; one so close to 1 that it rounds to it as a percentage, 1.6 %."""
    return percent(factor - 1) if factor < 1.05 else f"{short(factor, 2)} times"


def probability(share: SupportsFloat) -> str:
    """Write a probability: 0.95; below 0.01; above 0.99."""
    p = float(share)
    return "above 0.99" if p > SURELY else "below 0.01" if p < 1 - SURELY else f"{p:.2f}"


def as_share(number: SupportsFloat) -> str:
    """Write a share of the tokens, of the training or of the weight: 0.41; 0 for one that does not count."""
    part = float(number)
    return "0" if abs(part) < SMALLEST_SHARE else short(part, 2)


def p_value(p: float) -> str:
    """Write the probability of a deviation by chance: p = 0.017; p below 0.0001."""
    return f"p = {short(p, 2)}" if p >= SMALLEST else f"p below {SMALLEST:.4f}"


def writer(unit: str) -> Callable[[float, int], str]:
    """Return how the numbers of a unit are written."""
    return amount if any(counted in unit for counted in COUNTED_UNITS) else short


def written(column: Any, value: float) -> str:
    """Write a number of a column: sizes and tokens as `amount`, shares that do not count as 0."""
    if column in COUNTED_COLUMNS:
        return amount(value)
    chance = str(column).startswith("p_")
    share = chance or column in SHARES or str(column).startswith("weight_")
    return "0" if share and abs(value) < SMALLEST_SHARE else short(value, 2 if chance else DIGITS)
