"""Scores through a law of the loss and a law from loss to score."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.cli import app
from bayeslaw.cli.fitting import model_of
from bayeslaw.decisions.score import Score
from bayeslaw.errors import DataError, LawError, RangeError, UnknownName
from bayeslaw.workflow import Fit
from tests.stand_ins import second_stage, stand_in
from tests.tables.test_scores import LADDER


@pytest.fixture
def stage1(table_for: Any) -> Fit:
    """Losses near 2.6 nats by the Chinchilla law."""
    return stand_in(models.chinchilla, table_for, draws=40)


def test_a_score_goes_through_both_stages_draw_by_draw(stage1):
    stage2 = second_stage(draws=90)
    found = stage1.score(stage2, N=[1e8, 2e9], D=1e10)
    assert isinstance(found, Score) and found.unit == "1"
    assert dict(found.draws.sizes) == {"chain": 2, "draw": 40, "eval": 2, "N": 2}
    loss = stage1.predict(N=2e9, D=1e10).draws.sel(eval="validation").drop_vars("eval")
    by_hand = 1 - models.loss_to_score(float(loss.median()), 0.25, m=2.6, k=10.0, c=0.97)
    assert float(found.median().sel(eval="quiz", N=2e9)) == pytest.approx(by_hand, abs=0.01)
    certain = replace(stage2, idata=stage2.idata.isel(chain=[0], draw=[0]))
    exact = stage1.score(certain, N=2e9, D=1e10).draws.sel(eval="task")
    at = {name: certain.posterior[name].sel(eval="task").item() for name in ("m", "k", "c")}
    np.testing.assert_allclose(exact, 1 - models.loss_to_score(loss, 0.0, **at))


def test_uncertainties_of_both_stages_and_errors_of_a_new_run_count(stage1):
    stage2 = second_stage(draws=300)
    at: dict[str, Any] = {"N": 2e9, "D": 1e10}
    point = replace(stage2, idata=stage2.idata.isel(chain=[0], draw=[0]))
    sure = stand_in_many(stage1)  # of the loss
    sd = {
        "neither": sure.score(point, **at).sd().sel(eval="quiz").item(),
        "first": stage1.score(point, **at).sd().sel(eval="quiz").item(),
        "second": sure.score(stage2, **at).sd().sel(eval="quiz").item(),
        "second, new run": sure.score(stage2, **at, new_run=True).sd().sel(eval="quiz").item(),
    }
    assert sd["neither"] < 1e-9 < min(sd["first"], sd["second"])
    rate = 1 - sure.score(point, **at).median().sel(eval="quiz").item()
    assert sd["second, new run"] ** 2 - sd["second"] ** 2 > (0.004 * rate) ** 2  # that of the loss comes on top


def stand_in_many(fit: Fit) -> Fit:
    """The first draw of a fit many times over: what is left of its spread is that of the second stage and of runs."""
    one = fit.posterior.isel(draw=[0] * 400, chain=[0]).assign_coords(draw=np.arange(400))
    return replace(fit, idata=xr.DataTree.from_dict({"posterior": one}))


def test_probabilities_of_a_score_and_of_one_above_another(stage1):
    stage2 = second_stage()
    plans = stage1.score(stage2, N=[1e8, 2e9], D=1e10)
    small, large = (replace(plans, draws=plans.draws.sel(N=n, drop=True)) for n in (1e8, 2e9))
    assert (large.probability_above(small) == 1).all() and (small.probability_above(large) == 0).all()
    middle = float(large.median().sel(eval="quiz"))
    assert 0.3 < float(large.probability_of(middle).sel(eval="quiz")) < 0.7
    with pytest.raises(RangeError, match="score is 55"):
        large.probability_of(55)
    one, other = (stage1.score(stage2, N=2e9, D=1e10, new_run=True, seed=seed) for seed in (1, 2))
    assert 0.2 < float(one.probability_above(other).sel(eval="quiz")) < 0.8  # two runs of one plan
    with pytest.raises(RangeError, match="give the other run a seed of its own"):
        one.probability_above(stage1.score(stage2, N=1e8, D=1e10, new_run=True, seed=1))
    fewer = replace(stage1, idata=stage1.idata.isel(draw=slice(10)))
    with pytest.raises(RangeError, match="fit both with the same numbers"):
        one.probability_above(fewer.score(stage2, N=1e8, D=1e10))


def test_the_best_of_several_plans_by_a_weighted_score(table_for):
    fit = stand_in(models.dcpt, table_for, draws=40)
    shares = np.linspace(0.1, 0.9, 9)
    at: dict[str, Any] = {"N": 2e9, "D": 1e10}
    follows = {"quiz": "general", "task": "domain"}
    scores = fit.score(second_stage(), **at, domain_share=shares, eval=follows)
    alone = {name: scores.best("domain_share", goal=name).median().item() for name in follows}
    assert alone["quiz"] < 0.5 and alone["task"] == pytest.approx(0.9)  # what follows the domain loss wants all of it
    mean = scores.draws.mean("eval").idxmax("domain_share")
    np.testing.assert_allclose(scores.best("domain_share").draws, mean)
    with pytest.raises(UnknownName, match="no dim of the question 'N'"):
        scores.best("N")


def test_questions_that_cannot_be_asked(stage1, table_for):
    stage2 = second_stage()
    with pytest.raises(LawError, match="chinchilla does not map a loss to a score"):
        stage1.score(stage1, N=2e9, D=1e10)
    with pytest.raises(DataError, match="D is missing"):
        stage1.score(stage2, N=2e9)
    with pytest.raises(UnknownName, match="no benchmark .in eval=. 'quizz'"):
        stage1.score(stage2, N=2e9, D=1e10, eval={"quizz": "validation"})
    with pytest.raises(UnknownName, match="no validation set 'pile'"):
        stage1.score(stage2, N=2e9, D=1e10, eval="pile")
    with pytest.raises(RangeError, match="reach is 55"):
        stage1.score(stage2, N=2e9, D=1e10, reach=55)


def test_a_loss_below_all_that_the_second_stage_saw_is_cautioned_of(stage1):
    stage2 = second_stage()
    at: dict[str, Any] = {"N": 2e9, "D": 1e10}
    seen = stage1.score(stage2, **at)
    above = replace(
        stage2, model=replace(stage2.model, runs=stage2.model.runs.select(stage2.model.runs.table["L"] > 3.5))
    )
    far = stage1.score(above, **at)
    assert not any("times below the smallest" in text for text in seen.cautions)
    assert sum("times below the smallest" in text for text in far.cautions) == 2


def test_a_loss_above_all_that_the_second_stage_saw_is_cautioned_of(stage1):
    """As where one stage has nats a token and the other bits a byte."""
    small = second_stage()
    table = small.model.runs.table.assign(L=lambda t: t["L"] / 4)
    bits = replace(small, model=replace(small.model, runs=replace(small.model.runs, table=table)))
    found = stage1.score(bits, N=2e9, D=1e10)
    assert sum("times above the largest" in text and "different units" in text for text in found.cautions) == 2
    assert "seed" not in found.about() and "seed" in found.as_json()


def test_scores_are_read_off_the_loss_that_they_were_fitted_to(table_for):
    """Another one is asked for by name only, and the answer says so."""

    def two_losses(law: Any, **settings: Any) -> pd.DataFrame:
        table = table_for(law, **settings).rename(columns={"validation_loss": "c4_loss"})
        return table.assign(pile_loss=table["c4_loss"] - 0.3)

    stage1 = stand_in(models.chinchilla, two_losses, draws=40)
    stage2 = second_stage()
    assert set(stage1.evals) == {"c4", "pile"} and set(stage2.model.runs.table["follows"]) == {"loss"}
    with pytest.raises(RangeError, match="several losses: name one"):
        stage1.score(stage2, N=2e9, D=1e10)
    table = stage2.model.runs.table.assign(follows="pile_loss")
    fitted = replace(stage2, model=replace(stage2.model, runs=replace(stage2.model.runs, table=table)))
    found = stage1.score(fitted, N=2e9, D=1e10)
    assert not any("fitted to the" in text and "read off" in text for text in found.cautions)
    np.testing.assert_array_equal(found.draws, stage1.score(fitted, N=2e9, D=1e10, eval="pile").draws)
    other = stage1.score(fitted, N=2e9, D=1e10, eval="c4")
    assert "the scores of quiz were fitted to the pile loss and are read off at the c4 loss" in other.cautions


def test_suggest_sees_scores_beside_a_loss(tmp_path):
    path = tmp_path / "ladder.csv"
    LADDER.dropna().assign(quiz_chance=0.25, task_chance=0.0).to_csv(path, index=False)
    one = bl.suggest(path)["loss_to_score"]
    assert "--loss quiz=c4_loss --loss task=c4_loss" in one.command and not one.ignores
    refused = bl.suggest(LADDER.dropna()).refused["loss_to_score"]
    assert refused.startswith("the score of guessing in quiz is not known")


def test_the_command_line_reads_scores_beside_a_loss_and_answers(tmp_path, monkeypatch, stage1):
    monkeypatch.chdir(tmp_path)
    LADDER.dropna().assign(chance=0.05).to_csv("ladder.csv", index=False)
    units: dict[str, Any] = {}
    rest = (["k=eval"], None, None, None, False, None, None, None)
    model = model_of("loss_to_score", Path("ladder.csv"), None, None, units, *rest)
    assert model.runs.table["L"].tolist() == LADDER.dropna()["c4_loss"].tolist() * 2 and model.by == {"k": "eval"}
    one = model_of("loss_to_score", Path("ladder.csv"), None, ["quiz=c4_loss", "task=c4_loss"], units, *rest)
    pd.testing.assert_frame_equal(one.runs.table, model.runs.table)
    stage1.save("fit.nc")
    second_stage().save("stage2.nc")
    asked = ["decide", "score", "fit.nc", "stage2.nc", "--N", "2e9", "--D", "1e10", "--reach", "0.5", "--json"]
    found = json.loads(CliRunner().invoke(app, asked).stdout)
    answer = stage1.score(second_stage(), N=2e9, D=1e10, reach=0.5)
    assert found["median"] == pytest.approx(answer.median().values.tolist()) and found["eval"] == ["quiz", "task"]
    assert found["p_reach_0.5"] == dict(zip(found["eval"], answer.probability_of(0.5).values.tolist(), strict=True))
