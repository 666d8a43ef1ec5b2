"""The names in docs/schema.md, held against fits and their files."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.checks import CHECKS
from bayeslaw.posterior.sensitivity import sensitivity
from bayeslaw.reporting import critical_ratios
from bayeslaw.workflow import Fit

PAGE = (Path(__file__).parents[2] / "docs" / "schema.md").read_text(encoding="utf-8")


def documented(row: str, column: int = 1) -> list[str]:
    """The names in backticks in one cell of the page's tables."""
    (line,) = (line for line in PAGE.splitlines() if line.startswith((f"| `{row}", f"| {row}")))
    return re.findall(r"`([^`]+)`", line.split("|")[1 + column])


@pytest.fixture(scope="module")
def fit() -> Fit:
    """Two domains, two sizes, checkpoints and two losses: every part of the schema at once, drawn from the prior."""
    rows = pd.MultiIndex.from_product(
        [["code", "law"], [1e8, 1e9], [0.0, 0.2, 0.5, 0.8], [1e9, 1e10]], names=["domain", "N", "domain_share", "D"]
    ).to_frame(index=False)
    rows["general_loss"] = 2.0 + 0.2 * rows["domain_share"] + 0.3 * (rows["N"] / 1e9) ** -0.3
    rows["domain_loss"] = 2.2 - 0.3 * rows["domain_share"] + 0.1 * (rows["D"] / 1e10) ** -0.3
    before = rows[rows["D"] == 1e9].assign(D=0.0, general_loss=2.4, domain_loss=3.0)
    model = bl.Model(
        models.dcpt, bl.read_runs(pd.concat([before, rows])), by={"E": "domain"}, monotone=None, misfit=None
    )
    return model.prior_predictive(draws=250)


@pytest.fixture(scope="module")
def sampled() -> Fit:
    rows = pd.MultiIndex.from_product([[1e8, 1e9, 1e10], [1e9, 1e10]], names=["N", "D"]).to_frame(index=False)
    rows["loss"] = 2.5 - 0.1 * np.log10(rows["N"] / 1e9) - 0.05 * np.log10(rows["D"] / 1e9)
    model = bl.Model(models.chinchilla, bl.read_runs(rows), noise=bl.Noise(correlated=False), misfit=None)
    return model.fit(draws=20, tune=60, chains=2, cores=1, progress=False)


def test_a_sampled_fit_has_statistics(sampled):
    assert set(sampled.idata.children) == {"posterior", "sample_stats", "observed_data", "constant_data"}
    statistics = sampled.idata["sample_stats"].to_dataset()
    assert set(documented("sample_stats")) <= set(statistics.data_vars)
    assert all(statistics[name].dims == ("chain", "draw") for name in documented("sample_stats"))


def test_posterior_variables_and_dims(fit):
    posterior, law = fit.idata["posterior"].to_dataset(), fit.model.law
    written = {name for name in documented("posterior`") if "<" not in name}
    population, paper = {"E_mu", "E_sigma"}, {"A_paper", "B_paper"}
    on_request = {"size_exponent", "batch_effect", "batch_effect_sigma"}  # bl.Noise(size_exponent=...), data_order
    assert set(posterior.data_vars) == {*law.coefficients, *population, *paper} | written - on_request
    assert documented("posterior`", 2) == ["chain", "draw", "eval", "batch", "eval_role", "knot_<scale>"]
    assert posterior["alpha"].dims == ("chain", "draw", "eval")
    assert posterior["E"].dims == ("chain", "draw", "eval", "domain")
    assert posterior["run_weight"].dims == ("chain", "draw")


def test_the_groups_of_arviz(fit):
    whole = fit.extend(draws=250).idata
    for name in ("observed_data", "constant_data", "log_likelihood", "prior_predictive", "posterior_predictive"):
        data = whole[name].to_dataset()
        assert set(documented(name)) <= set(data.data_vars) and set(documented(name, 2)) <= set(data.dims)
        assert data.sizes.get("measurement", 56) == 56 and data.sizes.get("run", 16) == 16
    assert set(whole["prior"].data_vars) == set(whole["posterior"].data_vars)
    assert list(whole["constant_data"].data_vars) == ["run", "N", "D", "domain_share", "domain", "eval"]


def test_the_file(fit, tmp_path):
    with xr.open_datatree(fit.save(tmp_path / "fit.nc"), engine="h5netcdf") as tree:
        assert set(tree.children) == {"posterior", "observed_data", "constant_data", "runs", "baseline"}
        assert tree["runs"].to_dataset().sizes == {"row": 32} and tree["baseline"].to_dataset().sizes == {"row": 16}
        recipe = json.loads(tree.attrs["bayeslaw"])
        assert {
            "law",
            "roles",
            "by",
            "priors",
            "noise",
            "reference",
            "monotone",
            "outside",
            "settings",
            "bayeslaw",
        } <= set(recipe)


