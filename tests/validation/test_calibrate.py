"""Calibration with posteriors that are known: the prior is right where nothing is learned, a narrowed one is not."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import RangeError, RefitError
from bayeslaw.posterior import inference
from bayeslaw.posterior.draws import Posterior
from bayeslaw.validation.calibration import Calibration, calibrate
from bayeslaw.validation.simulation import RANKED_DRAWS
from bayeslaw.workflow import Fit
from tests.calibration.__main__ import beside, on_the_page
from tests.calibration.designs import FITS, study

N, D = [2e8, 1e9, 4e9], [2e9, 1e10]
CHEAP: dict[str, Any] = {"draws": 100, "chains": 2}


def model(*evals: str, **settings: Any) -> bl.Model:
    rows = pd.MultiIndex.from_product([N, D], names=["N", "D"]).to_frame(index=False)
    table = rows.assign(**{f"{e}_loss": 2.0 for e in evals or ("validation",)})
    return bl.Model(models.chinchilla, bl.read_runs(table.sample(frac=1, random_state=0)), **settings, misfit=None)


MODEL = model(noise=bl.Noise(correlated=False))


@pytest.fixture
def prior_as_posterior(monkeypatch):
    """Refits that learn nothing; by what their intervals are too wide."""
    wrong = {"width": 1.0}

    def fit(asked: bl.Model, draws: int, chains: int, seed: int, **settings: Any) -> Fit:
        drawn = asked.prior_predictive(draws=draws * chains, seed=seed + 1000).posterior.isel(chain=0)
        shape = {"draw": (("chain", "draw"), np.arange(draws * chains).reshape(chains, draws))}
        drawn = xr.concat([drawn.isel(draw=d).assign_coords(draw=range(draws)) for d in shape["draw"][1]], "chain")
        middle = np.log(drawn["E"]).mean()
        drawn["E"] = np.exp(middle + wrong["width"] * (np.log(drawn["E"]) - middle))
        still = xr.Dataset({"diverging": (("chain", "draw"), np.arange(draws * chains).reshape(chains, draws) < 1)})
        tree = xr.DataTree.from_dict({"posterior": drawn.assign_coords(chain=range(chains)), "sample_stats": still})
        return Fit(asked, tree, {"method": "nuts", "seed": seed}, 1.0)

    monkeypatch.setattr(inference, "fit", fit)
    return wrong


def test_posteriors_that_are_right_are_found_right(prior_as_posterior):
    found = calibrate(MODEL, 50, **CHEAP)
    table = found.summary().query("kind != 'likelihood'")  # of the losses, which this posterior has not seen
    assert len(found.fits) == 50 and (table["n"] == 50).all()
    assert (abs(table["coverage"] - 0.89) < 4 * table["mc_error"]).all()
    assert table["p_uniform"].min() * len(table) > 0.01
    assert found.rows["rank"].between(0, RANKED_DRAWS).all() and ((found.pit > 0) & (found.pit < 1)).all()


def test_a_posterior_that_is_too_sure_is_found_out(prior_as_posterior):
    prior_as_posterior["width"] = 0.4
    table = calibrate(MODEL, 30, **CHEAP).summary()
    assert table["coverage"]["E[validation]"] < 0.7
    assert table["p_uniform"]["E[validation]"] < 0.01
    assert abs(table["coverage"]["alpha[validation]"] - 0.89) < 0.2


def test_a_truth_equal_to_its_draws_is_ranked_among_them_by_chance(prior_as_posterior):
    """A law at the end of its values, as a score at its top: the same number in every draw says nothing wrong."""

    def always(fit: Posterior) -> xr.Dataset:
        return xr.Dataset({"top": xr.ones_like(fit.posterior["E"].isel(eval=0, drop=True))})

    always.__qualname__ = "always"
    ranks = calibrate(MODEL, 50, also=always, **CHEAP).rows.query("quantity == 'top'")["rank"]
    assert ranks.between(0, RANKED_DRAWS).all() and 30 < ranks.mean() < 70 and ranks.nunique() > 20


def test_every_refit_counts(prior_as_posterior):
    found = calibrate(model("general", "domain"), 3, **CHEAP)
    assert found.diverged == 3 and found.unmixed == 0
    assert list(dict.fromkeys(found.rows["kind"])) == ["coefficient", "error", "loss", "likelihood"]
    assert {"alpha[general]", "sigma[domain]", "eval_correlation", "log_likelihood"} < set(found.rows["quantity"])
    assert "3 with divergences" in repr(found) and "<table" in found._repr_html_()
    assert re.search(
        r"89 % intervals hold the truth in \d+ % of all cases, by quantity in \d+ % to \d+ % ", repr(found)
    )
    assert len(found.plot()) == 4


def test_simulations_do_not_depend_on_how_many_there_are(prior_as_posterior, tmp_path):
    few = calibrate(MODEL, 2, folder=tmp_path, **CHEAP)
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert len(kept) == 2
    more = calibrate(MODEL, 3, folder=tmp_path, **CHEAP)
    pd.testing.assert_frame_equal(more.rows[more.rows["simulation"] <= 2], few.rows)
    assert all(p.stat().st_mtime_ns == when for p, when in kept.items())
    other = calibrate(MODEL, 1, folder=tmp_path, **{**CHEAP, "seed": 5})
    assert not np.allclose(other.rows["true"], few.rows["true"][few.rows["simulation"] == 1])
    assert len(list(tmp_path.iterdir())) == 4
    assert "rank" in json.loads(next(iter(kept)).read_text())["rows"][0]


def test_a_refit_that_fails_does_not_stop_the_others(prior_as_posterior, monkeypatch, tmp_path):
    whole, number = calibrate(MODEL, 3, **CHEAP), iter(range(9))

    def second_fails(asked: bl.Model, **settings: Any) -> Posterior:
        if next(number) == 1:
            raise FloatingPointError("no step size is small enough")
        return right(asked, **settings)

    right = inference.fit
    with monkeypatch.context() as patched:
        patched.setattr(inference, "fit", second_fails)
        found = calibrate(MODEL, 3, folder=tmp_path, **CHEAP)
    assert found.fits["simulation"].tolist() == [1, 3] and set(found.rows["simulation"]) == {1, 3}
    reason = ["simulation 2", "FloatingPointError", "no step size is small enough"]
    assert found.failed.to_numpy().tolist() == [reason]
    assert "left out: 1 of 3; the first, simulation 2: FloatingPointError: no step" in repr(found)
    pd.testing.assert_frame_equal(calibrate(MODEL, 3, folder=tmp_path, **CHEAP).rows, whole.rows)
    monkeypatch.setattr(inference, "fit", lambda *_, **__: 1 / 0)
    with pytest.raises(RefitError, match="every refit failed; the first, simulation 1: ZeroDivisionError: division"):
        calibrate(MODEL, 2, **CHEAP)


def test_measured_losses_play_no_part(prior_as_posterior):
    table = MODEL.runs.table.assign(validation_loss=lambda t: 3 - 0.1 * np.log10(t["N"]))
    other = bl.Model(models.chinchilla, bl.read_runs(table), noise=MODEL.noise, misfit=None)
    one, two = (calibrate(m, 1, **CHEAP).rows["true"] for m in (MODEL, other))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(n=0), "n is 0: give how many simulations"),
        (dict(prob=1.2), "give a probability between 0 and 1"),
        (dict(draws=20), "too few for the rank of a truth: give at least 99"),
        (dict(method="mle"), "no posterior, and a truth has no rank without one"),
        (dict(jobs=0), "jobs is 0"),
    ],
)
def test_settings_are_checked(settings, words):
    with pytest.raises(RangeError, match=words):
        calibrate(MODEL, **settings)


def test_a_prior_whose_shape_is_too_rare_is_refused():
    rising = {"alpha": bl.Prior("Normal", mu=-3.0, sigma=0.1), "beta": bl.Prior("Normal", mu=-3.0, sigma=0.1)}
    with pytest.raises(RangeError, match="prior draws have the shape"):
        calibrate(model(priors=rising), 5)


@pytest.fixture(scope="module")
def sampled() -> Calibration:
    return calibrate(model(), 40, draws=300, tune=400, seed=3)


@pytest.mark.slow  # 40 refits
def test_the_chinchilla_law_is_calibrated(sampled):
    table = sampled.summary()
    assert (abs(table["coverage"] - 0.89) < 4 * table["mc_error"]).all()
    assert table["p_uniform"].min() * len(table) > 0.01


# ------------------------------------------------------------------------------------------ what the page says
PAGE = Path(__file__).parents[2] / "docs/calibration_files/simulations.csv"


def cells() -> list[Any]:
    """Three of the simulations that the page counts, another three every day; those that sampled well."""
    if not PAGE.is_file():
        return []
    table = pd.read_csv(PAGE).query("simulation == 1 and r_hat < 1.03 and divergences == 0")
    return [
        pytest.param(row, id=str(row.law))
        for row in table.sample(3, random_state=date.today().toordinal()).itertuples()
    ]


@pytest.mark.parametrize("recorded", cells())
def test_a_refit_of_a_simulation_finds_what_the_page_counts(recorded):
    found = calibrate(study(models.catalogue[recorded.law]), 1, **FITS, progress=False)
    assert len(found.rows) == recorded.quantities
    assert abs(int(found.rows["covered"].sum()) - recorded.held) <= 1 + 0.1 * recorded.quantities
    assert float(found.fits["r_hat"].iloc[0]) < 1.06


def test_laws_printed_alone_keep_the_lines_of_the_others():
    new = pd.DataFrame({"law": ["skaling", "chinchilla"], "n": "40"})
    kept = pd.DataFrame({"law": ["bimix", "chinchilla", "a law that is no more", "skaling"], "n": "12"})
    found = beside(new, kept, ["skaling", "chinchilla"])
    assert list(zip(found["law"], found["n"], strict=True)) == [
        ("bimix", "12"),
        ("chinchilla", "40"),
        ("skaling", "40"),
    ]
    assert {"replay", "skaling", "loss_to_score"} <= set(on_the_page("quantities")["law"])
    assert on_the_page("no such column").empty
