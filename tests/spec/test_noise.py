"""The error model against the dense normal distribution it stands for, and its simulated errors against its moments."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from scipy.stats import kstest, multivariate_normal, norm

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.checks.residuals import coverage, misfit, scatter
from bayeslaw.declare.priors import Correlation, central
from bayeslaw.errors import DataError
from bayeslaw.posterior.likelihood import log_likelihood
from bayeslaw.posterior.prediction import at_rows, batch_noise
from bayeslaw.spec.design import Design
from bayeslaw.spec.noise import Noise
from bayeslaw.tables.runs import Runs
from bayeslaw.workflow import Fit

EVALS = ("general", "domain", "code")
W, ELL, RHO = 0.35, 0.7, 0.45
SIGMA = np.array([0.01, 0.03, 0.02])
RAGGED = {"a": [1e8, 2e8, 9e8, 4e9], "b": [5e8], "c": [1e8, 1e9], "d": [3e8, 3.1e8, 8e8, 1e9, 7e10]}


def design(runs: dict[str, list[float]], evals: int, unmeasured: Sequence[tuple[str, int, int]] = ()) -> Design:
    """Ragged runs; `unmeasured` are (run, position in the run, validation set) that were not measured."""
    table = pd.DataFrame(
        [(run, 1e9 * (1 + i), d) for i, (run, path) in enumerate(runs.items()) for d in path], columns=["run", "N", "D"]
    )
    losses = np.random.default_rng(3).uniform(1, 3, (len(table), evals))
    for i, e in enumerate(EVALS[:evals]):
        table[f"{e}_loss"] = losses[:, i]
    full = Design.of(
        models.chinchilla,
        Runs(table.sample(frac=1, random_state=0), EVALS[:evals], table.iloc[:0]),
        {"N": 1, "D": 1},
        (),
        True,
        {},
    )
    measured = full.measured.copy()
    for label, position, number in unmeasured:
        measured[np.flatnonzero(full.rows["run"].values == label)[position], number] = False
    return Design(full.law, full.reference, full.rows, measured, full.levels, full.groups)


def parameters(evals: int, **changed: float) -> dict[str, xr.DataArray]:
    values = {"run_weight": W, "correlation_length": ELL, "eval_correlation": RHO, **changed}
    sigma = xr.DataArray(SIGMA[:evals], dims="eval", coords={"eval": list(EVALS[:evals])})
    return {"sigma": sigma, **{k: xr.DataArray(v) for k, v in values.items()}}


def order(d: Design) -> dict[str, xr.DataArray]:
    dims = {"start": ("row",), "eval_number": ("eval",)}
    return {k: xr.DataArray(v, dims=dims.get(k, ("row", "eval"))) for k, v in d.order().items()}


def errors(d: Design, seed: int = 0) -> xr.DataArray:
    values = np.random.default_rng(seed).normal(0, 0.03, d.measured.shape)
    return xr.DataArray(values * d.measured.values, dims=("row", "eval"), coords={"eval": d.evals})


def step_by_step(d: Design, e: xr.DataArray, p: dict[str, xr.DataArray], noise: Noise) -> float:
    ahead = noise.one_step_ahead if noise.correlated else noise.same_step
    mean, scale = ahead(e, p, order(d))
    at, mu, sd = (v.broadcast_like(d.measured).transpose("row", "eval").values for v in (e, mean, scale))
    return float(np.asarray(norm.logpdf(at, mu, sd))[d.measured.values].sum())


def covariances(d: Design, p: dict[str, xr.DataArray], noise: Noise) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and covariance (validation set by row) of every run, written out."""
    between = np.full((len(d.evals), len(d.evals)), p["eval_correlation"].item() if noise.joint else 0.0)
    np.fill_diagonal(between, 1.0)
    w, ell, sigma = (p[k].values for k in ("run_weight", "correlation_length", "sigma"))
    for run in np.unique(d.rows["run"]):
        rows = np.flatnonzero(d.rows["run"].values == run)
        path = np.log(d.rows["D"].values[rows])
        along = w + (1 - w) * np.exp(-np.abs(path[:, None] - path) / ell) if noise.correlated else np.eye(len(rows))
        yield rows, np.kron(between * np.outer(sigma, sigma), along)


