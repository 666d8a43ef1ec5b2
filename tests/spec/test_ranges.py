"""What lies outside a law's range: counted for every loss, refused if it is much, and no reason for a crash."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.checks import run_checks
from bayeslaw.errors import DataError
from bayeslaw.posterior import inference
from bayeslaw.spec.ranges import left_out
from bayeslaw.tables.runs import read_runs

SIZES, TOKENS = (5e8, 1e9, 2e9), (1e9, 1e10, 1e11)
SETTINGS: tuple[dict[str, Any], ...] = (
    {"method": "mle"},
    {"draws": 110, "tune": 100, "chains": 2, "progress": False},
)


def runs(*shares: float) -> bl.Runs:
    rows = list(itertools.product(SIZES, shares, TOKENS))
    table = pd.DataFrame(rows, columns=["N", "domain_share", "D"])
    n, d, own = table["N"] / 1e9, table["D"] / 1e10, table["domain_share"]
    rng = np.random.default_rng(0)
    for name, share in (("general", 1 - own), ("domain", own)):
        law = 1.5 + 0.4 * n**-0.3 + 0.2 * share**1.3 * d**-0.3 + 0.3 * (share + 0.1) ** -0.3
        table[f"{name}_loss"] = law * np.exp(rng.normal(0, 0.003, len(table)))
    return read_runs(table)


def model(*shares: float, **settings: Any) -> bl.Model:
    return bl.Model(models.dcpt, runs(*shares), noise=bl.Noise(correlated=False, joint=False), **settings, misfit=None)


def test_measurements_outside_are_counted_for_every_loss():
    m = model(0.0, 0.5, 0.95, 1.0)
    counts = left_out(m.law, m.design.rows)
    assert list(counts.loc["general"]) == [36, 18, 9]
    assert list(counts.loc["domain"]) == [36, 9, 9]


def test_pure_runs_are_left_out_without_a_question():
    """Every design from one corpus to the other has them: one share of nine in tinycpt, an eighth of each loss."""
    model(0.0, 0.25, 0.5, 0.75, 1.0).check_range()


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_fit_that_drops_more_than_a_tenth_asks_for_a_choice(settings):
    """A third of the general losses lies at shares of the general corpus of 5 %."""
    sentence = "9 of 27 general losses lie outside the range of dcpt .share 0.1 to 1. and would be left out, .* a tenth"
    with pytest.raises(DataError, match=sentence) as refused:
        model(0.3, 0.6, 0.95).fit(**settings)
    assert all(words in str(refused.value) for words in ("outside='include'", "outside='exclude'", "small-replay.md"))


def test_the_choice_settles_it():
    assert len(model(0.3, 0.6, 0.95, outside="exclude").fit(method="mle").model.design.log_loss) == 45
    assert len(model(0.3, 0.6, 0.95, outside="include").fit(method="mle").model.design.log_loss) == 54


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("outside", [None, "exclude"])
def test_a_loss_with_fewer_measurements_than_coefficients_is_refused(outside, settings):
    """Small replay: the general corpus has 2 to 5 % in every run. Without measurements the answer is the prior's."""
    with pytest.raises(DataError, match="27 of 27 general losses .* the 0 others are fewer than its 9 coefficients"):
        model(0.95, 0.96, 0.98, outside=outside).fit(**settings)


def test_an_evaluation_asks_before_its_refits():
    with pytest.raises(DataError, match="more than a tenth"):
        bl.evaluate(model(0.3, 0.6, 0.95), bl.splits.by("N"), method="mle")


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_loss_that_was_measured_nowhere_stops_nothing(settings):
    """As in a fold that holds out its only measurements: its coefficients are the prior's, no position is missing."""
    m = model(0.95, 0.96, 0.98)
    assert m.design.measured.sum("row").to_series().to_dict() == {"general": 0, "domain": 27}
    fit = inference.fit(m, seed=1, **settings)
    assert fit.posterior["E"].notnull().all()
    broken = [c.text for c in run_checks(fit) if "could not be checked" in c.text]
    assert broken == []
    in_range = next(c for c in run_checks(fit) if c.name == "range")
    assert not in_range.passed and in_range.value == 1.0 and "27 of 27 general losses" in in_range.text


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_fold_without_a_loss_in_its_training_part_is_scored(settings):
    """General losses inside the range come from one share alone; the fold without it has none left."""
    m = model(0.5, 0.95, 0.98, outside="exclude")
    with_none = bl.evaluate(m, bl.splits.by("domain_share"), seed=1, **settings)
    assert with_none.failed.empty and {"domain_share 0.5", "domain_share 0.95"} <= set(with_none.folds["fold"])
    assert np.isfinite(with_none.rows[["mean", "lower", "upper"]]).all(axis=None)


