"""Credible intervals: equal-tailed, with one default probability."""

from bayeslaw.errors import RangeError

__all__ = ["CI_PROB", "SAMPLE", "levels"]

CI_PROB = 0.89
"""Default probability of an interval (that of ArviZ 1.x)."""

SAMPLE = ("chain", "draw")
"""The dims of posterior draws."""


def levels(prob: float) -> list[float]:
    """Return the quantile levels at both ends of the equal-tailed interval.

    Raises
    ------
    RangeError
        `prob` does not lie between 0 and 1.
    """
    if not 0 < prob < 1:
        raise RangeError(f"prob is {prob}: give a probability between 0 and 1, for example {CI_PROB}")
    return [(1 - prob) / 2, (1 + prob) / 2]