def test_predictions(fit):
    found = fit.predict(N=[1e8, 1e9], D=1e10, domain_share=0.5, domain="law")
    assert found.draws.dims == ("chain", "draw", "eval", "N")
    assert list(found.to_frame().columns)[-5:] == documented("fit.predict(...)")
    assert list(found.to_frame().columns)[:2] == ["eval", "N"]
    rows = pd.DataFrame({"N": [1e8], "D": 1e10, "domain_share": 0.5, "domain": "law"})
    assert list(fit.predict(rows)) == [*rows, *documented("fit.predict(table)")]


def test_decisions(fit):
    ratio = fit.critical_ratio(N=1e9, D=1e10, domain="law", max_rise=0.01)
    assert list(ratio.to_frame().columns) == documented("fit.predict(...)") + documented("fit.critical_ratio")
    line = PAGE[PAGE.index("prints one object") :]
    assert set(re.findall(r"`([a-z_]+)`", line)) <= set(ratio.as_json())
    assert {"N", "D", "domain", "max_rise", "rule", "eval", "baseline"} <= set(ratio.as_json())


def test_tables(fit):
    assert list(bl.suggest(fit.model.runs).to_frame()) == documented("bl.suggest(table).to_frame")
    assert list(fit.checks().to_frame().columns) == documented("fit.checks")
    assert all(f"\n| {name} | " in PAGE for name in (*CHECKS, "extrapolation", "the prior decides this"))
    assert list(critical_ratios(fit).columns) == documented("bayeslaw.reporting.critical_ratios")
    table = sensitivity(fit, fit.posterior[["E", "alpha"]])
    assert list(table.columns) == documented("bayeslaw.posterior.sensitivity.sensitivity")
    assert np.isfinite(table[["prior", "likelihood", "shift"]]).all(axis=None)


@pytest.fixture(scope="module")
def mixtures() -> Fit:
    rng = np.random.default_rng(1)
    rows = pd.DataFrame(rng.dirichlet([2.0, 2.0, 2.0], 20), columns=["weight_web", "weight_code", "weight_books"])
    rows["loss"] = 3.0 + rng.normal(0, 0.01, 20)
    return bl.Model(models.regmix, bl.read_runs(rows), misfit=None).prior_predictive(draws=50)


def test_mixtures(mixtures):
    assert mixtures.model.runs.dataset["weight"].dims == ("row", "source")
    assert mixtures.posterior["w"].dims == ("chain", "draw", "eval", "source")
    assert mixtures.predict(weight={"web": 0.7, "code": 0.3}).draws.dims == ("chain", "draw", "eval")
    best = mixtures.best_mixture()
    assert best.draws.dims == ("chain", "draw", "source")
    assert list(best.to_frame()) == documented("fit.best_mixture")


def test_curves():
    log = pd.DataFrame({"run": "a", "step": range(1, 41), "lr": 1e-3, "loss": np.linspace(4, 3, 40)})
    runs = bl.read_curves(log, warmup=0)
    one = set(runs.table) - set(log) - {"validation_loss"}
    assert one == {*documented("bl.read_curves(table)`"), *documented("every curve")}
    settings = PAGE[PAGE.index("`runs.area_settings`") : PAGE.index("With `before=`")]
    assert re.findall(r"`([^`]+)`", settings)[1:] == list(runs.area_settings)
    both = set(bl.read_curves(log, warmup=0, before=bl.schedules.unknown()).table) - set(log) - {"validation_loss"}
    assert both == one | set(documented("bl.read_curves(table, before"))


def test_evaluation_and_comparison(sampled):
    found = bl.evaluate(sampled.model, bl.splits.largest("N"), draws=20, tune=60, chains=2, cores=1)
    assert list(found.to_frame()) == documented("bl.evaluate(...).to_frame")
    law = [*found.model.law.columns, *found.model.design.groups]
    assert [c for c in found.rows if c not in law] == documented("bl.evaluate(...).rows")
    assert list(found.runs) == documented("bl.evaluate(...).runs")
    assert list(found.folds) == documented("bl.evaluate(...).folds")
    assert list(found.failed) == documented("bl.evaluate(...).failed")
    with pytest.warns(UserWarning, match="1 of 1 refit did not converge"):  # 20 draws
        compared = bl.compare({"a": found, "b": found})
    assert list(compared) == documented("bl.compare")


def test_columns_of_a_runs_table(fit):
    names = re.findall(r"`([^`]+)`", PAGE[PAGE.index("Canonical columns") : PAGE.index("Predictions have")])
    given: dict[str, Any] = {name: "x" for name in names if "<" not in name and name != "loss"}
    table = pd.DataFrame({"x": [0.5]}).assign(loss=2.0)
    with pytest.raises(bl.BayeslawError, match="mapped twice"):  # known names, so the door looks at their columns
        bl.read_runs(table, **given)
