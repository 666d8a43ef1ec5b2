"""The report of a fit of several general losses: the ratio of each, of all together, and advice from the latter."""

import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.reporting import critical_ratios
from bayeslaw.reporting.answer import predictions
from bayeslaw.reporting.ratios import TOGETHER, ratios
from tests.spec.test_roles import QUESTION, ROLES, STARTED, table


@pytest.fixture(scope="module")
def fit() -> bl.Fit:
    start = {f"{name}_loss": value for name, value in QUESTION["baseline"].items()} | {"code_loss": 3.0}
    before = pd.DataFrame([{"N": 1e9, "D": 0.0, "domain_share": 0.0, "run": "start", **start}])
    runs = bl.read_runs(pd.concat([before, table().query("N == 1e9")]))
    model = bl.Model(models.dcpt, runs, roles=ROLES)
    return model.fit(draws=60, tune=100, chains=2, seed=2, progress=False)


def test_every_set_and_all_together_have_a_ratio(fit):
    found = critical_ratios(fit, {"max_rise": 0.01})
    assert list(found["eval"]) == [*STARTED, TOGETHER]
    by_set = fit.critical_ratio(N=[1e9], D=1e10, max_rise=0.01)
    for e, ratio in zip(STARTED, found["ratio"], strict=False):
        assert (ratio.draws == by_set.draws.sel(eval=e, N=1e9)).all()
    assert (found["ratio"].iloc[-1].draws == by_set.draws.sel(N=1e9).min("eval")).all()


def test_advice_is_that_of_all_together(fit):
    said = ratios(fit, {"max_rise": 0.01})
    assert len(said.sentences) == len(STARTED) + 1
    assert said.actions and all(TOGETHER in action for action in said.actions)


def test_one_set_can_be_asked_for(fit):
    found = critical_ratios(fit, {"eval": "web", "max_rise": 0.01})
    assert "eval" not in found and len(found) == 1


def test_the_sentence_of_many_losses_names_the_first_three(fit):
    found = predictions(fit)
    assert len(found.table) == 4
    assert found.headline.count("measured") == 3 and found.headline.endswith("; 1 other loss in the table below")