def dense(d: Design, e: xr.DataArray, p: dict[str, xr.DataArray], noise: Noise) -> float:
    """Normal density of the measured cells."""
    total = 0.0
    for rows, covariance in covariances(d, p, noise):
        keep = d.measured.values[rows].T.ravel()
        if keep.any():
            total += multivariate_normal(cov=covariance[np.ix_(keep, keep)]).logpdf(e.values[rows].T.ravel()[keep])
    return float(total)


def drawn(d: Design, p: dict[str, xr.DataArray], noise: Noise, seed: int = 0) -> xr.DataArray:
    """Errors from that normal distribution."""
    rng, e = np.random.default_rng(seed), errors(d)
    for rows, covariance in covariances(d, p, noise):
        e.values[rows] = (
            (np.linalg.cholesky(covariance) @ rng.standard_normal(len(covariance))).reshape(-1, len(rows)).T
        )
    return e * d.measured.values


CORRELATED = Noise(correlated=True, joint=True)


@pytest.mark.parametrize(
    ("evals", "noise"),
    [(evals, Noise(correlated=True, joint=joint)) for evals in (2, 3) for joint in (True, False)]
    + [(1, Noise(correlated=True, joint=False)), (2, Noise(False, True)), (3, Noise(False, True))],
)
def test_one_step_ahead_is_the_dense_normal_density_of_ragged_runs(evals, noise):
    d, p = design(RAGGED, evals), parameters(evals)
    for seed in range(3):
        e = errors(d, seed)
        assert step_by_step(d, e, p, noise) == pytest.approx(dense(d, e, p, noise), abs=1e-9, rel=0)


@pytest.mark.parametrize("w", [1e-6, 0.5, 0.99])
@pytest.mark.parametrize("ell", [0.02, 5.0, 100.0])
@pytest.mark.parametrize("rho", [-0.49, 0.0, 0.95])
def test_one_step_ahead_is_exact_near_the_ends_of_its_parameters(w, ell, rho):
    d, p = design(RAGGED, 3), parameters(3, run_weight=w, correlation_length=ell, eval_correlation=rho)
    e = drawn(d, p, CORRELATED)
    assert step_by_step(d, e, p, CORRELATED) == pytest.approx(dense(d, e, p, CORRELATED), abs=1e-6, rel=0)


EXACT = {
    "a run unmeasured for one set": [("a", i, 1) for i in range(4)],
    "a run unmeasured for all sets": [("d", i, e) for i in range(5) for e in range(3)],
    "a checkpoint unmeasured for all sets": [("d", 2, 0), ("d", 2, 1), ("d", 2, 2)],
    "a first checkpoint unmeasured for all sets": [("a", 0, e) for e in range(3)],
    "a set that stops early": [("d", 3, 2), ("d", 4, 2), ("a", 3, 0)],
    "sets that stop one after the other": [("d", 2, 0), ("d", 3, 0), ("d", 4, 0), ("d", 4, 1)],
}


@pytest.mark.parametrize("unmeasured", EXACT.values(), ids=EXACT)
def test_unmeasured_cells_leave_the_density_of_the_measured_ones(unmeasured):
    """Exact whenever the sets measured at a step were measured at the same earlier steps of that run.

    A law's range is one in shares, and a run keeps its share: rows outside the range are whole runs of one validation
    set, which is such a case.
    """
    d, p = design(RAGGED, 3, unmeasured), parameters(3)
    e = errors(d)
    assert step_by_step(d, e, p, CORRELATED) == pytest.approx(dense(d, e, p, CORRELATED), abs=1e-9, rel=0)


GAPS = {"starts late": [("d", 0, 1), ("d", 1, 1)], "gap": [("d", 2, 1)]}


@pytest.mark.parametrize("unmeasured", GAPS.values(), ids=GAPS)
def test_a_gap_in_one_validation_set_is_approximated(unmeasured):
    """Not exact where one set alone starts late or pauses: each set sees its own past and the others' same step only.

    The density stays one (a product of normal densities, each given earlier cells), so that it loses a little on
    average; without correlation between the sets it is exact again.
    """
    d = design(RAGGED, 2, unmeasured)
    e, p, alone = errors(d), parameters(2), parameters(2, eval_correlation=0.0)
    simulated = (drawn(d, p, CORRELATED, seed) for seed in range(40))
    lost = [dense(d, x, p, CORRELATED) - step_by_step(d, x, p, CORRELATED) for x in simulated]
    assert 0 < np.mean(lost) < 0.2
    assert min(map(abs, lost)) > 1e-9
    assert step_by_step(d, e, alone, CORRELATED) == pytest.approx(dense(d, e, alone, CORRELATED), abs=1e-9, rel=0)


