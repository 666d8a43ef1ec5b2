"""The density of runs against the dense normal distribution, and comparisons of made-up posteriors."""

import warnings
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytest
import xarray as xr
from scipy.stats import multivariate_normal, norm, t

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import DataError, RangeError
from bayeslaw.posterior.likelihood import log_likelihood
from bayeslaw.validation.comparison import compare
from bayeslaw.validation.evaluation import Evaluation
from bayeslaw.workflow import Fit

W, ELL, RHO = 0.35, 0.7, 0.45
SIGMA = {"general": 0.01, "domain": 0.03}
TRUTH = {"E": 1.8, "A": 0.35, "alpha": 0.35, "B": 0.4, "beta": 0.37}
TOKENS = {"a": [1e9, 2e9, 9e9, 4e10], "b": [5e9], "c": [1e9, 1e10], "d": [3e9, 3.1e9, 8e9]}


def table(evals: tuple[str, ...] = ("general", "domain"), replicas: int = 1, seed: int = 0) -> pd.DataFrame:
    """Ragged runs, some of them repeated, with independent errors."""
    rows = [
        (f"{run}{k}", 2e8 * (1 + i), D)
        for k in range(replicas)
        for i, (run, path) in enumerate(TOKENS.items())
        for D in path
    ]
    frame = pd.DataFrame(rows, columns=["run", "N", "D"]).sample(frac=1, random_state=1)
    rng = np.random.default_rng(seed)
    for e in evals:
        mean = models.chinchilla(frame["N"] / 1e9, frame["D"] / 1e10, **TRUTH)
        frame[f"{e}_loss"] = mean * np.exp(SIGMA[e] * rng.standard_normal(len(frame)))
    return frame


def stand_in(model: bl.Model, draws: int = 50, spread: float = 0.01, seed: int = 2, **changed: float) -> Fit:
    """A fit with draws around the truth, instead of sampled ones."""
    rng, evals = np.random.default_rng(seed), model.design.evals
    dims, coords = ("chain", "draw", "eval"), {"chain": [0, 1], "draw": np.arange(draws), "eval": evals}
    middles = {**TRUTH, "sigma": [SIGMA[e] for e in evals], **changed}
    data: dict[str, Any] = {
        k: (dims, v * np.exp(spread * rng.standard_normal((2, draws, len(evals))))) for k, v in middles.items()
    }
    if model.noise.correlated:
        data |= {k: (dims[:2], np.full((2, draws), v)) for k, v in {"run_weight": W, "correlation_length": ELL}.items()}
    if model.noise.joint:
        data["eval_correlation"] = (dims[:2], np.full((2, draws), RHO))
    return Fit(model, xr.DataTree.from_dict({"posterior": xr.Dataset(data, coords)}), {"method": "nuts", "seed": 1})


def by_hand(fit: Fit, run: str, draw: int) -> float:
    """The joint density of a run's log losses, from the covariance written out."""
    p = {str(k): v.isel(chain=1, draw=draw).values for k, v in fit.posterior.items()}
    rows = fit.model.runs.table.query("run == @run").sort_values("D")
    N, D = rows["N"].to_numpy(), rows["D"].to_numpy()
    evals = fit.evals
    mean = [np.log(models.chinchilla(N / 1e9, D / 1e10, **{k: p[k][i] for k in TRUTH})) for i in range(len(evals))]
    error = np.concatenate([np.log(rows[f"{e}_loss"]) - m for e, m in zip(evals, mean, strict=True)])
    noise, lag = fit.model.noise, abs(np.log(D)[:, None] - np.log(D))
    along = W + (1 - W) * np.exp(-lag / ELL) if noise.correlated else np.eye(len(D))
    between = np.full((len(evals), len(evals)), RHO if noise.joint else 0.0)
    np.fill_diagonal(between, 1.0)
    if noise.robust:
        scale = np.repeat(p["sigma"], len(D))
        return float((t(5).logpdf(error / scale) - np.log(scale)).sum())
    return float(multivariate_normal(cov=np.kron(between * np.outer(p["sigma"], p["sigma"]), along)).logpdf(error))


@pytest.mark.parametrize(
    ("evals", "noise"),
    [
        (("general", "domain"), bl.Noise()),
        (("general", "domain"), bl.Noise(joint=False)),
        (("general", "domain"), bl.Noise(correlated=False)),
        (("general",), bl.Noise()),
        (("general", "domain"), bl.Noise(correlated=False, joint=False)),
        (("general", "domain"), bl.Noise(correlated=False, joint=False, robust=True)),
    ],
)
def test_the_density_of_a_run_is_the_dense_one_with_its_constants(evals, noise):
    fit = stand_in(bl.Model(models.chinchilla, bl.read_runs(table(evals)), noise=noise, misfit=None))
    density = log_likelihood(fit)
    assert dict(density.sizes) == {"chain": 2, "draw": 50, "run": 4} and density.dims == ("chain", "draw", "run")
    for run in density["run"].values:
        for draw in (0, 17):
            found = density.sel(run=run).isel(chain=1, draw=draw).item()
            assert found == pytest.approx(by_hand(fit, run, draw), abs=1e-8, rel=0)


