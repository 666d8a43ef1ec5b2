"""Falls of the learning rate whose effect grows by a power of what follows them.

Luo et al. 2025, arXiv:2503.12811. A fall to the rate lr_k at step k has, at step t, the share
``1 - (1 + C lr_k^-gamma S_k)^-beta`` of its effect, S_k being the sum of the rates of steps k to t.
"""

from dataclasses import dataclass

import numpy as np

from bayeslaw.errors import RangeError
from bayeslaw.tables.schedules import Schedule, WarmupCounted

__all__ = ["POWER", "PowerMemory", "annealed_power"]

RATIO, NEAREST = 1.05, 1e-9
"""Falls are taken together where the area since them agrees within this factor, and where it is below this share of the
whole: less than 1e-5 nats are lost."""

NO_RATE = 1e-6
"""A rate of 0 counts as this share of the peak, where its power is needed."""


@dataclass(frozen=True)
class PowerMemory:
    """How falls of the learning rate are remembered by a power of what follows them: a setting like lambda.

    Attributes
    ----------
    C : float
        How fast a fall takes effect, in the paper's unit (learning rate to the power of gamma - 1, per step).
    beta, gamma : float
        Exponent of what followed the fall; exponent of the rate it led to.
    """

    C: float
    beta: float
    gamma: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < np.inf:
                raise RangeError(f"{name} of the power memory is {value:g}: give a number above 0")


POWER = PowerMemory(C=0.3, beta=0.59, gamma=0.645)
"""beta and gamma: where the fits published for 25M, 100M and 400M agree (0.583 to 0.598 and 0.635 to 0.655). C, 2.0 to
2.1 there, is not theirs: their code counts the rise of the warm-up as a fall below zero, the paper's formula, and this
program, do not; 0.3 fits three of their curves at 25M and 100M best."""


def annealed_power(
    schedule: Schedule, steps: np.ndarray, power: PowerMemory = POWER, warmup_counted: WarmupCounted = "linear"
) -> np.ndarray:
    """Return the learning rate annealed away after some steps, as a power memory has it.

    Parameters
    ----------
    schedule : Schedule
        The rate of every step.
    steps : array of int
        Steps asked for, from 1.
    power : PowerMemory
        Shape of the memory.
    warmup_counted : {"linear", "peak"}
        As in `Schedule.areas`.

    Returns
    -------
    numpy.ndarray
        In units of the rate: after a fall that has taken its full effect, the fall itself; negative after a rise.
    """
    lr, falls = schedule.counted(warmup_counted)
    size, rate = np.abs(falls), np.log(np.maximum(lr, NO_RATE * lr.max()))
    before = np.concatenate([[0.0], np.cumsum(lr)])
    sums = [np.concatenate([[0.0], np.cumsum(x)]) for x in (falls, size, size * before[:-1], size * rate)]
    since = np.geomspace(1.0, NEAREST, 1 - int(np.log(NEAREST) / np.log(RATIO))) * before[-1]
    now = before[steps][:, None]
    ends = np.minimum(np.searchsorted(before, np.hstack([now - since, now])), np.asarray(steps)[:, None])
    fall, weight, area, rate = (x[ends[:, 1:]] - x[ends[:, :-1]] for x in sums)
    some = weight > 0
    mean = np.where(some, weight, 1.0)
    share = 1 - (1 + power.C * np.exp(-power.gamma * rate / mean) * (now - area / mean)) ** -power.beta
    annealed: np.ndarray = np.where(some, fall * share, 0.0).sum(axis=1)
    return annealed
