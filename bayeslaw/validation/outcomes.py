"""What a candidate run would measure, in every draw of a posterior: the law, its misfit, and the errors of the run."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.prediction import at_rows, part
from bayeslaw.validation.candidates import Candidates

__all__ = ["Outcomes", "outcomes"]

JITTER = 1e-10

STUDENT = 5.0
"""Degrees of freedom of robust innovations."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Log losses that the candidates would measure, one column for each measurement.

    Attributes
    ----------
    expected : array
        (draw, measurement): what a draw expects, with what it knows of the errors of runs that are continued.
    errors : array
        (draw, measurement): an error of every draw.
    variances : list of array
        The covariance of the errors of each candidate, a mean over the draws.
    ends : array
        Candidate c has the measurements ``ends[c]`` to ``ends[c + 1]``.
    """

    expected: np.ndarray
    errors: np.ndarray
    variances: list[np.ndarray]
    ends: np.ndarray

    def of(self, candidate: int) -> np.ndarray:
        """Return the numbers of the measurements of a candidate."""
        return np.arange(self.ends[candidate], self.ends[candidate + 1])

    @cached_property
    def centred(self) -> np.ndarray:
        """The expected log losses around their means."""
        around: np.ndarray = self.expected - self.expected.mean(axis=0)
        return around

    @cached_property
    def covariance(self) -> np.ndarray:
        """The covariance of all measurements; errors of different candidates are independent."""
        total: np.ndarray = self.centred.T @ self.centred / (len(self.centred) - 1)
        for candidate, variance in enumerate(self.variances):
            at = self.of(candidate)
            total[np.ix_(at, at)] += variance
        return total


def outcomes(fit: Posterior, candidates: Candidates, seed: int) -> Outcomes:
    """Return what the candidates would measure in every draw of a fit.

    A loss that is not above 0 in every draw counts as not measured: the law says nothing there.
    """
    rng = np.random.default_rng([seed, 6])
    losses = _flat(fit.loss(candidates.columns, seed=seed), "row", "eval")
    possible = (np.isfinite(losses) & (losses > 0)).all(axis=0)
    expected = np.log(np.where(possible, losses, 1.0))
    errors = _Errors.of(fit)
    size = fit.noise.at_size(fit.posterior, fit.model.design.log_size(candidates.columns))
    size = _flat(xr.DataArray(size).broadcast_like(fit.posterior["sigma"].isel(eval=0, drop=True)), "row")
    size = np.broadcast_to(size, expected.shape[:2])
    path, pasts = fit.model.law.path, _pasts(fit, candidates)
    log_path = np.log(candidates.columns[path].values.astype(float)) if path in candidates.columns else None
    means, drawn, variances, measured = [], [], [], candidates.measured.values & possible
    for rows, run in zip(candidates.rows, candidates.continued, strict=True):
        along = None if log_path is None else log_path[rows]
        shift, within = errors.given(pasts.get(run), along, len(rows))
        here, cells = size[:, rows], measured[rows].ravel()
        mean = expected[:, rows] + here[:, :, None] * shift
        error, variance = errors.drawn(within, here, rng)
        means.append(mean.reshape(len(mean), -1)[:, cells])
        drawn.append(error.reshape(len(mean), -1)[:, cells])
        variances.append(variance[np.ix_(cells, cells)])
    ends = np.cumsum([0, *(v.shape[0] for v in variances)])
    return Outcomes(np.concatenate(means, axis=1), np.concatenate(drawn, axis=1), variances, ends)


@dataclass(frozen=True, eq=False)
class _Past:
    """The errors of a run so far, in units of the size's scale: log path (row), and errors (draw, row, eval)."""

    log_path: np.ndarray
    errors: np.ndarray


