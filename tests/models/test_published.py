"""Published numbers, from published measurements: D-CPT tables 5 and 6, and the refit of the Chinchilla law."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.tables.runs import read_runs
from bayeslaw.workflow import Fit

SHORT: dict[str, Any] = dict(draws=300, tune=400, chains=2, progress=False)
CHINCHILLA = Path(__file__).parents[3] / "shared/data/chinchilla_epoch/svg_extracted_data.csv"


def without(name: str, share: float) -> tuple[bl.Runs, pd.Series]:
    """The runs of a table but the one at that domain share, which is given back too."""
    table = bl.datasets.load(name)
    held_out = np.isclose(table["domain_share"], share)
    assert held_out.sum() == 1
    return read_runs(table[~held_out]), table[held_out].iloc[0]


# ---------------------------------------------------------------------------------------------- D-CPT, worked examples
@pytest.fixture(scope="module")
def table5() -> tuple[Fit, pd.Series]:
    runs, held_out = without("dcpt-table5", 0.924)
    return bl.Model(models.dcpt, runs, outside="include", misfit=None).fit(**SHORT), held_out


def test_the_critical_ratio_of_the_first_worked_example(table5):
    numbers = bl.datasets.card("dcpt-table5").numbers
    fit, _ = table5
    ratio = fit.critical_ratio(N=1.8e9, D=1e10, baseline=numbers["baseline_general_loss"], max_rise=numbers["max_rise"])
    ends = ratio.interval()
    # 0.9245: where the measured losses, the held-out one included, cross the limit
    assert float(ends["lower"]) <= 0.9245 <= float(ends["upper"])
    assert float(ends["upper"] - ends["lower"]) < 0.02
    assert float(ratio.p_interior) > 0.99
    assert float(ratio.median()) == pytest.approx(numbers["best_domain_share"], abs=0.003)


def test_the_losses_of_the_run_that_was_left_out(table5):
    fit, held_out = table5
    asked: dict[str, Any] = {c: float(held_out[c]) for c in ("N", "D", "domain_share")}
    ends = fit.predict(new_run=True, **asked).interval()
    for name, measured in (("general", 2.9445), ("domain", 1.7291)):
        assert held_out[f"{name}_loss"] == measured
        band = ends.sel(eval=name)
        assert float(band["lower"]) <= measured <= float(band["upper"])
        assert float(band["upper"] - band["lower"]) < 0.05


def test_the_best_ratio_of_the_second_worked_example_is_weakly_determined():
    runs, held_out = without("dcpt-table6", 0.732)
    fit = bl.Model(models.dcpt, runs, misfit=None).fit(**SHORT)
    ratio = fit.best_ratio(N=1.8e9, domain_tokens=5e9)
    ends = ratio.interval()
    assert float(ends["upper"] - ends["lower"]) > 0.2
    assert float(ends["lower"]) <= 0.732 <= float(ends["upper"])
    asked: dict[str, Any] = {c: float(held_out[c]) for c in ("N", "D", "domain_share")}
    band = fit.predict(new_run=True, **asked).interval().sel(eval="domain")
    assert float(band["lower"]) <= bl.datasets.card("dcpt-table6").numbers["predicted_domain_loss"]
    assert float(band["upper"]) >= held_out["domain_loss"]


# --------------------------------------------------------------------------------------------------- Chinchilla's refit
@pytest.fixture(scope="module")
def chinchilla() -> Fit:
    path = Path(os.environ.get("BAYESLAW_CHINCHILLA", CHINCHILLA))
    if not path.is_file():
        pytest.skip(f"no file {path}: the points read off Chinchilla's figure are not part of the package")
    points = pd.read_csv(path)
    N, flops = points["Model Size"], points["Training FLOP"]
    table = pd.DataFrame({"run": points.index.astype(str), "N": N, "D": flops / (6 * N), "loss": points["loss"]})
    return bl.Model(models.chinchilla, read_runs(table), noise=bl.Noise(robust=True), misfit=None).fit(**SHORT)


@pytest.mark.parametrize(
    ("name", "published"), [("E", 1.817), ("A_paper", 482.0), ("alpha", 0.348), ("B_paper", 2085.0), ("beta", 0.366)]
)
def test_the_published_coefficients_lie_in_their_intervals(chinchilla, name, published):
    draws = chinchilla.posterior[name].squeeze("eval", drop=True)
    low, high = draws.quantile([0.055, 0.945])
    assert bl.datasets.card("chinchilla-epoch").numbers[name.removesuffix("_paper")] == published
    assert low <= published <= high


def test_the_published_coefficients_give_the_same_losses(chinchilla):
    rows = chinchilla.model.runs.table
    published = 1.817 + 482 * rows["N"] ** -0.348 + 2085 * rows["D"] ** -0.366
    columns = xr.Dataset({c: ("row", rows[c].to_numpy()) for c in ("N", "D")})
    found = chinchilla.loss(columns).median(["chain", "draw"]).squeeze("eval").values
    assert np.median(abs(found - published)) < 0.01
