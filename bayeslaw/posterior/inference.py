"""Three ways to a posterior: sampling, maximum likelihood, and draws from the prior."""

import time
from os import cpu_count
from typing import Literal

import numpy as np
import xarray as xr

from bayeslaw import sampler
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.declare.calls import call_with
from bayeslaw.errors import RangeError, unknown_name
from bayeslaw.posterior.draws import Posterior, posterior_of
from bayeslaw.spec.specification import Specification

__all__ = ["fit", "prior_predictive", "with_paper_units"]


def fit(
    model: Specification,
    *,
    draws: int = 1000,
    chains: int = 4,
    seed: int = 0,
    tune: int = 300,
    target_accept: float | None = None,
    cores: int | None = None,
    method: Literal["nuts", "mle"] = "nuts",
    progress: bool = True,
) -> Posterior:
    """Sample a model or find its maximum likelihood; see `bayeslaw.Model.fit`."""
    if method not in ("nuts", "mle"):
        raise unknown_name("method", method, ("nuts", "mle"))
    for name, number in {"draws": draws, "chains": chains, "tune": tune, "cores": cores}.items():
        if number is not None and number < 1:
            raise RangeError(f"{name} is {number}: give at least 1")
    start = time.perf_counter()
    if method == "mle":
        best = sampler.estimate(model, regularised=False, starts=12, seed=seed)
        posterior = best.coefficients.assign(sigma=best.sigma).expand_dims({"chain": [0], "draw": [0]})
        idata = xr.DataTree.from_dict({"posterior": posterior})
        return posterior_of(model, idata, {"method": "mle", "seed": seed}, time.perf_counter() - start)
    settings = {"draws": draws, "tune": tune, "chains": chains, "seed": seed}
    how = {"target_accept": target_accept, "cores": cores or cpu_count() or 1, "progress": progress}
    idata = sampler.sample(model, **settings, **how)
    posterior = with_paper_units(model, with_unmeasured(model, idata["posterior"].to_dataset(), seed))
    idata["posterior"] = xr.DataTree(posterior)
    accepted = {"target_accept": idata["sample_stats"].attrs["target_accept"]}
    return posterior_of(model, idata, {"method": "nuts", **settings, **accepted}, time.perf_counter() - start)


def with_paper_units(model: Specification, posterior: xr.Dataset) -> xr.Dataset:
    """Return draws with the coefficients in the units of the law's paper added."""
    if model.law.paper_units is None:
        return posterior
    given = call_with(model.law.paper_units, {"reference": model.reference}, posterior)
    return posterior.assign({f"{k}_paper": v for k, v in given.items()})


def with_unmeasured(model: Specification, posterior: xr.Dataset, seed: int) -> xr.Dataset:
    """Return draws with the weights of the misfit that no measurement meets, drawn from their prior."""
    rng = np.random.default_rng([seed, 5])
    for process in model.processes.values():
        known = posterior[process.weights]
        more = {process.dim: np.arange(process.sampled, len(process))}
        dims = (*SAMPLE, "eval", process.dim)
        shape = [*(known.sizes[d] for d in dims[:-1]), len(process) - process.sampled]
        drawn = xr.DataArray(rng.standard_normal(shape), dims=dims, coords=more)
        posterior = posterior.drop_dims(process.dim).assign(
            {process.weights: xr.concat([known.transpose(*dims), drawn], process.dim)}
        )
    return posterior


def prior_predictive(model: Specification, *, draws: int = 500, seed: int = 0) -> Posterior:
    """Draw from the prior, shape prior included; see `bayeslaw.Model.prior_predictive`."""
    if draws < 1:
        raise RangeError(f"draws is {draws}: give at least 1")
    rng = np.random.default_rng(seed)
    density = sampler.Density(model)
    kept: list[np.ndarray] = []
    for _ in range(200):
        v = density.parameters.draw(2000, rng)
        kept += list(v[rng.random(len(v)) < density.shape_weight(v)])
        if len(kept) >= draws:
            break
    if len(kept) < draws:
        raise RangeError(
            f"only {len(kept)} of 400,000 prior draws have the shape that monotone={model.monotone!r} asks for: look "
            "at the unpooled model, change the priors or set monotone=None"
        )
    index = {"chain": np.arange(1), "draw": np.arange(draws)}
    drawn = sampler.named(density, np.array(kept[:draws])[None], index)
    posterior = with_unmeasured(model, drawn, seed)
    idata = xr.DataTree.from_dict({"posterior": with_paper_units(model, posterior)})
    return posterior_of(model, idata, {"method": "prior", "seed": seed}, 0.0)
