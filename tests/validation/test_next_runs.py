"""What a run is worth: known answers, batches, costs, continued runs, censored answers, and what is refused."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.errors import BayeslawError
from bayeslaw.validation.candidates import Candidates
from bayeslaw.validation.neighbourhood import neighbourhood
from bayeslaw.validation.next_runs import _mixed
from bayeslaw.validation.outcomes import Outcomes, outcomes
from bayeslaw.validation.worth import Answer, Surrogate
from bayeslaw.workflow import Fit
from tests.stand_ins import stand_in
from tests.studies import worth
from tests.studies.worth import sizes_and_tokens

AT: dict[str, Any] = {"N": 1e10, "D": 2e11}
GRID: dict[str, Any] = {"N": [1e8, 1e9], "D": [1e10, 1e11]}


@pytest.fixture(scope="module")
def bent() -> Fit:
    """Nine runs of three sizes, and a law with a misfit."""
    return sizes_and_tokens("scales").fit(draws=250, chains=4, seed=1, progress=False)


@pytest.fixture
def level(table_for: Any) -> Fit:
    """A loss of E alone, known to 2 %, of runs that err by 1 %, each measured once."""
    fit = stand_in(models.chinchilla, lambda *_, **__: table_for(models.chinchilla, crossed=False), draws=2000)
    rng, posterior = np.random.default_rng(0), fit.posterior
    like = posterior["E"]
    posterior["E"] = like.copy(data=2 * np.exp(0.02 * rng.standard_normal(like.shape)))
    posterior = posterior.assign({name: xr.full_like(like, 1e-12) for name in ("A", "B")})
    posterior["sigma"] = xr.full_like(posterior["sigma"], 0.01)
    noise = replace(fit.model.noise, correlated=False)
    return replace(fit, model=replace(fit.model, noise=noise), idata=xr.DataTree.from_dict({"posterior": posterior}))


@pytest.mark.parametrize("runs", [1, 2])
def test_a_normal_answer_narrows_as_it_must(level, runs):
    """The posterior variance of a level after n measurements is 1 / (1 + n (0.02 / 0.01)^2) of that before."""
    plans = pd.DataFrame({"N": [1e8] * runs, "D": [1e10] * runs})
    found = level.next_runs("loss", candidates=plans, batch=runs, **AT)
    left = 1 / (1 + 4 * runs)
    last = found.chosen.iloc[-1]
    assert len(found.chosen) == runs
    assert last["width"] / found.width == pytest.approx(left**0.5, rel=0.03)
    assert abs(last["width"] / found.width - left**0.5) < 3 * last["width_error"] / found.width
    assert last["nats"] == pytest.approx(-0.5 * np.log(left), abs=3 * last["nats_error"])
    assert last["reduction_per_cost"] == pytest.approx(last["reduction"] / (runs * 6e18))


def test_an_answer_censored_at_its_end_narrows_as_it_must():
    """Three in ten draws lie at the end; the width after a run is that of clipped normal distributions."""
    rng, draws, noise = np.random.default_rng(1), 4000, 0.6
    x = rng.standard_normal(draws)
    end = stats.norm.ppf(0.7)
    plans = Outcomes(x[:, None], noise * rng.standard_normal((draws, 1)), [np.array([[noise**2]])], np.array([0, 1]))
    value = Surrogate(Answer(np.minimum(x, end)[None], (0.055, 0.945)), plans).value([0])
    sd = (1 / (1 + 1 / noise**2)) ** 0.5
    middle = rng.standard_normal(200_000) * (1 - sd**2) ** 0.5
    ends = np.minimum(middle + sd * stats.norm.ppf([[0.055], [0.945]]), end)
    assert value.width[0] == pytest.approx((ends[1] - ends[0]).mean(), rel=0.04)
    assert value.width[0] < (end - stats.norm.ppf(0.055)) * 0.75


def test_a_measurement_of_something_else_is_worth_nothing():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, 4000))
    plans = Outcomes(y[:, None], rng.standard_normal((4000, 1)), [np.eye(1)], np.array([0, 1]))
    value = Surrogate(Answer(x[None], (0.055, 0.945)), plans).value([0])
    assert abs(value.reduction[0]) < 3 * value.reduction[1] < 0.1 and value.nats[0] < 0.002


def test_a_larger_model_is_worth_more_than_the_tenth_replicate(bent):
    plans = pd.DataFrame([*[{"N": 5e8, "D": 2e10}] * 10, {"N": 2e9, "D": 2e10}])
    found = bent.next_runs("loss", candidates=plans, batch=2, budget=1e22, **AT)
    table = found.frame()
    assert found.chosen.index[0] == 10
    assert table["reduction"].iloc[10] > 3 * table["reduction"].iloc[:10].max()
    ten = bent.next_runs("loss", candidates=plans.iloc[:10], batch=8, budget=1e22, **AT)
    after = ten.chosen["reduction"].iloc[-1] if len(ten.chosen) else 0.0
    assert after < table["reduction"].iloc[10], "eight replicates together are worth less than one larger model"


def test_a_second_run_counts_what_the_first_one_tells(bent):
    plans = pd.DataFrame({"N": [2e9, 2e9], "D": [2e10, 2e10]})
    found = bent.next_runs("loss", candidates=plans, batch=2, **AT)
    first, *others = found.chosen["reduction"]
    assert first > 0 and (not others or others[0] - first < first / 2)
    assert first == pytest.approx(found.frame()["reduction"].max())


def test_a_batch_keeps_its_budget(bent):
    plans, budget = {"N": [2e8, 2e9, 8e9], "D": [1e9, 2e10, 8e10]}, 5e20
    found = bent.next_runs("loss", candidates=plans, budget=budget, batch=4, **AT)
    assert 2 <= len(found.chosen) <= 4 and found.chosen["cost"].iloc[-1] <= budget and not found.stop
    assert (found.chosen["width"].diff().dropna() < 0).all()
    table = found.frame()
    assert found.chosen["reduction"].iloc[-1] > table.loc[table["cost"] <= budget, "reduction"].max()
    assert bent.next_runs("allocation", candidates=plans, flops=1e21).unit == "decades"


def test_the_regret_that_a_run_avoids(bent):
    table = bent.next_runs("allocation", candidates=GRID, flops=1e21).frame()
    best = bent.allocation(flops=1e21)
    losses = bent.loss(
        bent.columns(N=best.draws.sel(quantity="N", drop=True), D=best.draws.sel(quantity="D", drop=True))
    )
    middle = best.median()
    chosen = bent.loss(bent.columns(N=middle.sel(quantity="N", drop=True), D=middle.sel(quantity="D", drop=True)))
    assert (table["regret"] >= 0).all() and table["regret"].max() > 3 * table["regret_error"].iloc[
        table["regret"].argmax()
    ]
    assert table["regret"].max() < float((chosen - losses).mean()), "no run avoids more than all there is"


def test_a_continued_run_costs_and_tells_what_is_new(table_for):
    fit = stand_in(models.dcpt, table_for, draws=400)
    runs = fit.model.runs.table
    run = str(runs["run"].iloc[0])
    past = runs[runs["run"] == run]
    D = float(past["D"].max())
    plans = pd.DataFrame({"run": [run, None], "N": [np.nan, past["N"].iloc[0]], "D": [2 * D, 2 * D]})
    plans = plans.assign(domain_share=[np.nan, past["domain_share"].iloc[0]])
    costs = fit.next_runs("loss", candidates=plans, N=1e9, D=1e11, domain_share=0.5).frame()["cost"]
    assert costs.tolist() == pytest.approx([6 * float(past["N"].iloc[0]) * D, 12 * float(past["N"].iloc[0]) * D])


def test_the_errors_of_a_continued_run_are_those_of_the_likelihood(table_for):
    """The mean and scale of a further checkpoint are those that the model has one step ahead."""
    fit = stand_in(models.chinchilla, table_for, draws=40)
    whole = fit.model.runs.table
    run = str(whole["run"].iloc[0])
    table = whole.query("run == @run")
    D = 2 * float(table["D"].max())
    found = outcomes(fit, Candidates.of(fit, pd.DataFrame({"run": [run], "D": [D]}), None), 0)
    more = pd.concat([whole, table.iloc[[-1]].assign(D=D)], ignore_index=True)
    design = replace(fit.model, runs=replace(fit.model.runs, table=more)).design
    law = xr.ufuncs.log(fit.loss(design.rows[["N", "D"]]))
    error = (xr.ufuncs.log(design.rows["loss"]) - law).transpose("chain", "draw", "row", "eval")
    dims = {"start": ("row",), "eval_number": ("eval",)}
    order = {k: xr.DataArray(v, dims=dims.get(k, ("row", "eval"))) for k, v in design.order().items()}
    mean, scale = replace(fit.noise, joint=False).one_step_ahead(
        error, {str(k): v for k, v in fit.posterior.items()}, order
    )
    at = int(np.flatnonzero((design.rows["run"].values == run) & (design.rows["D"].values == D))[0])
    np.testing.assert_allclose(found.expected[:, 0], (law + mean).isel(row=at, eval=0).values.ravel(), rtol=1e-5)
    assert found.variances[0].item() == pytest.approx(float((scale.isel(row=at, eval=0) ** 2).mean()), rel=1e-4)
    new = outcomes(fit, Candidates.of(fit, pd.DataFrame({"N": table["N"].iloc[:1], "D": [D]}), None), 0)
    assert found.variances[0].item() < new.variances[0].item()


def test_errors_are_drawn_with_the_covariance_they_are_weighed_with(table_for):
    fit = stand_in(models.dcpt, table_for, draws=4000)
    plan = pd.DataFrame({"candidate": ["a"] * 3, "N": [1e9] * 3, "D": [1e10, 2e10, 8e10], "domain_share": [0.5] * 3})
    found = outcomes(fit, Candidates.of(fit, plan, None), 0)
    drawn = np.cov(found.errors.T)
    assert drawn.shape == (6, 6)
    np.testing.assert_allclose(drawn, found.variances[0], atol=0.06 * found.variances[0].max())
    assert found.variances[0][0, 1] > 0, "the losses of one run err alike"


def test_checkpoints_of_a_candidate_are_one_run(bent):
    plans = pd.DataFrame({"candidate": ["a", "a", "b"], "N": [2e9] * 3, "D": [1e10, 4e10, 4e10]})
    table = bent.next_runs("loss", candidates=plans, **AT).frame().set_index("candidate")
    assert table.loc["a", "cost"] == table.loc["b", "cost"] == 6 * 2e9 * 4e10
    assert table.loc["a", "nats"] > table.loc["b", "nats"]


def test_the_stop_rule_speaks_in_the_unit_of_the_answer(bent):
    found = bent.next_runs("loss", candidates=GRID, at_least=10.0, **AT)
    assert found.stop and found.chosen.empty
    assert str(found.stop).startswith("no run narrows the interval") and "by 10 nats per token" in str(found.stop)
    going = bent.next_runs("loss", candidates={"N": [2e9], "D": [8e10]}, at_least=0.001, **AT)
    assert not going.stop and "a run at N 2 B, D 80 B would narrow the interval from" in str(going.stop)
    assert "in order" in repr(going) and "no run" in repr(found)


def test_the_candidates_of_a_study_go_one_step_beyond_its_runs(bent):
    grid = neighbourhood(bent)
    assert set(grid["N"]) == {2e7, 1e8, 5e8, 2.5e9} and grid["D"].max() == 8e10
    found = bent.next_runs("loss", **AT)
    assert len(found.frame()) == len(grid)


@pytest.mark.parametrize(
    "name", ["data_mixing", "cross_domain_dcpt", "nested_data_mixing", "domain_upsampling", "cmr_general"]
)
def test_the_candidates_of_other_laws(name, table_for):
    fit = stand_in(models.catalogue[name], table_for, draws=120)
    plans = neighbourhood(fit).assign(price=1.0)
    places = {c: fit.model.design.rows[c][0].item() for c in fit.model.law.columns if c != "weight"}
    asked = places | ({"domain": "code"} if "domain" in plans else {})
    asked |= {"weight": {"books": 0.2, "code": 0.3, "web": 0.5}} if "weight" in fit.model.law.columns else {}
    table = fit.next_runs("loss", candidates=plans, cost="price", **asked).frame()
    assert len(table) == len(plans) and (table["nats"] >= 0).all() and table["nats"].max() > 0.05


def test_a_law_without_sizes_and_tokens_counts_runs(table_for):
    fit = stand_in(models.data_mixing, table_for, draws=120)
    found = fit.next_runs("loss", weight={"books": 0.2, "code": 0.3, "web": 0.5})
    assert (found.frame()["cost"] == 1).all() and found.cost_unit == "runs"
    assert str(found.stop).endswith("for 1 run")


def test_none_of_hundreds_of_hopeless_candidates_is_chosen(bent):
    """A small run tells next to nothing of a loss of E alone at a large size; some are lucky with few draws.

    Of 13 parts of a longer chain with as few draws, 4 would choose one of the 400.
    """
    few = replace(bent, idata=bent.idata.isel(draw=slice(75, 150)))
    grid = {"N": np.geomspace(1e3, 3e3, 20), "D": np.geomspace(1e6, 3e6, 20)}
    values = few.next_runs("loss", candidates=grid, **AT)
    assert len(values.frame()) == 400 and values.chosen.empty and values.stop
    assert "by more than chance, 2 Monte Carlo errors: the best one narrows it by" in values.stop.text
    lucky = values.frame().eval("reduction > 2 * reduction_error")
    assert lucky.any(), "the width alone would have chosen some"


def test_what_speaks_against_the_runs_is_shown_everywhere(bent):
    far = bent.next_runs("loss", candidates={"N": [1e13], "D": [1e15]}, N=1e12, D=1e13)
    *own, chosen = far.cautions
    assert own == [*far.answer.cautions] != [] and chosen.startswith("of the chosen runs, ") and "beyond" in chosen
    for face in (repr(far), far._repr_html_(), str(far.as_json()["cautions"])):
        assert "of the chosen runs, " in face
    budget = bent.next_runs("loss", candidates=GRID, budget=1e19, **AT)
    assert "100 B" not in repr(budget), "what the budget does not pay is not shown"
    assert "±" in repr(budget)


def test_a_width_at_the_end_of_the_searched_range_is_a_bound(bent):
    beyond = bent.next_runs("tokens-for", candidates=GRID, N=1e9, loss=1.0)
    assert beyond.stop.text == "every draw lies at an end of the searched range: ask where the answer lies within it"
    loss = bent.predict(N=1e9, D=2.8e14).median().item()
    some = bent.next_runs("tokens-for", candidates=GRID, N=1e9, loss=loss)
    assert any("at an end of the searched range: the true widths are larger" in c for c in some.cautions)


def test_a_batch_is_told_as_a_whole(bent):
    found = bent.next_runs("loss", candidates={"N": [2e9], "D": [4e10, 8e10, 1.6e11]}, batch=3, budget=1e23, **AT)
    last = found.chosen.iloc[-1]
    assert len(found.chosen) > 1
    assert found.stop.text.startswith(f"these {len(found.chosen)} runs, first a run at N 2 B")
    assert f"{last['cost']:.2g}".replace("e+", "e") in found.stop.text


def test_a_candidate_outside_the_range_is_said(table_for):
    fit = stand_in(models.cmr_general, table_for, draws=120)
    grid = {"N": [1e9], "D": [1e10], "domain_share": [0.0, 0.3]}
    found = fit.next_runs("loss", candidates=grid, D=1e10, domain_share=0.5)
    assert any(c.startswith("1 candidate outside the range of cmr_general (") for c in found.cautions)
    inside = fit.next_runs("loss", candidates=grid | {"domain_share": [0.3]}, D=1e10, domain_share=0.5)
    assert not any("candidate outside" in c for c in inside.cautions)


def test_a_question_may_be_a_function(bent):
    asked = bent.next_runs("allocation", candidates=GRID, flops=1e21)
    same = bent.next_runs(partial(bl.Fit.allocation, flops=1e21), candidates=GRID)
    pd.testing.assert_frame_equal(asked.frame(), same.frame())


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a cost of 0": ({"cost": "free"}, "free is 0 in row 0 .*: give what the run costs, above 0"),
    "a budget too small": ({"budget": 1.0}, "budget is 1, below the cheapest candidate, 6e18 FLOPs"),
    "no candidate": ({"candidates": []}, "candidates is empty|table is"),
    "an empty grid": ({"candidates": {}}, "candidates is empty"),
    "no such question": ({"question": "best-guess"}, "no question 'best-guess'"),
    "a question of other laws": ({"question": "best-mixture"}, "the law chinchilla does not answer best-mixture: ask "),
    "no run of that name": ({"candidates": pd.DataFrame({"run": ["x"], "D": [1e12]})}, "no run to continue 'x'"),
    "nine runs": ({"batch": 9}, "batch is 9: give how many runs to choose, 1 to 8"),
    "no worth": ({"at_least": 0.0}, "at_least is 0: give the smallest reduction"),
    "no such column of costs": ({"cost": "euros"}, "no column 'euros'"),
    "a checkpoint twice": (
        {"candidates": pd.DataFrame({"candidate": ["a"] * 2, "N": [1e9] * 2, "D": [1e10] * 2})},
        "the candidate 'a' has several rows with D 1e10: give each checkpoint of a run once",
    ),
    "two sizes in one run": (
        {"candidates": pd.DataFrame({"candidate": ["a"] * 2, "N": [1e9, 2e9], "D": [1e10, 2e10]})},
        "the candidate 'a' has several values of N: the rows of a candidate are checkpoints of one run",
    ),
    "a missing column": ({"candidates": {"N": [1e9]}}, "no column 'D'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_weighed_is_refused_in_a_sentence(name, bent):
    changed, said = REFUSED[name]
    plans = pd.DataFrame({"N": [1e8, 1e9], "D": [1e10, 1e10], "free": [0.0, 1.0]})
    asked: dict[str, Any] = {"question": "loss", "candidates": plans} | changed
    if asked["question"] == "loss":
        asked |= AT
    with pytest.raises(BayeslawError, match=said) as caught:
        bent.next_runs(asked.pop("question"), **asked)
    assert "\n" not in str(caught.value)


def test_candidates_outside_the_range_are_refused(table_for):
    fit = stand_in(models.cmr_general, table_for, draws=60)
    with pytest.raises(BayeslawError, match="no candidate lies in the range of cmr_general .*outside='include'"):
        fit.next_runs("loss", candidates={"N": [1e9], "D": [1e10], "domain_share": [0.0]}, D=1e10, domain_share=0.5)


def test_a_fit_of_one_draw_weighs_nothing():
    fit = sizes_and_tokens().fit(method="mle", progress=False)
    with pytest.raises(BayeslawError, match="the fit has 1 draws, too few to weigh runs"):
        fit.next_runs("loss", candidates=GRID, **AT)


def test_a_run_is_not_cut_short_nor_changed(bent):
    run, N, D = bent.model.runs.table.iloc[0][["run", "N", "D"]]
    for plan, said in (({"D": [D / 2]}, "give more"), ({"D": [2 * D], "N": [3 * N]}, "leave it out")):
        with pytest.raises(BayeslawError, match=said):
            bent.next_runs("loss", candidates=pd.DataFrame({"run": [run], **plan}), **AT)


@pytest.mark.slow
def test_the_best_candidates_are_those_that_refits_would_choose(monkeypatch, tmp_path):
    monkeypatch.setattr(worth, "BUILD", tmp_path)
    (tmp_path / "worth").mkdir()
    monkeypatch.setitem(worth.DESIGNS, "allocation", replace(worth.DESIGNS["allocation"], outcomes=8))
    table = worth.compared("allocation", sizes_and_tokens().fit(seed=1, progress=False))
    assert stats.spearmanr(table["width"], table["refits"]).statistic >= 0.9
    assert ((table["width"] / table["refits"]).between(0.9, 1.1)).all()


def test_a_mixture_is_named_by_its_largest_sources():
    assert _mixed({"a": 0.05, "b": 0.5, "c": 0.0, "d": 0.2, "e": 0.25}) == " on 50 % b, 25 % e, 20 % d, 5 % others"
    assert _mixed({"a": 0.5, "b": 0.5}) == " on 50 % a, 50 % b" and _mixed({}) == ""