def test_same_step_with_cells_unmeasured_is_exact():
    noise = Noise(correlated=False, joint=True)
    d, p = design(RAGGED, 3, [*GAPS["starts late"], *GAPS["gap"], ("b", 0, 0)]), parameters(3)
    e = errors(d)
    assert step_by_step(d, e, p, noise) == pytest.approx(dense(d, e, p, noise), abs=1e-9, rel=0)


def known(**settings: Any) -> bl.Model:
    """Eight runs with a known error of measuring, larger in every other run, and a luck of their own."""
    rng, N = np.random.default_rng(2), np.geomspace(1e8, 1e10, 8)
    sd = np.resize([0.002, 0.2], 8)
    loss = (1.7 + 0.4 * (N / 1e9) ** -0.3) * np.exp(rng.normal(0, 0.003, 8)) + rng.normal(0, sd)
    table = pd.DataFrame({"N": N, "D": 1e10, "loss": loss, "loss_sd": sd})
    return bl.Model(models.chinchilla, bl.read_runs(table), **settings, misfit=None)


def test_known_errors_of_measuring_are_part_of_the_scale():
    model = known()
    rows = model.design.rows
    assert "errors of measuring known" in model.describe_noise() and not model.noise.correlated
    np.testing.assert_allclose(model.design.known_error, (rows["loss_sd"] / rows["loss"]).values)
    fit = model.prior_predictive(draws=50)
    z = (log_likelihood(fit) - log_likelihood(fit, replace(model.design, rows=rows.drop_vars("loss_sd")))).values
    error = np.log(rows["loss"].values) - np.log(at_rows(fit, model.design).transpose(..., "row", "eval").values)
    own = fit.posterior["sigma"].values[..., None, :]
    both = np.hypot(own, model.design.known_error)
    expected = (norm.logpdf(error, 0, both) - norm.logpdf(error, 0, own)).sum(axis=-1)
    np.testing.assert_allclose(z, expected, rtol=1e-9, atol=1e-9)


def test_known_errors_and_correlated_ones_exclude_each_other():
    table = known().runs.table.assign(run="one", D=np.geomspace(1e9, 1e10, 8), N=1e9)
    table = pd.concat([table, table.assign(run="other", N=2e9)])
    with pytest.raises(DataError, match=r"known measurement errors .*bl\.Noise\(correlated=False"):
        bl.Model(
            models.chinchilla, bl.read_runs(table, loss="validation_loss", loss_sd="validation_loss_sd"), misfit=None
        )
    with pytest.raises(DataError, match="joint=True"):
        Noise(joint=True).settled(checkpoints=False, evals=2, known=True)
    assert not Noise().settled(checkpoints=False, evals=2, known=True).joint


def test_exactly_measured_runs_say_more_than_others():
    fit = known().fit(draws=300, tune=400, chains=2, seed=1, progress=False)
    without = bl.Model(
        models.chinchilla, bl.read_runs(fit.model.runs.table.drop(columns="validation_loss_sd")), misfit=None
    )
    plain = without.fit(draws=300, tune=400, chains=2, seed=1, progress=False)
    N = np.geomspace(1e8, 1e10, 5)
    truth = 1.7 + 0.4 * (N / 1e9) ** -0.3
    near, far = (f.predict(N=N, D=1e10).draws for f in (fit, plain))
    assert float(near.std(["chain", "draw"]).mean()) < 0.5 * float(far.std(["chain", "draw"]).mean())
    assert float(fit.posterior["sigma"].median()) < 0.02 < float(plain.posterior["sigma"].median())
    assert float(abs(near.mean(["chain", "draw"]) - truth).max()) < 0.05
    assert all(check(fit).passed for check in (coverage, misfit, scatter))


SHRINKS = bl.Noise(size_exponent=bl.real(0.3, sd=0.3))