def test_the_densities_of_the_runs_add_up_to_pymcs():
    """PyMC has the same likelihood by measurement, each given the earlier ones of its run; robust innovations too."""
    model = bl.Model(models.chinchilla, bl.read_runs(table()), noise=bl.Noise(robust=True), misfit=None)
    fit = stand_in(model, draws=2)
    measured = fit.model.design.cells["row"]
    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        tree = pm.compute_log_likelihood(fit.idata.copy(), model=model.pymc_model, progressbar=False)
    single = tree["log_likelihood"]["log_loss"].transpose("chain", "draw", ...)
    run = xr.DataArray(model.design.rows["run"].values[measured], dims=single.dims[-1], name="run")
    by_run = single.groupby(run).sum()
    xr.testing.assert_allclose(log_likelihood(fit).reset_coords(drop=True), by_run.reset_coords(drop=True), atol=1e-8)


def test_rows_outside_the_range_do_not_count():
    rows = table().assign(domain_share=[0.0, *[0.5] * 9])
    middles: dict[str, Any] = {
        "E": 1.6,
        "A": 0.3,
        "alpha": 0.3,
        "B": 0.05,
        "beta": 0.3,
        "eta": 1.2,
        "C": 0.5,
        "gamma": 0.4,
        "eps": 0.1,
    }
    alone = rows["run"].iloc[0]
    rows["run"] = [alone + "-outside", *rows["run"].iloc[1:]]
    model = bl.Model(models.dcpt, bl.read_runs(rows), noise=bl.Noise(correlated=False, joint=False), misfit=None)
    fit = stand_in(model, **middles)
    counted = fit.model.design.measured.sum("row")
    assert (int(counted.sel(eval="general")), int(counted.sel(eval="domain"))) == (10, 9)
    outside = log_likelihood(fit).sel(run=f"{alone}-outside").isel(chain=0, draw=3)
    row = fit.model.design.rows["run"].values == f"{alone}-outside"
    one = fit.posterior.isel(chain=0, draw=3).sel(eval="general")
    law = fit.loss(fit.model.design.rows[["N", "D", "domain_share"]]).isel(chain=0, draw=3, row=row).sel(eval="general")
    measured = np.log(rows.loc[rows["run"] == f"{alone}-outside", "general_loss"].item())
    assert outside.item() == pytest.approx(norm.logpdf(measured, np.log(law.item()), one["sigma"].item()))


# ------------------------------------------------------------------------------------------------------------ compare
INDEPENDENT = bl.Noise(correlated=False, joint=False)


@pytest.fixture(scope="module")
def rivals() -> dict[str, Fit]:
    """A posterior around the truth and one around a wrong floor, of the same runs."""
    model = bl.Model(models.chinchilla, bl.read_runs(table(replicas=4)), noise=INDEPENDENT, misfit=None)
    return {"wrong": stand_in(model, 400, 0.001, E=1.75), "right": stand_in(model, 400, 0.001)}


def test_the_better_model_wins(rivals):
    found = compare(rivals)
    assert list(found.index) == ["right", "wrong"] and found.index.name == "model"
    assert found["rank"].tolist() == [0, 1] and found["elpd_diff"].iloc[0] == 0
    assert found["weight"].tolist() == pytest.approx([1, 0], abs=0.05)
    assert found["runs"].tolist() == [16, 16] and found["bad_runs"].tolist() == [0, 0]
    density = {name: log_likelihood(fit) for name, fit in rivals.items()}
    left_out = [-np.log(np.exp(-density[name].values).mean(axis=(0, 1))).sum() for name in found.index]
    assert found["elpd"].tolist() == pytest.approx(left_out, abs=0.05), "plain importance sampling, which suffices here"
    assert found["elpd_diff"].iloc[1] == pytest.approx(found["elpd"].iloc[1] - found["elpd"].iloc[0])
    assert found["p_worse"].iloc[1] > 0.99 and (found["se"] > 0).all()


def test_weights_do_not_overflow_for_long_runs(rivals):
    model = rivals["right"].model
    one = table()
    rows = pd.concat([one.assign(D=one["D"] * 1.001**k) for k in range(200)])
    long = bl.Model(models.chinchilla, bl.read_runs(rows), noise=model.noise, misfit=None)
    fits = {"a": stand_in(long, 60, 0.0005, sigma=0.03), "b": stand_in(long, 60, 0.0005, E=1.75, sigma=0.03)}
    assert log_likelihood(fits["a"]).max() > np.log(np.finfo(float).max)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the score of", category=UserWarning)
        found = compare(fits)
    assert np.isfinite(found["weight"]).all() and found["weight"].sum() == pytest.approx(1, abs=1e-6)


