"""The best share of a scarce domain whose tokens may be repeated, beside a search by hand."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from bayeslaw import models, workflow
from bayeslaw.cli import app
from bayeslaw.errors import LawError, RangeError
from bayeslaw.workflow import Fit
from tests.stand_ins import stand_in

AT: dict[str, Any] = {"N": 5e8, "domain": "code"}
SHARES = np.linspace(0.1, 1.0, 18_001)


def harmful(made: Fit) -> Fit:
    """The fit with a penalty five times as large, so that optima lie well within the range of epochs."""
    posterior = made.posterior.assign(P=5 * made.posterior["P"])
    return replace(made, idata=xr.DataTree.from_dict({"posterior": posterior}))


@pytest.fixture
def fit(table_for: Any) -> Fit:
    return harmful(stand_in(models.dcpt_repetition, table_for, draws=20))


def losses(fit: Fit, D: float, U: float) -> xr.DataArray:
    """The domain loss of every draw over the shares, at one size."""
    columns = fit.columns(N=5e8, D=D, U=U, domain_share=xr.DataArray(SHARES, dims="share"), domain="code")
    return fit.loss(columns).sel(eval="domain")


def test_the_best_share_is_that_of_a_search_by_hand(fit):
    found = fit.best_ratio(domain_tokens=4e8, D=2e10, **AT)
    by_hand = SHARES[losses(fit, 2e10, 4e8).argmin("share").values]
    np.testing.assert_allclose(found.draws.values, by_hand, atol=1e-4)
    assert found.epochs is not None
    np.testing.assert_allclose(found.epochs.draws, found.draws * 50)
    assert f"sees the domain's tokens {found.epochs.text().item()} times" in found.remark


def test_a_further_epoch_is_one_more_in_the_same_tokens(fit):
    found = fit.best_ratio(domain_tokens=4e8, D=2e10, **AT)
    best = float(found.median())
    here, there = (losses(fit, 2e10, 4e8).isel(share=int(np.abs(SHARES - s).argmin())) for s in (best, best + 0.02))
    assert found.p_further_epoch_hurts is not None
    assert float(found.p_further_epoch_hurts) == pytest.approx(float((there > here).mean()), abs=0.06)
    alone = fit.best_ratio(domain_tokens=4e8, D=4e8, **AT)  # an epoch more than all of the stream
    assert "one epoch more has no room in these tokens" in alone.remark
    assert alone.p_further_epoch_hurts is not None and np.isnan(alone.p_further_epoch_hurts)


def test_epochs_move_the_share_up_and_never_past_the_point_where_more_hurts(fit):
    """Usage 2 sees each token once, in the domain's tokens over the share; the same stream may repeat them."""
    once = fit.best_ratio(domain_tokens=4e8, **AT)
    assert once.epochs is None and once._beside() == {}
    repeated = fit.best_ratio(domain_tokens=4e8, D=float(4e8 / once.median()), **AT)
    assert float(repeated.median()) >= float(once.median()) - 1e-6
    curve = losses(fit, 2e10, 4e8)
    best = fit.best_ratio(domain_tokens=4e8, D=2e10, **AT)
    inside = (best.draws > best.low) & (best.draws < best.high)
    at = xr.DataArray(np.abs(SHARES[:, None, None] - best.draws.values).argmin(0), dims=("chain", "draw"))
    further = curve.isel(share=(at + 200).clip(max=len(SHARES) - 1)) - curve.isel(share=at)  # 0.01 of the stream
    assert inside.any() and (further >= 0).where(inside, True).all()


def test_scarcer_domains_have_smaller_shares(fit):
    found = fit.best_ratio(domain_tokens=[2e8, 4e8, 6e8], D=2e10, **AT)
    assert found.draws.dims == ("chain", "draw", "domain_tokens")
    assert (found.median().diff("domain_tokens") > 0).all()
    assert set(found.as_json()) >= {"epochs", "epochs_lower", "epochs_upper", "p_further_epoch_hurts", "D"}