def by_size(noise: Noise, runs: int = 40) -> tuple[bl.Model, pd.DataFrame]:
    """Runs with checkpoints, whose errors are half as large at ten times the size."""
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"run": [f"r{i}" for i in range(runs)], "N": np.resize([1e8, 1e9, 1e10], runs)})
    table = table.merge(pd.Series([3e9, 1e10, 3e10], name="D"), how="cross")
    size = (table["N"] / 1e9) ** -np.log10(2)
    law = 1.7 + 0.4 * (table["N"] / 1e9) ** -0.3 + 0.3 * (table["D"] / 1e10) ** -0.3
    luck = pd.Series(rng.normal(0, 0.01, runs), [f"r{i}" for i in range(runs)])
    error = size * (table["run"].map(luck) + rng.normal(0, 0.01, len(table)))
    return bl.Model(
        models.chinchilla, bl.read_runs(table.assign(loss=law * np.exp(error))), noise=noise, misfit=None
    ), table


def test_errors_that_shrink_with_size_are_found_and_predicted(tmp_path):
    fit = by_size(SHRINKS)[0].fit(draws=300, tune=400, chains=2, seed=1, progress=False)
    exponent = fit.posterior["size_exponent"]
    assert abs(float(exponent.mean()) - np.log10(2)) < 3 * float(exponent.std()) < 0.3
    assert "scale by model size" in fit.model.describe_noise()
    ask: dict[str, Any] = {"N": [1e8, 1e10], "D": 1e10}
    spread = xr.ufuncs.log(fit.predict(**ask, new_run=True).draws / fit.predict(**ask).draws).std(["chain", "draw"])
    ratio = float(spread.isel(N=0, eval=0) / spread.isel(N=1, eval=0))
    assert ratio == pytest.approx(100 ** float(fit.posterior["size_exponent"].mean()), rel=0.15)
    again = bl.load(fit.save(tmp_path / "fit.nc"))
    assert again.model.noise == fit.model.noise
    assert all(check(fit).passed for check in (coverage, misfit, scatter))


def test_the_density_of_errors_that_shrink_is_that_of_the_rescaled_ones():
    model, _ = by_size(SHRINKS, 6)
    fit = model.prior_predictive(draws=20)
    rows, factor = model.design.rows, model.noise.at_size(fit.posterior, model.design.log_size(model.design.rows))
    plain = replace(fit, model=replace(model, noise=Noise(correlated=True)))
    law = at_rows(fit).squeeze("eval", drop=True)
    found, direct = log_likelihood(fit), []
    for draw in range(20):
        at = {"chain": 0, "draw": draw}
        own = rows["loss"].squeeze("eval", drop=True)
        rescaled = law.isel(at) * np.exp((np.log(own) - np.log(law.isel(at))) / factor.isel(at))
        one = replace(plain, idata=xr.DataTree.from_dict({"posterior": fit.posterior.isel(draw=[draw])}))
        design = replace(
            model.design, rows=rows.assign(loss=rescaled.expand_dims("eval", axis=1).reset_coords(drop=True))
        )
        direct.append(float(log_likelihood(one, design).sum() - np.log(factor.isel(at)).sum()))
    np.testing.assert_allclose(found.sum("run").values[0], direct, rtol=1e-9)


def test_errors_by_size_take_sizes():
    table = pd.DataFrame({"domain_share": [0.1, 0.5, 0.9], "loss": [2.0, 1.9, 1.8]})
    with pytest.raises(DataError, match="size_exponent needs model sizes, and neither cmr_ratio nor by= has N"):
        bl.Model(models.cmr_ratio, bl.read_runs(table), noise=SHRINKS, misfit=None)


def test_defaults_follow_from_the_table():
    assert Noise().settled(True, 2, known=False) == Noise(correlated=True, joint=True, batch=False)
    assert Noise().settled(False, 1, known=False) == Noise(correlated=False, joint=False, batch=False)
    assert not Noise(correlated=False, joint=True).settled(True, 1, known=False).joint
    assert Noise().settled(True, 1, known=False, orders=True).batch
    assert not Noise(batch=False).settled(True, 1, known=False, orders=True).batch
    names = {"sigma", "run_weight", "correlation_length", "eval_correlation"}
    assert set(CORRELATED.priors(3)) == names
    assert CORRELATED.priors(3)["eval_correlation"].ends == (-0.5, 1.0)
    assert set(Noise(correlated=False, joint=False).priors(1)) == {"sigma"}


