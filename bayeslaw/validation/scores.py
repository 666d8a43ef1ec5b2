"""Scores of predictions, of points and of distributions."""

from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.sampler.least_squares import HUBER_DELTA

__all__ = ["crps", "huber", "interval_score", "scores"]


def scores(rows: pd.DataFrame, prob: float) -> dict[str, float]:
    """Return the mean scores of predictions; see `bayeslaw.Evaluation.to_frame`.

    Parameters
    ----------
    rows : DataFrame
        Columns ``observed``, ``mean``, ``lower``, ``upper``, ``crps``, ``log_score``.
    prob : float
        Probability of the intervals.
    """
    y, mean = rows["observed"], rows["mean"]
    spread = float(((y - y.mean()) ** 2).sum())
    return {
        "n": len(rows),
        "mae": float(np.abs(y - mean).mean()),
        "r2": 1 - float(((y - mean) ** 2).sum()) / spread if spread > 0 else float("nan"),
        "huber": float(huber(np.log(y) - np.log(mean)).mean()),
        "crps": float(rows["crps"].mean()),
        "interval_score": float(interval_score(rows["lower"], rows["upper"], y, prob).mean()),
        "log_score": float(rows["log_score"].mean()),
        "coverage": float(y.between(rows["lower"], rows["upper"]).mean()),
    }


def huber(error: Any, delta: float = HUBER_DELTA) -> Any:
    """Return the Huber loss of errors: squared (halved) up to `delta`, linear beyond."""
    size = np.abs(error)
    return np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))


def crps(draws: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of draws, E|X - y| - E|X - X'| / 2, in the unit of the draws.

    Smaller is better; a single draw has its absolute error (Gneiting and Raftery 2007, section 4.2).

    Parameters
    ----------
    draws : array (n, draw)
    observed : array (n)
    """
    x, m = np.sort(draws, axis=1), draws.shape[1]
    half_apart = (x * (2 * np.arange(1, m + 1) - m - 1)).sum(axis=1) / m**2
    score: np.ndarray = np.abs(x - observed[:, None]).mean(axis=1) - half_apart
    return score


def interval_score(lower: Any, upper: Any, observed: Any, prob: float) -> Any:
    """Return the width of a central interval plus 2 / (1 - prob) times the distance of a value outside it.

    Smaller is better; in the unit of the ends (Gneiting and Raftery 2007, section 6.2).
    """
    missed = np.maximum(lower - observed, 0) + np.maximum(observed - upper, 0)
    return upper - lower + 2 / (1 - prob) * missed
