"""A new domain from a few of its early checkpoints, added to a posterior, where possible without a refit.

The posterior of the old runs stays as it is. For every draw of the shared part (coefficients, populations, noise) the
new domain's own coefficients get a prior, their population at that draw, and a likelihood, that of the early runs.
Student-t proposals around the mode of the two, with the width of its curvature, are weighted by prior times likelihood
over the density of the proposal and then resampled in proportion to their weights. The result is the posterior of all
runs together, exact but for Monte Carlo error, whose size Pareto's k shows. Where the early runs say so much about the
shared part that the weights are unreliable, all runs are fitted together instead, which samples the same posterior.
"""

import time
import warnings
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from bayeslaw.base.numbers import short
from bayeslaw.errors import DataError, LawError, RangeError
from bayeslaw.posterior.convergence import MOST_PARETO_K
from bayeslaw.posterior.draws import Posterior, posterior_of
from bayeslaw.posterior.inference import fit as refit
from bayeslaw.posterior.inference import with_paper_units
from bayeslaw.posterior.shared_errors import SharedErrors, shared_errors
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.proposals import DOMAIN, PROPOSALS, Alone
from bayeslaw.spec.design import Design
from bayeslaw.spec.misfit import Misfit
from bayeslaw.spec.shape import Shape
from bayeslaw.spec.specification import Specification
from bayeslaw.tables.runs import Runs

__all__ = ["new_domain"]

OF_SAMPLER = ("draws", "tune", "chains", "target_accept")
"""Settings of a fit that a refit takes over."""

MOST_SHARED_DRAWS = 1000
"""Approximate number of draws of the shared part that get proposals."""

LEAST_EFFECTIVE_DRAWS = 100
"""Smallest effective number of reliable weighted draws."""


