"""What a set of measurements is worth to an answer, from joint draws of both: no refit.

The draws of a posterior are joint draws of the answer a and of what a run would measure, y. The normal scores z of the
answer are regressed on y, with the covariance of its errors as the model has it. The fitted values t = E[z | y] hold
what y says of the answer, as far as a line can. Every draw expects some t, with a normal error; so for an outcome t the
draws have importance weights, and the weighted draws are the answer after the run, whatever its shape: skewed, or
censored at an end. The width of their interval is averaged over outcomes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats
from scipy.linalg import block_diag

from bayeslaw.validation.outcomes import Outcomes

__all__ = ["LEAST_ERRORS", "Answer", "Surrogate", "Value"]

OUTCOMES = 32
"""Outcomes of a set of runs, evenly taken from all that are expected."""

GROUPS = 8
"""Parts of the draws whose scatter gives the Monte Carlo error."""

LEAST_ERRORS = 2.0
"""Monte Carlo errors from 0 up to which a reduction, or information, counts as none. The error of information falls
with it: a correlation of 4 over the root of the draws is asked for, which none of hundreds of candidates has by chance.
"""

LEAST_ERROR = 0.02
"""Standard deviation of the error of an outcome, relative to that of what is expected, below which weights fail."""

LEAST_VARIANCE = 1e-3
"""Variance of a direction of several answers, relative to the largest, from which it counts as information."""


@dataclass(frozen=True, eq=False)
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
    parts : array
        The reduction by each part of the draws.
    draws : int
        The number of draws.
    """

    width: tuple[float, float]
    reduction: tuple[float, float]
    nats: tuple[float, float]
    regret: tuple[float, float] | None
    parts: np.ndarray
    draws: int

    def beyond(self, other: "Value | None") -> tuple[float, float]:
        """Return by how much more the interval shrinks than with other runs, and its Monte Carlo error."""
        if other is None:
            return self.reduction
        return self.reduction[0] - other.reduction[0], _error(self.parts - other.parts)

    def told_beyond(self, other: "Value | None") -> bool:
        """Whether these runs tell more of the answer than other runs, beyond what chance makes of so many draws."""
        more = self.nats[0] - (other.nats[0] if other is not None else 0.0)
        return more > 0 and -math.expm1(-2 * more) > (2 * LEAST_ERRORS) ** 2 / self.draws


def _error(parts: np.ndarray) -> float:
    """Return the Monte Carlo error of a mean from what parts of the draws say."""
    return float(np.std(parts, ddof=1) / np.sqrt(len(parts)))


@dataclass(frozen=True, eq=False)
class Answer:
    """Draws of the elements of an answer.

    Attributes
    ----------
    draws : array
        (element, draw), on the scale on which widths are counted.
    levels : sequence of float
        Quantile levels of the interval.
    losses : array, optional
        (cell, draw, action): the losses that the decision minimises, of things one could choose.
    """

    draws: np.ndarray
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
        lower, upper = np.quantile(self.draws, self.levels, axis=1, method="hazen")
        found: np.ndarray = upper - lower
        return found

    @cached_property
    def parts(self) -> list[list[np.ndarray]]:
        """Numbers of draws in the order of the answer, for every element: of all, and of each part of them."""
        cuts = np.array_split(np.arange(self.draws.shape[1]), GROUPS)
        return [[cut[np.argsort(draws[cut])] for cut in (np.arange(draws.size), *cuts)] for draws in self.draws]

    @cached_property
    def widths_before(self) -> np.ndarray:
        """The width of the interval of each part of the draws, the mean over the elements."""
        each = [
            np.quantile(draws[order], self.levels, method="hazen")
            for draws, parts in zip(self.draws, self.parts, strict=True)
            for order in parts[1:]
        ]
        found: np.ndarray = np.diff(each).reshape(len(self.draws), GROUPS).mean(axis=0)
        return found

    def widths(self, expected: np.ndarray, error: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
        """Return the mean width of the interval after an outcome (part, element): by all draws, then by each part.

        Parameters
        ----------
        expected : array
            (element, draw): the fitted value that every draw expects.
        error : array
            (element): the standard deviation of the fitted value around it.
        outcomes : array
            (element, outcome): fitted values.
        """
        found = np.empty((1 + GROUPS, len(self.draws)))
        for element, (draws, parts) in enumerate(zip(self.draws, self.parts, strict=True)):
            far = (outcomes[element][:, None] - expected[element]) / error[element]
            weights = np.exp(-(far**2) / 2)
            for part, order in enumerate(parts):
                found[part, element] = _mean_width(draws[order], weights[:, order], self.levels)
        return found


def _mean_width(draws: np.ndarray, weights: np.ndarray, levels: Sequence[float]) -> float:
    """Return the mean width of intervals of sorted draws, one for each row of weights."""
    below = np.cumsum(weights, axis=1)
    total = below[:, -1]
    below -= weights / 2
    ends = []
    for level in levels:
        above = np.clip((below < level * total[:, None]).sum(axis=1), 1, len(draws) - 1)[:, None]
        low, high = (np.take_along_axis(below, above - step, axis=1)[:, 0] for step in (1, 0))
        way = np.clip((level * total - low) / np.where(high > low, high - low, 1), 0, 1)
        first, second = draws[above[:, 0] - 1], draws[above[:, 0]]
        ends.append(first + way * (second - first))
    lower, upper = ends
    return float((upper - lower).mean())


@dataclass(frozen=True, eq=False)
class Surrogate:
    """The linear regression of an answer on what runs would measure, and what is left of the answer's spread."""

    answer: Answer
    outcomes: Outcomes

    @cached_property
    def _with_answer(self) -> np.ndarray:
        """Covariance (measurement, element) of measurements and scores."""
        found: np.ndarray = self.outcomes.centred.T @ self.answer.scores.T / (self.answer.scores.shape[1] - 1)
        return found

    @cached_property
    def _spread(self) -> np.ndarray:
        """Covariance (element, element) of the scores."""
        return np.atleast_2d(np.cov(self.answer.scores))

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
        before = float(answer.width.mean())
        if not len(at):
            regret = None if answer.losses is None else (0.0, 0.0)
            return Value((before, 0.0), (0.0, 0.0), (0.0, 0.0), regret, np.zeros(GROUPS), answer.draws.shape[1])
        slopes, left = self._left(runs)
        expected = slopes.T @ self.outcomes.centred[:, at].T
        seen = self.outcomes.centred[:, at] + self.outcomes.errors[:, at]
        outcomes = np.quantile(slopes.T @ seen.T, (np.arange(OUTCOMES) + 0.5) / OUTCOMES, axis=1).T
        around = np.sqrt(np.einsum("me,mn,ne->e", slopes, self._errors(runs), slopes))
        around = np.maximum(around, LEAST_ERROR * expected.std(axis=1))
        widths = answer.widths(expected, np.where(around > 0, around, 1), outcomes).mean(axis=1)
        parts, width = answer.widths_before - widths[1:], float(widths[0])
        error = _error(parts)
        return Value(
            (width, error),
            (before - width, error),
            self._nats(left),
            None if answer.losses is None else self._regret(at, seen),
            parts,
            answer.draws.shape[1],
        )

    def _errors(self, runs: Sequence[int]) -> np.ndarray:
        """Return the covariance of the errors of all measurements."""
        return np.asarray(block_diag(*(self.outcomes.variances[run] for run in runs)))

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