def test_a_posterior_that_hangs_on_single_runs_is_called_so(rivals):
    model = rivals["right"].model
    loose = stand_in(model, 100, 0.05)
    with pytest.warns(
        UserWarning, match=r"the score of 'loose' cannot be trusted: \d+ of 16 runs .*splits.by\('run'\)"
    ):
        found = compare({"right": rivals["right"], "loose": loose})
    assert found["bad_runs"]["loose"] > 0 and found["bad_runs"]["right"] == 0


def test_what_cannot_be_compared_is_refused(rivals):
    right, model = rivals["right"], rivals["right"].model
    with pytest.raises(RangeError, match="at least two"):
        compare({"right": right})
    fewer = stand_in(bl.Model(models.chinchilla, bl.read_runs(table(replicas=3)), noise=INDEPENDENT, misfit=None))
    with pytest.raises(DataError, match="'right' and 'fewer' were not made of the same measurements .80 and 60 "):
        compare({"right": right, "fewer": fewer})
    changed = table(replicas=4)
    changed.loc[changed["run"] == "c2", "domain_loss"] *= 1.01
    other = stand_in(bl.Model(models.chinchilla, bl.read_runs(changed), noise=INDEPENDENT, misfit=None))
    with pytest.raises(DataError, match="another observed in the run c2"):
        compare({"right": right, "other": other})
    with pytest.raises(RangeError, match="'least squares' is a maximum-likelihood fit"):
        compare({"right": right, "least squares": Fit(model, right.idata, {"method": "mle"})})


def test_evaluations_are_compared_by_their_held_out_runs(rivals):
    model = rivals["right"].model
    held = pd.DataFrame({"fold": "x", "run": list("abcd"), "eval": "general", "observed": [2.0, 2.1, 2.2, 2.3]})

    def evaluation(elpd: list[float], rows: pd.DataFrame = held) -> Evaluation:
        runs = pd.DataFrame({"fold": "x", "run": list("abcd"), "n": 1, "elpd": elpd})
        folds = pd.DataFrame({"fold": ["x"], "r_hat": 1.0, "divergences": 0})
        return Evaluation(model, bl.splits.by("run"), 0.89, rows, runs, folds, pd.DataFrame())

    good, bad = [900.0, 800.0, 850.0, 700.0], [890.0, 801.0, 840.0, 690.0]
    found = compare({"bad": evaluation(bad), "good": evaluation(good)})
    assert found["elpd"].to_dict() == {"good": 3250.0, "bad": 3221.0}
    assert found.loc["bad", "elpd_diff"] == -29 and found.loc["bad", "diff_se"] == pytest.approx(
        2 * np.std([10, -1, 10, 10])
    )
    assert found.loc["good", "se"] == pytest.approx(2 * np.std(good)) and found["bad_runs"].isna().all()
    with pytest.raises(RangeError, match="'a' is an evaluation and 'b' a fit"):
        compare({"a": evaluation(good), "b": rivals["right"]})
    with pytest.raises(DataError, match="not made of the same measurements"):
        compare({"a": evaluation(good), "b": evaluation(good, held.assign(observed=3.0))})


@pytest.mark.slow  # 11 fits: 75 s on two busy cores
def test_leaving_runs_out_without_refits_agrees_with_refits():
    """Simulated runs with run effects; the two estimates differ by Monte Carlo error."""
    rng = np.random.default_rng(0)
    levels: list[Any] = [[2e8, 5e8, 1e9, 2e9, 4e9], [1e9, 4e9, 1e10, 4e10], [0, 1]]
    rows = pd.MultiIndex.from_product(levels, names=["N", "D", "copy"]).to_frame(index=False)
    rows["run"] = [f"{n:g}-{k}" for n, k in zip(rows["N"], rows["copy"], strict=True)]
    own = rows["run"].map({run: rng.normal(0, 0.004) for run in rows["run"].unique()})
    mean = models.chinchilla(rows["N"] / 1e9, rows["D"] / 1e10, **TRUTH)
    rows["loss"] = mean * np.exp(own + rng.normal(0, 0.004, len(rows)))
    model = bl.Model(models.chinchilla, bl.read_runs(rows.drop(columns="copy")), misfit=None)
    settings: dict[str, Any] = {"draws": 500, "tune": 500, "chains": 2, "seed": 1}
    fit = model.fit(**settings, progress=False)
    tree = xr.DataTree.from_dict({"posterior": fit.posterior, "log_likelihood": log_likelihood(fit).to_dataset()})
    estimated = az.loo(tree, pointwise=True).elpd_i.to_series()
    exact = bl.evaluate(model, bl.splits.by("run"), **settings).runs.set_index("run")["elpd"]
    assert len(exact) == 10 and abs(estimated - exact).max() < 0.5
    assert abs(estimated.sum() - exact.sum()) < 1
