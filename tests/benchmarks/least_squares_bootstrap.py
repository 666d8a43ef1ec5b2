"""The user's alternative: least squares with a bootstrap over runs, written as well as it can be in NumPy and SciPy.

Every domain and loss is a fit of its own: log losses, positive coefficients on the log scale, analytic Jacobian,
the law evaluated where its factors differ. The first fit starts from many points, each refit from the optimum.
Whole runs are drawn, so that checkpoints of one run stay together.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

__all__ = ["LOOSE", "SCIPY", "START", "LeastSquares", "bootstrap", "losses"]

START = {"E": 1.5, "A": 0.4, "alpha": 0.3, "B": 0.1, "beta": 0.3, "eta": 1.2, "C": 0.4, "gamma": 0.4, "eps": 0.1}
"""Centre of the starting points; coefficients at N = 1e9, D = 1e10."""
LOWEST, HIGHEST = -12.0, 5.0
"""Beyond these a coefficient on the log scale is held: far outside any law, and finite."""
LOOSE, SCIPY = 1e-4, 1e-8
"""Relative change of the cost at which a fit ends: as loose as leaves the intervals what they are; SciPy's default."""


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Residuals of the log losses (run, checkpoint) of one domain and validation set."""

    size: np.ndarray
    share: np.ndarray
    tokens: np.ndarray
    log_loss: np.ndarray
    tolerance: float = LOOSE

    @classmethod
    def of(cls, table: pd.DataFrame, loss: str, tolerance: float = LOOSE) -> "LeastSquares":
        """Take the runs of a domain from a table."""
        wide = table.pivot_table(index=["N", "domain_share"], columns="D", values=f"{loss}_loss")
        size, share = (wide.index.get_level_values(k).to_numpy() for k in ("N", "domain_share"))
        own = 1 - share if loss == "general" else share
        return cls(size / 1e9, own, wide.columns.to_numpy() / 1e10, np.log(wide.to_numpy()), tolerance)

    @cached_property
    def _logs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.log(self.size), np.log(self.share), np.log(self.tokens)

    def evaluate(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return residuals (run, checkpoint) and their Jacobian (run, checkpoint, coefficient)."""
        E, A, alpha, B, beta, eta, C, gamma, eps = c = np.exp(np.clip(theta, LOWEST, HIGHEST))
        n, r, d = self._logs
        by_size, by_share = A * np.exp(-alpha * n), C * (self.share + eps) ** -gamma
        at_share, by_tokens = B * np.exp(eta * r), np.exp(-beta * d)
        term = at_share[:, None] * by_tokens
        loss = E + by_size[:, None] + term + by_share[:, None]
        slopes = np.empty((*loss.shape, len(c)))
        slopes[..., 0] = E
        slopes[..., 1] = by_size[:, None]
        slopes[..., 2] = (-alpha * n * by_size)[:, None]
        slopes[..., 3] = term
        slopes[..., 4] = term * (-beta * d)
        slopes[..., 5] = term * (eta * r)[:, None]
        slopes[..., 6] = by_share[:, None]
        slopes[..., 7] = (-gamma * np.log(self.share + eps) * by_share)[:, None]
        slopes[..., 8] = (-gamma * eps / (self.share + eps) * by_share)[:, None]
        return np.log(loss) - self.log_loss, slopes / loss[..., None]

    def fit(self, start: np.ndarray, weight: np.ndarray | None = None) -> tuple[np.ndarray, float]:
        """Return the optimum near a start and its cost; `weight` counts how often each run was drawn."""
        root = None if weight is None else np.sqrt(weight[weight > 0])
        part = self if weight is None else self._runs(weight > 0)
        last: list[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]] = []

        def at(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if not last or not np.array_equal(last[0][0], theta):
                residual, slopes = part.evaluate(theta)
                if root is not None:
                    residual, slopes = residual * root[:, None], slopes * root[:, None, None]
                last[:] = [(theta.copy(), (residual.ravel(), slopes.reshape(-1, len(theta))))]
            return last[0][1]

        solve: Any = least_squares  # its stubs know no Jacobian for "lm"
        end = {"ftol": self.tolerance, "xtol": self.tolerance / 10, "max_nfev": 200}
        found = solve(lambda t: at(t)[0], start, jac=lambda t: at(t)[1], method="lm", **end)
        return found.x, float(found.cost)

    def _runs(self, keep: np.ndarray) -> "LeastSquares":
        return LeastSquares(self.size[keep], self.share[keep], self.tokens, self.log_loss[keep], self.tolerance)


def bootstrap(table: pd.DataFrame, refits: int, starts: int, tolerance: float, seed: int) -> np.ndarray:
    """Return refitted coefficients (eval, refit, coefficient) of one domain; a run is drawn with both its losses."""
    rng = np.random.default_rng(seed)
    center = np.log(list(START.values()))
    points = [center, *(center + rng.normal(0, 0.5, len(center)) for _ in range(starts - 1))]
    problems = [LeastSquares.of(table, loss, tolerance) for loss in ("general", "domain")]
    best = [min((p.fit(x) for x in points), key=lambda found: found[1])[0] for p in problems]
    runs = len(problems[0].log_loss)
    weights = rng.multinomial(runs, np.full(runs, 1 / runs), size=refits)
    return np.exp([[p.fit(x, w)[0] for w in weights] for p, x in zip(problems, best, strict=True)])


def losses(c: np.ndarray, N: np.ndarray, D: np.ndarray, domain_share: np.ndarray) -> np.ndarray:
    """Return predicted losses (eval, refit, point) from refitted coefficients."""
    E, A, alpha, B, beta, eta, C, gamma, eps = np.moveaxis(c, -1, 0)[..., None]
    share = np.stack([1 - domain_share, domain_share])[:, None, :]
    predicted: np.ndarray = (
        E + A * (N / 1e9) ** -alpha + B * share**eta * (D / 1e10) ** -beta + C * (share + eps) ** -gamma
    )
    return predicted