@dataclass(frozen=True, eq=False)
class _Errors:
    """The parameters of the error model, one row for each draw."""

    sigma: np.ndarray
    batch: np.ndarray
    between: np.ndarray
    weight: np.ndarray | None
    length: np.ndarray | None
    known: np.ndarray
    robust: bool

    @classmethod
    def of(cls, fit: Posterior) -> "_Errors":
        noise, parameters = fit.noise, fit.posterior
        sigma = _flat(parameters["sigma"], "eval")
        sets = sigma.shape[1]
        batch = _flat(parameters["batch_effect_sigma"], "eval") if noise.batch else np.zeros_like(sigma)
        rho = _flat(parameters["eval_correlation"]) if noise.joint else np.zeros(len(sigma))
        between = np.where(np.eye(sets, dtype=bool), 1.0, rho[:, None, None])
        along = [_flat(parameters[k]) if noise.correlated else None for k in ("run_weight", "correlation_length")]
        errors, counted = fit.model.design.known_error, fit.model.design.measured.values
        known = np.array([np.median(errors[counted[:, e], e]) if counted[:, e].any() else 0.0 for e in range(sets)])
        return cls(sigma, batch, between, along[0], along[1], known, noise.robust)

    def _correlation(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return the correlation (draw, one, other) between checkpoints of a run."""
        if self.weight is None or self.length is None:
            same: np.ndarray = np.equal.outer(one, other).astype(float)
            return np.broadcast_to(same, (len(self.sigma), *same.shape))
        far = np.abs(np.subtract.outer(one, other))
        w, length = (v[:, None, None] for v in (self.weight, self.length))
        found: np.ndarray = w + (1 - w) * np.exp(-far / length)
        return found

    def given(self, past: _Past | None, along: np.ndarray | None, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (draw, row, eval) and correlation (draw, row, row) of errors, given the past of their run."""
        at = np.arange(count, dtype=float) if along is None else along
        mean, within = np.zeros((len(self.sigma), count, self.sigma.shape[1])), self._correlation(at, at)
        if past is None or self.weight is None:
            return mean, within
        seen = self._correlation(past.log_path, past.log_path) + JITTER * np.eye(len(past.log_path))
        pull = np.linalg.solve(seen, self._correlation(past.log_path, at))
        return (
            np.einsum("spr,spe->sre", pull, past.errors),
            within - np.einsum("spr,spq->srq", pull, self._correlation(past.log_path, at)),
        )

    def drawn(self, within: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return errors (draw, row, eval) of new checkpoints, and their mean covariance, rows and evals as one."""
        count, sets = within.shape[1], self.sigma.shape[1]
        z = rng.standard_normal((len(within), count, sets))
        heavy = np.sqrt(STUDENT / rng.chisquare(STUDENT, z.shape)) if self.robust else 1.0
        rows, evals = (np.linalg.cholesky(m + JITTER * np.eye(m.shape[1])) for m in (within, self.between))
        error = np.einsum("srq,sqe,sde->srd", rows, z * heavy, evals) * self.sigma[:, None] * size[:, :, None]
        alone = self.known**2 + (self.batch[:, None] * size[:, :, None]) ** 2
        error = error + np.sqrt(alone) * rng.standard_normal(error.shape)
        scale = size[:, :, None] * self.sigma[:, None]
        more = STUDENT / (STUDENT - 2) if self.robust else 1.0
        variance = more * np.einsum("srq,sed,sre,sqd->reqd", within, self.between, scale, scale) / len(within)
        flat: np.ndarray = variance.reshape(count * sets, count * sets) + np.diag(alone.mean(axis=0).ravel())
        return error, flat


def _pasts(fit: Posterior, candidates: Candidates) -> Mapping[str, _Past]:
    """Return the errors so far of the runs that are continued, at the checkpoints where all losses were measured."""
    design, path, found = fit.model.design, fit.model.law.path, {}
    whole = design.measured.all("eval").values
    for run in {run for run in candidates.continued if run} if fit.noise.correlated else ():
        rows = part(design, whole & (design.rows["run"].values.astype(str) == run))
        if not rows.rows.sizes["row"]:
            continue
        error = xr.ufuncs.log(rows.rows["loss"]) - xr.ufuncs.log(at_rows(fit, rows))
        size = fit.noise.at_size(fit.posterior, design.log_size(rows.rows))
        log_path = np.log(rows.rows[path].values.astype(float))
        found[run] = _Past(log_path, _flat(error / size, "row", "eval"))
    return found


def _flat(values: xr.DataArray, *dims: str) -> np.ndarray:
    """Return draws of all chains along the first axis, then the dims."""
    missing = {d: 1 for d in dims if d not in values.dims}
    whole = values.expand_dims(missing).transpose(*SAMPLE, *dims).values
    return whole.reshape(-1, *whole.shape[2:])
