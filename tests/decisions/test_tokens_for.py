"""The smallest number of tokens for a loss, beside the tokens that the loss was computed at."""

import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bayeslaw import models, workflow
from bayeslaw.cli import app
from bayeslaw.decisions import DECISIONS
from bayeslaw.errors import LawError, RangeError
from tests.stand_ins import stand_in


@pytest.fixture
def fit(table_for):
    return stand_in(models.dcpt, table_for, draws=20)


def test_the_loss_at_some_tokens_needs_these_tokens(fit):
    at: dict[str, Any] = {"N": 5e8, "domain_share": [0.3, 0.6], "domain": "code"}
    losses = fit.predict(D=2e9, **at).draws.sel(eval="domain")
    one = losses.isel(chain=0, draw=3, domain_share=0).item()
    found = fit.tokens_for(loss=one, **at)
    assert found.unit == "tokens" and found.draws.dims == ("chain", "draw", "domain_share")
    assert found.draws.isel(chain=0, draw=3, domain_share=0).item() == pytest.approx(2e9, rel=1e-6)
    columns = fit.columns(D=2e9, **at | {"domain_share": 0.6})
    back = fit.loss(columns.assign(D=found.draws.isel(domain_share=1, drop=True)))
    inside = (found.draws > found.low) & (found.draws < found.high)
    reached = back.sel(eval="domain").where(inside.isel(domain_share=1, drop=True))
    np.testing.assert_allclose(reached.values[~np.isnan(reached.values)], one, rtol=1e-6)


def test_draws_without_an_answer_are_kept_and_counted(fit):
    at: dict[str, Any] = {"N": 5e8, "domain_share": 0.5, "domain": "code"}
    assert float(fit.tokens_for(loss=0.01, **at).p_always) == 1
    easy = fit.tokens_for(loss=90.0, **at)
    assert float(easy.p_never) == 1 and "fewer tokens than the searched range" in repr(easy)
    assert any("D 100 k lies 1000 times beyond the smallest run" in caution for caution in easy.cautions)


def test_a_new_run_needs_other_tokens_than_the_mean_law(fit):
    at: dict[str, Any] = {"N": 5e8, "domain_share": 0.5, "domain": "code"}
    loss = float(fit.predict(D=2e9, **at).draws.sel(eval="domain").median())
    mean, new = (fit.tokens_for(loss=loss, new_run=new_run, **at) for new_run in (False, True))
    assert new.what == "new run" and not np.allclose(mean.draws, new.draws)


@pytest.mark.parametrize("name", [n for n, law in models.catalogue.items() if DECISIONS["tokens_for"].applies(law)])
def test_every_law_of_tokens_answers(name, table_for):
    made = stand_in(models.catalogue[name], table_for, draws=5)
    share = 0.95 if "replay" in made.model.law.covariates else 0.5  # in the range of the law
    asked: dict[str, Any] = {"N": 5e8, "U": 4e9, "domain_share": share}
    asked = {k: v for k, v in asked.items() if k in made.model.law.columns}
    asked |= (
        {"mixture": {"books": 0.2, "web": 0.4, "code": 0.4}} if made.model.law.kind == "mixture" else {"domain": "code"}
    )
    loss = float(made.predict(D=3e9, **{"weight" if k == "mixture" else k: v for k, v in asked.items()}).draws[0, 0, 0])
    found = made.tokens_for(loss=loss, eval=made.evals[0], **asked)
    assert np.isfinite(found.draws).all() and found.draws.shape == (2, 5)


def test_bad_questions_are_refused_in_a_sentence(fit, table_for):
    for asked, words in (({}, "give loss= or score="), ({"loss": 2.0, "score": 0.5}, "one target: .*, not both")):
        with pytest.raises(RangeError, match=words):
            fit.tokens_for(**asked)
    with pytest.raises(RangeError, match="score is 1.5: give a share"):
        fit.tokens_for(score=1.5)
    with pytest.raises(RangeError, match="loss is -1: give a loss above 0"):
        fit.tokens_for(loss=-1)
    with pytest.raises(LawError, match="does not depend on D"):
        stand_in(models.data_mixing, table_for, draws=5).tokens_for(loss=2.0)


def test_on_the_command_line(fit, tmp_path, monkeypatch):
    (tmp_path / "fit.nc").touch()
    monkeypatch.setattr(workflow, "load", lambda _: fit)
    words = ["--loss=2.4", "--N=5e8", "--domain-share=0.5", "--domain=code", "--json"]
    result = CliRunner().invoke(app, ["decide", "tokens-for", str(tmp_path / "fit.nc"), *words])
    expected = fit.tokens_for(loss=2.4, N=5e8, domain_share=0.5, domain="code")
    assert json.loads(result.stdout)["median"] == float(expected.median())


def test_a_loss_that_only_rises_with_tokens_is_reached_by_none(table_for):
    fit = stand_in(models.replay, table_for, draws=5)
    with pytest.raises(LawError, match="the loss of replay only rises with tokens.* smallest_replay"):
        fit.tokens_for(loss=2.6, N=5e8, domain_share=0.95)
