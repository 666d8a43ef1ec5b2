"""How much of an answer is the prior's: exact in a linear law, and plain where a column of the runs never varies."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.decisions.study import study_of
from bayeslaw.posterior.prior_share import PriorShare, prior_share
from bayeslaw.workflow import Fit
from tests.stand_ins import stand_in

QUICK: dict[str, Any] = {"draws": 200, "tune": 300, "chains": 2, "seed": 1, "progress": False}


def chinchilla(sizes: list[float], tokens: list[float], misfit: Literal["scales"] | None = None) -> Fit:
    rng, rows = np.random.default_rng(2), [(n, d) for n in sizes for d in tokens]
    table = pd.DataFrame(rows, columns=["N", "D"]).assign(run=[f"{n:g} {d:g}" for n, d in rows])
    law = 1.8 + 0.4 * (table["N"] / 1e8) ** -0.34 + 0.4 * (table["D"] / 1e9) ** -0.28
    runs = bl.read_runs(table.assign(loss=law * np.exp(rng.normal(0, 0.003, len(table)))))
    return bl.Model(models.chinchilla, runs, misfit=misfit).fit(**QUICK)


def with_posterior(fit: Fit, **draws: np.ndarray) -> Fit:
    posterior = fit.posterior
    for name, values in draws.items():
        posterior[name] = posterior[name].copy(data=values)
    return replace(fit, idata=xr.DataTree.from_dict({"posterior": posterior}))


def test_it_is_the_part_of_the_prior_in_the_precision(table_for: Callable[..., pd.DataFrame]) -> None:
    """With a posterior variance of v in units of the prior's, the prior has v of the precision 1 / v."""
    fit = stand_in(models.chinchilla, table_for, draws=1000)
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2, 1000, 1))
    prior = fit.model.coefficient_priors["beta"].parameters
    for v in (0.05, 0.3, 0.9):
        some = with_posterior(fit, beta=np.exp(prior["mu"] + prior["sigma"] * np.sqrt(v) * z))
        beta = some.posterior["beta"].isel(eval=0, drop=True)
        assert prior_share(some, beta).share == pytest.approx(v, abs=0.05)
        rescaled = xr.ufuncs.exp(3 * beta)  # the answer in another unit
        assert prior_share(some, rescaled).share == pytest.approx(v, abs=0.05)
        other = xr.DataArray(rng.standard_normal((2, 1000)), dims=SAMPLE)
        assert prior_share(some, other).share < 0.02


def test_correlated_draws_are_no_share(table_for: Callable[..., pd.DataFrame]) -> None:
    """Slow chains correlate by chance with everything; what chance makes of it is taken off."""
    fit = stand_in(models.chinchilla, table_for, draws=400)
    rng, shares = np.random.default_rng(3), []
    for _ in range(30):
        slow = np.cumsum(rng.normal(0, 0.2, (6, 2, 400)), axis=-1)
        slow = (slow - slow.mean(-1, keepdims=True)) / slow.std(-1, keepdims=True)
        names = zip(("E", "A", "B", "alpha", "beta"), slow[1:, ..., None], strict=True)
        priors = {k: p.parameters for k, p in fit.model.coefficient_priors.items()}
        open_ = with_posterior(fit, **{k: np.exp(priors[k]["mu"] + priors[k]["sigma"] * x) for k, x in names})
        shares.append(prior_share(open_, xr.DataArray(slow[0], dims=SAMPLE)).share)
    assert np.median(shares) < 0.5


@pytest.mark.parametrize("misfit", [None, "scales"])
@pytest.mark.parametrize(
    ("sizes", "tokens", "constant", "named"),
    [
        ([5e7, 1e8, 2e8, 4e8], [4.4e9], "D 4.4 B", {"B", "beta"}),
        ([2e8], [1e9, 3e9, 9e9, 2e10], "N 200 M", {"A", "alpha"}),
    ],
)
def test_what_never_varied_in_the_runs_is_the_priors(sizes, tokens, constant, named, misfit):
    fit = chinchilla(sizes, tokens, misfit)
    (caution,) = [c for c in fit.allocation(flops=1e20).cautions if "the prior of" in c]
    assert caution.endswith(f": the runs have one {constant}") and named & set(caution.split())
    inside = fit.predict(N=sizes, D=tokens)
    assert not any("the prior of" in c for c in inside.cautions), "inside the runs the losses are the data's"


def test_an_ordinary_design_rests_on_its_runs():
    fit = chinchilla([5e7, 1e8, 2e8, 4e8], [1e9, 3e9, 9e9])
    asked = study_of(fit).question
    assert asked is not None
    for answer in (fit.allocation(**asked[1]), fit.allocation(flops=1e20), fit.predict(N=1e8, D=[1e9, 3e10])):
        assert 0 < prior_share(fit, answer.draws).share < 0.5 and "prior" not in answer.note


def test_the_sentence_names_every_coefficient_once():
    share = PriorShare(0.9, ("B of the general loss", "beta of the general loss", "C of the domain loss"))
    assert "the prior of B and beta of the general loss and C of the domain loss than on the runs" in str(share)
