"""What the shape prior does: a check of measurements that it contradicts, and the answers without it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.checks import run_checks
from bayeslaw.checks.trends_measured import measured_rises
from bayeslaw.posterior.without_shape import without_shape
from bayeslaw.reporting import content, sections
from bayeslaw.spec.shape import RISE, Shape
from bayeslaw.workflow import Fit
from tests.stand_ins import stand_in


@pytest.fixture
def fit(table_for: Callable[..., pd.DataFrame]) -> Fit:
    """Losses that fall in N and D, of a model that asks for it."""
    free = stand_in(models.chinchilla, table_for, draws=500)
    return replace(free, model=bl.Model(models.chinchilla, free.model.runs, monotone="observed", misfit=None))


def with_losses(fit: Fit, change: Callable[[pd.DataFrame], pd.Series]) -> Fit:
    table = fit.model.runs.table.copy()
    table["validation_loss"] = change(table)
    return replace(
        fit, model=bl.Model(fit.model.law, replace(fit.model.runs, table=table), monotone="observed", misfit=None)
    )


def scattered(seed: int) -> Callable[[pd.DataFrame], pd.Series]:
    """Losses of 3 nats everywhere, but for their errors."""
    rng = np.random.default_rng(seed)
    return lambda t: pd.Series(3 * np.exp(rng.normal(0, 0.004, len(t))), t.index)


def test_losses_that_fall_pass(fit):
    check = measured_rises(fit)
    assert check is not None and check.passed and "no measured loss rises" in check.text
    assert "shape prior" in [c.name for c in run_checks(fit)]
    free = replace(fit, model=bl.Model(models.chinchilla, fit.model.runs, monotone=None, misfit=None))
    assert measured_rises(free) is None, "nothing is forbidden"


def test_a_measured_rise_beyond_chance_is_named_with_its_place(fit):
    """The largest size is 5 % worse at one number of tokens; the errors have 0.4 %."""

    def worse(t: pd.DataFrame) -> pd.Series:
        last = t["D"] == t["D"].max()
        return t["validation_loss"].where(~(last & (t["N"] == t["N"].max())), 1.05 * t["validation_loss"][last].max())

    check = measured_rises(with_losses(fit, worse))
    assert check is not None and not check.passed
    assert "the validation loss at D 50 B rises by" in check.text and "to N 2 B" in check.text
    assert "monotone=None" in check.text


def test_noise_does_not_fail_it(fit):
    """Where the loss does not depend on size at all, rises are chance: few of many tables fail."""
    failed = 0
    for seed in range(40):
        check = measured_rises(with_losses(fit, scattered(seed)))
        assert check is not None
        failed += not check.passed
    assert failed <= 4


def test_the_answers_without_it_are_those_of_the_wider_posterior(fit, monkeypatch):
    """Draws of a normal times the shape prior's density, weighted back, have the normal's quantiles."""
    rng = np.random.default_rng(0)
    wide = rng.normal(0, 0.008, 40_000)
    kept = wide[rng.random(wide.size) < np.exp(-(np.maximum(wide, 0) ** 2) / (2 * RISE**2))][:8000]
    draws = xr.DataArray(kept.reshape(2, 4000), dims=SAMPLE)
    many = replace(fit, idata=fit.idata.isel(draw=np.arange(4000) % 500))
    monkeypatch.setattr(Shape, "against_trends", lambda *_: [np.maximum(draws, 0.0)])
    found = without_shape(many, {"rise": draws})
    assert found is not None and found.pareto_k < 0.7
    with_it, without = found.answers["rise"]
    assert without == pytest.approx(stats.norm(0, 0.008).ppf([0.5, 0.055, 0.945]), abs=0.001)
    assert with_it[2] < without[2] - 0.002 and found.moved > 0.1


def test_the_report_says_what_it_did(fit, monkeypatch):
    said = sections._shape(fit, content.answer(fit, {"flops": 1e19}))
    assert "without the shape prior (observed), no answer moves by more than 0.0" in said
    free = replace(fit, model=bl.Model(models.chinchilla, fit.model.runs, monotone=None, misfit=None))
    assert sections._shape(free, content.answer(free, {"flops": 1e19})) == ""
    rng = np.random.default_rng(1)
    heavy = xr.DataArray(RISE * rng.standard_t(1.5, (2, 500)), dims=SAMPLE)
    monkeypatch.setattr(Shape, "against_trends", lambda *_: [abs(heavy)])
    said = sections._shape(fit, content.answer(fit, {"flops": 1e19}))
    assert "cannot be told from these draws (Pareto k" in said and "monotone=None" in said