def test_a_law_that_counts_no_epochs_is_not_asked_for_them(table_for):
    plain = stand_in(models.dcpt, table_for, draws=5)
    with pytest.raises(LawError, match="counts a repeated token as a new one.*dcpt_repetition"):
        plain.best_ratio(domain_tokens=4e8, D=2e10, **AT)
    fit = stand_in(models.dcpt_repetition, table_for, draws=5)
    with pytest.raises(RangeError, match="D is 20: give tokens, not billions"):
        fit.best_ratio(domain_tokens=1e9, D=20, **AT)
    with pytest.raises(RangeError, match="U is 1: give unique tokens, not billions"):
        fit.allocation(flops=1e21, U=1, domain_share=0.5, domain="code")
    with pytest.raises(RangeError, match="outside the range of dcpt_repetition.*epochs 0 to 60"):
        fit.best_ratio(domain_tokens=1e6, D=2e10, **AT)


def test_other_decisions_take_unique_tokens(fit, table_for):
    sizes = harmful(stand_in(models.repetition_penalty, table_for, draws=20))
    best = sizes.allocation(flops=1e21, U=[5e9, 2e10, 1e12])
    assert (best.median().sel(quantity="D").diff("U") > 0).all()  # a scarce corpus is seen less often
    ratio = fit.critical_ratio(N=5e8, D=1e10, U=1e9, domain="code", max_rise=0.05, baseline=2.8)
    assert ratio.inputs["U"] == 1e9
    loss = float(fit.predict(N=5e8, D=5e9, U=1e10, domain_share=0.5, domain="code").draws.sel(eval="domain").median())
    plenty, scarce = (fit.tokens_for(loss=loss, N=5e8, U=U, domain_share=0.5, domain="code") for U in (1e10, 5e8))
    assert float(plenty.median()) < float(scarce.median())


def test_on_the_command_line(fit, tmp_path, monkeypatch):
    (tmp_path / "fit.nc").touch()
    monkeypatch.setattr(workflow, "load", lambda _: fit)
    words = ["--domain-tokens=4e8", "--D=2e10", "--N=5e8", "--domain=code"]
    command = ["decide", "best-ratio", str(tmp_path / "fit.nc"), *words]
    answer = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    expected = fit.best_ratio(domain_tokens=4e8, D=2e10, **AT)
    assert expected.epochs is not None
    assert answer["median"] == float(expected.median()) and answer["epochs"] == float(expected.epochs.median())
    assert 0 <= answer["p_further_epoch_hurts"] <= 1
    assert "p_further_epoch_hurts" in CliRunner().invoke(app, command).stdout


def test_the_loss_before_training_has_no_unique_tokens(table_for):
    """The rows at D = 0 are the baseline at every U, theirs or none."""
    fit = stand_in(models.dcpt_repetition, table_for, draws=20)
    rows = fit.model.runs.baseline
    asked: dict[str, Any] = {"N": float(rows["N"].iloc[0]), "D": 1e10, "U": 7.7e8, "max_increase": 0.1}
    asked |= {"domain": rows["domain"].iloc[0]} if "domain" in fit.model.design.groups else {}
    baseline = float(rows.loc[rows["N"] == asked["N"], "general_loss"].mean())
    for U in (3e8, np.nan):
        runs = replace(fit.model.runs, baseline=rows.assign(U=U))
        one = replace(fit, model=replace(fit.model, runs=runs))
        assert one.critical_ratio(**asked).inputs["baseline"] == pytest.approx(baseline)


def test_several_questions_are_searched_together_and_the_answer_says_so(fit):
    """A scarce domain keeps the shares of a plentiful one small, where asked alone it has another answer."""
    both = fit.best_ratio(**AT, domain_tokens=[2e7, 1e9], D=1e10)
    alone = fit.best_ratio(**AT, domain_tokens=1e9, D=1e10)
    assert float(both.high) == pytest.approx(0.12, abs=2e-3) and float(alone.high) == 1
    sentence = (
        "only what lies within the range of dcpt_repetition for all values asked about is searched: ask one by one"
    )
    assert sentence in both.cautions and sentence not in alone.cautions


def test_a_question_out_of_range_names_what_is(fit):
    with pytest.raises(RangeError, match=r"epochs 0 to 60\), with epochs 100 to 1000; ask within it"):
        fit.best_ratio(**AT, domain_tokens=1e7, D=1e10)
    with pytest.raises(RangeError, match=r"epochs 0 to 60\), with epochs 100 to 1000; ask within it"):
        fit.best_ratio(**AT, domain_tokens=[1e9, 1e7], D=[1e10, 1e9])
