"""Falls of the learning rate whose effect grows by a power law of the rates after them.

Luo et al. 2025, arXiv:2503.12811. A fall to the rate lr_k at step k has, at step t, the share
``1 - (1 + C lr_k^-gamma S_k)^-beta`` of its effect, S_k being the sum of the rates of steps k to t.
"""

from dataclasses import dataclass

import numpy as np

from bayeslaw.base.numbers import exact
from bayeslaw.errors import RangeError
from bayeslaw.tables.schedules import Schedule, WarmupCounted

__all__ = ["POWER", "PowerMemory", "annealed_power"]

AREA_RATIO, LEAST_AREA = 1.05, 1e-9
"""Falls form one bin where the areas since them differ by less than this factor, or are below this share of the whole;
the error is below 1e-5 nats."""

LEAST_RATE = 1e-6
"""Lower rates count as this share of the peak, since their power diverges at 0."""


@dataclass(frozen=True)
class PowerMemory:
    """Settings of the power law by which the multi-power law remembers falls of the learning rate.

    Attributes
    ----------
    C : float
        Speed at which a fall takes effect, in the paper's unit (learning rate to the power of gamma - 1, per step).
    beta, gamma : float
        Exponent of the area after the fall; exponent of the rate after the fall.
    """

    C: float
    beta: float
    gamma: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < np.inf:
                raise RangeError(f"{name} of the power memory is {exact(value)}: give a number above 0")


POWER = PowerMemory(C=0.3, beta=0.59, gamma=0.645)
"""beta and gamma: middle of the fits published for 25M, 100M and 400M (0.583 to 0.598 and 0.635 to 0.655). C is 2.0 to
2.1 there, since the authors' code, unlike the paper's formula and this module, counts the warm-up as a negative fall;
0.3 fits three of their curves at 25M and 100M best."""


def annealed_power(
    schedule: Schedule, steps: np.ndarray, power: PowerMemory = POWER, warmup_counted: WarmupCounted = "linear"
) -> np.ndarray:
    """Return the learning rate annealed away after some steps, by a power memory.

    Parameters
    ----------
    schedule : Schedule
        Rate of every step.
    steps : array of int
        Steps, from 1.
    power : PowerMemory
        Settings of the memory.
    warmup_counted : {"linear", "peak"}
        As in `Schedule.areas`.

    Returns
    -------
    numpy.ndarray
        In units of the rate: the whole fall where it has its full effect; negative after a rise.
    """
    lr, falls = schedule.counted(warmup_counted)
    size, rate = np.abs(falls), np.log(np.maximum(lr, LEAST_RATE * lr.max()))
    before = np.concatenate([[0.0], np.cumsum(lr)])
    sums = [np.concatenate([[0.0], np.cumsum(x)]) for x in (falls, size, size * before[:-1], size * rate)]
    since = np.geomspace(1.0, LEAST_AREA, 1 - int(np.log(LEAST_AREA) / np.log(AREA_RATIO))) * before[-1]
    now = before[steps][:, None]
    ends = np.minimum(np.searchsorted(before, np.hstack([now - since, now])), np.asarray(steps)[:, None])
    fall, weight, area, rate = (x[ends[:, 1:]] - x[ends[:, :-1]] for x in sums)
    some = weight > 0
    mean = np.where(some, weight, 1.0)
    share = 1 - (1 + power.C * np.exp(-power.gamma * rate / mean) * (now - area / mean)) ** -power.beta
    annealed: np.ndarray = np.where(some, fall * share, 0.0).sum(axis=1)
    return annealed
