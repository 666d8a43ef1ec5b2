"""A domain that was not fitted, from a few of its early checkpoints: what the others taught is not learned again.

The posterior of the old runs stays as it is. For every draw of what the domains share (coefficients, populations,
noise) the new domain's own coefficients get a prior, their population at that draw, and a likelihood, the early
runs. They are proposed around the mode of the two (Student-t, its width from the curvature there), and every
proposal is weighted by prior times likelihood over the proposal's density. Weighted so, draws of the shared part count
by how well they announced the new domain, and the whole is the posterior of all runs together: exact but for
Monte Carlo error, whose size Pareto's k tells. The proposals are then drawn anew in proportion to their weights.
"""

import time
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from bayeslaw.base.errors import DataError, LawError, RangeError
from bayeslaw.posterior.draws import Posterior, posterior_of
from bayeslaw.posterior.inference import with_paper_units
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.proposals import DOMAIN, PROPOSALS, Alone
from bayeslaw.spec.shape import Shape
from bayeslaw.spec.specification import Specification
from bayeslaw.tables.runs import Runs

__all__ = ["new_domain"]

SHARED = 1000
"""Draws of the shared part that are looked at."""

HIGHEST_K = 0.7
"""Pareto's k above which importance weights are not to be believed (arXiv:1507.02646)."""

FEWEST = 100
"""Effective draws below which neither are they."""


def new_domain(fit: Posterior, early_runs: Runs, *, draws: int = 1000, seed: int = 0) -> Posterior:
    """Return the posterior with one more domain, from a few of its measurements and without a refit.

    Parameters
    ----------
    fit : Fit
        A sampled posterior with coefficients that are pooled by domain.
    early_runs : Runs
        Measurements of one domain that was not fitted; the same validation sets.
    draws : int
        Number of draws of the result.
    seed : int
        Same seed, same draws.

    Returns
    -------
    Fit
        Of all runs together, old and early, with one chain: it predicts, decides and checks like any other. Its
        settings hold Pareto's k, the number of weighted draws that the result was drawn from, and how many effective
        ones these are.

    Raises
    ------
    DataError
        The early runs are of no domain, of several, or of one that was fitted.
    LawError
        No coefficient is pooled by domain, or one has a separate value for each.
    RangeError
        The early runs say so much about what the domains share that weights cannot carry it: fit all runs together.
        Or `draws` is below 1.

    Notes
    -----
    Early runs outside of the old runs' range widen the range over which the shape prior looks at the new domain, not at
    the old ones.
    """
    if draws < 1:
        raise RangeError(f"draws is {draws}: give at least 1")
    start, label = time.perf_counter(), _label(fit, early_runs)
    joint = replace(fit.model, runs=_together(fit.model.runs, early_runs))
    thin = max(1, fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"] // SHARED)
    posterior = fit.posterior.stack(sample=("chain", "draw"), create_index=False).isel(sample=slice(None, None, thin))
    settings = {f.name: getattr(fit.model, f.name) for f in fields(Specification)}
    alone = Alone(Density(_Early(**settings | {"runs": early_runs}, among=joint)), posterior)
    rng = np.random.default_rng(seed)
    proposals, log_weight = alone.propose(rng)
    own = alone.named(proposals)
    smooth, pareto_k = array_stats.psislw(-log_weight.ravel())  # as of log likelihoods, whose inverses are the weights
    weight = np.exp(smooth)
    effective = 1 / float((weight**2).sum())
    if not float(pareto_k) <= HIGHEST_K or effective < FEWEST:
        raise RangeError(
            f"the runs of {label!r} tell too much about what the domains share (Pareto's k {float(pareto_k):.2f}, "
            f"{effective:.0f} effective draws): give earlier ones only, or fit all runs together"
        )
    position = (rng.random() + np.arange(draws)) / draws
    chosen = rng.permutation(np.minimum(np.searchsorted(np.cumsum(weight), position), weight.size - 1))
    found = _with_domain(posterior, own, label, joint, *np.divmod(chosen, PROPOSALS))
    how = {
        "method": "new domain",
        "domain": label,
        "draws": draws,
        "seed": seed,
        "pareto_k": round(float(pareto_k), 2),
        "weighted_draws": log_weight.size,
        "effective_weighted_draws": round(effective),
    }
    idata = xr.DataTree.from_dict({"posterior": with_paper_units(joint, found)})
    return posterior_of(joint, idata, how, time.perf_counter() - start)


def _with_domain(
    posterior: xr.Dataset, own: xr.Dataset, label: str, joint: Specification, sample: np.ndarray, proposal: np.ndarray
) -> xr.Dataset:
    """Return the chosen draws of the old posterior with the chosen proposals as one more domain; one chain."""
    old = posterior.isel(sample=sample).drop_vars([str(n) for n in posterior if str(n).endswith("_paper")])
    new = own.isel(sample=xr.DataArray(sample, dims="sample"), proposal=xr.DataArray(proposal, dims="sample"))
    both = {name: xr.concat([old[name], new[name].assign_coords({DOMAIN: [label]})], DOMAIN) for name in own}
    found = old.drop_dims(DOMAIN).assign(both)
    found = found.sel({dim: labels for dim, labels in joint.design.groups.items() if dim in found.dims})
    found = found.drop_vars(["chain", "draw"]).rename(sample="draw").assign_coords(draw=np.arange(len(sample)))
    return found.expand_dims(chain=[0]).transpose("chain", "draw", "eval", ...)


def _label(fit: Posterior, early_runs: Runs) -> str:
    """Return the name of the new domain."""
    model = fit.model
    if model.noise.batch:
        raise LawError(
            "batch noise is shared with the runs that were fitted, which a new domain alone cannot know: fit without "
            "it (noise=bl.Noise(batch=False)), or fit all runs together"
        )
    if DOMAIN not in model.by.values():
        raise LawError("no coefficient is pooled by domain, so that nothing is a new domain's own: fit with by=")
    for name, prior in model.coefficient_priors.items():
        if DOMAIN in (prior.dims or ()) and name not in model.by:
            raise LawError(f"{name} is separate for each domain, so that the others say nothing about it: pool it")
    if not all(f"{name}_mu" in fit.posterior for name in model.by):
        raise LawError("least squares knows no populations: fit with method='nuts'")
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
        raise DataError("the areas of the early runs were computed otherwise than those of the fit: read them alike")
    return str(names[0])


def _together(old: Runs, new: Runs) -> Runs:
    """Return all runs in one table; a run of the new ones whose name is taken gets another."""
    taken = set(old.table["run"]) | set(old.baseline.get("run", []))
    table, baseline = (
        t.assign(run=[f"{r} (new)" if r in taken else r for r in t["run"]]) if len(t) else t
        for t in (new.table, new.baseline)
    )
    parts = [(old.table, table), (old.baseline, baseline)]
    both = [pd.concat([t for t in pair if len(t)] or [pair[0]], ignore_index=True) for pair in parts]
    return replace(old, table=both[0], baseline=both[1])


@dataclass(frozen=True, eq=False)
class _Early(Specification):
    """The model of the new domain's runs alone, whose shape prior looks at the range of all runs."""

    among: Specification | None = None

    @cached_property
    def shape(self) -> Shape:
        """The shape prior over the range of all runs."""
        return Shape(self.design, self.coefficient_priors, self.monotone, self.among.design if self.among else None)
