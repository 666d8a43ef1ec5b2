"""What a set of measurements is worth to an answer, from joint draws of both: no refit.

The draws of a posterior are joint draws of the answer a and of what a run would measure, y. The normal scores z of the
answer are regressed on y, with the covariance of its errors as the model has it. The fitted values t = E[z | y] hold
what y says of the answer, as far as a line can; draws of nearly equal t are a sample of the answer after the run.
So the width of the interval after it is the mean width within slices of t, whatever the shape of the answer: skewed,
or censored at an end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from bayeslaw.validation.outcomes import Outcomes

__all__ = ["Answer", "Surrogate", "Value"]

SLICE = 50
"""Draws in a slice."""

GROUPS = 8
"""Parts of the draws whose scatter gives the Monte Carlo error."""

SHUFFLES = 8
"""Random orders of the draws that give the mean width in slices that tell nothing."""

LEAST_VARIANCE = 1e-3
"""Variance of a direction of several answers, relative to the largest, from which it counts as information."""


@dataclass(frozen=True)
class Value:
    """What a set of runs is expected to do to an answer, each with its Monte Carlo error.

    Attributes
    ----------
    width, reduction : tuple of float
        The width of the interval after the runs, and by how much it shrinks; means over the elements of the answer.
    nats : tuple of float
        The information about the answer.
    regret : tuple of float, optional
        By how much the expected regret of the best choice falls (nats per token).
    """

    width: tuple[float, float]
    reduction: tuple[float, float]
    nats: tuple[float, float]
    regret: tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class Answer:
    """Draws of the elements of an answer.

    Attributes
    ----------
    draws : array
        (element, draw), on the scale on which widths are counted.
    low, high : array
        Ends (element) at which draws are censored.
    levels : sequence of float
        Quantile levels of the interval.
    losses : array, optional
        (cell, draw, action): the losses that the decision minimises, of things one could choose.
    """

    draws: np.ndarray
    low: np.ndarray
    high: np.ndarray
    levels: Sequence[float]
    losses: np.ndarray | None = None

    @cached_property
    def scores(self) -> np.ndarray:
        """Normal scores (element, draw) around their means; equal draws have equal ones, those of one value 0."""
        ranks = stats.rankdata(self.draws, axis=1)
        scores = stats.norm.ppf((ranks - 0.5) / ranks.shape[1])
        centred: np.ndarray = scores - scores.mean(axis=1, keepdims=True)
        return centred

    @cached_property
    def width(self) -> np.ndarray:
        """The width (element) of the interval of the draws."""
        lower, upper = np.quantile(self.draws, self.levels, axis=1)
        found: np.ndarray = upper - lower
        return found

    def mean_width(self, index: np.ndarray) -> np.ndarray:
        """Return the mean width (..., element) of the interval within slices of an index (..., element, draw)."""
        count = max(index.shape[-1] // SLICE, 2)
        order = np.argsort(index, axis=-1)
        kept = np.linspace(0, index.shape[-1] - 1, count * (index.shape[-1] // count)).round().astype(int)
        order = order[..., kept]
        draws = np.take_along_axis(np.broadcast_to(self.draws, index.shape), order, axis=-1)
        along = np.take_along_axis(index, order, axis=-1)
        draws, along = (v.reshape(*v.shape[:-1], count, -1) for v in (draws, along))
        along = along - along.mean(axis=-1, keepdims=True)
        squares = (along**2).sum(axis=-1, keepdims=True)
        slope = (along * draws).sum(axis=-1, keepdims=True) / np.where(squares > 0, squares, 1)
        at_one = draws - slope * along
        at_one = np.sort(np.clip(at_one, self.low[:, None, None], self.high[:, None, None]), axis=-1)
        places = np.asarray(self.levels) * (at_one.shape[-1] - 1)
        below, part = places.astype(int), places % 1
        ends = at_one[..., below] * (1 - part) + at_one[..., below + 1] * part
        widths: np.ndarray = (ends[..., 1] - ends[..., 0]).mean(axis=-1)
        return widths

    def uninformed(self, rng: np.random.Generator) -> np.ndarray:
        """Return the mean width (element) within slices that tell nothing."""
        orders = rng.standard_normal((SHUFFLES, *self.draws.shape))
        return np.mean([self.mean_width(order) for order in orders], axis=0)

    @cached_property
    def parts(self) -> list["Answer"]:
        """The answer at parts of the draws."""
        cuts = np.array_split(np.arange(self.draws.shape[1]), GROUPS)
        return [Answer(self.draws[:, cut], self.low, self.high, self.levels) for cut in cuts]


@dataclass(frozen=True, eq=False)
class Surrogate:
    """The linear regression of an answer on what runs would measure, and what is left of the answer's spread."""

    answer: Answer
    outcomes: Outcomes
    seed: int

    @cached_property
    def _with_answer(self) -> np.ndarray:
        """Covariance (measurement, element) of measurements and scores."""
        found: np.ndarray = self.outcomes.centred.T @ self.answer.scores.T / (self.answer.scores.shape[1] - 1)
        return found

    @cached_property
    def _spread(self) -> np.ndarray:
        """Covariance (element, element) of the scores."""
        return np.atleast_2d(np.cov(self.answer.scores))

    @cached_property
    def _uninformed(self) -> tuple[np.ndarray, list[np.ndarray]]:
        rng = np.random.default_rng([self.seed, 7])
        return self.answer.uninformed(rng), [part.uninformed(rng) for part in self.answer.parts]

    def _measurements(self, runs: Sequence[int]) -> np.ndarray:
        return np.concatenate([self.outcomes.of(run) for run in runs])

    def _left(self, runs: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the coefficients (measurement, element) and the covariance of the scores that is left."""
        at = self._measurements(runs)
        slopes = np.linalg.solve(self.outcomes.covariance[np.ix_(at, at)], self._with_answer[at])
        return slopes, self._spread - slopes.T @ self._with_answer[at]

    def quickly(self, runs: Sequence[int]) -> float:
        """Return about by how much the mean width falls: by as much as the standard deviation of the scores."""
        if not len(self._measurements(runs)):
            return 0.0
        before, after = np.diag(self._spread), np.diag(self._left(runs)[1])
        kept = np.sqrt(np.clip(after, 0, None) / np.where(before > 0, before, 1))
        return float((self.answer.width * (1 - kept)).mean())

    def value(self, runs: Sequence[int]) -> Value:
        """Return what a set of runs is expected to do to the answer."""
        answer, at = self.answer, self._measurements(runs)
        whole, parts = self._uninformed
        if not len(at):
            regret = None if answer.losses is None else (0.0, 0.0)
            return Value((float(answer.width.mean()), 0.0), (0.0, 0.0), (0.0, 0.0), regret)
        slopes, left = self._left(runs)
        seen = self.outcomes.centred[:, at] + self.outcomes.errors[:, at]
        index = (seen @ slopes).T
        width = (answer.width * _ratio(answer.mean_width(index), whole)).mean()
        cuts = np.array_split(index, GROUPS, axis=1)
        ratios = [_ratio(a.mean_width(i), w) for a, i, w in zip(answer.parts, cuts, parts, strict=True)]
        error = float(np.std([(answer.width * r).mean() for r in ratios], ddof=1) / np.sqrt(GROUPS))
        return Value(
            (float(width), error),
            (float(answer.width.mean() - width), error),
            self._nats(left),
            None if answer.losses is None else self._regret(at, seen),
        )

    def _nats(self, left: np.ndarray) -> tuple[float, float]:
        """Return the information, as if the scores were jointly normal, and its error by the delta method."""
        variance, directions = np.linalg.eigh(self._spread)
        kept = directions[:, variance > LEAST_VARIANCE * variance.max()]
        before, after = (np.linalg.slogdet(kept.T @ c @ kept)[1] for c in (self._spread, left))
        nats = max(float(before - after) / 2, 0.0)
        correlation = np.sqrt(-np.expm1(-2 * nats))
        return nats, float(correlation / np.sqrt(self.answer.draws.shape[1]))

    def _regret(self, at: np.ndarray, seen: np.ndarray) -> tuple[float, float]:
        """Return how much less the loss is expected to be of what one would choose after the runs."""
        assert self.answer.losses is not None
        mean = self.answer.losses.mean(axis=1, keepdims=True)
        around = self.answer.losses - mean
        covariance = np.einsum("sm,csa->cma", self.outcomes.centred[:, at], around) / (len(seen) - 1)
        slopes = np.linalg.solve(self.outcomes.covariance[np.ix_(at, at)], covariance)
        expected = mean + seen @ slopes
        best = mean.argmin(axis=-1)[..., None]
        gain = (np.take_along_axis(expected, best, axis=-1)[..., 0] - expected.min(axis=-1)).mean(axis=0)
        return float(gain.mean()), float(gain.std(ddof=1) / np.sqrt(len(gain)))


def _ratio(width: np.ndarray, uninformed: np.ndarray) -> np.ndarray:
    """Return how much of the width is left; all of it where there is none."""
    ratio: np.ndarray = np.where(uninformed > 0, width / np.where(uninformed > 0, uninformed, 1), 1.0)
    return ratio