# ------------------------------------------------------------------------------------------- similar validation sets
def similar(rho: float, sets: int = 4, sigma: float = 0.015, seed: int = 0) -> pd.DataFrame:
    """Simulated runs whose errors are the more alike between validation sets, the larger `rho`."""
    rng, tokens = np.random.default_rng(seed), np.geomspace(2e9, 6e10, 5)
    along = 0.5 + 0.5 * np.exp(-np.abs(np.log(tokens)[:, None] - np.log(tokens)) / 0.5)
    between = np.where(np.eye(sets) == 1, 1.0, rho)
    draw = multivariate_normal(cov=np.kron(between, along), allow_singular=True)
    parts: list[pd.DataFrame] = []
    for n in np.repeat(np.geomspace(1e8, 4e9, 6), 3):
        errors = sigma * draw.rvs(random_state=rng).reshape(sets, len(tokens))
        part = pd.DataFrame({"run": f"r{len(parts)}", "N": n, "D": tokens})
        for v, error in enumerate(errors):
            law = 1.7 + 0.1 * v + (0.4 + 0.02 * v) * (n / 1e9) ** -0.3 + 0.3 * (tokens / 1e10) ** -0.3
            part[f"s{v}_loss"] = law * np.exp(error)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("rho", [0.99, *(pytest.param(r, marks=pytest.mark.slow) for r in (0.0, 0.5, 0.95, 0.999))])
def test_similar_validation_sets_keep_their_errors(rho):
    """Were the correlation kept below its value, sigma would shrink to what tells the sets apart."""
    fit = bl.Model(models.chinchilla, bl.read_runs(similar(rho)), misfit=None).fit(
        draws=200, tune=300, chains=2, seed=1, progress=False
    )
    share, own = fit.posterior["eval_correlation"], fit.posterior["sigma"].mean(["chain", "draw"])
    logit = np.log((1 + 3 * share) / (1 - share))
    assert abs(float(logit.mean()) - np.log((1 + 3 * rho) / (1 - rho))) < 3 * float(logit.std())
    assert (own > 0.012).all() and (own < 0.019).all()
    off = coverage(fit).value
    assert off is not None and off < 0.11
    assert int(fit.idata["sample_stats"]["diverging"].sum()) == 0


def test_the_correlation_between_sets_is_logit_normal_between_its_limits():
    prior = Correlation(4, 1.5)
    with pm.Model() as graph:
        prior.create_variable("rho")
    drawn = pm.draw(graph["rho"], 4000, mode="FAST_COMPILE", random_seed=1)
    logit = np.log((1 + 3 * drawn) / (1 - drawn)) - np.log(3)
    assert kstest(logit, norm(0, 1.5).cdf).pvalue > 0.01
    expected = central(prior, 0.89)
    assert expected is not None
    np.testing.assert_allclose(np.quantile(drawn, [0.5, 0.055, 0.945]), expected, atol=0.03)
    assert repr(prior) == "logit-normal, median 0.333 (89 %: -0.22 to 0.89)"


SMALL = (("chain", "draw", "eval"), np.full((1, 1, 2), 1e-6))


def test_bands_too_narrow_for_several_sets_name_errors_of_their_own():
    """The way out where one correlation for all pairs of sets is too simple."""
    model = bl.Model(models.chinchilla, bl.read_runs(similar(0.5, sets=2)), misfit=None)
    one = model.prior_predictive(draws=1)
    found = coverage(replace(one, idata=xr.DataTree.from_dict({"posterior": one.posterior.assign(sigma=SMALL)})))
    assert not found.passed and "bl.Noise(joint=False)" in found.text


# --------------------------------------------------------------------------------------------------------- batch noise
BATCH_SD = 0.01


