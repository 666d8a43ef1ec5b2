"""The package's least squares beside SciPy's, on the same residuals: ``python -m tests.benchmarks.solvers``."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import least_squares
from threadpoolctl import threadpool_limits

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.sampler.blocks import Block
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.least_squares import HUBER_DELTA, _Problem
from tests.benchmarks.simulated import study

SIGMA = 0.005
"""The error of a loss in the set-up; the papers' fit has the Huber loss instead."""


def compared() -> Iterator[tuple[str, bl.Model]]:
    """Yield the models."""
    domains = study(6, 0).table
    one = domains[domains["domain"] == "domain 0"].drop(columns="domain")
    general = bl.read_runs(one.drop(columns="domain_loss"))
    yield "D-CPT, one domain, one loss", bl.Model(models.dcpt, general, misfit=None)
    yield "D-CPT, one domain", bl.Model(models.dcpt, bl.read_runs(one), misfit=None)
    yield (
        "D-CPT, six domains, E and A pooled",
        bl.Model(models.dcpt, bl.read_runs(domains), by=dict.fromkeys("EA", "domain"), misfit=None),
    )
    every = dict.fromkeys(models.dcpt.coefficients, "domain")
    yield "D-CPT, six domains, all pooled", bl.Model(models.dcpt, bl.read_runs(domains), by=every, misfit=None)
    rng = np.random.default_rng(0)
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(5e7, 1e10, 7), np.geomspace(1e9, 1e11, 4)))
    loss = (1.8 + 0.36 * (N / 1e9) ** -0.34 + 0.4 * (D / 1e10) ** -0.37) * np.exp(rng.normal(0, SIGMA, 28))
    yield (
        "Chinchilla, 28 rows",
        bl.Model(models.chinchilla, bl.read_runs(pd.DataFrame({"N": N, "D": D, "loss": loss})), misfit=None),
    )
    weights = rng.dirichlet(np.ones(17), 100)
    loss = (2.4 + 0.8 * np.exp(weights @ np.linspace(-1, 0.2, 17))) * np.exp(rng.normal(0, SIGMA, 100))
    mixtures = bl.read_runs(pd.DataFrame(weights, columns=[f"weight_{i}" for i in range(17)]).assign(loss=loss))
    yield "data mixing, 17 sources", bl.Model(models.data_mixing, mixtures, misfit=None)
    yield "data mixing M1, 17 sources", bl.Model(models.data_mixing_m1, mixtures, misfit=None)


def scipy(problem: _Problem, guesses: list[np.ndarray], noise: np.ndarray | None) -> np.ndarray:
    """Return the best optimum of each part, each by itself.

    Priors as residuals go to MINPACK's Levenberg-Marquardt, the Huber loss to the trust region, which alone knows it.
    """
    method = {"method": "trf", "loss": "huber"} if noise is None else {"method": "lm"}
    ends = {"ftol": 1e-9, "xtol": 1e-12, "gtol": 1e-12, "max_nfev": 200}
    solve: Any = least_squares  # its stubs know no Jacobian for "lm"
    best = problem.center.copy()
    for number, own in enumerate(problem.parts):
        at = residuals(problem, number, noise)
        starts = [((guess - problem.center) / problem.sd)[own] for guess in guesses]
        found = [solve(lambda x, at=at: at(x)[0], x, jac=lambda x, at=at: at(x)[1], **method, **ends) for x in starts]
        best[own] += problem.sd[own] * min(found, key=lambda f: f.cost).x
    return best


def residuals(
    problem: _Problem, number: int, noise: np.ndarray | None
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return residuals and Jacobian of one part, in units of the prior's spread; the last point is kept."""
    density, own, rows = problem.density, problem.parts[number], problem.part_of_row == number
    block = density.measured[0]
    points = np.flatnonzero(problem.part[block.entry[0]] == number)
    part = Block(tuple(c[..., points] if c.shape[-1] > 1 else c for c in block.covariates), block.entry[:, points])
    point, level = np.divmod(problem.cell[rows], len(block) // block.shape[0])
    point, row = np.searchsorted(points, point), np.arange(np.count_nonzero(rows))
    scale = HUBER_DELTA if noise is None else noise[problem.eval_of_row[rows]]
    last: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def at(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if (key := x.tobytes()) in last:
            return last[key]
        theta = problem.center.copy()
        theta[own] += problem.sd[own] * x
        v = problem.vector(theta)
        c, chain = density.parameters.natural(v)
        unit = problem.sd * np.where(problem.log, v[: len(theta)], chain[: len(theta)])
        loss, slopes = part.evaluate(density.model.law, c)
        loss, jacobian = loss.reshape(slopes.shape[1:])[point, level], np.zeros((len(row), len(theta)))
        for entry, slope in zip(part.entry, slopes, strict=True):
            jacobian[row, entry[point]] = -slope[point, level] / loss * unit[entry[point]] / scale
        residual, jacobian = (density.design.log_loss[rows] - np.log(loss)) / scale, jacobian[:, own]
        if noise is not None:
            residual, jacobian = np.concatenate([residual, x]), np.vstack([jacobian, np.eye(len(x))])
        last.clear()
        last[key] = np.nan_to_num(residual, nan=1e4), np.nan_to_num(jacobian, posinf=0.0, neginf=0.0)
        return last[key]

    return at


@threadpool_limits.wrap(limits=1, user_api="blas")
def main() -> None:
    """Print the seconds of the processor, and the cost that was reached."""
    print("| model | fit | own, s | SciPy, s | own, cost | SciPy, cost |\n|---|---|---|---|---|---|")
    for name, model in compared():
        problem, rng = _Problem.of(Density(model)), np.random.default_rng(0)
        guesses = [problem.center, *(problem.draw(rng) for _ in range(11))]
        for fit, starts, noise in (("set-up", 8, np.full(problem.evals, SIGMA)), ("papers' fit", 12, None)):
            row = []
            solvers: list[Callable[..., np.ndarray]] = [_Problem.least, scipy]
            for solve in solvers:
                solve(problem, guesses[:1], noise)
                start = time.process_time()
                theta = solve(problem, guesses[:starts], noise)
                row.append((time.process_time() - start, float(problem._terms(theta, noise)[0].sum())))
            (own, cost), (other, its) = row
            print(f"| {name} | {fit} | {own:.2f} | {other:.2f} | {cost:.3f} | {its:.3f} |", flush=True)


if __name__ == "__main__":
    main()
