"""Sensitivity of a posterior to its priors, by power scaling: the draws get new weights, without a refit.

Source: Kallioinen, Paananen, Bürkner and Vehtari 2023, "Detecting and diagnosing prior and likelihood sensitivity with
power-scaling", arXiv:2107.14054.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import arviz_base
import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import betaln, gammaln, xlog1py, xlogy

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.words import place
from bayeslaw.declare.priors import BEND_SDS, Correlation, Prior, closed
from bayeslaw.errors import RangeError
from bayeslaw.posterior.draws import Posterior, kept
from bayeslaw.posterior.likelihood import log_likelihood
from bayeslaw.posterior.power_scaling import changes, shifts
from bayeslaw.posterior.prediction import thinned
from bayeslaw.posterior.quantity import elements

__all__ = [
    "LEAST_CONTRACTION",
    "LEAST_DRAWS",
    "SENSITIVE",
    "Cell",
    "contraction",
    "in_prior_units",
    "with_loss",
    "log_prior",
    "sensitivity",
    "unit_cells",
    "weighable",
]

SENSITIVE = 0.05
"""Change of a posterior per doubling of a component's weight above which it counts as sensitive (the paper's)."""

POWERS = (0.8, 1.25)
"""Weights of the prior at which the shift of a posterior mean is given."""

LEAST_CONTRACTION = 0.25
"""Contraction (1 minus the ratio of posterior to prior variance) below which the data did not learn a coefficient."""

LEAST_DRAWS = 200
"""Smallest number of draws that can be weighted."""


class Cell(NamedTuple):
    """A coefficient of one validation set and group: its name in words, and its draws in prior units."""

    coefficient: str
    eval: str
    label: str
    draws: xr.DataArray


@kept
def log_prior(fit: Posterior) -> xr.Dataset:
    """Return the log density of every prior at every draw; dims chain and draw, one variable per prior.

    Of a pooled coefficient it is the prior of the population, the one that a user states. The shape prior is left out:
    it only excludes draws. Densities of positive coefficients are those of the logarithm, and of correlations those of
    the logit, so that another weight changes the spread of such a prior and not its median.
    """
    model, posterior, densities = fit.model, fit.posterior, {}
    for name, prior in _stated({**model.coefficient_priors, **model.stated_priors}):
        draws = posterior[name]
        density = draws.copy(data=_log_density(prior, draws.values))
        densities[name] = density.sum([d for d in draws.dims if d not in SAMPLE])
    return xr.Dataset(densities).reset_coords(drop=True)


def _log_density(prior: Prior, x: np.ndarray) -> Any:
    """Return the log density of a prior that can be sampled, with numbers as parameters."""
    p = prior.parameters
    if isinstance(prior, Correlation):
        return _normal((prior.logit(x) - p["mu"]) / p["sigma"], p["sigma"])
    match prior.distribution:
        case "Normal":
            return _normal((x - p["mu"]) / p["sigma"], p["sigma"])
        case "LogNormal":
            return _normal((_log(x, p["mu"], p["sigma"]) - p["mu"]) / p["sigma"], p["sigma"])
        case "HalfNormal":
            return _normal(x / p["sigma"], p["sigma"]) + np.log(2)
        case "Gamma" | "Exponential":
            a, b = (p["alpha"], p["beta"]) if "alpha" in p else (1.0, p.get("lam", 1.0))
            return xlogy(a - 1, x) - b * x + a * np.log(b) - gammaln(a)
        case "Beta":
            return xlogy(p["alpha"] - 1, x) + xlog1py(p["beta"] - 1, -x) - betaln(p["alpha"], p["beta"])
    low, high = prior.ends
    return np.full_like(x, -np.log(high - low))


def _log(x: Any, mu: Any, sigma: Any) -> Any:
    """Return the logarithm of draws with a log-normal prior.

    A few draws of a level may lie below 0, where it is sampled with the tangent of the logarithm: they get that.
    """
    lowest = mu - BEND_SDS * sigma
    return np.where(x > 0, np.log(np.where(x > 0, x, 1.0)), lowest + x / np.exp(lowest) - 1)


def _normal(z: np.ndarray, sigma: Any) -> np.ndarray:
    density: np.ndarray = -0.5 * z**2 - np.log(sigma * np.sqrt(2 * np.pi))
    return density


def sensitivity(fit: Posterior, quantities: xr.Dataset) -> pd.DataFrame:
    """Return how far posterior quantities move when priors or likelihood get another weight.

    Parameters
    ----------
    fit : Fit
        A sampled posterior.
    quantities : xarray.Dataset
        Draws of coefficients, predictions or decisions, at all draws of the fit or at some, which are named then; dims
        chain, draw and any others.

    Returns
    -------
    pandas.DataFrame
        One row per element. ``prior`` and ``likelihood``: ArviZ' sensitivity, the change of the distribution per
        doubling of the weight of all priors, or of all measurements. ``shift``: the larger shift of the mean, in
        posterior standard deviations, when all priors weigh 0.8 or 1.25. ``strongest``: the prior that shifts the mean
        most when it alone weighs 0.8. ``verdict``: in words.

    Raises
    ------
    RangeError
        There are fewer than 200 draws.
    """
    if quantities.sizes["chain"] * quantities.sizes["draw"] < LEAST_DRAWS:
        raise RangeError(f"sensitivity needs at least {LEAST_DRAWS} draws: sample more, or fit with method='nuts'")
    draws = arviz_base.dataset_to_dataframe(quantities, sample_dims=list(SAMPLE))
    values = draws.to_numpy(float).reshape(quantities.sizes["chain"], quantities.sizes["draw"], -1)
    few = _at_draws(fit, quantities)
    priors = {str(k): v.transpose(*SAMPLE).values for k, v in log_prior(few).items()}
    likelihood = log_likelihood(few).sum("run").transpose(*SAMPLE).values
    all_priors = np.sum(list(priors.values()), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # constant draws, as at the end of a range
        prior, data = changes(values, (all_priors, likelihood))
        shift = np.max([abs(shifts(values, all_priors, power)) for power in POWERS], axis=0)
        alone = [abs(shifts(values, density, POWERS[0])) for density in priors.values()]
    columns = {"prior": prior, "likelihood": data, "shift": shift}
    table = pd.DataFrame(columns, index=draws.columns).fillna(0.0)
    strongest = np.nan_to_num(alone).argmax(axis=0)
    table["strongest"] = [re.sub("_(mu|sigma)$", "", list(priors)[n]) for n in strongest]
    table["verdict"] = [_verdict(*row) for row in table[["prior", "likelihood"]].itertuples(index=False)]
    return table


def _at_draws(fit: Posterior, quantities: xr.Dataset) -> Posterior:
    """Return the fit with the draws of quantities."""
    if "draw" not in quantities.coords:
        return fit
    few = thinned(fit, quantities.sizes["chain"] * quantities.sizes["draw"])
    if few.posterior.get_index("draw").equals(quantities.get_index("draw")):
        return few
    return replace(fit, idata=fit.idata.sel(draw=quantities["draw"]))


def weighable(fit: Posterior) -> bool:
    """Return whether a fit is a posterior with enough draws to be weighted."""
    return fit.method not in ("prior", "mle") and fit.draws >= LEAST_DRAWS


def with_loss(fit: Posterior, name: str) -> xr.DataArray:
    """Return the draws of a parameter; those of a coefficient of one role have a dim ``eval`` with its only loss."""
    coefficient, draws = fit.model.law.coefficients.get(name), fit.posterior[name]
    if coefficient is None or not coefficient.role:
        return draws
    return draws.expand_dims(eval=fit.model.design.of_role(coefficient.role))


def in_prior_units(fit: Posterior) -> dict[str, xr.DataArray]:
    """Return the draws of every coefficient in standard deviations from the middle of its prior.

    Positive coefficients are on the log scale. The prior is that of the card or the user, without the shape prior; for
    a pooled coefficient it is that of one group, population and spread together. Coefficients without such a closed
    form are left out.
    """
    model, result = fit.model, {}
    for name, coefficient in model.coefficients.items():
        prior, draws = coefficient.prior, with_loss(fit, name)
        spread = coefficient.between if name in model.by else 0.0
        mu, sigma = (prior.parameters.get(p) for p in ("mu", "sigma"))
        if prior.distribution == "Beta" and closed(prior):
            a, b = (prior.parameters[p] for p in ("alpha", "beta"))
            result[name] = (draws - a / (a + b)) / (a * b / (a + b + 1)) ** 0.5 * (a + b)
        elif prior.distribution in ("LogNormal", "Normal") and not (isinstance(mu, Prior) or isinstance(sigma, Prior)):
            value = draws
            if prior.distribution == "LogNormal":
                value = draws.copy(data=_log(draws.values, mu, np.hypot(sigma, spread)))
            result[name] = (value - mu) / np.hypot(sigma, spread)
    return result


def unit_cells(fit: Posterior) -> Iterator[Cell]:
    """Yield every coefficient in every group, in prior units."""
    for name, every in in_prior_units(fit).items():
        for at, z in elements(every):
            e = str(at.pop("eval"))
            yield Cell(name, e, f"{name} of the {e} loss{f' at {place(at)}' if at else ''}", z)


def contraction(standard: xr.DataArray) -> xr.DataArray:
    """Return 1 minus the ratio of posterior to prior variance, of draws in prior units (see `in_prior_units`)."""
    return 1 - standard.var(SAMPLE)


def _stated(priors: Mapping[str, Prior]) -> Iterator[tuple[str, Prior]]:
    """Yield the priors with numbers as parameters, by the name of their variable."""
    for name, prior in priors.items():
        nested = {f"{name}_{k}": v for k, v in prior.parameters.items() if isinstance(v, Prior)}
        yield from _stated(nested) if nested else [(name, prior)]


def _verdict(prior: float, likelihood: float) -> str:
    if prior < SENSITIVE:
        return "the data decide" if likelihood >= SENSITIVE else "neither moves it"
    return "data and prior decide" if likelihood >= SENSITIVE else "the prior decides"