def in_orders(noise: Noise | None = None, runs: int = 24, orders: int = 2) -> tuple[bl.Model, pd.DataFrame]:
    """Simulated runs of a few data orders; what the latest batches did to the loss is the larger part of the errors."""
    rng = np.random.default_rng(6)
    table = pd.DataFrame({"run": [f"r{i}" for i in range(runs)], "N": np.resize(np.geomspace(1e8, 1e10, 6), runs)})
    table["data_order"] = np.arange(runs) * orders // runs
    table = table.merge(pd.Series(np.geomspace(3e9, 3e10, 8), name="D"), how="cross")
    table["batch"] = table.groupby(["data_order", "D"])["D"].transform(lambda d: BATCH_SD * rng.standard_normal())
    law = 1.7 + 0.4 * (table["N"] / 1e9) ** -0.3 + 0.3 * (table["D"] / 1e10) ** -0.3
    luck = pd.Series(rng.normal(0, 0.002, runs), [f"r{i}" for i in range(runs)])
    error = table["batch"] + table["run"].map(luck) + rng.normal(0, 0.002, len(table))
    rows = table.drop(columns="batch").assign(loss=law * np.exp(error))
    return bl.Model(models.chinchilla, bl.read_runs(rows), noise=noise or Noise(), misfit=None), table


@pytest.fixture(scope="module")
def ordered() -> Fit:
    return in_orders()[0].fit(draws=600, tune=400, chains=2, seed=1, progress=False)


def test_batch_noise_is_found_and_kept_apart_from_what_is_a_runs_own(ordered, tmp_path):
    assert "batch noise shared by runs of one data order" in ordered.model.describe_noise()
    found = ordered.posterior["batch_effect_sigma"].squeeze("eval")
    assert found.quantile(0.005) < BATCH_SD < found.quantile(0.995)
    apart = in_orders(Noise(batch=False))[0].fit(draws=100, tune=300, chains=2, seed=1, progress=False)
    assert ordered.posterior["sigma"].mean() < 0.5 * apart.posterior["sigma"].mean()
    rows, truth = ordered.model.design.rows, in_orders()[1].set_index(["run", "D"])["batch"]
    by_row = batch_noise(ordered, ordered.model.design).mean(["chain", "draw"]).squeeze("eval").values
    in_rows = truth.loc[list(zip(rows["run"].values, rows["D"].values, strict=True))]
    assert np.corrcoef(by_row, in_rows)[0, 1] > 0.9
    assert all(check(ordered).passed for check in (coverage, misfit, scatter))
    ask: dict[str, Any] = {"N": 1e9, "D": 1e10}
    spread = xr.ufuncs.log(ordered.predict(**ask, new_run=True).draws / ordered.predict(**ask).draws).std()
    assert float(spread) == pytest.approx(float(ordered.noise.spread(ordered.posterior).mean()), rel=0.15)
    again = bl.load(ordered.save(tmp_path / "fit.nc"))
    assert again.model.noise == ordered.model.noise
    np.testing.assert_array_equal(again.posterior["batch_effect"], ordered.posterior["batch_effect"])


def test_losses_after_known_batches_are_less_of_a_surprise(ordered):
    model, rows = ordered.model, ordered.model.design.rows
    known = batch_noise(ordered, model.design)
    assert set(known.dims) == {"chain", "draw", "eval", "row"}
    others = [f"other {order}" for order in rows["data_order"].values]
    elsewhere = replace(model.design, rows=rows.assign(data_order=("row", others)))
    drawn = batch_noise(ordered, elsewhere)
    assert float(drawn.std(["chain", "draw"]).mean()) > 2 * float(known.std(["chain", "draw"]).mean())
    last = drawn.isel(row=np.flatnonzero((rows["D"] == rows["D"].max()) & (rows["data_order"] == 0)))
    assert float(last.std("row").max()) < 1e-15  # what is not known is still shared
    assert log_likelihood(ordered).mean() > log_likelihood(ordered, elsewhere).mean()


def test_who_shares_a_data_order_is_read_from_the_table():
    rows = in_orders()[0].runs.table
    assert not bl.Model(models.chinchilla, bl.read_runs(rows.drop(columns="data_order")), misfit=None).noise.batch
    alone = rows.assign(data_order=rows["run"])
    assert not bl.Model(models.chinchilla, bl.read_runs(alone), misfit=None).noise.batch
    some = rows.assign(data_order=rows["run"].map({"r0": "shared", "r1": "shared"}))
    labels, number = bl.Model(models.chinchilla, bl.read_runs(some), misfit=None).design.batches
    assert sum(label.startswith("shared, D ") for label in labels) == 8
    assert len(labels) == len(rows) - 8 == number.max() + 1
    with pytest.raises(
        DataError, match="needs a column data_order, .* and the table has none: add it, or leave batch out"
    ):
        bl.Model(models.chinchilla, bl.read_runs(rows.drop(columns="data_order")), noise=Noise(batch=True), misfit=None)