def small_replay(*shares: float, before: bool = True) -> bl.Runs:
    """Runs at shares beyond D-CPT's range, and the models before training."""
    made = runs(*shares)
    start = pd.DataFrame(
        {"run": "base", "N": SIZES, "D": 0.0, "domain_share": 0.0, "general_loss": 2.0, "domain_loss": 3.0}
    )
    start = start.assign(run=[f"base {N:g}" for N in SIZES])
    return read_runs(pd.concat([start, made.table])) if before else made


@pytest.mark.parametrize("outside", [None, "exclude"])
def test_a_study_of_small_replay_is_sent_to_the_law_that_holds_there(outside):
    """General shares of 0 to 8 %: refused in one sentence that names it, before anything is sampled."""
    with pytest.raises(
        DataError, match=r"36 of 36 general losses .*use a law that is valid there, replay \(see"
    ) as refused:
        bl.Model(models.dcpt, small_replay(0.92, 0.95, 0.98, 1.0), outside=outside, misfit=None).fit()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("outside", [None, "exclude"])
def test_a_table_of_the_general_loss_alone_is_sent_to_the_same_law(outside):
    table = small_replay(0.92, 0.95, 0.98, 1.0).table.drop(columns="domain_loss")
    with pytest.raises(
        DataError, match=r"no row lies inside the range of dcpt .*a law that is valid there, replay \(see"
    ):
        bl.Model(models.dcpt, read_runs(table), outside=outside, misfit=None)


def test_the_law_that_is_made_for_such_shares_is_named_first():
    """Of four laws that hold at 5 % replay, the law of small replay was the fourth, and only three are named."""
    with pytest.raises(DataError, match="9 of 36 general losses .*a law that is valid there, replay, "):
        bl.Model(models.dcpt, small_replay(0.3, 0.5, 0.7, 0.95), misfit=None).fit()


def test_small_domain_shares_are_sent_to_a_law_of_the_own_share():
    with pytest.raises(DataError, match=r"27 of 27 domain losses .*use a law that is valid there, bimix"):
        bl.Model(models.dcpt, small_replay(0.02, 0.05, 0.08), misfit=None).fit()


def test_one_share_within_the_range_says_nothing_of_the_share():
    """0.9 and 1: without this a critical ratio was '<= 0, never', for sure, from a general loss at one share."""
    sentence = (
        "all general losses within the range of dcpt .* the domain share 0.9, .*a law that is valid there, replay"
    )
    with pytest.raises(DataError, match=sentence):
        bl.Model(models.dcpt, small_replay(0.9, 1.0), misfit=None).fit()
    bl.Model(models.dcpt, small_replay(0.9, 1.0), outside="exclude", misfit=None).check_range()
    bl.Model(models.dcpt, small_replay(0.0, 1.0), misfit=None).check_range()


def test_answers_of_runs_that_lie_outside_altogether_say_so():
    """Fitted because it was asked for: every answer names the law that holds there."""
    fit = bl.Model(models.dcpt, small_replay(0.95, 0.98, 0.99), outside="include", misfit=None).fit(method="mle")
    caution = "no general loss lies in the range of dcpt (share 0.1 to 1): answers about it are outside its range; "
    for answer in (fit.critical_ratio(N=1e9, D=1e10), fit.predict(N=1e9, D=1e10, domain_share=0.97)):
        assert caution + "use a law that is valid there, replay, bimix" in answer.cautions
    assert not bl.Model(models.dcpt, small_replay(0.5, 0.95), outside="include", misfit=None).beyond_the_law
