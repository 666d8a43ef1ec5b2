"""Residuals along sizes, tokens and compute, where every run is a single measurement, and robust errors."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.checks.residuals import misfit, scatter, variance_of_sum
from bayeslaw.checks.runs import laws_that_bend
from bayeslaw.checks.slides import slide
from bayeslaw.checks.trends_measured import measured_rises
from tests.stand_ins import second_stage
from tests.studies.checks import FITS, iso_flop
from tests.studies.page import DATA


def points_of_chinchilla() -> Path:
    path = DATA / "chinchilla_epoch" / "svg_extracted_data.csv"
    if not path.is_file():
        pytest.skip(f"no file {path.name}: this public table is not part of the package")
    return path


def test_a_law_that_is_true_slides_nowhere_and_one_that_is_bent_along_compute_does():
    found: Any = slide(iso_flop(0).fit(**FITS))
    assert found.passed and found.limit == 3 and found.value > 0
    fit = iso_flop(0, bend=0.006).fit(**FITS)
    bent: Any = slide(fit)
    assert not bent.passed and "along compute, the validation loss measured" in bent.text
    assert misfit(fit).passed, "every group is a single run"


def test_the_sizes_of_a_public_table_slide():
    """Points read off a figure (arXiv:2404.10102): the law of its authors is off along tokens."""
    points = pd.read_csv(points_of_chinchilla())
    table = pd.DataFrame({"N": points["Model Size"], "loss": points["loss"]})
    table["D"] = points["Training FLOP"] / (6 * table["N"])
    table["run"] = [f"run {i}" for i in table.index]
    fit = bl.Model(models.chinchilla, bl.read_runs(table), noise=bl.Noise(robust=True), misfit=None).fit(**FITS)
    found: Any = slide(fit)
    assert misfit(fit).passed and scatter(fit).passed
    assert not found.passed and found.value > 5 and "off most along D, the validation loss measured 0.2" in found.text


@pytest.mark.parametrize("robust", [True, False])
def test_robust_errors_take_a_single_outlier_for_one(robust):
    """One run of 42 is 10 % above the law, 25 times the errors of the others."""
    fit = iso_flop(1, robust=robust, outlier=1.1).fit(**FITS)
    checks: list[Any] = [misfit(fit), scatter(fit), measured_rises(fit), slide(fit)]
    assert [c.name for c in checks if c is not None and not c.passed] == (
        [] if robust else ["misfit by group", "scatter"]
    )


def test_a_misfit_that_a_few_outliers_make_steep_is_named():
    """Five of 245 points read off a figure, at few tokens, with normal errors: the misfit along D follows them."""
    points = pd.read_csv(points_of_chinchilla())
    table = pd.DataFrame({"N": points["Model Size"], "loss": points["loss"], "run": points.index.map("run {}".format)})
    table["D"] = points["Training FLOP"] / (6 * table["N"])
    fit = bl.Model(models.chinchilla, bl.read_runs(table)).fit(**FITS)
    found: Any = slide(fit)
    assert not found.passed and 8 < found.value < 40 and found.limit == pytest.approx(np.exp(0.6 * 2.326), rel=1e-3)
    assert "the slope of the misfit along D is " in found.text and "times the median of its prior" in found.text
    assert "largest at run 0, run 1, run 2;" in found.text and "noise=bl.Noise(robust=True)" in found.text
    assert set(table.nsmallest(5, "D")["run"]) >= {"run 0", "run 1", "run 2"}
    robust: Any = slide(bl.Model(models.chinchilla, fit.model.runs, noise=bl.Noise(robust=True)).fit(**FITS))
    assert robust.passed


def test_a_misfit_within_its_prior_is_no_fault():
    found: Any = slide(replace(iso_flop(0), misfit="scales").fit(**FITS))
    assert found.passed and "the law is off most along" in found.text


def test_the_variance_of_a_weighted_sum_counts_what_checkpoints_share(table_for):
    fit = bl.Model(
        models.chinchilla,
        bl.read_runs(
            pd.DataFrame(
                {"run": list("aab"), "N": [1e9, 1e9, 2e9], "D": [1e9, math.e * 1e9, 1e9], "loss": [3.0, 2.9, 2.8]}
            )
        ),
        misfit=None,
    ).prior_predictive(draws=20)
    known = fit.posterior.assign(run_weight=0 * fit.posterior["run_weight"] + 0.4)
    known["correlation_length"] = 0 * known["correlation_length"] + 1.0
    fit.idata["posterior"] = known
    frame = pd.DataFrame({"run": list("aab"), "D": [1e9, math.e * 1e9, 1e9]})
    shared = 0.4 + 0.6 * np.exp(-1)
    assert variance_of_sum(fit, frame) == pytest.approx(3 + 2 * shared)
    assert variance_of_sum(fit, frame, np.array([1.0, -2.0, 3.0])) == pytest.approx(1 + 4 + 9 - 4 * shared)


def test_runs_without_a_scale_are_checked_for_scatter_and_slide_nowhere():
    """A law from loss to score has neither size nor tokens, and a table may have one size and one length."""
    stage2 = second_stage()
    assert laws_that_bend(stage2) == "use a more flexible law", "it has no scale for a misfit either"
    scattered = scatter(stage2).value
    assert slide(stage2) is None and scattered is not None and math.isfinite(scattered)
    table = pd.DataFrame({"N": 1e9, "D": 1e10, "loss": np.linspace(2.9, 2.91, 6), "run": list("abcdef")})
    fit = bl.Model(models.chinchilla, bl.read_runs(table)).fit(**FITS)
    assert slide(fit) is None and "scatters most" in scatter(fit).text
