"""What ArviZ finds in `fit.idata`: the measurements, and on request the likelihood, the prior and the predictions."""

import arviz as az
import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import UnknownName
from bayeslaw.posterior.likelihood import log_likelihood
from bayeslaw.workflow import Fit

matplotlib.use("agg")


@pytest.fixture(scope="module")
def fit() -> Fit:
    rows = pd.MultiIndex.from_product([[2e8, 1e9, 5e9], [1e9, 1e10, 1e11]], names=["N", "D"]).to_frame(index=False)
    law = 1.8 + 0.35 * (rows["N"] / 1e9) ** -0.35 + 0.4 * (rows["D"] / 1e10) ** -0.37
    rows["web_loss"] = law * (1 + 0.004 * ((rows.index * 7) % 5 - 2))
    rows["code_loss"] = 0.8 * law * (1 + 0.004 * ((rows.index * 3) % 5 - 2))
    return bl.Model(models.chinchilla, bl.read_runs(rows), misfit=None).fit(
        draws=60, tune=80, chains=2, seed=1, progress=False
    )


@pytest.fixture(scope="module")
def whole(fit: Fit) -> Fit:
    return fit.extend(draws=100)


def test_the_measurements_are_always_there(fit, tmp_path):
    design = fit.model.design
    for one in (fit, bl.load(fit.save(tmp_path / "fit.nc")), fit.model.prior_predictive(draws=5)):
        found = one.idata["constant_data"].to_dataset()
        assert found.sizes == {"measurement": 18}
        observed = one.idata["observed_data"].to_dataset()
        np.testing.assert_array_equal(observed["log_loss"], design.log_loss)
        for at in range(18):
            row = design.rows.isel(row=(design.rows["N"] == found["N"][at]) & (design.rows["D"] == found["D"][at]))
            assert row["run"].item() == found["run"][at].item()
            loss = row["loss"].sel(eval=str(found["eval"][at].values)).item()
            assert np.log(loss) == pytest.approx(observed["log_loss"][at].item(), rel=1e-12)


def test_others_come_on_request_and_the_fit_stays_as_it_was(fit, whole):
    always = {"posterior", "sample_stats", "observed_data", "constant_data"}
    assert set(fit.idata.children) == always
    assert set(fit.extend("log_likelihood").idata.children) == {*always, "log_likelihood"}
    request = {"log_likelihood", "prior", "prior_predictive", "posterior_predictive"}
    assert set(whole.idata.children) == always | request
    assert whole.posterior.identical(fit.posterior)
    with pytest.raises(UnknownName, match="no group to add 'loglikelihood'; did you mean 'log_likelihood'"):
        fit.extend("loglikelihood")


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")  # of few draws
def test_arviz_leaves_out_runs(fit, whole):
    found = az.loo(whole.idata, pointwise=True)
    assert found.n_data_points == 3 == fit.model.runs.table["run"].nunique()
    by_run = whole.idata["log_likelihood"]["log_loss"]
    assert by_run.dims == ("chain", "draw", "run")
    xr.testing.assert_equal(by_run.drop_vars("run"), log_likelihood(fit).reset_coords(drop=True).drop_vars("run"))
    assert set(found.elpd_i["run"].values) == set(fit.model.runs.table["run"])


def test_arviz_draws_its_figures(whole):
    for figure in (
        az.plot_ppc_dist(whole.idata, backend="matplotlib"),
        az.plot_ppc_dist(whole.idata, group="prior_predictive", backend="matplotlib"),
        az.plot_prior_posterior(whole.idata, backend="matplotlib"),
        az.plot_prior_posterior(whole.idata, var_names=["alpha", "sigma"], backend="matplotlib"),
    ):
        assert figure.viz["figure"].item() is not None
    matplotlib.pyplot.close("all")


def test_predictions_are_those_of_new_runs_with_their_errors(fit, whole):
    """Mean and spread by measurement, beside those of `fit.predict(new_run=True)`."""
    drawn = whole.idata["posterior_predictive"]["log_loss"]
    assert drawn.dims == ("chain", "draw", "measurement") and np.isfinite(drawn).all()
    about = whole.idata["constant_data"].to_dataset()
    for at in (0, 7, 17):
        asked = fit.predict(N=about["N"][at].item(), D=about["D"][at].item(), new_run=True, seed=3)
        other = np.log(asked.draws.sel(eval=str(about["eval"][at].values)))
        assert drawn[..., at].mean().item() == pytest.approx(other.mean().item(), abs=4 * other.std().item() / 11)
        assert drawn[..., at].std().item() == pytest.approx(other.std().item(), rel=0.35)
    same = fit.extend("posterior_predictive").idata["posterior_predictive"]
    assert same.to_dataset().identical(whole.idata["posterior_predictive"].to_dataset())


def test_known_errors_of_measuring_are_in_the_predictions(fit):
    rows = fit.model.runs.table.drop(columns="run").assign(web_loss_sd=0.1)
    alone = bl.Noise(correlated=False, joint=False)
    known = bl.Model(models.chinchilla, bl.read_runs(rows), noise=alone, misfit=None).prior_predictive(draws=400)
    exact = bl.Model(models.chinchilla, bl.read_runs(rows.drop(columns="web_loss_sd")), noise=alone, misfit=None)
    parameters = known.posterior.assign(sigma=0 * known.posterior["sigma"] + 1e-3)
    of_web = known.idata["constant_data"]["eval"].values == "web"
    spreads = []
    for model in (known.model, exact):
        one = Fit(model, xr.DataTree.from_dict({"posterior": parameters.isel(draw=[7] * 400)}))
        drawn = one.extend("posterior_predictive").idata["posterior_predictive"].to_dataset()
        spreads.append(drawn["log_loss"].std(("chain", "draw")))
    np.testing.assert_allclose(spreads[1], 1e-3, rtol=0.2)
    np.testing.assert_allclose(spreads[0][~of_web], 1e-3, rtol=0.2)
    expected = np.hypot(1e-3, 0.1 / rows["web_loss"])
    np.testing.assert_allclose(np.sort(spreads[0][of_web]), np.sort(expected), rtol=0.2)


def test_the_checkpoints_of_a_new_run_err_together(whole):
    about = whole.idata["constant_data"].to_dataset()
    one = (about["run"] == about["run"][0]) & (about["eval"] == "web")
    error = whole.idata["posterior_predictive"]["log_loss"].isel(measurement=np.flatnonzero(one))
    weight = float(whole.posterior["run_weight"].mean())
    together = np.corrcoef(error.stack(sample=("chain", "draw")).values)
    assert together[0, 1] > 0.3 * weight


def test_they_are_kept_in_the_file(whole, tmp_path):
    again = bl.load(whole.save(tmp_path / "fit.nc"))
    assert set(again.idata.children) == set(whole.idata.children)
    for name in whole.idata.children:
        xr.testing.assert_equal(again.idata[name].to_dataset(), whole.idata[name].to_dataset())


def test_a_mixture_has_its_shares_there():
    rng = np.random.default_rng(1)
    rows = pd.DataFrame(rng.dirichlet([2.0, 2.0, 2.0], 20), columns=["weight_web", "weight_code", "weight_books"])
    rows["loss"] = 3.0 + rng.normal(0, 0.01, 20)
    fit = bl.Model(models.regmix, bl.read_runs(rows), misfit=None).prior_predictive(draws=20)
    assert fit.idata["constant_data"]["weight"].dims == ("measurement", "source")
    whole = fit.extend("posterior_predictive", "log_likelihood").idata
    assert whole["posterior_predictive"].sizes["measurement"] == 20 == whole["log_likelihood"].sizes["run"]
