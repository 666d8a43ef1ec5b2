"""Learning-rate schedules, and the two areas under them that are covariates of curve laws.

A schedule is the rate of every step. ``a + b`` runs one part after the other (stable, then decay);
``pretraining.then(continued)`` starts continual pre-training, re-warm-up included, and keeps the transfer point.

In all functions here `steps` is the number of all steps, warm-up included; in the first `warmup` of them the rate rises
linearly from 0 to `peak`; `peak`, `final` and `low` are learning rates of the optimiser. Values that make no schedule
raise a RangeError.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from bayeslaw.base.arguments import RANGES, checked, numbers, one_number
from bayeslaw.base.numbers import exact
from bayeslaw.errors import RangeError, unknown_name

__all__ = [
    "MEMORY",
    "Schedule",
    "Tail",
    "WarmupCounted",
    "constant",
    "cosine",
    "cyclic",
    "from_table",
    "inverse_sqrt",
    "linear",
    "multi_step",
    "unknown",
    "wsd",
]

MEMORY = 0.999
"""Lambda of the annealing area in arXiv:2408.11029 and arXiv:2505.07796."""

WarmupCounted = Literal["linear", "peak"]
Tail = Literal["frozen", "carried"]
DECAYS = {
    "linear": lambda t: 1 - t,
    "cosine": lambda t: 0.5 * (1 + np.cos(np.pi * t)),
    "sqrt": lambda t: 1 - np.sqrt(t),
}


@dataclass(frozen=True, eq=False)
class Schedule:
    """The learning rate of every step.

    Attributes
    ----------
    lr : numpy.ndarray
        Rate of step 1, 2, ... (read-only).
    warmups : tuple of pairs
        (steps before it, its last step) of every warm-up.
    transfer : int or None
        Number of steps of pre-training, where continual pre-training follows.
    """

    lr: np.ndarray
    warmups: tuple[tuple[int, int], ...] = ()
    transfer: int | None = None

    def __post_init__(self) -> None:
        lr = numbers(self.lr, "lr").copy()
        if lr.ndim != 1 or not len(lr):
            raise RangeError(f"a schedule is one rate per step, not an array of shape {lr.shape}: give a 1-d list")
        if (bad := ~(np.isfinite(lr) & (lr >= 0))).any():
            step = int(np.argmax(bad))
            raise RangeError(f"the learning rate is {exact(lr[step])} at step {step + 1}: give rates of 0 or above")
        lr.setflags(write=False)
        object.__setattr__(self, "lr", lr)

    def __len__(self) -> int:
        return len(self.lr)

    @property
    def warmup(self) -> int:
        """Steps of the warm-up at the start."""
        return self.warmups[0][1] if self.warmups and self.warmups[0][0] == 0 else 0

    def __add__(self, other: "Schedule") -> "Schedule":
        if not isinstance(other, Schedule):
            return NotImplemented
        if other.transfer is not None:
            raise RangeError("the second part of a sum holds a transfer point: join the parts of each stage first")
        moved = tuple((start + len(self), stop + len(self)) for start, stop in other.warmups)
        return Schedule(np.concatenate([self.lr, other.lr]), (*self.warmups, *moved), self.transfer)

    @checked
    def then(self, continued: "Schedule") -> "Schedule":
        """Return this schedule as pre-training, followed by continual pre-training."""
        joined = self + continued
        return Schedule(joined.lr, joined.warmups, len(self))

    def counted(self, warmup_counted: WarmupCounted = "linear") -> tuple[np.ndarray, np.ndarray]:
        """Return the rate and the fall of the rate at every step, as `areas` counts them."""
        if warmup_counted not in get_args(WarmupCounted):
            raise unknown_name("choice for warmup_counted=", warmup_counted, get_args(WarmupCounted))
        lr = self.lr
        if warmup_counted == "peak" and self.warmups:
            lr = lr.copy()
            for start, stop in self.warmups:
                lr[start:stop] = lr[stop - 1]
        drops = -np.diff(lr, prepend=lr[0])
        for start, stop in self.warmups:
            if start == 0:
                drops[:stop] = 0.0
        return lr, drops

    @checked
    def areas(
        self, *, memory: float = MEMORY, warmup_counted: WarmupCounted = "linear", tail: Tail = "frozen"
    ) -> xr.Dataset:
        """Return the forward and the annealing area after every step.

        The forward area S1 is the sum of the rates. The annealing area S2 sums ``m_i = memory m_{i-1} + (lr_{i-1} -
        lr_i)``: a fall of the rate adds more the longer ago it was, up to ``1 / (1 - memory)`` steps; a rise (a
        re-warm-up) subtracts (arXiv:2408.11029; eq. 1 of arXiv:2505.07796).

        Parameters
        ----------
        memory : float
            The papers' lambda, in [0, 1).
        warmup_counted : {"linear", "peak"}
            "linear": S1 sums the rates as they were, and S2 starts at the end of the first warm-up, as in
            arXiv:2503.12811, whose public curves this fits better (R2 .998 against .993 at 25M). "peak": in both areas
            warm-ups count at the rate of their last step (the script released with arXiv:2408.11029).
        tail : {"frozen", "carried"}
            Effect of falls in pre-training after the transfer point. "frozen": none, S2pt keeps its value at the end of
            pre-training (our reading: arXiv:2505.07796 does not specify it). "carried": S2pt goes on by eq. 1 for the
            joined schedule.

        Returns
        -------
        xarray.Dataset
            ``S1``, ``S2`` (rate x steps) with dim ``step`` (1, 2, ...); with a transfer point also ``S1pt``, ``S1cpt``,
            ``S2pt``, ``S2cpt``, which sum to them.

        Raises
        ------
        RangeError, UnknownName
            A memory outside [0, 1) or an unknown option.
        """
        if not 0 <= memory < 1:
            raise RangeError(f"memory is {exact(memory)}: give lambda in [0, 1), for example {MEMORY}")
        if tail not in get_args(Tail):
            raise unknown_name("choice for tail=", tail, get_args(Tail))
        lr, drops = self.counted(warmup_counted)
        step = np.arange(1, len(self) + 1)
        if self.transfer is None:
            areas = {"S1": np.cumsum(lr), "S2": _annealed(drops, memory)}
        else:
            before = step <= self.transfer
            areas = {}
            for stage, own in (("pt", before), ("cpt", ~before)):
                areas[f"S1{stage}"] = np.cumsum(np.where(own, lr, 0.0))
                areas[f"S2{stage}"] = _annealed(np.where(own, drops, 0.0), memory)
            if tail == "frozen":
                areas["S2pt"][self.transfer :] = areas["S2pt"][self.transfer - 1]
            areas |= {s: areas[f"{s}pt"] + areas[f"{s}cpt"] for s in ("S1", "S2")}
        return xr.Dataset({name: ("step", area) for name, area in areas.items()}, coords={"step": step})

    def __repr__(self) -> str:
        at = "" if self.transfer is None else f", continual pre-training from step {self.transfer + 1}"
        return f"Schedule of {len(self)} steps, peak {exact(self.lr.max())}, last {exact(self.lr[-1])}{at}"


def _annealed(drops: np.ndarray, memory: float) -> np.ndarray:
    from scipy.signal import lfilter

    area: np.ndarray = np.cumsum(lfilter([1.0], [1.0, -memory], drops))
    return area


def _schedule(steps: int, peak: float, warmup: int, after: Any) -> Schedule:
    """Warm up linearly over `warmup` steps, then follow `after` (share of the other steps done -> rate)."""
    if steps != int(steps) or steps < 1:
        raise RangeError(f"steps is {steps}: give a whole number of at least 1")
    if warmup != int(warmup) or not 0 <= warmup < steps:
        raise RangeError(f"warmup is {warmup}: give a whole number of steps from 0 to {steps - 1}")
    if not (np.isfinite(peak) and peak > 0):
        raise RangeError(f"peak is {peak}: give a learning rate above 0")
    rest = int(steps - warmup)
    rising = peak * np.arange(1, warmup + 1) / max(warmup, 1)
    falling = np.broadcast_to(after(np.arange(1, rest + 1) / rest), rest)
    return Schedule(np.concatenate([rising, falling]), ((0, int(warmup)),) if warmup else ())


@checked
def constant(steps: int, peak: float, warmup: int = 0) -> Schedule:
    """Return a constant rate, `peak`, after the warm-up."""
    return _schedule(steps, peak, warmup, lambda t: peak)


@checked
def cosine(steps: int, peak: float, final: float = 0.0, warmup: int = 0) -> Schedule:
    """Return a half cosine from `peak`, where the warm-up ends, to `final` at the last step."""
    return _schedule(steps, peak, warmup, lambda t: final + (peak - final) * DECAYS["cosine"](t))


@checked
def linear(steps: int, peak: float, final: float = 0.0, warmup: int = 0) -> Schedule:
    """Return a straight line from `peak`, where the warm-up ends, to `final` at the last step."""
    return _schedule(steps, peak, warmup, lambda t: final + (peak - final) * DECAYS["linear"](t))


@checked
def wsd(
    steps: int,
    peak: float,
    decay: int,
    final: float = 0.0,
    warmup: int = 0,
    shape: Literal["linear", "cosine", "sqrt", "exponential"] = "linear",
) -> Schedule:
    """Return warm-up, stable, decay: `peak` until the last `decay` steps, which end at `final`.

    ``sqrt`` is one minus the square root of time; ``exponential`` needs a `final` above 0.
    """
    if shape not in (*DECAYS, "exponential"):
        raise unknown_name("shape of decay", shape, (*DECAYS, "exponential"))
    if not 0 < decay <= steps - warmup:
        raise RangeError(f"decay is {decay}: give a number of steps from 1 to {steps - warmup}")
    if shape == "exponential" and not final > 0:
        raise RangeError(f"an exponential decay never reaches {exact(final)}: give a final rate above 0")
    rest = steps - warmup

    def after(t: np.ndarray) -> np.ndarray:
        u = np.clip((t * rest - (rest - decay)) / decay, 0, 1)
        rate: np.ndarray = (
            peak * (final / peak) ** u if shape == "exponential" else final + (peak - final) * DECAYS[shape](u)
        )
        return rate

    return _schedule(steps, peak, warmup, after)


@checked
def multi_step(steps: int, peak: float, rates: Mapping[int, float], warmup: int = 0) -> Schedule:
    """Return a staircase: `peak` until the first step in `rates`, which maps a step to the rate from that step on."""
    lr = _schedule(steps, peak, warmup, lambda t: peak).lr.copy()
    for step, rate in sorted((one_number(step, "a step in rates"), rate) for step, rate in rates.items()):
        if not warmup < step <= steps or step % 1:
            raise RangeError(
                f"a rate is given from step {exact(step)} on: give a whole step from {warmup + 1} to {steps}"
            )
        lr[int(step) - 1 :] = one_number(rate, "a rate in rates")
    return Schedule(lr, ((0, int(warmup)),) if warmup else ())


@checked
def cyclic(steps: int, peak: float, low: float, period: int, warmup: int = 0) -> Schedule:
    """Return a triangle wave from `peak` to `low`, half a `period` later, and back to `peak`; `period` counts steps.

    The last period may be cut short.
    """
    if not period > 0:
        raise RangeError(f"period is {period}: give a number of steps above 0")
    rest = steps - warmup
    return _schedule(steps, peak, warmup, lambda t: low + (peak - low) * np.abs(1 - 2 * (t * rest / period % 1)))


@checked
def inverse_sqrt(steps: int, peak: float, warmup: int) -> Schedule:
    """Return `peak` times the square root of `warmup` over the step, after a linear warm-up."""
    if not warmup > 0:
        raise RangeError(f"warmup is {warmup}: an inverse square root needs at least 1 step, where it is at its peak")
    rest = steps - warmup
    return _schedule(steps, peak, warmup, lambda t: peak * np.sqrt(warmup / (warmup + t * rest)))


@checked
def from_table(step: ArrayLike, lr: ArrayLike, *, warmup: int | None = None) -> Schedule:
    """Return straight lines between logged steps.

    Parameters
    ----------
    step : array of int
        Steps (the first is 1), rising.
    lr : array
        Their rates.
    warmup : int, optional
        Steps of a linear warm-up to the first rate logged at or after its end; rows inside it are used unchanged.
        Left out: the steps, from step 1 on, over which the rates rise.

    Raises
    ------
    RangeError
        Steps that do not rise, or a negative rate.
    """
    at, rate = numbers(step, "step"), numbers(lr, "lr")
    if at.shape != rate.shape or at.ndim != 1 or not len(at):
        raise RangeError(f"steps of shape {at.shape} and rates of shape {rate.shape}: give one rate per step")
    if (bad := np.diff(at) <= 0).any():
        i = int(np.argmax(bad))
        raise RangeError(f"step {exact(at[i + 1])} comes after step {exact(at[i])}: put them in rising order")
    if at[0] < 1 or (at != np.round(at)).any():
        raise RangeError(f"steps start at {exact(at[0])}: give whole numbers, the first step is 1")
    if (bad := ~(np.isfinite(rate) & (rate >= 0))).any():
        i = int(np.argmax(bad))
        raise RangeError(f"the learning rate is {exact(rate[i])} at step {exact(at[i])}: give rates of 0 or above")
    if at[-1] not in RANGES["steps"]:
        raise RangeError(f"step is {int(at[-1])}: give {RANGES['steps'].wanted}")
    if warmup is None:
        rises = int(np.argmin(np.append(np.diff(rate) > 0, False)))
        warmup = int(at[rises]) if at[0] == 1 and rises else 0
    if not 0 <= warmup <= at[-1]:
        raise RangeError(f"warmup is {warmup}: give a number of steps from 0 to {exact(at[-1])}")
    if warmup and warmup not in at:
        late = int(np.searchsorted(at, warmup))
        at, rate = np.insert(at, late, warmup), np.insert(rate, late, rate[late])
    if warmup:
        at, rate = np.insert(at, 0, 0), np.insert(rate, 0, 0.0)
    every = np.arange(1, int(at[-1]) + 1)
    return Schedule(np.interp(every, at, rate), ((0, int(warmup)),) if warmup else ())


def unknown() -> Schedule:
    """Return one step at rate 0, for an unknown pre-training that ended there, as arXiv:2505.07796 assumes."""
    return Schedule(np.zeros(1))