def new_domain(fit: Posterior, early_runs: Runs, *, draws: int = 1000, seed: int = 0) -> Posterior:
    """Return the posterior with one more domain, from a few of its measurements, where possible without a refit.

    Parameters
    ----------
    fit : Fit
        A sampled posterior with coefficients that are pooled by domain.
    early_runs : Runs
        Measurements of one domain that was not fitted, on the same validation sets.
    draws : int
        Number of draws of the result, in one chain; a refit has the chains and draws of the fit.
    seed : int
        Same seed, same draws.

    Returns
    -------
    Fit
        The fit of all runs, old and early. Its settings hold the ``domain`` and, where draws were weighted, Pareto's k,
        the number of weighted draws and their effective number; ``method`` is "new domain", or "nuts" after a refit.

    Raises
    ------
    DataError
        The early runs are of no domain, of several, or of one that was fitted.
    LawError
        No coefficient is pooled by domain, or one has a separate value for each; or the fit is no posterior.
    RangeError
        `draws` is below 1.

    Warns
    -----
    UserWarning
        All runs are fitted together, because the early runs inform the shared part too much for weights, or share batch
        noise with the others; before it starts, with the time that the fit took.

    Notes
    -----
    Early runs outside the range of the old runs widen the range of the shape prior for the new domain only.

    What the law misses in several domains alike is not the new domain's own. Where old runs have the same size, mixture
    and tokens, the part of their errors that the early runs share is taken off these first: ``shared_errors`` in the
    settings has it for every validation set, 0 where the early runs do not show it.
    """
    if draws < 1:
        raise RangeError(f"draws is {draws}: give at least 1")
    start, label = time.perf_counter(), _label(fit, early_runs)
    old = fit.model
    if isinstance(old.misfit, Misfit):
        old = replace(old, misfit=old.misfit.over(old.design.rows))
    joint = replace(old, runs=_together(old.runs, early_runs))
    shared = shared_errors(fit, label, replace(old, runs=early_runs).design)
    if joint.noise.batch:
        return _refit(fit, joint, shared, seed, start, "may share batch noise with the others")
    thin = max(1, fit.draws // MOST_SHARED_DRAWS)
    posterior = fit.posterior.stack(sample=("chain", "draw"), create_index=False).isel(sample=slice(None, None, thin))
    alone = Alone(Density(_Compared.of(replace(old, runs=early_runs), shared, joint)), posterior)
    rng = np.random.default_rng(seed)
    proposals, log_weight = alone.propose(rng)
    own = alone.named(proposals)
    smooth, pareto_k = array_stats.psislw(-log_weight.ravel())  # takes log likelihoods, whose inverses are the weights
    k, weight = float(pareto_k), np.exp(smooth)
    effective = 1 / float((weight**2).sum())
    reliability = {"pareto_k": round(k, 2), "weighted_draws": log_weight.size}
    reliability["effective_weighted_draws"] = round(effective)
    if not k <= MOST_PARETO_K or effective < LEAST_EFFECTIVE_DRAWS:
        told = f"Pareto's k {short(k, 2)}, {short(effective)} effective draws"
        why = f"inform the coefficients of all domains too much ({told})"
        return _refit(fit, joint, shared, seed, start, why, **reliability)
    position = (rng.random() + np.arange(draws)) / draws
    chosen = rng.permutation(np.minimum(np.searchsorted(np.cumsum(weight), position), weight.size - 1))
    found = _with_domain(posterior, own, label, joint, *np.divmod(chosen, PROPOSALS))
    how = {"method": "new domain", "domain": label, "draws": draws, "seed": seed, **shared.settings}
    how |= reliability
    idata = xr.DataTree.from_dict({"posterior": with_paper_units(joint, found)})
    return posterior_of(joint, idata, how, time.perf_counter() - start)


def _refit(
    fit: Posterior, joint: Specification, shared: SharedErrors, seed: int, start: float, why: str, **reliability: float
) -> Posterior:
    """Return the fit of all runs together, announced with the time that the fit took."""
    took = f", which took {short(fit.seconds, 2)} s without them" if fit.sampled else ""
    warnings.warn(f"the runs of {shared.domain!r} {why}: all runs are fitted together{took}", stacklevel=5)
    settings = {k: fit.settings[k] for k in OF_SAMPLER if k in fit.settings}
    found = refit(_Compared.of(joint, shared), **settings, seed=seed)
    how = {**found.settings, "domain": shared.domain, **shared.settings, **reliability}
    return posterior_of(joint, found.idata, how, time.perf_counter() - start)


def _with_domain(
    posterior: xr.Dataset, own: xr.Dataset, label: str, joint: Specification, sample: np.ndarray, proposal: np.ndarray
) -> xr.Dataset:
    """Return the chosen draws of the old posterior with the chosen proposals as one more domain, in one chain."""
    old = posterior.isel(sample=sample).drop_vars([str(n) for n in posterior if str(n).endswith("_paper")])
    new = own.isel(sample=xr.DataArray(sample, dims="sample"), proposal=xr.DataArray(proposal, dims="sample"))
    both = {name: xr.concat([old[name], new[name].assign_coords({DOMAIN: [label]})], DOMAIN) for name in own}
    found = old.drop_dims(DOMAIN).assign(both)
    found = found.sel({dim: labels for dim, labels in joint.design.groups.items() if dim in found.dims})
    found = found.drop_vars(["chain", "draw"]).rename(sample="draw").assign_coords(draw=np.arange(len(sample)))
    return found.expand_dims(chain=[0]).transpose("chain", "draw", "eval", ...)


def _label(fit: Posterior, early_runs: Runs) -> str:
    """Return the name of the new domain, after all checks."""
    model = fit.model
    if DOMAIN not in model.by.values():
        raise LawError("no coefficient is pooled by domain, and a new domain needs one of its own: fit with by=")
    for name, prior in model.coefficient_priors.items():
        if DOMAIN in (prior.dims or ()) and name not in model.by:
            raise LawError(
                f"{name} is separate for each domain, so the other domains do not inform it: pool it with by="
            )
    if not all(f"{name}_mu" in fit.posterior for name in model.by):
        raise LawError("a fit by least squares has no populations: fit with method='nuts'")
    names = list(early_runs.table[DOMAIN].unique()) if DOMAIN in early_runs.table else []
    if len(names) != 1:
        raise DataError(f"the early runs are of {len(names)} domains: give those of one, named in the column 'domain'")
    if names[0] in model.design.groups[DOMAIN]:
        raise DataError(
            f"the domain {names[0]!r} is among those that were fitted: add its runs to theirs and fit again"
        )
    for dim, known in model.design.groups.items():
        if dim != DOMAIN and dim in early_runs.table and not (found := early_runs.table[dim].isin(known)).all():
            raise DataError(
                f"{dim} {early_runs.table[dim][~found].iloc[0]} is not among those that were fitted, and coefficients "
                "vary by it: leave these rows out"
            )
    if early_runs.evals != model.runs.evals:
        raise DataError(
            f"the early runs have losses on {', '.join(early_runs.evals)}, the fit on {', '.join(model.runs.evals)}: "
            "give the same"
        )
    if early_runs.area_settings != model.runs.area_settings:
        raise DataError(
            "the areas of the early runs have other settings than those of the fit: read both with the same settings"
        )
    if fit.method == "prior":
        raise LawError("draws from the prior do not depend on the runs: fit with method='nuts'")
    return str(names[0])


def _together(old: Runs, new: Runs) -> Runs:
    """Return all runs in one table; new runs with the name of an old one are renamed."""
    taken = set(old.table["run"]) | set(old.baseline.get("run", []))
    table, baseline = (
        t.assign(run=[f"{r} (new)" if r in taken else r for r in t["run"]]) if len(t) else t
        for t in (new.table, new.baseline)
    )
    parts = [(old.table, table), (old.baseline, baseline)]
    both = [pd.concat([t for t in pair if len(t)] or [pair[0]], ignore_index=True) for pair in parts]
    return replace(old, table=both[0], baseline=both[1])


@dataclass(frozen=True, eq=False)
class _Compared(Specification):
    """A model of losses less the errors that the new domain shares; `among` has the range of the shape prior."""

    shared: SharedErrors | None = None
    among: Specification | None = None

    @classmethod
    def of(cls, model: Specification, shared: SharedErrors, among: Specification | None = None) -> "_Compared":
        """Return the model, compared."""
        settings = {f.name: getattr(model, f.name) for f in fields(Specification)}
        return cls(**settings, shared=shared, among=among)

    @cached_property
    def design(self) -> Design:
        """The design of the model, without the shared errors."""
        whole: Design = super().design
        return whole if self.shared is None else self.shared.without(whole)

    @cached_property
    def shape(self) -> Shape:
        """The shape prior over the range of all runs."""
        return Shape(self.design, self.coefficient_priors, self.monotone, self.among.design if self.among else None)