# ----------------------------------------------------------------------------------------------------- simulated errors
RUNS = 40_000


def sample(noise: Noise, path: list[float] | None, others: dict[str, int] | None = None) -> xr.DataArray:
    """Errors over `RUNS` draws; the same parameters in each."""
    sizes = {"chain": 1, "draw": RUNS, "eval": 3, **(others or {}), **({"D": len(path)} if path else {})}
    like = xr.DataArray(np.zeros(list(sizes.values())), dims=list(sizes), coords={"eval": list(EVALS)})
    tokens = xr.DataArray(np.log(path), dims="D") if path else None
    p = xr.Dataset(parameters(3)).expand_dims(chain=1, draw=RUNS)
    drawn = noise.sample(p, like, tokens, np.random.default_rng(5))
    assert dict(drawn.sizes) == sizes
    return drawn.transpose(*sizes)


def correlation_is(a: xr.DataArray, b: xr.DataArray, expected: float) -> None:
    """Within four Monte Carlo standard errors of the sample correlation."""
    found = np.corrcoef(a.values.ravel(), b.values.ravel())[0, 1]
    assert abs(found - expected) < 4 * (1 - expected**2 + 1e-3) / np.sqrt(RUNS)


def sd_is(a: xr.DataArray, expected: float) -> None:
    assert abs(a.values.std() / expected - 1) < 4 / np.sqrt(2 * RUNS)


def test_sampled_errors_have_the_moments_of_the_model():
    path = [1e9, 1e8, 4e10, 4e8]  # not in order
    e = sample(CORRELATED, path)
    for i, name in enumerate(EVALS):
        for k in range(4):
            sd_is(e.sel(eval=name).isel(D=k), SIGMA[i])
            for m in range(k):
                along = W + (1 - W) * np.exp(-abs(np.log(path[k] / path[m])) / ELL)
                one = e.sel(eval=name)
                correlation_is(one.isel(D=k), one.isel(D=m), along)
                correlation_is(one.isel(D=k), e.isel(eval=i - 1, D=m), RHO * along)
        correlation_is(e.sel(eval=name).isel(D=0), e.isel(eval=i - 1, D=0), RHO)


def test_other_cells_are_other_runs():
    e = sample(CORRELATED, [1e9, 2e9], {"N": 2})
    correlation_is(e.isel(N=0, D=0, eval=0), e.isel(N=1, D=0, eval=0), 0.0)
    correlation_is(e.isel(N=0, D=0, eval=0), e.isel(N=1, D=1, eval=1), 0.0)


@pytest.mark.parametrize(
    "noise", [CORRELATED, Noise(correlated=False, joint=True), Noise(correlated=False, joint=False)]
)
def test_a_single_measurement_has_the_whole_variance(noise):
    e = sample(noise, None)
    for i in range(3):
        sd_is(e.isel(eval=i), SIGMA[i])
        correlation_is(e.isel(eval=i), e.isel(eval=i - 1), RHO if noise.joint else 0.0)


def test_independent_checkpoints_forget_the_run():
    e = sample(Noise(correlated=False, joint=True), [1e9, 1.1e9])
    correlation_is(e.isel(D=0, eval=0), e.isel(D=1, eval=0), 0.0)
    correlation_is(e.isel(D=0, eval=0), e.isel(D=0, eval=1), RHO)


def test_robust_errors_have_heavier_tails_around_the_same_middle():
    plain, robust = (
        sample(Noise(correlated=False, joint=False, robust=r), None).isel(eval=0).values / SIGMA[0]
        for r in (False, True)
    )
    assert abs(np.median(robust)) < 4 * 1.32 / np.sqrt(RUNS)  # sd of a median: 1 / (2 f(0)) with f(0) = 0.38
    assert (abs(robust) > 4).mean() > 50 * (abs(plain) > 4).mean()
